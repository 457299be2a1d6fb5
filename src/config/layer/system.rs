//! `[system]`.

use crate::config::place::{At, value_of};
use crate::config::section::Section;
use crate::config::syntax::name::server;
use crate::config::syntax::system::{cmdline_word, glob, keymap, locale, timezone};
use crate::config::types::System;

/// `[system]` as one file wrote it.
#[derive(Clone, Default)]
pub(in crate::config) struct SystemLayer {
    timezone: Option<At<String>>,
    locale: Option<At<String>>,
    keymap: Option<At<String>>,
    ntp: Option<Vec<At<String>>>,
    packages: Option<Vec<At<String>>>,
    cmdline: Option<Vec<At<String>>>,
}

impl SystemLayer {
    /// Reads the section.
    pub(super) fn read(section: Section<'_>) -> Self {
        let layer = Self {
            timezone: section.parsed("timezone", timezone),
            locale: section.parsed("locale", locale),
            keymap: section.parsed("keymap", keymap),
            ntp: section.parsed_list("ntp", server),
            packages: section.parsed_list("packages", glob),
            cmdline: section.parsed_list("cmdline", cmdline_word),
        };
        section.finish();
        layer
    }

    /// Key by key; lists are replaced.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            timezone: self.timezone.or_else(|| below.timezone.clone()),
            locale: self.locale.or_else(|| below.locale.clone()),
            keymap: self.keymap.or_else(|| below.keymap.clone()),
            ntp: self.ntp.or_else(|| below.ntp.clone()),
            packages: self.packages.or_else(|| below.packages.clone()),
            cmdline: self.cmdline.or_else(|| below.cmdline.clone()),
        }
    }

    /// With the defaults filled in.
    pub(in crate::config) fn settle(&self) -> System {
        let texts =
            |list: &Option<Vec<At<String>>>| list.iter().flatten().map(|at| at.value.clone()).collect();
        System {
            timezone: value_of(self.timezone.as_ref()),
            locale: value_of(self.locale.as_ref()),
            keymap: value_of(self.keymap.as_ref()),
            ntp: texts(&self.ntp),
            packages: texts(&self.packages),
            cmdline: texts(&self.cmdline),
        }
    }
}
