//! The hashes of names in indexed directories (Documentation/filesystems/ext4/directory.rst; fs/ext4/hash.c).

/// Which function; each exists over signed and over unsigned characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HashKind {
    /// The first one, a simple mix.
    Legacy,
    /// A shortened MD4.
    HalfMd4,
    /// The Tiny Encryption Algorithm.
    Tea,
}

impl HashKind {
    /// From the code in the superblock or in an index root; the signed or unsigned variants of both count as
    /// the same function, for the superblock's flag says which applies.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        match code {
            0 | 3 => Some(Self::Legacy),
            1 | 4 => Some(Self::HalfMd4),
            2 | 5 => Some(Self::Tea),
            _ => None,
        }
    }

    /// The code of an index root.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::Legacy => 0,
            Self::HalfMd4 => 1,
            Self::Tea => 2,
        }
    }
}

/// A hash function with everything that decides its values.
#[derive(Clone, Copy, Debug)]
pub(super) struct NameHash {
    /// The function.
    pub(super) kind: HashKind,
    /// Whether characters are signed.
    pub(super) signed: bool,
    /// The filesystem's seed; all zero means the one of MD4.
    pub(super) seed: [u32; 4],
}

/// Marks the end of a directory for `readdir`; no name may hash to it.
const END_OF_DIRECTORY: u32 = 0x7fff_ffff << 1;

impl NameHash {
    /// The hash of a name; its lowest bit is always clear.
    pub(super) fn of(&self, name: &[u8]) -> u32 {
        let mut state = self.seed;
        if state == [0; 4] {
            state = [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476];
        }
        let hash = match self.kind {
            HashKind::Legacy => self.legacy(name),
            HashKind::HalfMd4 => {
                for (done, _) in name.chunks(32).enumerate() {
                    half_md4(&mut state, &self.words::<8>(&name[done * 32..]));
                }
                state[1]
            }
            HashKind::Tea => {
                for (done, _) in name.chunks(16).enumerate() {
                    tea(&mut state, &self.words::<4>(&name[done * 16..]));
                }
                state[0]
            }
        };
        match hash & !1 {
            END_OF_DIRECTORY => END_OF_DIRECTORY - 2,
            hash => hash,
        }
    }

    fn widen(&self, byte: u8) -> u32 {
        if self.signed { i32::from(byte.cast_signed()).cast_unsigned() } else { u32::from(byte) }
    }

    /// The first `4 * N` bytes as words, filled up with the length of what is left of the name.
    fn words<const N: usize>(&self, rest: &[u8]) -> [u32; N] {
        // Names have at most 255 bytes.
        let length = (rest.len() & 0xff) as u32;
        let filler = length * 0x0101_0101;
        let mut words = [filler; N];
        for (word, bytes) in words.iter_mut().zip(rest.chunks(4)) {
            for byte in bytes {
                *word = self.widen(*byte).wrapping_add(*word << 8);
            }
        }
        words
    }

    fn legacy(&self, name: &[u8]) -> u32 {
        let (mut last, mut before) = (0x12a3_fe2d_u32, 0x37ab_e8f9_u32);
        for byte in name {
            let mut hash = before.wrapping_add(last ^ self.widen(*byte).wrapping_mul(7_152_373));
            if hash & 0x8000_0000 != 0 {
                hash = hash.wrapping_sub(0x7fff_ffff);
            }
            before = last;
            last = hash;
        }
        last << 1
    }
}

/// Three rounds of eight steps: which word goes in, and how far the sum is rotated.
const ORDER: [[usize; 8]; 3] = [[0, 1, 2, 3, 4, 5, 6, 7], [1, 3, 5, 7, 0, 2, 4, 6], [3, 7, 2, 6, 1, 5, 0, 4]];
const TURNS: [[u32; 4]; 3] = [[3, 7, 11, 19], [3, 5, 9, 13], [3, 9, 11, 15]];
const ROUND_CONSTANTS: [u32; 3] = [0, 0x5a82_7999, 0x6ed9_eba1];

fn half_md4(state: &mut [u32; 4], words: &[u32; 8]) {
    let [mut a, mut b, mut c, mut d] = *state;
    for round in 0..3 {
        for step in 0..8 {
            let mixed = match round {
                0 => d ^ (b & (c ^ d)),
                1 => (b & c).wrapping_add((b ^ c) & d),
                _ => b ^ c ^ d,
            };
            let word = words[ORDER[round][step]].wrapping_add(ROUND_CONSTANTS[round]);
            let sum = a.wrapping_add(mixed).wrapping_add(word).rotate_left(TURNS[round][step % 4]);
            (a, b, c, d) = (d, sum, b, c);
        }
    }
    for (word, add) in state.iter_mut().zip([a, b, c, d]) {
        *word = word.wrapping_add(add);
    }
}

fn tea(state: &mut [u32; 4], key: &[u32; 4]) {
    let (mut left, mut right) = (state[0], state[1]);
    let mut sum = 0_u32;
    for _ in 0..16 {
        sum = sum.wrapping_add(0x9e37_79b9);
        left = left.wrapping_add(
            (right << 4).wrapping_add(key[0]) ^ right.wrapping_add(sum) ^ (right >> 5).wrapping_add(key[1]),
        );
        right = right.wrapping_add(
            (left << 4).wrapping_add(key[2]) ^ left.wrapping_add(sum) ^ (left >> 5).wrapping_add(key[3]),
        );
    }
    state[0] = state[0].wrapping_add(left);
    state[1] = state[1].wrapping_add(right);
}

#[cfg(test)]
mod tests {
    use super::{HashKind, NameHash};

    const SEED: [u32; 4] = [0x6745_2301, 0xefcd_ab89, 0x6745_2301, 0xefcd_ab89];
    const LONG: &str = "a-rather-long-name-that-takes-more-than-thirty-two-bytes.conf";

    /// What `debugfs -R "dx_hash -h KIND -s 01234567-89ab-cdef-0123-456789abcdef NAME"` says.
    #[test]
    fn agrees_with_debugfs() {
        for (kind, hashes) in [
            (HashKind::Legacy, [0x3225_2546, 0x9d41_63bc, 0x7e33_b138]),
            (HashKind::HalfMd4, [0xa26e_4a80, 0x427f_be10, 0xa963_bf48]),
            (HashKind::Tea, [0x6f5b_b1a8, 0xa340_527a, 0x9978_92e8]),
        ] {
            let hash = NameHash { kind, signed: true, seed: SEED };
            for (name, expected) in ["hello", LONG, "naïve-ü"].into_iter().zip(hashes) {
                assert_eq!(hash.of(name.as_bytes()), expected, "{kind:?} {name}");
            }
        }
        let unseeded = NameHash { kind: HashKind::HalfMd4, signed: true, seed: [0; 4] };
        assert_eq!(unseeded.of(b"hello"), 0x1746_da32);
    }

    #[test]
    fn signs_matter_beyond_ascii_only() {
        for kind in [HashKind::Legacy, HashKind::HalfMd4, HashKind::Tea] {
            let [signed, unsigned] = [true, false].map(|signed| NameHash { kind, signed, seed: SEED });
            assert_eq!(signed.of(b"plain"), unsigned.of(b"plain"));
            assert_ne!(signed.of("ü".as_bytes()), unsigned.of("ü".as_bytes()));
            assert_eq!(HashKind::from_code(kind.code()), Some(kind));
        }
        assert_eq!(HashKind::from_code(6), None);
    }
}
