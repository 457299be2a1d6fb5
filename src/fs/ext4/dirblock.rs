//! One block of names (Documentation/filesystems/ext4/directory.rst): entries that fill it without gaps, and
//! a 12-byte tail with the checksum where metadata is checksummed.

use super::super::error::FsError;
use super::bytes::{put_u16, put_u32, u16_at, u32_at};

/// Bytes of the tail.
pub(super) const TAIL: usize = 12;
/// Bytes of an entry in front of its name.
const HEAD: usize = 8;
/// What a tail has where an entry has its kind.
const TAIL_MARK: u8 = 0xde;

/// An entry as it stands in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'b> {
    /// Where it begins.
    pub(super) offset: usize,
    /// Bytes to the next one.
    pub(super) length: usize,
    /// What it names; 0 when it names nothing.
    pub(super) inode: u32,
    /// The code of what that is.
    pub(super) kind: u8,
    /// The name.
    pub(super) name: &'b [u8],
}

impl Entry<'_> {
    /// Bytes it needs; the rest up to its length is free.
    fn needs(&self) -> usize {
        if self.inode == 0 { 0 } else { bytes_for(self.name.len()) }
    }

    /// Whether it is `.` or `..`.
    pub(super) fn is_dots(&self) -> bool {
        self.name == b"." || self.name == b".."
    }
}

/// A name apart from its block: the name, its inode, and the code of what that is.
pub(super) type Named = (Vec<u8>, u32, u8);

/// Bytes an entry with a name of `name` bytes takes.
pub(super) fn bytes_for(name: usize) -> usize {
    (HEAD + name).next_multiple_of(4)
}

/// The entries of `block[..end]`, unused ones included; ends with an error when they do not fill it.
pub(super) fn entries(block: &[u8], end: usize) -> impl Iterator<Item = Result<Entry<'_>, FsError>> {
    let mut offset = 0;
    std::iter::from_fn(move || {
        if offset >= end {
            return None;
        }
        let entry = entry_at(block, offset, end);
        offset = entry.as_ref().map_or(end, |entry| offset + entry.length);
        Some(entry)
    })
}

fn entry_at(block: &[u8], offset: usize, end: usize) -> Result<Entry<'_>, FsError> {
    let wrong = || FsError::corrupt(format!("a directory entry at byte {offset} of its block; run e2fsck"));
    if end - offset < HEAD {
        return Err(wrong());
    }
    let (length, name) = (usize::from(u16_at(block, offset + 4)), usize::from(block[offset + 6]));
    let inode = u32_at(block, offset);
    let least = if inode == 0 { HEAD } else { bytes_for(name) };
    if length < least || !length.is_multiple_of(4) || length > end - offset {
        return Err(wrong());
    }
    // An unused entry may keep any name length, and has no name.
    let name = if inode == 0 { &[][..] } else { &block[offset + HEAD..offset + HEAD + name] };
    Ok(Entry { offset, length, inode, kind: block[offset + 7], name })
}

/// Makes `block[..end]` one unused entry.
pub(super) fn clear(block: &mut [u8], end: usize) {
    block[..end].fill(0);
    put_length(block, 0, end);
}

/// Finds a name.
pub(super) fn find<'b>(block: &'b [u8], end: usize, name: &[u8]) -> Result<Option<Entry<'b>>, FsError> {
    for entry in entries(block, end) {
        let entry = entry?;
        if entry.inode != 0 && entry.name == name {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

/// Puts a name where there is room for it; `false` when there is none.
pub(super) fn insert(
    block: &mut [u8],
    end: usize,
    name: &[u8],
    inode: u32,
    kind: u8,
) -> Result<bool, FsError> {
    let needed = bytes_for(name.len());
    let mut place = None;
    for entry in entries(block, end) {
        let entry = entry?;
        if entry.length - entry.needs() >= needed {
            place = Some((entry.offset, entry.needs(), entry.length));
            break;
        }
    }
    let Some((offset, used, length)) = place else { return Ok(false) };
    if used > 0 {
        put_length(block, offset, used);
    }
    write(block, offset + used, length - used, name, inode, kind);
    Ok(true)
}

/// Writes an entry of `length` bytes, wiping what was there.
pub(super) fn write(block: &mut [u8], offset: usize, length: usize, name: &[u8], inode: u32, kind: u8) {
    block[offset..offset + length].fill(0);
    put_u32(block, offset, inode);
    put_length(block, offset, length);
    // Names have at most 255 bytes.
    block[offset + 6] = (name.len() & 0xff) as u8;
    block[offset + 7] = kind;
    block[offset + HEAD..offset + HEAD + name.len()].copy_from_slice(name);
}

/// Makes the entry at `offset` name another inode.
pub(super) fn redirect(block: &mut [u8], offset: usize, inode: u32, kind: u8) {
    put_u32(block, offset, inode);
    block[offset + 7] = kind;
}

/// Takes the entry at `offset` out and wipes it; its bytes go to the entry in front, or stay as an unused one.
pub(super) fn remove(block: &mut [u8], end: usize, offset: usize) -> Result<(), FsError> {
    let mut before = None;
    let mut length = 0;
    for entry in entries(block, end) {
        let entry = entry?;
        if entry.offset == offset {
            length = entry.length;
            break;
        }
        before = Some((entry.offset, entry.length));
    }
    block[offset..offset + length].fill(0);
    match before {
        Some((at, own)) => put_length(block, at, own + length),
        None => put_length(block, offset, length),
    }
    Ok(())
}

/// Lays out entries from the start of `block[..end]`, the last one taking what is left.
pub(super) fn lay_out(block: &mut [u8], end: usize, entries: &[Named]) {
    clear(block, end);
    let mut offset = 0;
    for (at, (name, inode, kind)) in entries.iter().enumerate() {
        let last = at + 1 == entries.len();
        let length = if last { end - offset } else { bytes_for(name.len()) };
        write(block, offset, length, name, *inode, *kind);
        offset += length;
    }
}

/// Puts an empty tail behind the entries.
pub(super) fn put_tail(block: &mut [u8]) {
    let at = block.len() - TAIL;
    block[at..].fill(0);
    put_u16(block, at + 4, 12);
    block[at + 7] = TAIL_MARK;
}

/// Whether the block ends in a tail.
pub(super) fn has_tail(block: &[u8]) -> bool {
    let at = block.len() - TAIL;
    u32_at(block, at) == 0 && u16_at(block, at + 4) == 12 && block[at + 6] == 0 && block[at + 7] == TAIL_MARK
}

fn put_length(block: &mut [u8], offset: usize, length: usize) {
    // Blocks have at most 16 KiB.
    put_u16(block, offset + 4, (length & 0xffff) as u16);
}

#[cfg(test)]
mod tests {
    use super::{clear, entries, find, has_tail, insert, lay_out, put_tail, redirect, remove};

    fn names(block: &[u8]) -> Vec<String> {
        let used = entries(block, 1012).map(|entry| entry.unwrap()).filter(|entry| entry.inode != 0);
        used.map(|entry| String::from_utf8(entry.name.to_vec()).unwrap()).collect()
    }

    #[test]
    fn names_come_and_go() {
        let mut block = vec![0xff; 1024];
        clear(&mut block, 1012);
        put_tail(&mut block);
        assert!(has_tail(&block));
        for (name, inode) in [("a", 12), ("bcd", 13), ("long-name.conf", 14)] {
            assert!(insert(&mut block, 1012, name.as_bytes(), inode, 1).unwrap());
        }
        let offset = find(&block, 1012, b"bcd").unwrap().unwrap().offset;
        redirect(&mut block, offset, 99, 7);
        assert_eq!(find(&block, 1012, b"bcd").unwrap().map(|entry| (entry.inode, entry.kind)), Some((99, 7)));
        remove(&mut block, 1012, offset).unwrap();
        assert_eq!(names(&block), ["a", "long-name.conf"]);
        assert!(!block.windows(3).any(|bytes| bytes == b"bcd"), "the name is wiped");
        remove(&mut block, 1012, 0).unwrap();
        assert!(insert(&mut block, 1012, b"new", 15, 1).unwrap());
        assert_eq!(names(&block), ["new", "long-name.conf"]);
        assert!(has_tail(&block));
    }

    #[test]
    fn a_full_block_says_so() {
        let mut block = vec![0; 1024];
        clear(&mut block, 1024);
        let mut count = 0;
        while insert(&mut block, 1024, format!("name{count:04}").as_bytes(), 12, 1).unwrap() {
            count += 1;
        }
        assert_eq!(count, 64);
        let all: Vec<_> = entries(&block, 1024)
            .map(|entry| entry.map(|entry| (entry.name.to_vec(), entry.inode, entry.kind)).unwrap())
            .collect();
        lay_out(&mut block, 1024, &all[..10]);
        assert_eq!(entries(&block, 1024).count(), 10);
    }

    #[test]
    fn entries_that_do_not_fit_are_corrupt() {
        let mut block = vec![0; 1024];
        clear(&mut block, 1024);
        insert(&mut block, 1024, b"name", 12, 1).unwrap();
        for (at, value) in [(4, 0), (4, 7), (5, 0xff), (6, 0xff)] {
            let mut broken = block.clone();
            insert(&mut broken, 1024, b"other", 13, 1).unwrap();
            broken[at] = value;
            let error = entries(&broken, 1024).find_map(Result::err);
            assert!(error.is_some() || at == 5, "byte {at} = {value}");
        }
        assert!(entries(&[0; 1024], 1024).next().unwrap().is_err());
    }
}
