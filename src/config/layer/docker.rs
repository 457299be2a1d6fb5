//! `[docker]`.

use std::path::PathBuf;

use crate::config::paths::Paths;
use crate::config::place::{At, value_of};
use crate::config::section::Section;
use crate::config::syntax::system::glob;
use crate::config::types::{Docker, DockerInstall};

/// `[docker]` as one file wrote it.
#[derive(Clone, Default)]
pub(in crate::config) struct DockerLayer {
    install: Option<At<DockerInstall>>,
    bundle: Option<At<PathBuf>>,
    tls: Option<At<bool>>,
    images: Option<Vec<At<String>>>,
}

impl DockerLayer {
    /// Reads the section.
    pub(super) fn read(section: Section<'_>, paths: Paths<'_>) -> Self {
        let layer = Self {
            install: section.choice(
                "install",
                &[("debs", DockerInstall::Debs), ("apt", DockerInstall::Apt), ("none", DockerInstall::None)],
            ),
            bundle: section.parsed("bundle", |text| match text {
                "" => Err("is empty".to_owned()),
                _ => Ok(paths.resolve(text)),
            }),
            tls: section.boolean("tls"),
            images: section.parsed_list("images", glob),
        };
        section.finish();
        layer
    }

    /// Key by key; lists are replaced.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            install: self.install.or_else(|| below.install.clone()),
            bundle: self.bundle.or_else(|| below.bundle.clone()),
            tls: self.tls.or_else(|| below.tls.clone()),
            images: self.images.or_else(|| below.images.clone()),
        }
    }

    /// With the defaults filled in.
    pub(in crate::config) fn settle(&self) -> Docker {
        Docker {
            install: value_of(self.install.as_ref()).unwrap_or_default(),
            bundle: value_of(self.bundle.as_ref()),
            tls: value_of(self.tls.as_ref()).unwrap_or_default(),
            images: self.images.iter().flatten().map(|at| at.value.clone()).collect(),
        }
    }
}
