//! One block of bits, each for a block or an inode of a group; set means used.

/// A bitmap held as words, so that long stretches of one kind are passed 64 at a time. Bits behind the
/// last that means something are always set, on disk too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bitmap {
    words: Vec<u64>,
    bits: u32,
}

impl Bitmap {
    /// A bitmap of `bits` bits, all free, in a block of `block_size` bytes.
    pub(super) fn free(bits: u32, block_size: u32) -> Self {
        Self::from_bytes(&vec![0; block_size as usize], bits)
    }

    /// Takes a block as read from disk, whatever its padding holds.
    pub(super) fn from_bytes(block: &[u8], bits: u32) -> Self {
        let words = block
            .chunks_exact(8)
            .map(|word| word.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
            .collect();
        let mut bitmap = Self { words, bits };
        let capacity = bitmap.capacity();
        bitmap.fill(bits, capacity, true);
        bitmap
    }

    /// The block as it goes to disk.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// Number of free bits.
    pub(super) fn count_free(&self) -> u32 {
        self.words.iter().map(|word| word.count_zeros()).sum()
    }

    /// Whether a bit is set; bits outside are.
    pub(super) fn is_set(&self, bit: u32) -> bool {
        self.words.get((bit / 64) as usize).is_none_or(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Whether all bits of `start..start + len` are set (`true`) or all free (`false`); `None` when mixed.
    pub(super) fn uniform(&self, start: u32, len: u32) -> Option<bool> {
        let set = self.is_set(start);
        let change = if set { self.next_free(start) } else { self.next_set(start) };
        let end = u64::from(start) + u64::from(len);
        change.is_none_or(|change| u64::from(change) >= end).then_some(set)
    }

    /// Sets `start..start + len` (or frees it); what lies outside the block is left out.
    pub(super) fn mark(&mut self, start: u32, len: u32, set: bool) {
        self.fill(start, start.saturating_add(len).min(self.capacity()), set);
    }

    /// Sets what is set in another bitmap of the same size.
    pub(super) fn absorb(&mut self, other: &Bitmap) {
        for (word, more) in self.words.iter_mut().zip(&other.words) {
            *word |= more;
        }
    }

    /// Makes the bitmap longer; the new bits are free.
    pub(super) fn extend(&mut self, bits: u32) {
        let from = self.bits;
        self.bits = bits.clamp(from, self.capacity());
        self.fill(from, self.bits, false);
    }

    /// The first free bit at or after `from`.
    pub(super) fn next_free(&self, from: u32) -> Option<u32> {
        self.next(from, |word| !word)
    }

    /// The first set bit at or after `from`, padding included.
    pub(super) fn next_set(&self, from: u32) -> Option<u32> {
        self.next(from, |word| word)
    }

    /// The runs of free bits from `from` on, as start and length.
    pub(super) fn free_runs(&self, from: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.runs(from, false)
    }

    /// The runs of set bits from `from` on, padding left out.
    pub(super) fn set_runs(&self, from: u32) -> impl Iterator<Item = (u32, u32)> + '_ {
        self.runs(from, true)
    }

    fn runs(&self, from: u32, set: bool) -> impl Iterator<Item = (u32, u32)> + '_ {
        let mut at = from;
        std::iter::from_fn(move || {
            let start = if set { self.next_set(at) } else { self.next_free(at) }?;
            if start >= self.bits {
                return None;
            }
            let end = if set { self.next_free(start) } else { self.next_set(start) };
            at = end.unwrap_or(self.bits).min(self.bits);
            Some((start, at - start))
        })
    }

    fn next(&self, from: u32, see: impl Fn(u64) -> u64) -> Option<u32> {
        let first = (from / 64) as usize;
        let masked = see(*self.words.get(first)?) & (u64::MAX << (from % 64));
        let found = if masked != 0 {
            Some((first, masked))
        } else {
            self.words
                .iter()
                .enumerate()
                .skip(first + 1)
                .map(|(at, word)| (at, see(*word)))
                .find(|(_, word)| *word != 0)
        };
        // A bitmap is one block of at most 16 KiB, so its bit numbers fit.
        found.map(|(at, word)| at as u32 * 64 + word.trailing_zeros())
    }

    fn capacity(&self) -> u32 {
        self.words.len() as u32 * 64
    }

    fn fill(&mut self, start: u32, end: u32, set: bool) {
        let mut at = start;
        while at < end {
            let stop = end.min((at / 64 + 1) * 64);
            let mask = (u64::MAX >> (64 - (stop - at))) << (at % 64);
            let word = &mut self.words[(at / 64) as usize];
            *word = if set { *word | mask } else { *word & !mask };
            at = stop;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Bitmap;

    #[test]
    fn pads_and_counts() {
        let mut bitmap = Bitmap::free(100, 1024);
        assert_eq!(bitmap.count_free(), 100);
        assert!(bitmap.is_set(100) && bitmap.is_set(1_000_000) && !bitmap.is_set(99));
        bitmap.mark(60, 10, true);
        assert_eq!(bitmap.count_free(), 90);
        assert_eq!(bitmap.free_runs(0).collect::<Vec<_>>(), [(0, 60), (70, 30)]);
        assert_eq!(bitmap.free_runs(65).collect::<Vec<_>>(), [(70, 30)]);
        assert_eq!(bitmap.set_runs(0).collect::<Vec<_>>(), [(60, 10)]);
        assert_eq!(bitmap.uniform(60, 10), Some(true));
        assert_eq!(bitmap.uniform(60, 11), None);
        assert_eq!(bitmap.uniform(0, 60), Some(false));
        bitmap.extend(110);
        assert_eq!(bitmap.count_free(), 100);
        assert_eq!(Bitmap::from_bytes(&bitmap.to_bytes(), 110), bitmap);
    }

    #[test]
    fn agrees_with_single_bits() {
        let mut random = fastrand::Rng::with_seed(4);
        let mut bitmap = Bitmap::free(8192, 1024);
        let mut plain = vec![false; 8192];
        for _ in 0..2000 {
            let (start, set) = (random.u32(0..8192), random.bool());
            let len = random.u32(0..200).min(8192 - start);
            bitmap.mark(start, len, set);
            plain[start as usize..(start + len) as usize].fill(set);
            let from = random.u32(0..8192);
            let expected = (from..8192).find(|bit| !plain[*bit as usize]);
            assert_eq!(bitmap.next_free(from), expected);
        }
        assert_eq!(bitmap.count_free() as usize, plain.iter().filter(|set| !**set).count());
        let runs: u32 = bitmap.free_runs(0).map(|(_, len)| len).sum();
        assert_eq!(runs, bitmap.count_free());
    }
}
