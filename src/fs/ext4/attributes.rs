//! An inode's extended attributes: looking at them, changing one, giving back their block.

use super::super::error::FsError;
use super::inode::Inode;
use super::store::Store;
use super::xattr::{self, Attribute, BLOCK_HEAD, INODE_HEAD, Name};
use crate::disk::block::{BlockRead, BlockWrite};

impl<D: BlockRead> Store<D> {
    /// All attributes of an inode, sorted.
    pub(super) fn attributes(&self, inode: &Inode) -> Result<Vec<Attribute>, FsError> {
        let mut attributes = match inode.xattr_space() {
            Some(space) => xattr::decode_inode(&inode.bytes()[space], inode.number)?,
            None => Vec::new(),
        };
        if inode.xattr_block() != 0 {
            attributes.extend(self.attribute_block(inode.xattr_block())?.0);
        }
        attributes.sort();
        Ok(attributes)
    }

    /// The attributes in a block, how many inodes share it, and its bytes.
    fn attribute_block(&self, block: u64) -> Result<(Vec<Attribute>, u32, Vec<u8>), FsError> {
        let bytes = self.read_block(block, || "an inode's attributes".to_owned())?;
        let sum = self.sums.of_xattr_block(block, &bytes);
        if self.sums.on_metadata() && xattr::block_checksum(&bytes) != sum {
            return Err(FsError::corrupt(format!(
                "attribute block {block}: the checksum does not match; run e2fsck"
            )));
        }
        let (attributes, references) = xattr::decode_block(&bytes, block)?;
        Ok((attributes, references, bytes))
    }
}

impl<D: BlockWrite> Store<D> {
    /// Sets an attribute, or removes it; says whether there was one to remove. The inode changes and is not
    /// written.
    pub(super) fn change_attribute(
        &mut self,
        inode: &mut Inode,
        name: &Name,
        value: Option<&[u8]>,
    ) -> Result<bool, FsError> {
        let mut attributes = self.attributes(inode)?;
        let before = attributes.len();
        attributes.retain(|attribute| attribute.name != *name);
        let found = attributes.len() != before;
        if let Some(value) = value {
            attributes.push(Attribute { name: name.clone(), value: value.to_vec() });
        }
        if value.is_some() || found {
            self.set_attributes(inode, attributes)?;
        }
        Ok(found)
    }

    /// Gives an inode these attributes and no others: in the inode as far as they fit, the others in a
    /// block. The inode changes and is not written.
    pub(super) fn set_attributes(
        &mut self,
        inode: &mut Inode,
        mut attributes: Vec<Attribute>,
    ) -> Result<(), FsError> {
        attributes.sort();
        let space = inode.xattr_space().map_or(0, |space| space.len());
        let (mut inside, mut outside) = (Vec::new(), Vec::new());
        for attribute in attributes {
            inside.push(attribute);
            if !xattr::fit(&inside, INODE_HEAD, space) {
                outside.extend(inside.pop());
            }
        }
        if !xattr::fit(&outside, BLOCK_HEAD, self.block_len()) {
            return Err(FsError::unsupported("extended attributes larger than one block (ea_inode)"));
        }
        self.put_attribute_block(inode, &outside)?;
        xattr::encode_inode(inode.xattr_bytes_mut(), &inside);
        Ok(())
    }

    /// Leaves an inode with a block of exactly these attributes; without any, with no block.
    fn put_attribute_block(&mut self, inode: &mut Inode, attributes: &[Attribute]) -> Result<(), FsError> {
        let old = inode.xattr_block();
        if old != 0 {
            let (held, references, _) = self.attribute_block(old)?;
            if held == attributes {
                return Ok(());
            }
            if references == 1 && !attributes.is_empty() {
                return self.write_attribute_block(old, xattr::encode_block(self.block_len(), attributes));
            }
            self.release_attributes(inode)?;
        }
        if !attributes.is_empty() {
            let block = self.allocate_one(self.goal_of(inode.number))?;
            self.write_attribute_block(block, xattr::encode_block(self.block_len(), attributes))?;
            inode.set_xattr_block(block);
            let size = self.geometry.block_size;
            inode.set_blocks(inode.blocks(size) + 1, size);
        }
        Ok(())
    }

    /// Parts an inode from its block of attributes, which is free when nobody else shares it.
    pub(super) fn release_attributes(&mut self, inode: &mut Inode) -> Result<(), FsError> {
        let block = inode.xattr_block();
        if block == 0 {
            return Ok(());
        }
        let (_, references, mut bytes) = self.attribute_block(block)?;
        if references > 1 {
            xattr::put_references(&mut bytes, references - 1);
            self.write_attribute_block(block, bytes)?;
        } else {
            self.release(block, 1)?;
        }
        inode.set_xattr_block(0);
        let size = self.geometry.block_size;
        inode.set_blocks(inode.blocks(size).saturating_sub(1), size);
        Ok(())
    }

    fn write_attribute_block(&mut self, block: u64, mut bytes: Vec<u8>) -> Result<(), FsError> {
        if self.sums.on_metadata() {
            let sum = self.sums.of_xattr_block(block, &bytes);
            xattr::put_block_checksum(&mut bytes, sum);
        }
        self.write_block(block, &bytes)
    }
}
