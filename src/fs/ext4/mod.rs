//! ext4: `ext4-view` reads, a bounded editor of our own writes. See `README.md` here.

mod alloc;
mod attributes;
mod bitmap;
mod bitmaps;
mod blockmap;
mod bytes;
mod checksum;
mod content;
mod dir;
mod dirblock;
mod editor;
mod extent;
mod extent_append;
mod facts;
mod features;
mod geometry;
mod group;
mod grow;
mod hash;
mod htree;
mod inode;
mod make;
mod map;
mod resize_inode;
mod resolve;
mod store;
mod superblock;
#[cfg(test)]
mod tests;
mod used;
mod view;
mod xattr;

pub use editor::{Ext4Editor, Keep, Stamp};
pub use facts::{Ext4Facts, Space};
pub use view::Ext4Reader;
