//! The desk is fed what happens and asked what follows. Every run also checks what must hold after any event.

mod ahead;
mod rest;

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_blobs::Digest;
use tessera_model::{
    Attempt, BlenderVersion, Blob, Build, BuildKind, FrameErrorKind, JobId, LeaseKey, Overrides,
    StepIndex, UnitId, WorkerMode,
};
use tessera_wire::link::{FrameToRender, FromWorker, LeaseOffer};

use super::*;

fn build(minor: u16) -> Build {
    Build {
        version: BlenderVersion {
            major: 3,
            minor,
            patch: 1,
        },
        hash: "h".into(),
        kind: BuildKind::Executable,
    }
}

fn key(unit: u32) -> LeaseKey {
    LeaseKey {
        unit: UnitId {
            job: JobId(1),
            step: StepIndex(0),
            index: unit,
        },
        attempt: Attempt(1),
    }
}

fn tree(scene: u8) -> Digest {
    Digest::from_bytes([scene; 32])
}

fn frames(positions: std::ops::Range<u32>) -> Vec<FrameToRender> {
    let frame = |position| FrameToRender {
        position,
        frame: position as i32 + 1,
        wanted: true,
    };
    positions.map(frame).collect()
}

fn offer(unit: u32, scene: u8, frames: Vec<FrameToRender>) -> LeaseOffer {
    LeaseOffer {
        key: key(unit),
        job_name: "shot".into(),
        manifest: Blob {
            digest: [scene; 32],
            size: 1,
            depth: 0,
        },
        main_file: "a.blend".into(),
        build: build(4),
        overrides: Overrides::default(),
        work: tessera_wire::link::Work::Frames,
        frames,
        in_order: false,
        urgent: false,
        sources: Vec::new(),
    }
}

/// A desk with hands that note what it is told and do nothing by themselves.
struct World {
    desk: Desk,
    /// What each slot was told and has not ended.
    at: Vec<Option<Order>>,
    said: Vec<FromWorker>,
    fetching: Vec<Digest>,
    removed: Vec<Digest>,
    aborted: Vec<Digest>,
    stopped: Vec<usize>,
    failed: Vec<EarlyFailure>,
    /// Every frame begun: (slot, position).
    begun: Vec<(usize, u32)>,
}

impl World {
    fn new(slots: usize) -> Self {
        Self::with_trees(slots, 1 << 40, [])
    }

    fn with_trees(
        slots: usize,
        bytes_max: u64,
        found: impl IntoIterator<Item = (Digest, u64)>,
    ) -> Self {
        let shelf = Shelf::new(bytes_max, found);
        let mut world = Self {
            desk: Desk::new(slots, shelf, vec![build(4), build(6)], None),
            at: vec![None; slots],
            said: Vec::new(),
            fetching: Vec::new(),
            removed: Vec::new(),
            aborted: Vec::new(),
            stopped: Vec::new(),
            failed: Vec::new(),
            begun: Vec::new(),
        };
        for slot in 0..slots {
            world.hear(Input::SlotIdle {
                slot,
                warm: Warm::default(),
            });
        }
        world
    }

    fn hear(&mut self, input: Input) {
        let effects = self.desk.apply(input);
        for (slot, order) in effects.orders {
            assert!(self.at[slot].is_none(), "slot {slot} has work already");
            if let Order::Frame(frame) = &order {
                self.begun.push((slot, frame.frame.position));
            }
            self.at[slot] = Some(order);
        }
        self.said.extend(effects.say);
        let bring = effects
            .fetch
            .iter()
            .map(|fetch| Digest::from_bytes(fetch.manifest.digest));
        for manifest in bring {
            assert!(
                !self.fetching.contains(&manifest),
                "a tree is brought twice"
            );
            self.fetching.push(manifest);
        }
        self.removed.extend(effects.remove_trees);
        self.aborted.extend(effects.abort);
        self.stopped.extend(effects.stop);
        self.failed.extend(effects.fail);
    }

    fn lease(&mut self, offer: LeaseOffer) {
        self.hear(Input::Lease(Box::new(offer)));
    }

    fn brought(&mut self, scene: u8) {
        self.brought_with(scene, 10);
    }

    fn brought_with(&mut self, scene: u8, bytes: u64) {
        self.fetching.retain(|manifest| *manifest != tree(scene));
        self.hear(Input::TreeReady {
            manifest: tree(scene),
            bytes,
            took: Duration::from_secs(3),
        });
    }

    /// A Blender that was started ahead is there.
    fn started(&mut self, slot: usize) {
        let Some(Order::Warm(build)) = self.at[slot].take() else {
            panic!("slot {slot} starts nothing");
        };
        let warm = Warm {
            build: Some(build),
            ..Warm::default()
        };
        self.hear(Input::SlotIdle { slot, warm });
    }

    /// A Blender that was to let go of its memory has.
    fn cooled(&mut self, slot: usize) {
        assert_eq!(self.at[slot].take(), Some(Order::Cool));
        self.hear(Input::SlotIdle {
            slot,
            warm: Warm::default(),
        });
    }

    /// All is loaded for the slot's frame.
    fn start(&mut self, slot: usize, own_tree_bytes: Option<u64>) {
        let order = self.order(slot);
        let warm = Warm {
            build: Some(order.offer.build.clone()),
            scene: Some(order.scene.clone()),
            own_tree_bytes,
        };
        self.hear(Input::FrameStarted { slot, warm });
    }

    fn end(&mut self, slot: usize, end: FrameEnd) -> FrameOrder {
        let Some(Order::Frame(order)) = self.at[slot].take() else {
            panic!("slot {slot} renders nothing");
        };
        let warm = Warm {
            build: Some(order.offer.build.clone()),
            scene: Some(order.scene.clone()),
            own_tree_bytes: None,
        };
        self.hear(Input::FrameEnded { slot, end, warm });
        *order
    }

    /// The slot's frame is rendered, and delivered at once.
    fn render(&mut self, slot: usize) -> FrameOrder {
        let order = self.end(slot, FrameEnd::Rendered { bytes: 5 });
        self.report(order.offer.key, order.frame.position);
        order
    }

    fn report(&mut self, key: LeaseKey, position: u32) {
        self.hear(Input::Reported { key, position });
    }

    /// Has the scene loaded in slot 0.
    fn loaded(scene: u8) -> Self {
        let mut world = Self::new(1);
        world.lease(offer(900, scene, frames(0..1)));
        world.brought(scene);
        world.started(0);
        world.render(0);
        world.said.clear();
        world.begun.clear();
        world
    }

    fn order(&self, slot: usize) -> &FrameOrder {
        match &self.at[slot] {
            Some(Order::Frame(order)) => order,
            other => panic!("slot {slot} has {other:?}"),
        }
    }

    fn returned(&self) -> BTreeSet<u32> {
        let unit = |said: &FromWorker| match said {
            FromWorker::Returned { key } => Some(key.unit.index),
            _ => None,
        };
        self.said.iter().filter_map(unit).collect()
    }

    fn finished(&self) -> BTreeSet<u32> {
        let unit = |said: &FromWorker| match said {
            FromWorker::Finished { key } => Some(key.unit.index),
            _ => None,
        };
        self.said.iter().filter_map(unit).collect()
    }
}

fn set(units: impl IntoIterator<Item = u32>) -> BTreeSet<u32> {
    units.into_iter().collect()
}

#[test]
fn a_lease_from_its_coming_to_its_end() {
    let mut world = World::new(1);
    world.lease(offer(1, 7, frames(0..2)));
    world.lease(offer(1, 7, frames(0..2)));
    assert_eq!(
        world.fetching,
        [tree(7)],
        "once, however often it is offered"
    );
    assert!(
        matches!(&world.at[0], Some(Order::Warm(b)) if *b == build(4)),
        "Blender starts meanwhile"
    );
    world.brought(7);
    assert_eq!(world.desk.waiting(), 1);
    world.started(0);
    assert_eq!(world.order(0).transfer, Duration::from_secs(3));
    world.start(0, None);
    assert_eq!(
        world.said,
        [FromWorker::Started {
            key: key(1),
            position: 0
        }]
    );
    assert_eq!(world.desk.holdings()[0].rendering, Some(0));
    world.end(0, FrameEnd::Rendered { bytes: 5 });
    assert_eq!(
        world.order(0).frame.position,
        1,
        "the next frame is there at once"
    );
    assert_eq!(
        world.order(0).transfer,
        Duration::ZERO,
        "who waited pays, once"
    );
    world.end(0, FrameEnd::Failed);
    assert!(world.finished().is_empty());
    world.report(key(1), 1);
    world.report(key(1), 1);
    assert_eq!(
        world.desk.holds(),
        [key(1)],
        "held until the last report is taken"
    );
    world.report(key(1), 0);
    assert_eq!(world.finished(), set([1]));
    assert!(world.desk.holds().is_empty());
    assert_eq!(world.desk.counts(), (1, 1));
}

#[test]
fn the_loaded_scene_goes_first_but_not_for_ever() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..1)));
    world.lease(offer(2, 8, frames(10..11)));
    world.brought(8);
    for unit in 3..20 {
        world.lease(offer(unit, 7, frames(unit..unit + 1)));
    }
    let mut order = Vec::new();
    while world.at[0].is_some() {
        order.push(world.render(0).offer.key.unit.index);
    }
    let at = order.iter().position(|unit| *unit == 2).unwrap();
    assert_eq!(at as u32, PASSED_OVER_MAX + 1, "{order:?}");
    assert_eq!(order.len(), 19);
}

#[test]
fn what_is_urgent_is_next_whatever_scene_is_loaded() {
    let mut world = World::loaded(7);
    for unit in 1..5 {
        world.lease(offer(unit, 7, frames(unit..unit + 1)));
    }
    world.lease(LeaseOffer {
        urgent: true,
        ..offer(5, 8, frames(10..11))
    });
    world.lease(offer(6, 7, frames(20..21)));
    world.brought(8);
    let mut order = Vec::new();
    while world.at[0].is_some() {
        order.push(world.render(0).offer.key.unit.index);
    }
    assert_eq!(order, [1, 5, 2, 3, 4, 6]);
}

#[test]
fn a_lease_goes_to_the_slot_that_has_its_scene() {
    let mut world = World::new(2);
    world.lease(offer(1, 7, frames(0..1)));
    world.lease(offer(2, 8, frames(0..1)));
    world.brought(7);
    world.brought(8);
    world.started(0);
    world.started(1);
    let first = world.order(0).scene.manifest;
    world.render(0);
    world.render(1);
    let (mine, other) = if first == tree(7) { (7, 8) } else { (8, 7) };
    world.lease(offer(3, other, frames(0..1)));
    world.lease(offer(4, mine, frames(0..1)));
    assert_eq!(world.order(1).offer.key, key(3));
    assert_eq!(world.order(0).offer.key, key(4));
}

#[test]
fn only_as_many_blenders_start_ahead_as_there_is_work() {
    let mut world = World::new(3);
    world.lease(offer(1, 7, frames(0..1)));
    let starting = |world: &World| world.at.iter().filter(|order| order.is_some()).count();
    assert_eq!(starting(&world), 1);
    world.lease(offer(2, 7, frames(1..2)));
    assert_eq!(starting(&world), 2);
    // One that can not be started is not started again and again.
    world.at[0] = None;
    world.hear(Input::SlotIdle {
        slot: 0,
        warm: Warm::default(),
    });
    assert!(world.at[0].is_none());
}

#[test]
fn recall_gives_back_only_what_has_not_begun() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..2)));
    world.lease(offer(2, 7, frames(2..4)));
    world.hear(Input::Recall(key(1)));
    world.hear(Input::Recall(key(2)));
    world.hear(Input::Recall(key(3)));
    assert_eq!(world.returned(), set([2]));
    world.render(0);
    world.render(0);
    assert_eq!(world.finished(), set([1]));
}

#[test]
fn what_is_cancelled_is_stopped_and_forgotten() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..9)));
    world.lease(offer(2, 7, frames(9..10)));
    world.hear(Input::Cancel(vec![key(1), key(5)]));
    assert_eq!(world.stopped, [0]);
    assert_eq!(world.desk.holds(), [key(2)]);
    let order = world.end(0, FrameEnd::Stopped);
    assert_eq!(order.offer.key, key(1));
    assert_eq!(world.order(0).offer.key, key(2));
    assert!(
        world.said.is_empty(),
        "nothing is said of it: {:?}",
        world.said
    );
}

#[test]
fn a_pause_ends_a_lease_after_its_present_frame() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..9)));
    world.lease(offer(2, 7, frames(9..10)));
    world.hear(Input::Mode(WorkerMode::Paused));
    assert_eq!(world.returned(), set([2]));
    world.end(0, FrameEnd::Rendered { bytes: 1 });
    assert_eq!(
        world.returned(),
        set([2]),
        "first its result, then the rest of it"
    );
    world.report(key(1), 0);
    assert_eq!(world.returned(), set([1, 2]));
    world.lease(offer(3, 7, frames(10..11)));
    assert_eq!(world.returned(), set([1, 2, 3]));
    world.hear(Input::Mode(WorkerMode::Active));
    world.lease(offer(4, 7, frames(10..11)));
    assert_eq!(world.order(0).offer.key, key(4));
}

#[test]
fn a_drained_worker_ends_when_the_last_report_is_taken() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..1)));
    world.hear(Input::Mode(WorkerMode::Draining));
    assert!(!world.desk.is_drained());
    world.end(0, FrameEnd::Rendered { bytes: 1 });
    assert!(!world.desk.is_drained());
    world.report(key(1), 0);
    assert!(world.desk.is_drained());
}

#[test]
fn blocked_or_closing_kills_and_gives_back() {
    for input in [Input::Mode(WorkerMode::Blocked), Input::Close] {
        let mut world = World::loaded(7);
        world.lease(offer(1, 7, frames(0..9)));
        world.lease(offer(2, 7, frames(9..10)));
        world.hear(input);
        assert_eq!(world.stopped, [0]);
        assert_eq!(world.returned(), set([2]));
        world.end(0, FrameEnd::Stopped);
        assert_eq!(world.returned(), set([1, 2]));
        assert!(world.at[0].is_none());
    }
}

/// A frame that was done just before the kill is reported, and only then is its lease given back.
#[test]
fn what_was_done_when_the_worker_closed_is_still_reported() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..2)));
    world.hear(Input::Close);
    world.end(0, FrameEnd::Rendered { bytes: 1 });
    assert!(world.returned().is_empty());
    world.report(key(1), 0);
    assert_eq!(world.returned(), set([1]));
}

#[test]
fn frames_in_order_are_rendered_afresh_and_without_gaps() {
    let mut world = World::loaded(7);
    let mut lease = offer(1, 7, frames(0..5));
    lease.in_order = true;
    lease.frames[0].wanted = false;
    lease.frames[2].wanted = false;
    lease.frames[4].wanted = false;
    world.lease(lease.clone());
    assert!(world.order(0).afresh);
    assert_eq!(world.order(0).blame.position, 1);
    world.end(0, FrameEnd::Unwanted);
    assert!(!world.order(0).afresh);
    // A pause does not tear it apart.
    world.hear(Input::Mode(WorkerMode::Paused));
    world.render(0);
    world.end(0, FrameEnd::Unwanted);
    world.render(0);
    assert_eq!(
        world.begun,
        [(0, 0), (0, 1), (0, 2), (0, 3)],
        "the last one is wanted by nobody"
    );
    assert_eq!(world.finished(), set([1]));

    // A failure ends it: what follows would be wrong.
    world.hear(Input::Mode(WorkerMode::Active));
    lease.key.attempt = Attempt(2);
    world.lease(lease);
    world.end(0, FrameEnd::Failed);
    assert!(world.at[0].is_none());
    world.said.clear();
    world.report(
        LeaseKey {
            attempt: Attempt(2),
            ..key(1)
        },
        1,
    );
    assert_eq!(world.returned(), set([1]));
}

#[test]
fn frames_nobody_wants_are_skipped_where_order_does_not_matter() {
    let mut world = World::loaded(7);
    let mut lease = offer(1, 7, frames(0..4));
    lease.frames[0].wanted = false;
    lease.frames[2].wanted = false;
    lease.frames[3].wanted = false;
    world.lease(lease);
    assert_eq!(world.render(0).frame.position, 1);
    assert_eq!(world.finished(), set([1]));
}

#[test]
fn files_that_do_not_come_fail_every_frame_that_needs_them() {
    let mut world = World::new(1);
    world.lease(offer(1, 7, frames(0..2)));
    world.lease(offer(2, 8, frames(0..1)));
    world.fetching.clear();
    world.hear(Input::TreeFailed {
        manifest: tree(7),
        kind: FrameErrorKind::Files,
        message: "gone".into(),
    });
    let failed: Vec<_> = world
        .failed
        .iter()
        .map(|f| (f.key, f.frame.position))
        .collect();
    assert_eq!(failed, [(key(1), 0), (key(1), 1)]);
    world.report(key(1), 0);
    world.report(key(1), 1);
    assert_eq!(world.finished(), set([1]));
    // Asked for again, they are brought again.
    world.lease(offer(3, 7, frames(2..3)));
    assert_eq!(world.fetching, [tree(7)]);
}

#[test]
fn a_build_that_is_gone_fails_its_frames_at_once() {
    let mut world = World::new(1);
    world.hear(Input::Builds(vec![build(6)]));
    world.lease(offer(1, 7, frames(0..1)));
    assert_eq!(world.failed[0].kind, FrameErrorKind::Worker);
    assert!(
        world.failed[0].message.contains("Blender 3.4.1"),
        "{:?}",
        world.failed
    );
    assert!(world.fetching.is_empty());
}

#[test]
fn files_nobody_wants_any_more_are_given_up_and_can_be_wanted_again() {
    let mut world = World::new(1);
    world.lease(offer(1, 7, frames(0..1)));
    world.hear(Input::Cancel(vec![key(1)]));
    assert_eq!(world.aborted, [tree(7)]);
    world.fetching.clear();
    world.lease(offer(2, 7, frames(1..2)));
    assert!(world.fetching.is_empty(), "not while the first is ending");
    world.hear(Input::TreeAborted(tree(7)));
    assert_eq!(world.fetching, [tree(7)]);
    world.brought(7);
    assert_eq!(world.desk.waiting(), 1);
}

#[test]
fn trees_go_when_they_are_too_many_but_never_one_in_use() {
    let mut world = World::with_trees(1, 25, [(tree(1), 10), (tree(2), 10)]);
    world.lease(offer(1, 7, frames(0..1)));
    assert!(world.removed.is_empty());
    world.brought_with(7, 10);
    assert_eq!(world.removed, [tree(1)], "unused longest");
    world.hear(Input::TreeRemoved(tree(1)));
    world.lease(offer(2, 8, frames(0..1)));
    world.brought_with(8, 100);
    assert_eq!(
        world.removed,
        [tree(1), tree(2)],
        "those in use stay, however large"
    );
    // Wanted while it goes: comes again after that.
    world.lease(offer(3, 2, frames(0..1)));
    assert!(!world.fetching.contains(&tree(2)));
    world.hear(Input::TreeRemoved(tree(2)));
    assert!(world.fetching.contains(&tree(2)));
}

#[test]
fn a_full_disk_first_costs_trees_and_then_frames() {
    let full = || Input::TreeFailed {
        manifest: tree(7),
        kind: FrameErrorKind::Disk,
        message: "full".into(),
    };
    let mut world = World::with_trees(1, 1 << 40, [(tree(1), 10)]);
    world.lease(offer(1, 7, frames(0..1)));
    world.fetching.clear();
    world.hear(full());
    assert_eq!(world.removed, [tree(1)]);
    assert!(world.failed.is_empty());
    world.hear(Input::TreeRemoved(tree(1)));
    assert_eq!(world.fetching, [tree(7)]);
    world.fetching.clear();
    world.hear(full());
    assert_eq!(world.failed.len(), 1);
}

#[test]
fn slots_own_trees_count_among_those_there_are() {
    let mut world = World::with_trees(1, 3000, [(tree(1), 1000), (tree(2), 1000)]);
    world.lease(offer(1, 7, frames(0..2)));
    world.brought_with(7, 1000);
    world.started(0);
    assert!(world.removed.is_empty());
    world.start(0, Some(500));
    assert_eq!(world.removed, [tree(1)]);
    world.hear(Input::TreeRemoved(tree(1)));
    world.end(0, FrameEnd::Stopped);
    assert_eq!(world.removed, [tree(1)], "without it there is room");
}

#[test]
fn a_slot_that_goes_on_shows_no_loading() {
    use crate::status::SlotStatus;
    let rendering = |world: &World| matches!(world.desk.slots()[0], SlotStatus::Rendering { .. });
    let mut world = World::loaded(7);
    world.lease(offer(1, 8, frames(0..2)));
    world.brought(8);
    assert!(!rendering(&world), "another scene is loaded first");
    world.start(0, None);
    assert!(rendering(&world));
    world.render(0);
    assert!(rendering(&world), "and goes on at once");
    world.render(0);
    let in_order = |unit| LeaseOffer {
        in_order: true,
        ..offer(unit, 8, frames(0..2))
    };
    world.lease(in_order(2));
    assert!(!rendering(&world), "opened afresh");
    world.start(0, None);
    world.render(0);
    assert!(rendering(&world));
}

#[test]
fn nothing_begins_while_too_much_is_unsent() {
    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..UNSENT_FRAMES_MAX as u32 + 5)));
    world.lease(offer(2, 7, frames(5000..5001)));
    for _ in 0..UNSENT_FRAMES_MAX {
        world.end(0, FrameEnd::Rendered { bytes: 1 });
    }
    assert!(world.at[0].is_none());
    world.report(key(1), 3);
    assert_eq!(world.order(0).offer.key, key(1));

    let mut world = World::loaded(7);
    world.lease(offer(1, 7, frames(0..5)));
    world.end(
        0,
        FrameEnd::Rendered {
            bytes: UNSENT_BYTES_MAX,
        },
    );
    assert!(world.at[0].is_none());
    world.report(key(1), 0);
    assert!(world.at[0].is_some());
}

#[test]
fn reports_of_a_former_run_are_held_until_taken() {
    let mut world = World::new(1);
    world.hear(Input::Restored {
        key: key(1),
        position: 3,
    });
    world.hear(Input::Restored {
        key: key(1),
        position: 4,
    });
    assert_eq!(world.desk.holds(), [key(1)]);
    world.lease(offer(1, 7, frames(0..9)));
    assert!(world.fetching.is_empty());
    world.report(key(1), 3);
    world.report(key(1), 4);
    assert_eq!(world.returned(), set([1]));
}

#[test]
fn a_slot_that_cooled_or_warmed_up_says_so() {
    let mut world = World::loaded(7);
    world.hear(Input::Cooled { slot: 0 });
    world.lease(offer(1, 9, frames(0..1)));
    assert!(matches!(&world.at[0], Some(Order::Warm(_))));
    let desk = Desk::new(1, Shelf::new(0, []), vec![build(6)], Some(build(6)));
    let mut world = World {
        desk,
        ..World::new(1)
    };
    world.at[0] = None;
    world.hear(Input::SlotIdle {
        slot: 0,
        warm: Warm::default(),
    });
    assert!(matches!(&world.at[0], Some(Order::Warm(b)) if *b == build(6)));
}
