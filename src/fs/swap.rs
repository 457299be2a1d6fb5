//! Swap space: what tells it, in a partition or in a file.

use std::io;

use crate::disk::block::BlockRead;

/// Sizes of pages it may have been made for: that of the kernel that made it.
const PAGE_SIZES: [u64; 5] = [4096, 8192, 16384, 32768, 65536];

/// The size of a swap space's first page, which holds its header; all behind it is worth nothing once the
/// system that used it is gone. `None` for what is no swap space, or holds a suspended system: that has another
/// signature (mkswap's and the kernel's `include/linux/swap.h`).
///
/// # Errors
/// What the medium answers.
pub fn page_size(device: &dyn BlockRead) -> io::Result<Option<u64>> {
    for page in PAGE_SIZES.into_iter().filter(|page| *page <= device.size()) {
        let mut signature = [0; 10];
        device.read_at(page - 10, &mut signature)?;
        if &signature == b"SWAPSPACE2" {
            return Ok(Some(page));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::page_size;

    #[test]
    fn the_signature_ends_the_first_page() {
        for page in [4096, 16384, 65536] {
            let mut device = vec![0; 70_000];
            device[page - 10..page].copy_from_slice(b"SWAPSPACE2");
            assert_eq!(page_size(&device).unwrap(), Some(page as u64));
            device[page - 10..page].copy_from_slice(b"S1SUSPEND\0");
            assert_eq!(page_size(&device).unwrap(), None);
        }
        assert_eq!(page_size(&vec![0; 4095]).unwrap(), None);
    }
}
