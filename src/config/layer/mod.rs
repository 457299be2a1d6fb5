//! The sections a node may override, as one file wrote them: everything optional, everything with its
//! place. `a.over(b)` is what holds when `a` is nearer to the node than `b`.

mod docker;
mod image;
mod network;
mod system;
mod user;

use super::paths::Paths;
use super::section::Section;

pub(super) use docker::DockerLayer;
pub(super) use image::ImageLayer;
pub(super) use network::NetworkLayer;
pub(super) use system::SystemLayer;
pub(super) use user::{AccountLayer, UserLayer, read_accounts};

/// All five.
#[derive(Clone, Default)]
pub(super) struct Layers {
    pub(super) image: ImageLayer,
    pub(super) network: NetworkLayer,
    pub(super) user: UserLayer,
    pub(super) system: SystemLayer,
    pub(super) docker: DockerLayer,
}

impl Layers {
    /// Reads the five sections out of a file's top level (`prefix` empty) or a node (`prefix` `node.`).
    pub(super) fn read(section: &Section<'_>, prefix: &str, paths: Paths<'_>) -> Self {
        let sub = |key: &'static str| section.section(key, &format!("[{prefix}{key}]"));
        Self {
            image: sub("image").map(|section| ImageLayer::read(section, paths)).unwrap_or_default(),
            network: sub("network").map(|section| NetworkLayer::read(section, prefix)).unwrap_or_default(),
            user: sub("user").map(|section| UserLayer::read(section, paths)).unwrap_or_default(),
            system: sub("system").map(SystemLayer::read).unwrap_or_default(),
            docker: sub("docker").map(|section| DockerLayer::read(section, paths)).unwrap_or_default(),
        }
    }

    /// Key by key: what is written here, and what is below for the rest.
    pub(super) fn over(self, below: &Self) -> Self {
        Self {
            image: self.image.over(&below.image),
            network: self.network.over(&below.network),
            user: self.user.over(&below.user),
            system: self.system.over(&below.system),
            docker: self.docker.over(&below.docker),
        }
    }
}
