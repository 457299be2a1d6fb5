//! A copy-on-write image holds the same bytes as a plain vector that is written the same way.

#![no_main]

use std::sync::Arc;

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use pibake::cow::{BLOCK, CowImage};
use pibake::disk::block::{BlockRead, BlockWrite};
use pibake_fuzz::bytes_of;

/// No image grows past this.
const LIMIT: u64 = 1 << 20;

#[derive(Arbitrary, Debug)]
enum Step {
    Write { at: u32, byte: u8, len: u16 },
    Read { at: u32, len: u16 },
    Grow { to: u32 },
}

fuzz_target!(|input: (u16, Vec<Step>)| {
    let base: Vec<u8> = (0..input.0).map(|index| (index % 251) as u8).collect();
    let mut plain = base.clone();
    let mut image = CowImage::with_spill(Arc::new(base.clone()), std::env::temp_dir(), 4 * BLOCK);
    for step in input.1 {
        match step {
            Step::Write { at, byte, len } => {
                let data = vec![byte; usize::from(len)];
                assert_eq!(
                    image.write_at(at.into(), &data).is_ok(),
                    plain.write_at(at.into(), &data).is_ok()
                );
            }
            Step::Read { at, len } => {
                let (mut ours, mut theirs) = (vec![0; usize::from(len)], vec![0; usize::from(len)]);
                let both = (
                    image.read_at(at.into(), &mut ours).is_ok(),
                    plain.read_at(at.into(), &mut theirs).is_ok(),
                );
                assert!(both == (true, true) && ours == theirs || both == (false, false));
            }
            Step::Grow { to } => {
                let to = u64::from(to) % LIMIT;
                let grown = image.grow(to).is_ok();
                assert_eq!(grown, to >= plain.size());
                if grown {
                    plain.resize(usize::try_from(to).expect("small"), 0);
                }
            }
        }
    }
    assert!(bytes_of(&image) == plain);
    // What is not listed as changed is as it was, or zero behind the base's end.
    let mut rebuilt = base;
    rebuilt.resize(plain.len(), 0);
    for range in image.dirty_ranges() {
        let range =
            usize::try_from(range.start()).expect("small")..usize::try_from(range.end()).expect("small");
        rebuilt[range.clone()].copy_from_slice(&plain[range]);
    }
    assert!(rebuilt == plain);
});
