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
mod history;
mod htree;
mod inode;
mod journal;
mod log;
mod make;
mod map;
mod newest;
mod owner;
mod release;
mod resize_inode;
mod resolve;
mod store;
mod superblock;
mod swap_file;
#[cfg(test)]
mod tests;
mod usage;
mod view;
mod xattr;

pub use editor::{Ext4Editor, Keep, Stamp};
pub use facts::{Ext4Facts, Space};
pub use history::{History, history};
pub use owner::owners;
pub use usage::usage;
pub use view::Ext4Reader;
