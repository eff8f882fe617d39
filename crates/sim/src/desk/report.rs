//! How frames end, and what is told of them.

use tessera_model::{FrameErrorKind, LeaseKey};

use super::{Act, Busy, Desk, FromWorker, Part, Report, Slot, Stage, Unsent};

impl Desk {
    fn busy(&self, slot: usize, run: u64) -> Option<Busy> {
        self.slots[slot].busy.filter(|busy| busy.run == run)
    }

    /// A slot's Blender begins to render: all is loaded. Nothing if it was stopped meanwhile.
    pub(crate) fn frame_begins(&mut self, slot: usize, run: u64) -> Vec<Act> {
        let Some(busy) = self.busy(slot, run) else {
            return Vec::new();
        };
        let Some(held) = self.leases.get(&busy.key) else {
            return Vec::new();
        };
        let scene = held.offer.as_ref().map(|offer| offer.scene);
        let started = held.next_frame().map(|(_, frame)| frame.position);
        self.slots[slot].scene = scene;
        self.slots[slot].busy = Some(Busy {
            started: true,
            ..busy
        });
        let said = started.map(|position| Act::Say(FromWorker::Started(busy.key, position)));
        said.into_iter().collect()
    }

    /// A slot's frame has ended.
    pub(crate) fn frame_ends(
        &mut self,
        slot: usize,
        run: u64,
        end: Result<(), FrameErrorKind>,
    ) -> Vec<Act> {
        let mut acts = Vec::new();
        let Some(busy) = self.busy(slot, run) else {
            return acts;
        };
        self.slots[slot].busy = None;
        if end.is_err() {
            self.slots[slot] = Slot::default();
        }
        self.note_end(busy.key, end, &mut acts);
        self.go_on(&mut acts);
        acts
    }

    fn note_end(&mut self, key: LeaseKey, end: Result<(), FrameErrorKind>, acts: &mut Vec<Act>) {
        let Some(held) = self.leases.get_mut(&key) else {
            return;
        };
        let Some((index, frame)) = held.next_frame() else {
            return;
        };
        let unsent = |frame, report| Unsent {
            frame,
            report,
            tries: 0,
        };
        match end {
            Ok(()) if frame.wanted => {
                let report = match held.offer.as_ref().map(|offer| offer.part) {
                    Some(Part::Assembled { noisy }) if noisy > 0 => Report::Noisy(noisy),
                    _ => Report::Done,
                };
                held.unsent
                    .insert(frame.position, unsent(frame.frame, report));
                acts.push(Act::Post(key, frame.position));
            }
            Ok(()) => {}
            Err(kind) => {
                let blame = held.blame(index).unwrap_or(frame);
                held.unsent
                    .insert(blame.position, unsent(blame.frame, Report::Failed(kind)));
                acts.push(Act::Post(key, blame.position));
                if held.offer.as_ref().is_some_and(|offer| offer.in_order) {
                    // Those after it depend on it: the farm begins again from the first one.
                    held.stage = Stage::Ended { finished: false };
                }
            }
        }
        held.next = index + 1;
    }

    /// The manager has taken a report, or does not want it.
    pub(crate) fn reported(&mut self, key: LeaseKey, position: u32) -> Vec<Act> {
        let mut acts = Vec::new();
        if let Some(held) = self.leases.get_mut(&key) {
            held.unsent.remove(&position);
        }
        self.go_on(&mut acts);
        acts
    }

    /// Every frame that is left of the leases of a scene fails for one reason.
    pub(super) fn fail_all(&mut self, scene: u64, kind: FrameErrorKind, acts: &mut Vec<Act>) {
        for (key, held) in &mut self.leases {
            let Some(offer) = held.offer.clone().filter(|offer| offer.scene == scene) else {
                continue;
            };
            if held.stage != Stage::Waiting {
                continue;
            }
            for frame in offer.frames.iter().filter(|frame| frame.wanted) {
                let unsent = Unsent {
                    frame: frame.frame,
                    report: Report::Failed(kind),
                    tries: 0,
                };
                held.unsent.insert(frame.position, unsent);
                acts.push(Act::Post(*key, frame.position));
            }
            held.next = offer.frames.len();
            held.stage = Stage::Ended { finished: true };
        }
    }
}
