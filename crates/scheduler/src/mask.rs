//! Sets of jobs by their rank in the line: one bit each, so that "the first job that may" is found 64 jobs at a step.

/// A set of ranks. Grows as needed; what lies past the end is not in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Mask(Vec<u64>);

impl Mask {
    pub(crate) fn set(&mut self, rank: u32, to: bool) {
        let at = (rank / 64) as usize;
        if at >= self.0.len() {
            if !to {
                return;
            }
            self.0.resize(at + 1, 0);
        }
        let bit = 1 << (rank % 64);
        if to {
            self.0[at] |= bit;
        } else {
            self.0[at] &= !bit;
        }
    }

    pub(crate) fn get(&self, rank: u32) -> bool {
        self.word((rank / 64) as usize) >> (rank % 64) & 1 == 1
    }

    /// Ranks that are in both, the lowest first.
    pub(crate) fn common(&self, other: &Self) -> impl Iterator<Item = u32> {
        let words = self.0.iter().zip(&other.0).map(|(one, two)| one & two);
        (0..).zip(words).flat_map(|(at, mut word): (u32, u64)| {
            std::iter::from_fn(move || {
                let bit = word.trailing_zeros();
                (word != 0).then(|| {
                    word &= word - 1;
                    at * 64 + bit
                })
            })
        })
    }

    /// Puts in all that is in the other.
    pub(crate) fn add(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (own, word) in self.0.iter_mut().zip(&other.0) {
            *own |= word;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn words(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn word(&self, at: usize) -> u64 {
        self.0.get(at).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_was_put_in_in_order() {
        let mut mask = Mask::default();
        for rank in [200, 0, 64, 63] {
            mask.set(rank, true);
        }
        mask.set(64, false);
        mask.set(10_000, false);
        let inside = (0..300).filter(|&rank| mask.get(rank));
        assert_eq!(inside.collect::<Vec<_>>(), [0, 63, 200]);
        assert_eq!(mask.words(), 4);
        assert!(mask.get(63) && !mask.get(64) && !mask.get(10_000));
        assert_eq!((mask.word(0), mask.word(99)), (1 | 1 << 63, 0));
        mask.clear();
        assert!(!mask.get(63));
    }

    #[test]
    fn what_is_in_both_is_told_in_order() {
        let (mut one, mut two) = (Mask::default(), Mask::default());
        for rank in [0, 5, 63, 64, 70, 200] {
            one.set(rank, true);
        }
        for rank in [1, 5, 64, 71, 100] {
            two.set(rank, true);
        }
        assert!(one.common(&two).eq([5, 64]));
        assert!(two.common(&one).eq([5, 64]));
        assert_eq!(one.common(&Mask::default()).count(), 0);
    }

    #[test]
    fn takes_in_another() {
        let (mut one, mut two) = (Mask::default(), Mask::default());
        assert!(one.is_empty());
        two.set(70, true);
        two.set(70, false);
        assert!(two.is_empty());
        one.set(3, true);
        two.set(4, true);
        two.set(130, true);
        one.add(&two);
        two.add(&one);
        assert_eq!(one, two);
        assert!([3, 4, 130].iter().all(|&rank| one.get(rank)));
        assert!(!one.get(5) && !one.is_empty());
    }
}
