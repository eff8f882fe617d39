use super::*;
use crate::digest::Digest;
use crate::store::Store;

const HOUR: Duration = Duration::from_secs(3600);

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn root(number: u64) -> BlobRef {
    BlobRef {
        digest: Digest::of(&number.to_le_bytes()),
        size: 8,
        depth: 0,
    }
}

/// Horizons as a store gives them.
fn horizons(count: usize) -> Vec<Horizon> {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path()).unwrap();
    (0..count).map(|_| store.horizon()).collect()
}

#[test]
fn nothing_is_swept_before_the_grace_is_over_and_then_by_the_newest_horizon_that_old() {
    let given = horizons(100);
    let mut keeping = Keeping::<u8, Horizon>::new(HOUR);
    assert_eq!(keeping.sweep(HOUR * 9), None, "no horizon at all");
    for (minute, horizon) in (0..).step_by(5).zip(&given) {
        let now = minutes(minute);
        keeping.add_horizon(now, *horizon);
        let swept = keeping.sweep(now).map(|sweep| sweep.horizon);
        let expected = (minute as usize).checked_sub(60).map(|age| given[age / 5]);
        assert_eq!(swept, expected, "minute {minute}");
        assert!(keeping.horizons.len() <= HORIZONS_PER_GRACE as usize + 1);
    }
}

/// However often somebody asks for a sweep, the horizons stay few and the rule holds.
#[test]
fn horizons_stay_few() {
    let given = horizons(1000);
    let mut keeping = Keeping::<u8, Horizon>::new(HOUR);
    for (second, horizon) in (0..).step_by(10).zip(&given) {
        let now = Duration::from_secs(second);
        keeping.add_horizon(now, *horizon);
        assert!(keeping.horizons.len() <= HORIZONS_PER_GRACE as usize + 2);
        if let Some(sweep) = keeping.sweep(now) {
            let at = given.iter().position(|known| *known == sweep.horizon);
            let age = now - Duration::from_secs(10) * at.unwrap() as u32;
            assert!(age >= HOUR && age <= HOUR + minutes(6), "{age:?}");
        }
    }
}

#[test]
fn without_a_grace_the_newest_horizon_counts() {
    let given = horizons(3);
    let mut keeping = Keeping::<u8, Horizon>::new(Duration::ZERO);
    for horizon in given {
        keeping.add_horizon(HOUR, horizon);
        assert_eq!(
            keeping.sweep(HOUR).map(|sweep| sweep.horizon),
            Some(horizon)
        );
    }
}

#[test]
fn a_tree_is_pinned_as_long_as_its_sender_is_heard_of() {
    let mut keeping = Keeping::new(HOUR);
    keeping.add_horizon(Duration::ZERO, horizons(1)[0]);
    keeping.pin(Duration::ZERO, "ann", root(1));
    keeping.pin(Duration::ZERO, "ann", root(2));
    keeping.pin(Duration::ZERO, "ben", root(3));
    keeping.unpin("ann", root(2));
    for minute in (50..=600).step_by(50) {
        keeping.heard(minutes(minute), &"ann");
    }
    let mut pinned = |minute| keeping.sweep(minutes(minute)).unwrap().pinned;
    assert_eq!(pinned(601), [root(1)]);
    assert_eq!(pinned(659), [root(1)]);
    assert_eq!(pinned(660), []);
}

#[test]
fn pins_are_bounded_and_the_least_recent_goes() {
    let mut keeping = Keeping::new(HOUR);
    keeping.add_horizon(Duration::ZERO, horizons(1)[0]);
    let more = PINS_MAX as u64 + 10;
    for number in 0..more {
        keeping.pin(HOUR + Duration::from_millis(number), 0_u8, root(number));
    }
    let pinned = keeping.sweep(HOUR + minutes(1)).unwrap().pinned;
    assert_eq!(pinned.len(), PINS_MAX);
    assert!(!pinned.contains(&root(9)) && pinned.contains(&root(10)));
}

/// After a restart nobody knows which tree a sender goes on with, until it asks again.
#[test]
fn while_somebody_sends_what_nobody_knows_nothing_is_swept() {
    let mut keeping = Keeping::new(HOUR);
    keeping.add_horizon(Duration::ZERO, horizons(1)[0]);
    keeping.heard(minutes(30), &"ann");
    assert_eq!(keeping.sweep(minutes(70)), None);
    keeping.heard(minutes(80), &"ann");
    assert_eq!(keeping.sweep(minutes(100)), None);
    keeping.pin(minutes(101), "ann", root(1));
    assert_eq!(keeping.sweep(minutes(102)).unwrap().pinned, [root(1)]);
    keeping.heard(minutes(103), &"ben");
    assert_eq!(keeping.sweep(minutes(104)), None);
    assert!(keeping.sweep(minutes(163)).is_some(), "ben is gone");
}
