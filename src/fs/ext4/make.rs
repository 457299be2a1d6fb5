//! The editor's changes, step by step, after everything that can be refused beforehand was.

use std::io::Read;

use sha2::{Digest, Sha256};

use super::alloc::Run;
use super::dirblock;
use super::editor::Ext4Editor;
use super::extent::Extent;
use super::extent_append::plant;
use super::features::{RO_DIR_NLINK, RO_HUGE_FILE, RO_LARGE_FILE};
use super::inode::{Inode, MAP_SIZE, entry_code};
use super::resolve::LONGEST_TARGET;
use crate::disk::block::BlockWrite;
use crate::fs::error::FsError;
use crate::fs::metadata::{FileType, Meta};
use crate::fs::path::FsPath;

/// The most links the kernel counts on one inode.
const MOST_LINKS: u16 = 65000;

impl<D: BlockWrite> Ext4Editor<D> {
    /// The directory in which nothing has the path's last name yet.
    pub(super) fn vacant(&self, path: &FsPath) -> Result<Inode, FsError> {
        let exists = || FsError::Exists { path: path.clone() };
        let dir = self.store().resolve_parent(path)?.ok_or_else(exists)?;
        match self.store().find_name(&dir, last_name(path))? {
            None => Ok(dir),
            Some(_) => Err(exists()),
        }
    }

    /// The directory that holds a path's last name, and what has that name.
    pub(super) fn occupied(&self, path: &FsPath) -> Result<(Inode, Inode), FsError> {
        let Some(dir) = self.store().resolve_parent(path)? else {
            return Err(FsError::BadName {
                path: path.clone(),
                why: "the root itself cannot be replaced".to_owned(),
            });
        };
        let place = self.store().find_name(&dir, last_name(path))?;
        let place = place.ok_or_else(|| FsError::NotFound { path: path.clone() })?;
        Ok((dir, self.store().read_named(place.inode)?))
    }

    /// Refuses a file that cannot fit.
    pub(super) fn check_file(&self, path: &FsPath, size: u64) -> Result<(), FsError> {
        let geometry = &self.store().geometry;
        let blocks = size.div_ceil(u64::from(geometry.block_size));
        self.store().check_space(blocks, 1)?;
        let huge = self.store().superblock.features().has_ro(RO_HUGE_FILE);
        let sectors = blocks * u64::from(geometry.block_size / 512);
        if blocks > u64::from(u32::MAX) || (!huge && sectors > u64::from(u32::MAX)) {
            let limit = u64::from(u32::MAX) * 512;
            return Err(FsError::TooLarge { path: path.clone(), size, limit });
        }
        Ok(())
    }

    /// Refuses a target that no link can hold.
    pub(super) fn check_target(&self, target: &str, path: &FsPath) -> Result<(), FsError> {
        let bad = |why: String| Err(FsError::BadName { path: path.clone(), why });
        // The kernel keeps room for a NUL behind the target.
        let longest = LONGEST_TARGET.min(u64::from(self.store().geometry.block_size) - 1);
        match target {
            "" => bad("an empty link target".to_owned()),
            _ if target.contains('\0') => bad("a link target with a NUL in it".to_owned()),
            _ if target.len() as u64 > longest => bad(format!("a link target longer than {longest} bytes")),
            _ => Ok(()),
        }
    }

    pub(super) fn add_file(
        &mut self,
        dir: Inode,
        path: &FsPath,
        meta: Meta,
        content: &mut dyn Read,
        size: u64,
    ) -> Result<(), FsError> {
        let file = self.new_file(&dir, meta, content, size)?;
        self.add(dir, path, file)
    }

    pub(super) fn add_dir(&mut self, mut dir: Inode, path: &FsPath, meta: Meta) -> Result<(), FsError> {
        self.count_subdirectory(&mut dir)?;
        let mut made = self.new_inode(&dir, FileType::Directory, meta)?;
        made.set_links(2);
        plant(&mut made);
        let block = self.store_mut().append_block(&mut made, 0)?;
        let mut bytes = self.store().blank_names();
        let end = self.store().names_end();
        let names = [(b".".to_vec(), made.number, 2), (b"..".to_vec(), dir.number, 2)];
        dirblock::lay_out(&mut bytes, end, &names);
        self.store_mut().write_names(&made, block, &mut bytes)?;
        self.add(dir, path, made)
    }

    /// One more `..` leads to a directory.
    fn count_subdirectory(&self, dir: &mut Inode) -> Result<(), FsError> {
        let many = self.store().superblock.features().has_ro(RO_DIR_NLINK);
        match dir.links() {
            // With `dir_nlink`, 1 stands for more than can be counted.
            1 if many => {}
            links if links < MOST_LINKS => dir.set_links(links + 1),
            _ if many => dir.set_links(1),
            links => {
                return Err(FsError::unsupported(format!("more than {links} subdirectories (no dir_nlink)")));
            }
        }
        Ok(())
    }

    pub(super) fn add_link(
        &mut self,
        dir: Inode,
        path: &FsPath,
        target: &[u8],
        meta: Meta,
    ) -> Result<(), FsError> {
        let mut link = self.new_inode(&dir, FileType::Symlink, meta)?;
        if target.len() < MAP_SIZE {
            link.map_mut()[..target.len()].copy_from_slice(target);
        } else {
            plant(&mut link);
            let block = self.store_mut().append_block(&mut link, 0)?;
            let mut bytes = target.to_vec();
            bytes.resize(self.store().block_len(), 0);
            self.store_mut().write_block(block, &bytes)?;
        }
        link.set_size(target.len() as u64);
        self.add(dir, path, link)
    }

    /// Makes a regular file that has no name yet; its inode is not written.
    pub(super) fn new_file(
        &mut self,
        dir: &Inode,
        meta: Meta,
        content: &mut dyn Read,
        size: u64,
    ) -> Result<Inode, FsError> {
        let mut file = self.new_inode(dir, FileType::File, meta)?;
        plant(&mut file);
        file.set_size(size);
        let store = self.store_mut();
        let block_size = store.geometry.block_size;
        let goal = store.goal_of(file.number);
        let data = size.div_ceil(u64::from(block_size));
        let runs = store.allocate(goal, data)?;
        store.write_content(&runs, content, size)?;
        let tree = store.append_extents(&mut file, &extents_of(&runs))?;
        file.set_blocks(data + tree, block_size);
        if size > 0x7fff_ffff && !store.superblock.features().has_ro(RO_LARGE_FILE) {
            store.superblock.set_large_file();
        }
        Ok(file)
    }

    /// A fresh inode with one link, near its directory.
    fn new_inode(&mut self, dir: &Inode, kind: FileType, meta: Meta) -> Result<Inode, FsError> {
        let store = self.store_mut();
        let near = store.locate_inode(dir.number).0;
        let number = store.allocate_inode(near, kind == FileType::Directory)?;
        let mut inode = Inode::blank(number, store.geometry.inode_size, store.superblock.extra_isize());
        inode.set_kind(kind, meta);
        inode.set_links(1);
        inode.set_times(self.stamp.time);
        inode.set_ctime(self.stamp.time);
        inode.set_created(self.stamp.time);
        inode.set_generation(self.next_generation(number));
        Ok(inode)
    }

    /// A number that tells this inode from earlier and later ones at its place (NFS handles hold it).
    fn next_generation(&mut self, number: u32) -> u32 {
        self.made += 1;
        let mut hash = Sha256::new();
        hash.update(b"pibake ext4 inode generation\0");
        hash.update(self.stamp.generation_seed);
        hash.update(number.to_le_bytes());
        hash.update(self.made.to_le_bytes());
        let digest = hash.finalize();
        u32::from_le_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    /// Writes a new inode and gives it its name.
    fn add(&mut self, mut dir: Inode, path: &FsPath, mut inode: Inode) -> Result<(), FsError> {
        self.store_mut().write_inode(&mut inode)?;
        self.store_mut().add_name(&mut dir, last_name(path), inode.number, entry_code(&inode))?;
        self.write_changed(dir)
    }

    /// Writes a directory whose names changed.
    fn write_changed(&mut self, mut dir: Inode) -> Result<(), FsError> {
        dir.set_mtime(self.stamp.time);
        dir.set_ctime(self.stamp.time);
        self.store_mut().write_inode(&mut dir)
    }

    /// Lets a name lead to a new file, and lets go of the old one.
    pub(super) fn swap_in(
        &mut self,
        dir: Inode,
        path: &FsPath,
        mut file: Inode,
        old: Inode,
    ) -> Result<(), FsError> {
        self.store_mut().write_inode(&mut file)?;
        let place = self.store().find_name(&dir, last_name(path))?;
        let place = place.ok_or_else(|| FsError::NotFound { path: path.clone() })?;
        self.store_mut().redirect_name(&dir, &place, file.number, entry_code(&file))?;
        self.write_changed(dir)?;
        self.unlink(old)
    }

    /// Takes a name out of its directory.
    pub(super) fn drop_name(&mut self, dir: Inode, path: &FsPath) -> Result<(), FsError> {
        let place = self.store().find_name(&dir, last_name(path))?;
        let place = place.ok_or_else(|| FsError::NotFound { path: path.clone() })?;
        self.store_mut().remove_name(&dir, &place)?;
        self.write_changed(dir)
    }

    pub(super) fn drop_dir(&mut self, mut dir: Inode, path: &FsPath, old: Inode) -> Result<(), FsError> {
        if dir.links() > 2 {
            dir.set_links(dir.links() - 1);
        }
        self.drop_name(dir, path)?;
        self.store_mut().destroy(old)
    }

    /// Adds the new name first: while it is added, the old one may move.
    pub(super) fn move_name(
        &mut self,
        mut dir: Inode,
        path: &FsPath,
        new: &FsPath,
        mut inode: Inode,
    ) -> Result<(), FsError> {
        self.store_mut().add_name(&mut dir, last_name(new), inode.number, entry_code(&inode))?;
        inode.set_ctime(self.stamp.time);
        self.store_mut().write_inode(&mut inode)?;
        self.drop_name(dir, path)
    }

    /// One name less leads to an inode; without any it goes, with all it has.
    pub(super) fn unlink(&mut self, mut inode: Inode) -> Result<(), FsError> {
        if inode.links() <= 1 {
            return self.store_mut().destroy(inode);
        }
        inode.set_links(inode.links() - 1);
        inode.set_ctime(self.stamp.time);
        self.store_mut().write_inode(&mut inode)
    }
}

/// The last component of a path; the root's, which has none, is never asked for.
fn last_name(path: &FsPath) -> &[u8] {
    path.name().unwrap_or_default().as_bytes()
}

/// The extents of a file whose blocks are these runs, in this order.
fn extents_of(runs: &[Run]) -> Vec<Extent> {
    let mut logical = 0;
    let extent = |run: &Run| {
        let extent = Extent { logical, start: run.start, len: run.len, written: true };
        // The file was checked to have fewer than 2^32 blocks.
        logical += run.len;
        extent
    };
    runs.iter().map(extent).collect()
}
