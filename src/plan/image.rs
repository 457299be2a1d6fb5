//! What the plan asks of an inventory.

use crate::fs::metadata::Meta;
use crate::fs::path::FsPath;
use crate::fs::volume::Volume;
use crate::inventory::types::Inventory;

use super::error::PlanError;

/// A path known when this program is built.
pub(super) fn path(text: &'static str) -> FsPath {
    FsPath::new(text).expect("constant paths are valid")
}

/// Questions to an inventory by plain paths.
#[derive(Clone, Copy)]
pub(super) struct Image<'a> {
    /// The inventory.
    pub(super) inventory: &'a Inventory,
}

impl<'a> Image<'a> {
    /// Whether something stands at a path of the root filesystem.
    pub(super) fn has(self, path: &FsPath) -> bool {
        self.has_on(Volume::Root, path)
    }

    /// Whether something stands at a path.
    pub(super) fn has_on(self, volume: Volume, path: &FsPath) -> bool {
        let key = (volume, path.clone());
        self.inventory.present.contains(&key) || self.inventory.files.contains_key(&key)
    }

    /// A text of the root filesystem; `None` when the image has none there.
    pub(super) fn text(self, path: &FsPath) -> Result<Option<&'a str>, PlanError> {
        self.text_on(Volume::Root, path)
    }

    /// A text; `None` when the image has none there.
    pub(super) fn text_on(self, volume: Volume, path: &FsPath) -> Result<Option<&'a str>, PlanError> {
        let Some(bytes) = self.inventory.files.get(&(volume, path.clone())) else { return Ok(None) };
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Some(text)),
            Err(error) => Err(PlanError::ImageText {
                path: path.to_string(),
                why: format!("it is not UTF-8 from byte {} on", error.valid_up_to()),
            }),
        }
    }

    /// Mode and owner of what stands at a path of the root filesystem, or `usual` when that is unknown.
    pub(super) fn meta(self, path: &FsPath, usual: Meta) -> Meta {
        self.inventory.meta.get(&(Volume::Root, path.clone())).copied().unwrap_or(usual)
    }

    /// Whether a package is installed.
    pub(super) fn has_package(self, name: &str) -> bool {
        self.inventory.has_package(name)
    }

    /// What stands in a directory of a volume, as far as the inventory looked: path by path.
    pub(super) fn entries(self, volume: Volume, dir: &FsPath) -> Vec<FsPath> {
        let mut found: Vec<FsPath> = (self.inventory.present.iter())
            .chain(self.inventory.files.keys())
            .filter(|(on, path)| *on == volume && path.parent().as_ref() == Some(dir))
            .map(|(_, path)| path.clone())
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// Every path below a directory of the root filesystem, parents before what is in them.
    pub(super) fn below(self, dir: &FsPath) -> Vec<FsPath> {
        let mut found: Vec<FsPath> = (self.inventory.present.iter())
            .chain(self.inventory.files.keys())
            .filter(|(volume, path)| *volume == Volume::Root && path != dir && path.starts_with(dir))
            .map(|(_, path)| path.clone())
            .collect();
        found.sort();
        found.dedup();
        found
    }

    /// The target of a symbolic link of the root filesystem.
    pub(super) fn link(self, path: &FsPath) -> Option<&'a str> {
        self.inventory.links.get(&(Volume::Root, path.clone())).map(String::as_str)
    }
}
