//! Baking one node: its image edited in memory, put into a file, proved.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;

use crate::apply::apply;
use crate::cli::args::Format;
use crate::cow::CowImage;
use crate::disk::block::BlockRead;
use crate::error::{Advise, ExitCode};
use crate::prove::{Proof, prove};
use crate::seekable::SeekableZst;
use crate::sink::edited::Edited;
use crate::sink::img::write_img;
use crate::sink::outfile::OutFile;
use crate::sink::zst::write_zst;

use super::context::Context;
use super::prepare::{Base, Planned};

const TRY_AGAIN: &str = "nothing was left behind; this is worth a bug report if it happens again";

/// A baked file, under its final name.
pub(super) struct Baked {
    pub(super) file: PathBuf,
    pub(super) image_size: u64,
    pub(super) proof: Proof,
}

/// The node's image with the plan carried out; the base stays as it is.
pub(super) fn edit(base: &Base, planned: &Planned) -> anyhow::Result<CowImage> {
    let mut image = CowImage::new(Arc::clone(&base.image.blocks));
    apply(&planned.plan, &base.inventory.layout, planned.generation_seed, &mut image)
        .with_context(|| format!("baking {}", planned.node.name))?;
    Ok(image)
}

/// Reads back every path of the plan from `image`.
pub(super) fn check(
    context: &Context,
    base: &Base,
    planned: &Planned,
    image: &Arc<dyn BlockRead>,
) -> anyhow::Result<Proof> {
    let layout = &base.inventory.layout;
    let proof = prove(&planned.plan, layout, image, context.progress.as_ref(), &context.interrupt);
    let doing = || format!("proving {}", planned.node.name);
    context
        .interrupt
        .check()
        .with_context(doing)
        .advise(ExitCode::Interrupted, "run it again when you like")?;
    let proof = proof.with_context(doing).advise(ExitCode::Failed, TRY_AGAIN)?;
    base.image.still_same().advise(ExitCode::Failed, "leave the image alone while it is used")?;
    Ok(proof)
}

/// Bakes a node into a file in `dir` that appears only whole and proved.
pub(super) fn bake(
    context: &Context,
    base: &Base,
    planned: &Planned,
    dir: &Path,
    format: Format,
) -> anyhow::Result<Baked> {
    let image = edit(base, planned)?;
    let edited = Edited::new(&image, &base.image.file, base.image.source_sha256);
    let (progress, interrupt) = (context.progress.as_ref(), &context.interrupt);
    let suffix = if format == Format::Img { "img" } else { "img.zst" };
    let file = dir.join(format!("{}.{suffix}", planned.node.name));
    // Every card holds its node's private host keys.
    let out = OutFile::create(&file, true)?;
    let written: Arc<dyn BlockRead> = match format {
        Format::Img => {
            write_img(&edited, &out, progress, interrupt)?;
            Arc::new(out.written()?)
        }
        Format::ImgZst => {
            write_zst(&edited, &context.cache_dir, &out, progress, interrupt)?;
            Arc::new(SeekableZst::open(out.open_again()?)?)
        }
    };
    let proof = check(context, base, planned, &written)?;
    out.publish()?;
    Ok(Baked { file, image_size: image.size(), proof })
}
