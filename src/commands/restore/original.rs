//! What is restored: an image as it was published or baked, or a backup.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cow::CowImage;
use crate::disk::block::BlockRead;
use crate::disk::range::ByteRange;
use crate::error::{Advise, ExitCode};
use crate::sink::error::Unsound;
use crate::source::{self, BaseImage, OpenImage, Unchanged};

use super::super::context::Context;

const NAME_AN_IMAGE: &str = "name an image, packed or not, as it was published, baked or captured";

/// A file that can be read as the image it holds.
pub(super) struct Original {
    path: PathBuf,
    pub(super) blocks: Arc<dyn BlockRead>,
    standing: Standing,
}

/// How the image is read.
enum Standing {
    /// Where it lies, or from the cache, where it may still be arriving.
    Base(BaseImage),
    /// Frame by frame.
    InPlace(Unchanged),
}

impl Original {
    /// Opens a file: a seekable one where it lies, any other as a base image.
    pub(super) fn open(context: &Context, path: &Path) -> anyhow::Result<Self> {
        let in_place = source::open_in_place(path).advise(ExitCode::Failed, NAME_AN_IMAGE)?;
        let (blocks, standing): (Arc<dyn BlockRead>, _) = match in_place {
            Some(in_place) => (Arc::new(in_place.image), Standing::InPlace(in_place.file)),
            None => {
                let base = open_base(context, path)?;
                (Arc::clone(&base.blocks), Standing::Base(base))
            }
        };
        Ok(Self { path: path.to_owned(), blocks, standing })
    }

    /// The file's name without its directories.
    pub(super) fn name(&self) -> String {
        self.path.file_name().unwrap_or(self.path.as_os_str()).to_string_lossy().into_owned()
    }

    /// What of the image is in use, where that was recorded and the image is still the one that was recorded.
    pub(super) fn used_of(&self, _image: &CowImage) -> Option<Vec<ByteRange>> {
        None
    }

    /// Whether the file was what it should be, all of it, and still is.
    pub(super) fn whole(&self) -> Result<(), Unsound> {
        match &self.standing {
            Standing::Base(base) => Ok(base.whole()?),
            Standing::InPlace(file) => Ok(file.check()?),
        }
    }
}

fn open_base(context: &Context, path: &Path) -> anyhow::Result<BaseImage> {
    let request = OpenImage {
        path,
        expected_sha256: None,
        cache_dir: &context.cache_dir,
        progress: &context.progress,
        interrupt: &context.interrupt,
    };
    source::open_arriving(&request).advise(ExitCode::Failed, NAME_AN_IMAGE)
}
