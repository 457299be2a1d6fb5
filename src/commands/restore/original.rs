//! What is restored: a backup, or an image as it was published or baked.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::backup::bmap::Bmap;
use crate::backup::manifest::Manifest;
use crate::backup::names::Names;
use crate::backup::open::{Backup, check_lone_bmap, has_manifest, open};
use crate::cli::table::printable;
use crate::cow::CowImage;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::error::{Advise, ExitCode, advised};
use crate::fit::Fit;
use crate::sink::error::Unsound;
use crate::source::{self, BaseImage, InPlace, OpenImage, Unchanged};

use super::super::context::Context;
use super::super::writing::unusable;

const NAME_AN_IMAGE: &str = "name an image, packed or not, as it was published, baked or captured";
const ANOTHER_COPY: &str =
    "nothing was written to the card; take another copy of the backup, with all three of its files";

/// A file that can be read as the image it holds.
pub(super) struct Original {
    path: PathBuf,
    pub(super) blocks: Arc<dyn BlockRead>,
    standing: Standing,
    /// What of it is in use, where a bmap that was proved says so.
    map: Option<Bmap>,
}

/// How the image is read.
enum Standing {
    /// As it is, or from the cache, where it may still be arriving.
    Base(BaseImage),
    /// Frame by frame, where it lies.
    InPlace(Unchanged),
}

impl Original {
    /// Opens a file: a backup with its manifest, a seekable archive where it lies, anything else as a base image.
    pub(super) fn open(context: &Context, path: &Path) -> anyhow::Result<Self> {
        let names = Names::of(path);
        let path = names.as_ref().map_or(path, |names| &names.archive);
        let names = names.as_ref().filter(|names| has_manifest(names).unwrap_or(true));
        let in_place = source::open_in_place(path).advise(ExitCode::Failed, NAME_AN_IMAGE)?;
        match (names, in_place) {
            (Some(names), Some(in_place)) => Self::of_backup(context, path, names, in_place),
            (Some(names), None) => Err(advised(
                ExitCode::Failed,
                format!(
                    "{} has no seek table, as a backup has: it is cut short or damaged",
                    names.archive.display()
                ),
                ANOTHER_COPY,
            )),
            (None, Some(in_place)) => Self::of_frames(path, in_place),
            (None, None) => Self::of_base(context, path),
        }
    }

    fn of_backup(context: &Context, path: &Path, names: &Names, archive: InPlace) -> anyhow::Result<Self> {
        let progress = context.progress.as_ref();
        let backup =
            open(archive, names, progress, &context.interrupt).advise(ExitCode::Failed, ANOTHER_COPY)?;
        let Backup { image, file, manifest, map } = backup;
        warn(context, &manifest, map.is_some());
        Ok(Self { path: path.to_owned(), blocks: Arc::new(image), standing: Standing::InPlace(file), map })
    }

    fn of_frames(path: &Path, archive: InPlace) -> anyhow::Result<Self> {
        archive.check_image().advise(ExitCode::Failed, NAME_AN_IMAGE)?;
        let InPlace { image, file } = archive;
        if let Some(names) = Names::of(path) {
            check_lone_bmap(&names, image.size()).advise(ExitCode::Failed, ANOTHER_COPY)?;
        }
        let standing = Standing::InPlace(file);
        Ok(Self { path: path.to_owned(), blocks: Arc::new(image), standing, map: None })
    }

    fn of_base(context: &Context, path: &Path) -> anyhow::Result<Self> {
        let request = OpenImage {
            path,
            expected_sha256: None,
            cache_dir: &context.cache_dir,
            progress: &context.progress,
            interrupt: &context.interrupt,
        };
        let base = source::open_arriving(&request).map_err(|error| unusable(error, NAME_AN_IMAGE))?;
        let blocks = Arc::clone(&base.blocks);
        Ok(Self { path: path.to_owned(), blocks, standing: Standing::Base(base), map: None })
    }

    /// The file's name without its directories.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// What of `image`, which was made of this, is in use: where that was recorded, and nothing was changed.
    pub(super) fn used_of(&self, image: &CowImage, fit: &Fit) -> Option<Vec<ByteRange>> {
        let same = matches!(fit, Fit::AsIs { .. } | Fit::Cut { .. }) && image.dirty_ranges().is_empty();
        let map = self.map.as_ref().filter(|_| same)?;
        Some(map.ranges.iter().map(|mapped| mapped.range).collect())
    }

    /// SHA-256 of the file.
    pub(super) fn sha256(&self, context: &Context) -> anyhow::Result<[u8; 32]> {
        match &self.standing {
            Standing::Base(base) => Ok(base.source_sha256),
            Standing::InPlace(file) => Ok(file.sha256(context.progress.as_ref(), &context.interrupt)?),
        }
    }

    /// Whether the file was what it should be, all of it, and still is.
    pub(super) fn whole(&self) -> Result<(), Unsound> {
        match &self.standing {
            Standing::Base(base) => Ok(base.whole()?),
            Standing::InPlace(file) => Ok(file.check()?),
        }
    }
}

/// Tells what whoever restores a backup should know of it.
fn warn(context: &Context, manifest: &Manifest, has_map: bool) {
    let mut warnings = manifest.notes.clone();
    for hole in &manifest.holes {
        let holds = hole.holds.join(", ");
        warnings.push(format!(
            "{} bytes at offset {} could not be read when it was captured and are zeros ({holds})",
            hole.len, hole.start
        ));
    }
    if !has_map {
        warnings.push("its bmap is not there: what is in use is found out anew".to_owned());
    }
    // Names of files on other people's cards.
    context.warn(&warnings.iter().map(|text| printable(text)).collect::<Vec<_>>());
}
