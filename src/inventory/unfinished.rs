//! What a card looks like whose flash did not come to its end.

use crate::disk::block::BlockRead;

const MIB: u64 = 1 << 20;

/// Bytes that are looked at in one place.
const BLOCK: usize = 4096;

/// In how many places near the beginning, and of the whole.
const PLACES: u64 = 64;

/// Whether a disk without a partition table was being written: its first MiB is zero, as a flash leaves it until
/// everything else is proved, and behind it lies something.
pub(super) fn is_interrupted_flash(image: &dyn BlockRead, finds_filesystems: bool) -> bool {
    is_zero(image, MIB) && (finds_filesystems || holds_something(image))
}

/// Whether a few places say something: where images begin, some of the rest, and what a flash leaves before the
/// last MiB once it has tried how large the card is.
fn holds_something(image: &dyn BlockRead) -> bool {
    let (size, block) = (image.size(), BLOCK as u64);
    let near = (1..PLACES).map(|at| at * MIB);
    let far = (1..PLACES).map(|at| size / PLACES * at);
    let tried = (size - size % block).checked_sub(MIB + block);
    let places = near.chain(far).chain(tried).map(|at| at - at % block);
    places.filter(|at| at + block <= size).any(|at| {
        let mut held = [0; BLOCK];
        // What cannot be read says nothing.
        image.read_at(at, &mut held).is_ok() && held.windows(2).any(|pair| pair[0] != pair[1])
    })
}

fn is_zero(image: &dyn BlockRead, len: u64) -> bool {
    let mut bytes = vec![0; len.min(image.size()) as usize];
    image.read_at(0, &mut bytes).is_ok() && bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, MIB, is_interrupted_flash};

    fn card(places: &[u64]) -> Vec<u8> {
        let mut card = vec![0; 256 << 20];
        for at in places {
            card[*at as usize + BLOCK / 2] = 1;
        }
        card
    }

    #[test]
    fn something_behind_an_empty_first_mib_was_being_written() {
        let size = 256 * MIB;
        for place in [MIB, 63 * MIB, size / 64 * 33, size - MIB - BLOCK as u64] {
            assert!(is_interrupted_flash(&card(&[place]), false), "{place}");
            assert!(!is_interrupted_flash(&card(&[0, place]), false), "{place}");
        }
        assert!(is_interrupted_flash(&card(&[]), true));
    }

    #[test]
    fn an_empty_card_was_not() {
        assert!(!is_interrupted_flash(&card(&[]), false));
        let mut erased = vec![0xff; 64 << 20];
        erased[..MIB as usize].fill(0);
        assert!(!is_interrupted_flash(&erased, false));
        assert!(!is_interrupted_flash(&vec![0; 512], false));
        assert!(!is_interrupted_flash(&Vec::new(), false));
    }
}
