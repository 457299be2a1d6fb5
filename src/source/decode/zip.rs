//! zip (PKWARE's APPNOTE): the one disk image in it, found by looking into every file.

use std::io::{self, Read, Seek, SeekFrom};

use ::zip::result::ZipError;
use ::zip::{CompressionMethod, ZipArchive};

use super::Packed;
use super::input::Input;
use super::output::Output;
use crate::source::error::SourceError;
use crate::source::format::{Content, Format, HEAD, recognise};

/// Files a zip may hold: more are no published image, and looking into each takes its time.
const FILES_LIMIT: usize = 256;

/// Methods that are decoded; none takes more memory than its window.
const SUPPORTED: [CompressionMethod; 4] = [
    CompressionMethod::Stored,
    CompressionMethod::Deflated,
    CompressionMethod::Deflate64,
    CompressionMethod::Zstd,
];

/// Size of the end of central directory record without its comment (APPNOTE 4.3.16).
const END_RECORD: usize = 22;

pub(super) fn decode(packed: Packed<'_>, mut input: Input<'_>, out: &mut Output) -> Result<(), SourceError> {
    check_end(packed, &mut input)?;
    let offset = input.shared_offset();
    let mut archive = ZipArchive::new(input).map_err(|error| fault(packed, offset.get(), error))?;
    let index = find_image(packed, &mut archive)?;

    let mut file = archive.by_index(index).map_err(|error| fault(packed, offset.get(), error))?;
    let mut total = 0;
    loop {
        let made = file.read(out.space()).map_err(|error| packed.reader_failed(offset.get(), error))?;
        out.advance(made, offset.get())?;
        total += made as u64;
        if made == 0 {
            break;
        }
    }
    if total != file.size() {
        let detail = format!("{total} bytes where its directory says {}", file.size());
        return Err(packed.corrupt(offset.get(), detail));
    }
    Ok(())
}

/// The directory is at the end: without its last record the file is cut short, and nothing may follow it.
fn check_end(packed: Packed<'_>, input: &mut Input<'_>) -> Result<(), SourceError> {
    let (start, tail) = read_tail(input).map_err(|error| packed.read_failed(error))?;
    let mut garbage_from = None;
    for at in (0..=tail.len().saturating_sub(END_RECORD)).rev() {
        let Some(record) = tail.get(at..at + END_RECORD).filter(|record| record.starts_with(b"PK\x05\x06"))
        else {
            continue;
        };
        let comment = u16::from_le_bytes([record[20], record[21]]);
        let end = at + END_RECORD + usize::from(comment);
        if end == tail.len() {
            return Ok(());
        }
        if end < tail.len() {
            garbage_from.get_or_insert(start + end as u64);
        }
    }
    Err(match garbage_from {
        Some(offset) => packed.trailing(offset),
        None => packed.truncated(start + tail.len() as u64, "the directory at its end is missing"),
    })
}

/// The last bytes of the file, as many as an end record with the longest comment has, and their offset.
fn read_tail(input: &mut Input<'_>) -> io::Result<(u64, Vec<u8>)> {
    let size = input.seek(SeekFrom::End(0))?;
    let start = size.saturating_sub((END_RECORD + usize::from(u16::MAX)) as u64);
    input.seek(SeekFrom::Start(start))?;
    let mut tail = Vec::new();
    input.by_ref().take(size - start).read_to_end(&mut tail)?;
    Ok((start, tail))
}

/// The index of the only disk image.
fn find_image(packed: Packed<'_>, archive: &mut ZipArchive<Input<'_>>) -> Result<usize, SourceError> {
    let not_one = |found: String| SourceError::NotOneImage { path: packed.path.into(), found };
    if archive.len() > FILES_LIMIT {
        return Err(not_one(format!("{} files", archive.len())));
    }
    let mut images = Vec::new();
    let mut nested = None;
    let mut others = Vec::new();
    for index in 0..archive.len() {
        let Some((name, content)) = look_into(packed, archive, index)? else { continue };
        match content {
            Content::Image(Format::Raw) => images.push((index, name)),
            Content::Image(Format::Packed(inner)) => nested = Some(inner),
            Content::Other(what) => others.push(format!("{name:?}, {what}")),
        }
    }
    match (images.as_slice(), nested) {
        ([(index, _)], _) => Ok(*index),
        ([], Some(inner)) => Err(SourceError::Nested { path: packed.path.into(), inner }),
        ([], None) if others.is_empty() => Err(not_one("no file".into())),
        ([], None) => {
            others.truncate(3);
            Err(not_one(format!("no disk image (but {})", others.join("; "))))
        }
        (many, _) => {
            let names: Vec<String> = many.iter().take(3).map(|(_, name)| format!("{name:?}")).collect();
            Err(not_one(format!("{} disk images ({})", many.len(), names.join(", "))))
        }
    }
}

/// A file's name and what its first bytes say; `None` for a directory.
fn look_into(
    packed: Packed<'_>,
    archive: &mut ZipArchive<Input<'_>>,
    index: usize,
) -> Result<Option<(String, Content)>, SourceError> {
    let start = archive.central_directory_start();
    let entry = archive.by_index_data(index).map_err(|error| fault(packed, start, error))?;
    if !SUPPORTED.contains(&entry.compression()) {
        let method = entry.compression();
        return Err(packed.unsupported(format!("it uses the method {method}: pack it again with deflate")));
    }
    let file = archive.by_index(index).map_err(|error| fault(packed, start, error))?;
    if file.is_dir() {
        return Ok(None);
    }
    let name = String::from_utf8_lossy(file.name_raw()).into_owned();
    let at = file.header_start();
    let mut head = Vec::new();
    file.take(HEAD as u64).read_to_end(&mut head).map_err(|error| packed.reader_failed(at, error))?;
    Ok(Some((name, recognise(&head))))
}

fn fault(packed: Packed<'_>, offset: u64, error: ZipError) -> SourceError {
    match error {
        ZipError::Io(error) => packed.reader_failed(offset, error),
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => packed.unsupported("it is encrypted"),
        ZipError::UnsupportedArchive(what) => packed.unsupported(what),
        other => packed.corrupt(offset, other),
    }
}
