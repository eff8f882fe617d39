//! No sweep of the block store takes what somebody needs; and one that could is found.

use tessera_sim::{Kept, Omits, keep};

/// Lives of a store that every test of the whole looks at.
const SEEDS: u64 = 200;

#[test]
fn no_sweep_takes_what_a_job_a_result_or_an_upload_needs() {
    let mut all = Kept::default();
    for seed in 0..SEEDS {
        let kept = keep(seed, Omits::Nothing)
            .unwrap_or_else(|violation| panic!("seed {seed}: {violation}"));
        all.sweeps += kept.sweeps;
        all.taken += kept.taken;
        all.jobs += kept.jobs;
        all.reports += kept.reports;
        all.starts += kept.starts;
    }
    // Otherwise it shows nothing.
    assert!(
        all.sweeps > 50 * SEEDS && all.taken > 100 * SEEDS,
        "{all:?}"
    );
    assert!(all.jobs > 5 * SEEDS && all.reports > 10 * SEEDS, "{all:?}");
    assert!(u64::from(all.starts) > 2 * SEEDS, "{all:?}");
}

#[test]
fn a_life_is_the_same_whenever_it_is_run() {
    assert_eq!(keep(7, Omits::Nothing), keep(7, Omits::Nothing));
}

#[test]
fn a_keeper_that_forgets_something_is_found() {
    for omits in [
        Omits::Pins,
        Omits::Grace,
        Omits::Intakes,
        Omits::Order,
        Omits::Files,
        Omits::Results,
        Omits::Logs,
    ] {
        let found = (0..SEEDS).find(|seed| keep(*seed, omits).is_err());
        assert!(
            found.is_some(),
            "a keeper that omits {omits:?} is not found"
        );
    }
}
