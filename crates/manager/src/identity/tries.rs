//! How often someone may guess a pairing code.
//!
//! A code has 80 random bits, so guessing is hopeless; the bounds keep it from being free, and keep the log readable.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Over this span wrong codes are counted.
const WINDOW: Duration = Duration::from_secs(60);

/// Wrong codes of one address (of one /64 for IPv6) in a window: a person mistyping gets the letters right long before.
const PER_ADDRESS: u32 = 10;

/// Wrong codes of all addresses in a window: a room of people typing at once stays far below.
const IN_ALL: u32 = 200;

/// Wrong codes in the present window. Bounded by [`IN_ALL`], since nothing is counted past it.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    window: u64,
    in_all: u32,
    by_address: HashMap<IpAddr, u32>,
}

/// One party: whoever has an IPv6 network has 2^64 addresses of it.
fn party(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

/// What came of a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guess {
    Right,
    /// Counted.
    Wrong,
    /// Not looked at.
    TooMany,
}

impl Tries {
    /// Looks at a code from there, if it may be, and counts it if it is wrong: one step, so that guesses that come at once count
    /// one by one.
    pub(crate) fn guess(
        &mut self,
        address: IpAddr,
        elapsed: Duration,
        is_right: impl FnOnce() -> bool,
    ) -> Guess {
        let window = elapsed.as_secs() / WINDOW.as_secs();
        if window != self.window {
            *self = Self {
                window,
                ..Self::default()
            };
        }
        let party = party(address);
        let tries = self.by_address.get(&party).copied().unwrap_or(0);
        if self.in_all >= IN_ALL || tries >= PER_ADDRESS {
            return Guess::TooMany;
        }
        if is_right() {
            return Guess::Right;
        }
        self.in_all += 1;
        self.by_address.insert(party, tries + 1);
        Guess::Wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_party_is_stopped_alone_and_all_together_are_too() {
        let mut tries = Tries::default();
        let now = Duration::from_secs(5);
        let guess = |tries: &mut Tries, address: &str, now| {
            tries.guess(address.parse().unwrap(), now, || false) == Guess::Wrong
        };
        for i in 0..PER_ADDRESS {
            assert!(guess(&mut tries, &format!("2001:db8::{i}"), now));
        }
        assert!(!guess(&mut tries, "2001:db8::ffff", now));
        let address = "2001:db8::1".parse().unwrap();
        let late = tries.guess(address, now, || panic!("is not looked at"));
        assert_eq!(late, Guess::TooMany);
        assert!(guess(&mut tries, "10.0.0.1", now));
        let mut passed = 0;
        for i in 0..=255 {
            passed += u32::from(guess(&mut tries, &format!("10.1.0.{i}"), now));
        }
        assert_eq!(passed, IN_ALL - PER_ADDRESS - 1);
        assert!(guess(&mut tries, "2001:db8::1", now + WINDOW));
    }

    #[test]
    fn a_whole_farm_behind_one_address_is_paired_with_right_codes() {
        let mut tries = Tries::default();
        let address = "10.0.0.1".parse().unwrap();
        for _ in 0..1000 {
            let guess = tries.guess(address, Duration::ZERO, || true);
            assert_eq!(guess, Guess::Right);
        }
    }
}
