//! One lease in this worker's hands.

use std::collections::BTreeMap;
use std::sync::Arc;

use tessera_blobs::Digest;
use tessera_wire::link::{FrameToRender, LeaseOffer};

use super::{PASSED_OVER_MAX, SceneKey};

/// A lease and how far it is.
#[derive(Debug)]
pub(super) struct Held {
    /// None for one of a former run, of which only reports are left.
    pub offer: Option<Arc<LeaseOffer>>,
    /// Counts up with every lease that comes.
    pub arrived: u64,
    pub stage: Stage,
    /// How many of the offer's frames are behind it.
    pub next: usize,
    /// How often one that came later went first.
    pub passed_over: u32,
    /// Frames that ended and whose report the manager has not taken yet, with the bytes of their files.
    pub unsent: BTreeMap<u32, u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// For its files, or for a slot.
    Waiting,
    /// A slot has rendered of it or does, and nobody else will.
    Begun { slot: usize },
    /// Nothing more of it is rendered here; it ends with its last report.
    Ended { finished: bool },
}

impl Held {
    pub fn new(offer: LeaseOffer, arrived: u64) -> Self {
        Self {
            offer: Some(Arc::new(offer)),
            arrived,
            stage: Stage::Waiting,
            next: 0,
            passed_over: 0,
            unsent: BTreeMap::new(),
        }
    }

    /// One of which only reports are left.
    pub fn restored() -> Self {
        Self {
            offer: None,
            arrived: 0,
            stage: Stage::Ended { finished: false },
            next: 0,
            passed_over: 0,
            unsent: BTreeMap::new(),
        }
    }

    /// Whether it begins before all that came after it, whatever scene is open.
    pub fn is_due(&self) -> bool {
        let is_urgent = self.offer.as_ref().is_some_and(|offer| offer.urgent);
        is_urgent || self.passed_over >= PASSED_OVER_MAX
    }

    /// The tree it still needs.
    pub fn needs_tree(&self) -> Option<Digest> {
        match (self.stage, &self.offer) {
            (Stage::Waiting | Stage::Begun { .. }, Some(offer)) => Some(manifest_of(offer)),
            _ => None,
        }
    }

    /// The next frame to render: one that is wanted, or that a wanted one after it depends on.
    pub fn next_frame(&self) -> Option<(usize, FrameToRender)> {
        let offer = self.offer.as_ref()?;
        let ahead = offer.frames.iter().copied().enumerate().skip(self.next);
        if offer.in_order {
            let needed = ahead.clone().any(|(_, frame)| frame.wanted);
            ahead.clone().next().filter(|_| needed)
        } else {
            ahead.clone().find(|(_, frame)| frame.wanted)
        }
    }

    /// Whom a failure of the frame at `index` is reported under.
    pub fn blame(&self, index: usize) -> Option<FrameToRender> {
        let offer = self.offer.as_ref()?;
        offer.frames[index..]
            .iter()
            .copied()
            .find(|frame| frame.wanted)
    }
}

pub(super) fn manifest_of(offer: &LeaseOffer) -> Digest {
    Digest::from_bytes(offer.manifest.digest)
}

pub(super) fn scene_of(offer: &LeaseOffer) -> SceneKey {
    SceneKey {
        manifest: manifest_of(offer),
        main_file: offer.main_file.clone(),
        autoexec: offer.overrides.autoexec,
    }
}

/// Whether the scene is opened anew for the offer's frame at `index`: frames that depend on their order begin in one where nothing
/// has happened.
pub(super) fn is_afresh(offer: &LeaseOffer, index: usize) -> bool {
    offer.in_order && index == 0
}
