//! ext4: `ext4-view` reads, a bounded editor of our own writes. See `README.md` here.

mod editor;
mod facts;
mod view;

pub use editor::{Ext4Editor, Keep, Stamp};
pub use facts::{Ext4Facts, Space};
pub use view::Ext4Reader;
