//! `pibake init`: a commented cluster file to start from, and the cluster's identity.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::Context as _;

use crate::cli::print;
use crate::cli::table::Table;
use crate::config::profile::{self, Extra};
use crate::error::{Advise, ExitCode, advised};
use crate::state::State;

use super::context::Context;

pub(super) fn run(context: &Context, name: Option<&str>, dir: &Path) -> anyhow::Result<()> {
    let Some(name) = name else {
        return list(context);
    };
    let key = profile::find_public_key(&context.invoker.home);
    let text = profile::template(name, key.as_deref()).ok_or_else(|| {
        advised(ExitCode::Usage, format!("no such profile: {name}"), "`pibake init` lists them")
    })?;
    let extras = profile::extras(name);
    // Before anything is written: half a start is none
    for extra in &extras {
        if dir.join(extra.path).exists() {
            return Err(there_already(&dir.join(extra.path)));
        }
    }
    let file = dir.join("pibake.toml");
    write_new(&file, text.as_bytes())?;
    for extra in &extras {
        write_extra(dir, extra)?;
    }
    let state = dir.join(".pibake").join(cluster_name(&text)?);
    State::create(&state, context.progress.as_ref(), &context.interrupt)?;
    let beside: String = extras.iter().map(|extra| format!(", {}", dir.join(extra.path).display())).collect();
    context.note(format!(
        "wrote {}{beside}, and a new cluster identity in {}\n\
         next: name the image in it, then `pibake plan --all` shows what would be written",
        file.display(),
        state.display()
    ));
    Ok(())
}

/// What most people come for.
const SUGGESTED: &str = "swarm";

fn list(context: &Context) -> anyhow::Result<()> {
    let (first, rest): (Vec<_>, Vec<_>) =
        profile::list().into_iter().partition(|profile| profile.name == SUGGESTED);
    let mut table = Table::new(["PROFILE", "WHAT IT IS"]);
    for profile in first.into_iter().chain(rest) {
        table.row([profile.name, profile.description]);
    }
    print(table)?;
    context.note(format!("start from one with `pibake init {SUGGESTED}`, or another's name"));
    Ok(())
}

/// Writes a file that is not there yet.
fn write_new(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    if file.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
        return Err(there_already(path));
    }
    file.and_then(|mut file| file.write_all(content))
        .with_context(|| format!("writing {}", path.display()))
        .advise(ExitCode::Failed, "name an existing directory that may be written to with --dir")
}

fn there_already(path: &Path) -> anyhow::Error {
    advised(
        ExitCode::Usage,
        format!("{} is there already", path.display()),
        "name another directory with --dir; nothing was written",
    )
}

/// Writes a file that the profile brings, and the directories that it lies in.
fn write_extra(dir: &Path, extra: &Extra) -> anyhow::Result<()> {
    let path = dir.join(extra.path);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("making {}", parent.display()))
            .advise(ExitCode::Failed, "name an existing directory that may be written to with --dir")?;
    }
    write_new(&path, extra.content)
}

fn cluster_name(text: &str) -> anyhow::Result<String> {
    let table: toml::Table = text.parse().context("reading the profile")?;
    let name = table.get("name").and_then(toml::Value::as_str);
    Ok(name.context("the profile has no name")?.to_owned())
}
