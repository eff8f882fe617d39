//! A sweep, step by step, as the manager's keeper takes them; others act between any two.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_blobs::{BlobRef, Digest, Holder, Live};
use tessera_state::{BlobRoot, RootKind};

use super::{BUSY, Event, GRACE, Life, Omits, Walk, cannot, check};
use crate::violation::Violation;

/// Who holds what does not matter here.
const ALL: Holder = Holder(0);

/// How far a sweep is.
pub(super) struct Sweeping<'a> {
    /// A horizon, by the manager's clock, and who was in between when it was taken.
    taken: Option<(Duration, u32, BTreeSet<u64>)>,
    /// By which it is swept, once that is known.
    horizon: Option<u32>,
    walk: Option<Walk<'a>>,
    live: Live,
}

/// The manager takes one now and then, besides those that sweeps take.
pub(super) fn horizon(life: &mut Life<'_>) {
    // Only while nobody is in between: a sweep's own waits for them.
    if life.intakes.is_empty() || life.omits == Omits::Intakes {
        let (now, horizon) = (life.elapsed(), life.vault.horizon());
        life.keeping.add_horizon(now, horizon);
    }
    let next = life.now + life.keeping.horizon_every();
    life.queue.push(next, Event::Horizon(life.starts));
}

pub(super) fn begins(life: &mut Life<'_>) {
    if life.sweeping.is_none() {
        let (now, horizon) = (life.elapsed(), life.vault.horizon());
        let walk = (life.omits == Omits::Order).then(|| life.state.blob_roots());
        life.sweeping = Some(Sweeping {
            taken: Some((now, horizon, life.intakes.clone())),
            horizon: None,
            walk,
            live: Live::new(),
        });
        life.queue.push(life.now, Event::SweepGoesOn(life.starts));
    }
    let every = if life.now < BUSY { GRACE / 5 } else { GRACE };
    let next = life.within(every) + Duration::from_secs(1);
    life.queue.push(next, Event::Sweeps(life.starts));
}

pub(super) async fn goes_on(life: &mut Life<'_>) -> Result<(), Violation> {
    let Some(mut sweeping) = life.sweeping.take() else {
        return Ok(());
    };
    let later = life.within(Duration::from_secs(120));
    if let Some((at, horizon, before)) = sweeping.taken.take() {
        if life.omits != Omits::Intakes && !before.is_disjoint(&life.intakes) {
            sweeping.taken = Some((at, horizon, before));
            life.sweeping = Some(sweeping);
            life.queue.push(later, Event::SweepGoesOn(life.starts));
            return Ok(());
        }
        life.keeping.add_horizon(at, horizon);
        let Some(sweep) = life.keeping.sweep(life.elapsed()) else {
            return Ok(());
        };
        let young = matches!(life.omits, Omits::Grace | Omits::Order);
        sweeping.horizon = Some(if young { horizon } else { sweep.horizon });
        if life.omits != Omits::Pins {
            for root in &sweep.pinned {
                hold_tree(life, &mut sweeping.live, root);
            }
        }
        sweeping.walk.get_or_insert_with(|| life.state.blob_roots());
    } else if let Some(mut walk) = sweeping.walk.take() {
        let batch = walk.next_batch().await.map_err(|error| cannot(&error))?;
        if let Some(roots) = batch {
            for root in &roots {
                hold(life, &mut sweeping.live, root);
            }
            sweeping.walk = Some(walk);
        }
    } else {
        let horizon = sweeping.horizon.expect("it was chosen before the walk");
        life.kept.taken += life.vault.sweep(horizon, &sweeping.live) as u64;
        life.kept.sweeps += 1;
        return check::nothing_is_lost(life);
    }
    life.sweeping = Some(sweeping);
    life.queue.push(later, Event::SweepGoesOn(life.starts));
    Ok(())
}

fn hold_tree(life: &Life<'_>, live: &mut Live, root: &BlobRef) {
    let source = |digest: &Digest| life.vault.read(digest);
    let held = match life.omits {
        Omits::Files => live.hold(ALL, root, source),
        _ => live.hold_tree(ALL, root, source),
    };
    held.expect("memory can be read");
}

fn hold(life: &Life<'_>, live: &mut Live, root: &BlobRoot) {
    let blob = BlobRef {
        digest: Digest::from_bytes(root.blob.digest),
        size: root.blob.size,
        depth: root.blob.depth,
    };
    match (root.kind, life.omits) {
        (RootKind::Manifest, _) => hold_tree(life, live, &blob),
        (RootKind::Result, Omits::Results) | (RootKind::Log, Omits::Logs) => {}
        (RootKind::Result | RootKind::Log, _) => {
            let source = |digest: &Digest| life.vault.read(digest);
            live.hold(ALL, &blob, source).expect("memory can be read");
        }
    }
}
