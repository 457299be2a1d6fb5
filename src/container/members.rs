//! The members of a tar, one after the other, without trust: POSIX.1-2017 pax, ustar, and GNU's long names.
//!
//! The `tar` crate reads the fields of a header. What comes between headers is read here, because a long
//! name has to have a limit before it is read into memory.

use std::io::{self, Read};

use tar::{EntryType, Header};

use super::error::{Problem, corrupt};
use super::packing::fill;

/// Bytes that a long name or a set of pax records may have.
const EXTENSION_MAX: u64 = 64 << 10;

/// A tar is made of blocks of this many bytes.
pub(super) const BLOCK: usize = 512;

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    File,
    Directory,
    /// Another member, symbolic or hard link, by its path from the top.
    Link(String),
    Other,
}

/// One member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// From the top, without `./` and `/` before it; empty for the top itself and for what would lie above.
    pub(super) path: String,
    pub(super) kind: Kind,
    pub(super) size: u64,
}

/// Tells what an error of the reader below really was.
pub(super) type Report<'a> = &'a dyn Fn(&io::Error, &str) -> Problem;

/// A walk through a tar. Reading from it gives the content of the current member.
pub(super) struct Members<'a> {
    reader: &'a mut dyn Read,
    report: Report<'a>,
    /// Bytes of the current member that were not read yet, and of the padding after it.
    left: u64,
    padding: u64,
}

/// What stands before a member and belongs to it.
#[derive(Default)]
struct Extension {
    path: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl<'a> Members<'a> {
    pub(super) fn new(reader: &'a mut dyn Read, report: Report<'a>) -> Self {
        Self { reader, report, left: 0, padding: 0 }
    }

    /// The next member; `None` at the archive's end, which has to be marked.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Problem> {
        let mut extension = Extension::default();
        loop {
            self.skip()?;
            let Some(header) = self.header()? else { return Ok(None) };
            let size = header.entry_size().map_err(|_| corrupt("a member has no size"))?;
            match header.entry_type() {
                EntryType::GNULongName => extension.path = Some(text(&self.extension(size)?)),
                EntryType::GNULongLink => extension.link = Some(text(&self.extension(size)?)),
                EntryType::XHeader => extension.records(&self.extension(size)?)?,
                EntryType::XGlobalHeader => drop(self.extension(size)?),
                kind => return self.member(&header, kind, size, extension).map(Some),
            }
        }
    }

    /// A problem of the reader below, told by whoever knows.
    pub(super) fn problem(&self, error: &io::Error, what: &str) -> Problem {
        (self.report)(error, what)
    }

    fn member(
        &mut self,
        header: &Header,
        kind: EntryType,
        size: u64,
        extension: Extension,
    ) -> Result<Member, Problem> {
        let name = extension.path.unwrap_or_else(|| text(&header.path_bytes()));
        let path = normal(&name).unwrap_or_default();
        let target = || extension.link.unwrap_or_else(|| text(&header.link_name_bytes().unwrap_or_default()));
        let kind = match kind {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Directory,
            EntryType::Link => normal(&target()).map_or(Kind::Other, Kind::Link),
            EntryType::Symlink => beside(&path, &target()).map_or(Kind::Other, Kind::Link),
            EntryType::GNUSparse => return Err(Problem::Unsupported(format!("the sparse member {path:?}"))),
            _ => Kind::Other,
        };
        // Old tars mark a directory by the slash at the end of its name alone.
        let kind = if kind == Kind::File && name.ends_with('/') { Kind::Directory } else { kind };
        // Links and the like may say a size and have no content all the same.
        let size = if kind == Kind::File { extension.size.unwrap_or(size) } else { content(header, size) };
        self.begin(size)?;
        Ok(Member { path, kind, size })
    }

    fn begin(&mut self, size: u64) -> Result<(), Problem> {
        let padded = size.checked_next_multiple_of(BLOCK as u64);
        self.padding = padded.ok_or_else(|| corrupt("a member is larger than any file"))? - size;
        self.left = size;
        Ok(())
    }

    /// The next header; `None` at the mark of the end.
    fn header(&mut self) -> Result<Option<Header>, Problem> {
        let mut header = Header::new_old();
        let len = fill(&mut self.reader, header.as_mut_bytes())
            .map_err(|error| self.problem(&error, "a header"))?;
        if len < BLOCK {
            return Err(Problem::Truncated);
        }
        if header.as_bytes().iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        if !sound(&header) {
            return Err(corrupt("the header of a member has a wrong checksum"));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, size: u64) -> Result<Vec<u8>, Problem> {
        if size > EXTENSION_MAX {
            return Err(corrupt(format!("a member's name has {size} bytes")));
        }
        self.begin(size)?;
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes).map_err(|error| self.problem(&error, "a member's name"))?;
        Ok(bytes)
    }

    /// Goes to the end of the current member and its padding.
    fn skip(&mut self) -> Result<(), Problem> {
        let rest = self.left.saturating_add(self.padding);
        let skipped = io::copy(&mut (&mut *self.reader).take(rest), &mut io::sink())
            .map_err(|error| self.problem(&error, "a member"))?;
        (self.left, self.padding) = (0, 0);
        if skipped == rest { Ok(()) } else { Err(Problem::Truncated) }
    }
}

impl Read for Members<'_> {
    /// The content of the current member; an end before its end is an error.
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.left).unwrap_or(usize::MAX).min(buf.len());
        if wanted == 0 {
            return Ok(0);
        }
        match self.reader.read(&mut buf[..wanted])? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            len => {
                self.left -= len as u64;
                Ok(len)
            }
        }
    }
}

impl Extension {
    /// Takes what matters of pax records, `LENGTH KEY=VALUE\n`.
    fn records(&mut self, mut bytes: &[u8]) -> Result<(), Problem> {
        let wrong = || corrupt("a member's pax records make no sense");
        while !bytes.is_empty() {
            let space = bytes.iter().position(|byte| *byte == b' ').ok_or_else(wrong)?;
            let length: usize = text(&bytes[..space]).parse().map_err(|_| wrong())?;
            let record = bytes.get(space + 1..length).ok_or_else(wrong)?;
            let record = text(record.strip_suffix(b"\n").ok_or_else(wrong)?);
            let (key, value) = record.split_once('=').ok_or_else(wrong)?;
            match key {
                "path" => self.path = Some(value.to_owned()),
                "linkpath" => self.link = Some(value.to_owned()),
                "size" => self.size = Some(value.parse().map_err(|_| wrong())?),
                _ if key.starts_with("GNU.sparse.") => {
                    return Err(Problem::Unsupported("a sparse member".to_owned()));
                }
                _ => {}
            }
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

/// Whether a block is the header of a member.
pub(super) fn sound(header: &Header) -> bool {
    let bytes = header.as_bytes();
    // The sum is over the header with its own field as blanks.
    let sum = |from: usize, to: usize| bytes[from..to].iter().map(|byte| u32::from(*byte)).sum::<u32>();
    header.cksum().is_ok_and(|said| said == sum(0, 148) + 8 * 32 + sum(156, BLOCK))
}

/// Only these kinds have no content whatever their size says (POSIX.1-2017, pax, "ustar").
fn content(header: &Header, size: u64) -> u64 {
    match header.entry_type() {
        EntryType::Link
        | EntryType::Symlink
        | EntryType::Directory
        | EntryType::Char
        | EntryType::Block
        | EntryType::Fifo => 0,
        _ => size,
    }
}

/// A name up to its first zero; what is no UTF-8 is replaced: no name that matters has any.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

/// A path from the top; `None` when it leads above.
fn normal(path: &str) -> Option<String> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Where a symbolic link at `path` leads.
fn beside(path: &str, target: &str) -> Option<String> {
    match (target.starts_with('/'), path.rsplit_once('/')) {
        (false, Some((dir, _))) => normal(&format!("{dir}/{target}")),
        _ => normal(target),
    }
}

#[cfg(test)]
mod tests {
    use super::{beside, normal};

    #[test]
    fn paths_stay_below_the_top() {
        assert_eq!(normal("./a//b/../c/").as_deref(), Some("a/c"));
        assert_eq!(normal("/a").as_deref(), Some("a"));
        assert_eq!(normal("./").as_deref(), Some(""));
        assert_eq!(normal("a/../../b"), None);
        assert_eq!(beside("x/layer.tar", "../y/layer.tar").as_deref(), Some("y/layer.tar"));
        assert_eq!(beside("x", "y").as_deref(), Some("y"));
        assert_eq!(beside("x/layer.tar", "../../y"), None);
    }
}
