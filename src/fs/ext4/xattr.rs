//! Extended attributes: in the inode behind its fields, and in one block of their own
//! (Documentation/filesystems/ext4/attributes.rst; fs/ext4/xattr.c).

use super::super::error::FsError;
use super::bytes::{put_u16, put_u32, u16_at, u32_at};

/// In front of the attributes in an inode, and first in their block.
const MAGIC: u32 = 0xea02_0000;
/// Bytes of the magic in front of the attributes in an inode.
pub(super) const INODE_HEAD: usize = 4;
/// Bytes of the header of a block of attributes.
pub(super) const BLOCK_HEAD: usize = 32;
const REFERENCES: usize = 4;
const BLOCKS: usize = 8;
const HASH: usize = 12;
const CHECKSUM: usize = 16;
/// Bytes of an entry in front of its name.
const ENTRY: usize = 16;

/// Prefixes of names, by the index stored in place of them. The longer comes first where one begins another.
const PREFIXES: &[(u8, &str)] = &[
    (2, "system.posix_acl_access"),
    (3, "system.posix_acl_default"),
    (8, "system.richacl"),
    (1, "user."),
    (4, "trusted."),
    (6, "security."),
    (7, "system."),
];

/// A name as stored: the index of its prefix, and the rest. Sorted as the kernel wants it in blocks.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    index: u8,
    length: usize,
    rest: Vec<u8>,
}

impl Name {
    /// From a full name, `security.capability` for example; `Err` says what is wrong with it.
    pub(super) fn parse(full: &str) -> Result<Self, &'static str> {
        let matching = |(_, prefix): &&(u8, &str)| {
            if prefix.ends_with('.') { full.starts_with(prefix) } else { full == *prefix }
        };
        let (index, prefix) =
            PREFIXES.iter().find(matching).ok_or("attributes with this prefix cannot be stored")?;
        let rest = full.as_bytes()[prefix.len()..].to_vec();
        if prefix.ends_with('.') && rest.is_empty() {
            return Err("the attribute has no name behind its prefix");
        }
        if rest.len() > 255 {
            return Err("the attribute's name is too long");
        }
        Ok(Self { index: *index, length: rest.len(), rest })
    }

    /// The full name; an unknown index becomes a prefix nobody else uses.
    pub(super) fn full(&self) -> String {
        let prefix = PREFIXES.iter().find(|(index, _)| *index == self.index);
        let prefix =
            prefix.map_or_else(|| format!("index{}.", self.index), |(_, prefix)| (*prefix).to_owned());
        prefix + &String::from_utf8_lossy(&self.rest)
    }

    /// Whether the value is an access list, which is stored in another form than programs see.
    pub(super) fn is_acl(&self) -> bool {
        matches!(self.index, 2 | 3)
    }
}

/// An attribute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Attribute {
    /// Its name.
    pub(super) name: Name,
    /// Its value.
    pub(super) value: Vec<u8>,
}

impl Attribute {
    /// Bytes it takes, entry and value.
    fn size(&self) -> usize {
        (ENTRY + self.name.length).next_multiple_of(4) + self.value.len().next_multiple_of(4)
    }
}

/// Whether attributes fit behind a head of `head` bytes in `space` bytes; four zero bytes end the entries.
pub(super) fn fit(attributes: &[Attribute], head: usize, space: usize) -> bool {
    head + attributes.iter().map(Attribute::size).sum::<usize>() + 4 <= space
}

/// Reads the attributes in an inode; without the magic there are none.
pub(super) fn decode_inode(space: &[u8], inode: u32) -> Result<Vec<Attribute>, FsError> {
    if space.len() < INODE_HEAD || u32_at(space, 0) != MAGIC {
        return Ok(Vec::new());
    }
    let inside = &space[INODE_HEAD..];
    decode(inside, 0, || format!("inode {inode}"))
}

/// Reads the attributes in a block, and how many inodes share it.
pub(super) fn decode_block(bytes: &[u8], block: u64) -> Result<(Vec<Attribute>, u32), FsError> {
    let (references, blocks) = (u32_at(bytes, REFERENCES), u32_at(bytes, BLOCKS));
    if u32_at(bytes, 0) != MAGIC || references == 0 || blocks != 1 {
        return Err(damaged(&format!("attribute block {block}")));
    }
    Ok((decode(bytes, BLOCK_HEAD, || format!("attribute block {block}"))?, references))
}

/// Reads entries from `start` on; values are counted from the beginning of `bytes`.
fn decode(bytes: &[u8], start: usize, who: impl Fn() -> String) -> Result<Vec<Attribute>, FsError> {
    let mut attributes = Vec::new();
    let (mut at, mut values) = (start, 0_usize);
    loop {
        let Some(head) = bytes.get(at..at + 4) else { return Err(damaged(&who())) };
        if u32_at(head, 0) == 0 {
            return Ok(attributes);
        }
        let length = usize::from(head[0]);
        let next = at + (ENTRY + length).next_multiple_of(4);
        let Some(entry) = bytes.get(at..next) else { return Err(damaged(&who())) };
        if u32_at(entry, 4) != 0 {
            return Err(FsError::unsupported("ea_inode (an attribute's value in an inode of its own)"));
        }
        let size = u32_at(entry, 8) as usize;
        let offset = usize::from(u16_at(entry, 2));
        let value = if size == 0 {
            Some(&[][..])
        } else {
            offset.checked_add(size).and_then(|end| bytes.get(offset..end))
        };
        // Values that share bytes could add up to far more than the space.
        values = values.saturating_add(size);
        let Some(value) = value.filter(|_| values <= bytes.len()) else { return Err(damaged(&who())) };
        let rest = entry[ENTRY..ENTRY + length].to_vec();
        attributes.push(Attribute { name: Name { index: head[1], length, rest }, value: value.to_vec() });
        at = next;
    }
}

/// Fills the attribute space of an inode; all zero without attributes. The caller has seen that they fit.
pub(super) fn encode_inode(space: &mut [u8], attributes: &[Attribute]) {
    space.fill(0);
    if !attributes.is_empty() {
        put_u32(space, 0, MAGIC);
        encode(&mut space[INODE_HEAD..], 0, attributes, |_| 0);
    }
}

/// A block of attributes that one inode has; its checksum is still to be made.
pub(super) fn encode_block(size: usize, attributes: &[Attribute]) -> Vec<u8> {
    let mut bytes = vec![0; size];
    put_u32(&mut bytes, 0, MAGIC);
    put_references(&mut bytes, 1);
    put_u32(&mut bytes, BLOCKS, 1);
    encode(&mut bytes, BLOCK_HEAD, attributes, entry_hash);
    let hash = attributes.iter().map(entry_hash).try_fold(0_u32, |hash, entry| {
        // A block whose hash is zero is never shared; one entry without a hash is enough for that.
        (entry != 0).then(|| hash.rotate_left(16) ^ entry)
    });
    put_u32(&mut bytes, HASH, hash.unwrap_or(0));
    bytes
}

/// Sets how many inodes share a block.
pub(super) fn put_references(bytes: &mut [u8], references: u32) {
    put_u32(bytes, REFERENCES, references);
}

/// The checksum in a block of attributes.
pub(super) fn block_checksum(bytes: &[u8]) -> u32 {
    u32_at(bytes, CHECKSUM)
}

/// Sets the checksum in a block of attributes.
pub(super) fn put_block_checksum(bytes: &mut [u8], sum: u32) {
    put_u32(bytes, CHECKSUM, sum);
}

/// Writes entries from `start` on and their values from the end down.
fn encode(bytes: &mut [u8], start: usize, attributes: &[Attribute], hash: impl Fn(&Attribute) -> u32) {
    let (mut at, mut end) = (start, bytes.len());
    for attribute in attributes {
        let size = attribute.value.len();
        if size > 0 {
            end -= size.next_multiple_of(4);
            bytes[end..end + size].copy_from_slice(&attribute.value);
            // Offsets and sizes are below the block size.
            put_u16(bytes, at + 2, (end & 0xffff) as u16);
        }
        bytes[at] = (attribute.name.length & 0xff) as u8;
        bytes[at + 1] = attribute.name.index;
        put_u32(bytes, at + 8, (size & 0xffff_ffff) as u32);
        put_u32(bytes, at + 12, hash(attribute));
        bytes[at + ENTRY..at + ENTRY + attribute.name.length].copy_from_slice(&attribute.name.rest);
        at += (ENTRY + attribute.name.length).next_multiple_of(4);
    }
}

/// The hash of an entry in a block. (In an inode the kernel stores zero.)
fn entry_hash(attribute: &Attribute) -> u32 {
    let name = attribute.name.rest.iter().fold(0_u32, |hash, byte| hash.rotate_left(5) ^ u32::from(*byte));
    attribute.value.chunks(4).fold(name, |hash, word| {
        let mut padded = [0; 4];
        padded[..word.len()].copy_from_slice(word);
        hash.rotate_left(16) ^ u32::from_le_bytes(padded)
    })
}

fn damaged(who: &str) -> FsError {
    FsError::corrupt(format!("{who}: the extended attributes do not make sense; run e2fsck"))
}

#[cfg(test)]
mod tests {
    use super::{Attribute, Name, decode_block, decode_inode, encode_block, encode_inode, fit};

    fn attribute(name: &str, value: &[u8]) -> Attribute {
        Attribute { name: Name::parse(name).unwrap(), value: value.to_vec() }
    }

    #[test]
    fn names_have_known_prefixes() {
        for name in ["user.a", "security.capability", "trusted.x", "system.posix_acl_access", "system.data"] {
            assert_eq!(Name::parse(name).unwrap().full(), name);
        }
        for name in [
            "capability",
            "user.",
            "other.x",
            "",
            "system.posix_acl_accessX.",
            &format!("user.{}", "x".repeat(256)),
        ] {
            assert!(Name::parse(name).is_err() || name.starts_with("system."), "{name}");
        }
    }

    #[test]
    fn attributes_come_back() {
        let mut attributes = vec![
            attribute("security.capability", &[1; 20]),
            attribute("user.empty", b""),
            attribute("user.odd", b"12345"),
        ];
        attributes.sort();
        let mut space = [0xff; 96];
        assert!(!fit(&attributes, 4, 96));
        encode_inode(&mut space, &attributes[..2]);
        assert_eq!(decode_inode(&space, 12).unwrap(), attributes[..2]);
        assert!(fit(&attributes, 32, 1024));
        let block = encode_block(1024, &attributes);
        assert_eq!(decode_block(&block, 5).unwrap(), (attributes, 1));
        encode_inode(&mut space, &[]);
        assert_eq!(space, [0; 96]);
        assert_eq!(decode_inode(&space, 12).unwrap(), []);
    }

    #[test]
    fn damage_is_seen() {
        let block = encode_block(1024, &[attribute("user.a", b"value")]);
        for (at, value) in [(0, 1), (4, 0), (8, 2), (34, 0xff), (35, 0xff), (36, 1), (40, 0xff), (43, 0xff)] {
            let mut broken = block.clone();
            broken[at] = value;
            let refused = decode_block(&broken, 5).is_err();
            assert!(refused || at == 34, "byte {at} = {value}");
        }
        assert!(decode_inode(&[0, 0, 2, 0xea, 9, 1, 0, 0], 12).is_err());
    }
}
