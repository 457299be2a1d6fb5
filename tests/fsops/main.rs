//! The ext4 editor's test driver: a script of operations against the filesystem in an image.
//!
//! ```text
//! fsops IMAGE [--offset BYTES] [--size BYTES] SCRIPT
//! ```
//!
//! One operation a line, its words separated by tabs, paths absolute in the image, modes octal:
//!
//! ```text
//! mkdir PATH MODE UID GID         symlink TARGET PATH     chmod PATH MODE       immut PATH
//! put HOSTFILE PATH MODE UID GID  rm PATH                 chown PATH UID GID    xattr PATH NAME HOSTFILE
//! fill DIR COUNT PREFIX           grow BYTES              cat PATH              used
//! ```
//!
//! Exit status 0: done. 3: the filesystem is one that must not be edited. 1: something failed. The image
//! changes only with 0. `SOURCE_DATE_EPOCH` sets the times.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use pibake::cow::CowImage;
use pibake::disk::block::{BlockRead, BlockWrite, FileBlocks};
use pibake::disk::range::ByteRange;
use pibake::disk::window::Window;
use pibake::fs::FsReader;
use pibake::fs::error::FsError;
use pibake::fs::ext4::{Ext4Editor, Keep, Stamp};
use pibake::fs::metadata::Meta;
use pibake::fs::path::FsPath;

fn main() -> ExitCode {
    let result = Arguments::parse(std::env::args().skip(1)).and_then(|arguments| run(&arguments));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fsops: {error:#}");
            let refused = matches!(
                error.downcast_ref::<FsError>(),
                Some(FsError::Unsupported { .. } | FsError::NotClean { .. })
            );
            ExitCode::from(if refused { 3 } else { 1 })
        }
    }
}

/// The command line.
struct Arguments {
    image: String,
    script: String,
    offset: u64,
    size: Option<u64>,
}

impl Arguments {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self> {
        let (mut names, mut offset, mut size) = (Vec::new(), 0, None);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--offset" => offset = number(&words.next().context("--offset needs a value")?)?,
                "--size" => size = Some(number(&words.next().context("--size needs a value")?)?),
                _ => names.push(word),
            }
        }
        match <[String; 2]>::try_from(names) {
            Ok([image, script]) => Ok(Self { image, script, offset, size }),
            Err(_) => bail!("usage: fsops IMAGE [--offset BYTES] [--size BYTES] SCRIPT"),
        }
    }
}

/// Runs the script over a copy-on-write view, and copies what changed into the image once all of it worked.
fn run(arguments: &Arguments) -> Result<()> {
    let script = std::fs::read_to_string(&arguments.script)
        .with_context(|| format!("reading {}", arguments.script))?;
    let base = FileBlocks::new(
        File::open(&arguments.image).with_context(|| format!("opening {}", arguments.image))?,
    )?;
    let rest =
        base.size().checked_sub(arguments.offset).context("--offset lies past the end of the image")?;
    let size = arguments.size.unwrap_or(rest);
    let mut image = CowImage::new(Arc::new(base));
    let operations = script.lines().enumerate().filter(|(_, line)| !line.is_empty());
    let operations: Vec<(usize, Vec<&str>)> =
        operations.map(|(index, line)| (index + 1, line.split('\t').collect())).collect();
    let size = operations.iter().filter_map(|(_, words)| grown_size(words)).fold(size, u64::max);
    let range = ByteRange::with_len(arguments.offset, size)
        .context("the filesystem passes the end of all numbers")?;
    image.grow(range.end().max(image.size()))?;

    let mut editor = Ext4Editor::open(Window::new(&mut image, range)?, stamp()?)?;
    for (line, words) in &operations {
        operate(&mut editor, words).with_context(|| format!("line {line}, {}", words[0]))?;
    }
    editor.finish()?;
    commit(&arguments.image, &image)
}

/// The times of everything written, and where inode generations start.
fn stamp() -> Result<Stamp> {
    let time = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text.parse().with_context(|| format!("SOURCE_DATE_EPOCH={text}"))?,
        Err(_) => {
            i64::try_from(std::time::UNIX_EPOCH.elapsed().context("the clock stands before 1970")?.as_secs())?
        }
    };
    Ok(Stamp { time, generation_seed: [0; 32] })
}

/// How large a `grow` line makes the filesystem.
fn grown_size(words: &[&str]) -> Option<u64> {
    match words {
        ["grow", size] => size.parse().ok(),
        _ => None,
    }
}

fn operate<D: BlockWrite>(editor: &mut Ext4Editor<D>, words: &[&str]) -> Result<()> {
    match words {
        ["mkdir", path, mode, uid, gid] => editor.make_dir(&FsPath::new(path)?, meta(mode, uid, gid)?)?,
        ["put", host, path, mode, uid, gid] => put(editor, host, &FsPath::new(path)?, meta(mode, uid, gid)?)?,
        ["symlink", target, path] => editor.symlink(target, &FsPath::new(path)?, 0, 0)?,
        ["rm", path] => editor.remove_file(&FsPath::new(path)?)?,
        ["chmod", path, mode] => editor.set_mode(&FsPath::new(path)?, octal(mode)?)?,
        ["chown", path, uid, gid] => {
            editor.set_owner(&FsPath::new(path)?, number(uid)?.try_into()?, number(gid)?.try_into()?)?;
        }
        ["xattr", path, name, host] => {
            let value = std::fs::read(host).with_context(|| format!("reading {host}"))?;
            editor.set_xattr(&FsPath::new(path)?, name, &value)?;
        }
        ["immut", path] => editor.set_immutable(&FsPath::new(path)?, true)?,
        ["fill", folder, count, prefix] => fill(editor, &FsPath::new(folder)?, number(count)?, prefix)?,
        ["grow", size] => editor.grow(number(size)?)?,
        ["cat", path] => {
            editor.read_to(&FsPath::new(path)?, &mut std::io::stdout().lock())?;
        }
        ["used"] => list_used(editor)?,
        _ => bail!("no such operation, or not its words: {words:?}"),
    }
    Ok(())
}

/// A file of this machine into the image; what was there goes, but a regular file's attributes stay.
fn put<D: BlockWrite>(editor: &mut Ext4Editor<D>, host: &str, path: &FsPath, meta: Meta) -> Result<()> {
    let mut file = File::open(host).with_context(|| format!("opening {host}"))?;
    let size = file.metadata()?.len();
    if editor.stat_no_follow(path)?.is_some() {
        editor.replace(path, meta, &mut file, size, Keep::Xattrs)?;
    } else {
        editor.create(path, meta, &mut file, size)?;
    }
    Ok(())
}

fn fill<D: BlockWrite>(editor: &mut Ext4Editor<D>, folder: &FsPath, count: u64, prefix: &str) -> Result<()> {
    for index in 0..count {
        let name = format!("{prefix}{index:05}");
        editor.create(&folder.join(&name)?, Meta::root(0o644), &mut name.as_bytes(), name.len() as u64)?;
    }
    Ok(())
}

fn list_used<D: BlockWrite>(editor: &Ext4Editor<D>) -> Result<()> {
    let block = editor.space().block_size;
    let mut out = std::io::stdout().lock();
    for range in editor.used_ranges()? {
        writeln!(out, "{}-{}", range.start() / block, (range.end() - 1) / block)?;
    }
    Ok(())
}

/// Copies what changed into the image file.
fn commit(path: &str, image: &CowImage) -> Result<()> {
    let mut file = FileBlocks::new(OpenOptions::new().read(true).write(true).open(path)?)?;
    if image.size() > file.size() {
        file.file().set_len(image.size())?;
        file = FileBlocks::new(OpenOptions::new().read(true).write(true).open(path)?)?;
    }
    let mut buffer = vec![0; 1 << 20];
    for range in image.dirty_ranges() {
        let mut at = range.start();
        while at < range.end() {
            let part = buffer.len().min(usize::try_from(range.end() - at)?);
            image.read_at(at, &mut buffer[..part])?;
            file.write_at(at, &buffer[..part])?;
            at += part as u64;
        }
    }
    Ok(file.file().sync_all()?)
}

fn meta(mode: &str, uid: &str, gid: &str) -> Result<Meta> {
    Ok(Meta { mode: octal(mode)?, uid: number(uid)?.try_into()?, gid: number(gid)?.try_into()? })
}

fn octal(text: &str) -> Result<u16> {
    u16::from_str_radix(text, 8)
        .ok()
        .filter(|mode| *mode <= 0o7777)
        .with_context(|| format!("{text} is no mode"))
}

fn number(text: &str) -> Result<u64> {
    text.parse().with_context(|| format!("{text} is no number"))
}
