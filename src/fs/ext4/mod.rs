//! ext4: `ext4-view` reads, a bounded editor of our own writes. See `README.md` here.
