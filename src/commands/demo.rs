//! `pibake demo`: the main job on a small built-in image, into files of its own.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::Path;

use anyhow::Context as _;

use crate::cli::args::{NodeArgs, SwarmArgs};
use crate::cli::print;
use crate::config::profile;
use crate::error::{Advise, ExitCode, advised};

use super::card::Wanted;
use super::context::Context;
use super::{flash, inspect, plan};

/// A small image shaped like Raspberry Pi OS; `tests/fixtures/demo.gen.sh` makes it.
const IMAGE: &[u8] = include_bytes!("../../tests/fixtures/demo.img.zst");
const IMAGE_NAME: &str = "raspios-like.img.zst";
const CLUSTER_FILE: &str = "pibake.toml";
const CARD_NAME: &str = "card.img";
/// The size of the simulated card, in bytes: larger than the image, as a real one is.
const CARD_SIZE: u64 = 256 << 20;
const NODE: &str = "pi1";
/// Everything the demo puts into its directory.
const OURS: [&str; 5] = [IMAGE_NAME, CLUSTER_FILE, CARD_NAME, ".pibake", "cache"];

pub(super) fn run(mut context: Context, dir: &Path) -> anyhow::Result<()> {
    set_the_table(dir)?;
    context.common.cluster = Some(dir.join(CLUSTER_FILE));
    context.common.yes = true;
    context.cache_dir = context.cwd.join(dir).join("cache");

    step(&context, "what would be written, and why", &format!("plan --node {NODE}"))?;
    let nodes = NodeArgs { nodes: vec![NODE.to_owned()], all: false };
    plan::run(&context, &nodes, &SwarmArgs::default())?;

    let card = dir.join(CARD_NAME);
    step(&context, "bake, write, read back", &format!("flash --node {NODE} {}", card.display()))?;
    flash::run(
        &context,
        NODE,
        &Wanted { device: card.clone(), unmount: false, allow_fixed: None },
        false,
        &SwarmArgs::default(),
    )?;

    step(&context, "what the card holds now", &format!("inspect {}", card.display()))?;
    inspect::run(&context, &card)?;
    context.note(format!("\neverything is in {}; remove it when you have seen enough", dir.display()));
    Ok(())
}

/// Puts the image, the cluster file and an empty card into a directory that holds nothing else.
fn set_the_table(dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("making {}", dir.display()))?;
    for entry in fs::read_dir(dir).with_context(|| format!("looking into {}", dir.display()))? {
        let name = entry?.file_name();
        if !OURS.iter().any(|ours| OsStr::new(ours) == name) {
            return Err(advised(
                ExitCode::Usage,
                format!("{} holds something that is not the demo's: {}", dir.display(), name.display()),
                "name another directory with --dir; nothing was written",
            ));
        }
    }
    let cluster = profile::template("demo", None).context("the demo profile is not built in")?;
    let cluster = cluster.replace("source = \"\"", &format!("source = \"{IMAGE_NAME}\""));
    put(&dir.join(IMAGE_NAME), IMAGE)?;
    put(&dir.join(CLUSTER_FILE), cluster.as_bytes())?;
    let card = dir.join(CARD_NAME);
    File::create(&card)
        .and_then(|file| file.set_len(CARD_SIZE))
        .with_context(|| format!("making {}", card.display()))
        .advise(ExitCode::Failed, "make room, or name another directory with --dir")
}

fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::write(path, bytes).with_context(|| format!("writing {}", path.display()))
}

/// Says which command does what comes next.
fn step(context: &Context, what: &str, command: &str) -> anyhow::Result<()> {
    if !context.common.json && !context.common.quiet {
        let bold = anstyle::Style::new().bold();
        print(format_args!("\n{bold}{what}{bold:#}\n$ pibake {command}\n"))?;
    }
    Ok(())
}
