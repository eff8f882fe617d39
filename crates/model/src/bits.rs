//! A set of positions in a frame set, one bit each: a million frames are 125 kB, not a million rows.

use serde::{Deserialize, Serialize};

/// Fixed-length bitmap over the positions of a [`FrameSet`](crate::FrameSet); bit `i` is the `i`-th frame in order.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FrameBits {
    len: u32,
    count: u32,
    words: Vec<u64>,
}

impl FrameBits {
    /// All `len` bits clear.
    #[must_use]
    pub fn new(len: u32) -> Self {
        Self {
            len,
            count: 0,
            words: vec![0; len.div_ceil(64) as usize],
        }
    }

    /// From little-endian bytes as [`to_bytes`](Self::to_bytes) writes them; bits at or past `len` are ignored,
    /// missing bytes are zero.
    #[must_use]
    pub fn from_bytes(len: u32, bytes: &[u8]) -> Self {
        let mut bits = Self::new(len);
        for (word, chunk) in bits.words.iter_mut().zip(bytes.chunks(8)) {
            let mut full = [0; 8];
            full[..chunk.len()].copy_from_slice(chunk);
            *word = u64::from_le_bytes(full);
        }
        if !len.is_multiple_of(64)
            && let Some(last) = bits.words.last_mut()
        {
            *last &= (1 << (len % 64)) - 1;
        }
        bits.count = bits.words.iter().map(|word| word.count_ones()).sum();
        bits
    }

    /// Little-endian bytes, eight for each begun 64 positions.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.words
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect()
    }

    /// Number of positions.
    #[must_use]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Whether there are no positions at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Number of set bits.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether every position is set.
    #[must_use]
    pub fn all(&self) -> bool {
        self.count == self.len
    }

    /// Whether position `index` is set; false past the end.
    #[must_use]
    pub fn get(&self, index: u32) -> bool {
        index < self.len && self.words[(index / 64) as usize] >> (index % 64) & 1 == 1
    }

    /// Sets position `index`; returns whether it was clear before. Positions past the end are never set.
    pub fn set(&mut self, index: u32) -> bool {
        if index >= self.len || self.get(index) {
            return false;
        }
        self.words[(index / 64) as usize] |= 1 << (index % 64);
        self.count += 1;
        true
    }

    /// Clears position `index`; returns whether it was set before.
    pub fn clear(&mut self, index: u32) -> bool {
        if !self.get(index) {
            return false;
        }
        self.words[(index / 64) as usize] &= !(1 << (index % 64));
        self.count -= 1;
        true
    }

    /// The first clear position at or after `from`, in 64 positions a step.
    #[must_use]
    pub fn first_clear(&self, from: u32) -> Option<u32> {
        let mut at = (from / 64) as usize;
        let mut mask = !0u64 << (from % 64);
        while at < self.words.len() {
            let free = !self.words[at] & mask;
            if free != 0 {
                let index = at as u32 * 64 + free.trailing_zeros();
                return (index < self.len).then_some(index);
            }
            mask = !0;
            at += 1;
        }
        None
    }

    /// The set positions in order.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            std::iter::successors((word != 0).then_some(word), |rest| {
                let next = rest & (rest - 1);
                (next != 0).then_some(next)
            })
            .map(move |rest| at as u32 * 64 + rest.trailing_zeros())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(len: u32, set: &[u32]) {
        let mut bits = FrameBits::new(len);
        for &index in set {
            assert!(bits.set(index));
            assert!(!bits.set(index));
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), set);
        assert_eq!(bits.count(), set.len() as u32);
        assert_eq!(FrameBits::from_bytes(len, &bits.to_bytes()), bits);
        let clear = (0..len).find(|index| !set.contains(index));
        assert_eq!(bits.first_clear(0), clear);
        for &index in set {
            assert!(bits.clear(index));
        }
        assert_eq!(bits, FrameBits::new(len));
    }

    #[test]
    fn sets_and_counts() {
        check(1, &[]);
        check(1, &[0]);
        check(64, &(0..64).collect::<Vec<_>>());
        check(65, &[0, 63, 64]);
        check(1000, &[0, 1, 2, 500, 999]);
    }

    #[test]
    fn never_past_the_end() {
        let mut bits = FrameBits::new(3);
        assert!(!bits.set(3));
        assert_eq!(FrameBits::from_bytes(3, &[0xff]).count(), 3);
        assert_eq!(FrameBits::from_bytes(3, &[0xff]).first_clear(0), None);
    }
}
