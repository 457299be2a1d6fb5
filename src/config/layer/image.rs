//! `[image]`.

use std::path::PathBuf;

use crate::config::paths::Paths;
use crate::config::place::{At, value_of};
use crate::config::section::Section;
use crate::config::syntax::system::{sha256, size};
use crate::config::types::{FirstBoot, Image};

/// `[image]` as one file wrote it.
#[derive(Clone, Default)]
pub(in crate::config) struct ImageLayer {
    /// `Some(None)`: written, but left to be filled in.
    source: Option<At<Option<PathBuf>>>,
    sha256: Option<At<[u8; 32]>>,
    size: Option<At<u64>>,
    first_boot: Option<At<FirstBoot>>,
}

impl ImageLayer {
    /// Reads the section.
    pub(super) fn read(section: Section<'_>, paths: Paths<'_>) -> Self {
        let layer = Self {
            source: section.parsed("source", |text| Ok((!text.is_empty()).then(|| paths.resolve(text)))),
            sha256: section.parsed("sha256", sha256),
            size: section.parsed("size", size),
            first_boot: section
                .choice("first_boot", &[("pibake", FirstBoot::Pibake), ("stock", FirstBoot::Stock)]),
        };
        section.finish();
        layer
    }

    /// A digest belongs to the source it was written beside: another source does not inherit it.
    pub(super) fn over(self, below: &Self) -> Self {
        let sha256 =
            if self.source.is_some() { self.sha256 } else { self.sha256.or_else(|| below.sha256.clone()) };
        Self {
            source: self.source.or_else(|| below.source.clone()),
            sha256,
            size: self.size.or_else(|| below.size.clone()),
            first_boot: self.first_boot.or_else(|| below.first_boot.clone()),
        }
    }

    /// With the defaults filled in.
    pub(in crate::config) fn settle(&self) -> Image {
        Image {
            source: value_of(self.source.as_ref()).flatten(),
            sha256: value_of(self.sha256.as_ref()),
            size: value_of(self.size.as_ref()),
            first_boot: value_of(self.first_boot.as_ref()).unwrap_or_default(),
        }
    }
}
