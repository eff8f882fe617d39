//! What the scheduler knows of a job: bitmaps over its frames, and lists only of what is out of the ordinary.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use tessera_model::{
    Attempt, Chunking, FarmSettings, FetchedMark, FrameBits, Job, JobId, JobState, LeaseKey,
    SplitBy, Step, StepIndex, Timestamp, UnitId, WorkerId,
};

use crate::accounts::AccountId;
use crate::effects::FrameOrder;
use crate::pace::{Cost, Speed};
use crate::pools::NeedId;
use crate::slicing;

/// A job in work.
#[derive(Debug, Clone)]
pub(crate) struct JobEntry {
    pub job: Job,
    pub state: JobState,
    /// Since when it stands so.
    pub since: Timestamp,
    /// The last mark that its results were fetched; counts or not ([`JobEntry::fetched_at`]).
    pub fetched: Option<FetchedMark>,
    pub steps: Vec<StepEntry>,
    /// Workers that get nothing of it.
    pub blocked: BTreeSet<WorkerId>,
    /// Failures on a worker since it last delivered a frame of this job.
    pub trouble: BTreeMap<WorkerId, u32>,
    /// Leases that have not ended.
    pub leases: BTreeSet<LeaseKey>,
    /// Of them, those that lie ready: the worker has not begun them.
    pub lying: BTreeSet<LeaseKey>,
    /// Wanted frames in workers' hands: those that the first lease of each unit has not reported yet.
    pub leased: u32,
    /// Leases that are being rendered.
    pub rendering: u32,
    /// Jobs that it waits for as a whole and that are not done.
    pub waits_for: BTreeSet<JobId>,

    /// What it asks of workers.
    pub need: NeedId,
    /// Its category, its user, its resources.
    pub accounts: Vec<AccountId>,
    /// Its place in the line, while it is active.
    pub rank: Option<u32>,
    /// Slots that may come to render it.
    pub places: u32,
    /// Thousandths of slots that work for it, a slot counted by the parts of what is in its worker's hands.
    pub held_milli: u64,
    /// Used part of the farm, halved at every sample, in billionths.
    pub usage: u64,
    /// Slot time it has used since the last sample, in microseconds.
    pub used_us: u64,
    /// Thousandths of slots that are its own by its priority.
    pub target_milli: u64,
    /// Thousandths of slots that it got less than its part so far, summed over samples, within bounds.
    pub credit_milli: i64,
    /// Frames ever handed out, as far as it matters for going first.
    pub dispatched: u32,
    /// Since when it has had work and got no worker.
    pub waiting_since: Duration,
    /// Whether a timer watches that wait.
    pub watched: bool,
    /// That wait was too long, or what it got in the end came back as it was.
    pub starved: bool,
    /// Somebody was asked to make room for its first frames.
    pub room_asked: bool,
    /// What lay ready of it beyond its part was asked back.
    pub trimmed: bool,
    /// What its frames take.
    pub cost: Cost,
    /// Workers that have its scene open.
    pub loaded_at: BTreeSet<WorkerId>,
}

/// The frames of a step.
#[derive(Debug, Clone)]
pub(crate) struct StepEntry {
    /// Its layout in units.
    pub chunking: Chunking,
    /// Delivered positions.
    pub done: FrameBits,
    /// Given-up positions.
    pub given_up: FrameBits,
    /// Units that cannot be handed out now: in somebody's hands, over, backing off, or waiting for another frame.
    pub taken: FrameBits,
    /// No unit before this is free.
    pub first_free: u32,
    /// Failures of positions since the last retry.
    pub failures: BTreeMap<u32, Failures>,
    /// Highest attempt of units handed out and not closed.
    pub attempts: BTreeMap<u32, Attempt>,
    /// Of these, the positions of units that were cut as they were handed out, where they are more than one.
    pub cuts: BTreeMap<u32, u32>,
    /// Positions of a frame, where frames are divided.
    pub places: Option<u32>,
    /// How often a position was lost together with its worker while it was being rendered.
    pub lost: BTreeMap<u32, u32>,
    /// Nobody waits for what it makes.
    pub replaced: bool,
}

/// How one frame failed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failures {
    pub count: u32,
    /// Not to be handed out before this.
    pub not_before: Duration,
    /// Where, as far as known since the manager's start.
    pub workers: BTreeSet<WorkerId>,
}

/// How a step's frames are laid out when the job is taken in.
pub(crate) fn layout(step: &Step, chunk: u32) -> Chunking {
    let frames = step.frames.len();
    match &step.chunking {
        // Frames that depend on their order are one unit, whatever the chunk.
        _ if step.in_order => Chunking::of(frames),
        // A unit is what is cut for a worker.
        _ if step.divided().is_some() => Chunking::of(1),
        Some(chunking) => chunking.clone(),
        None => Chunking::of(chunk.clamp(1, frames)),
    }
}

impl StepEntry {
    /// One of which nothing is there.
    pub(crate) fn fresh(step: &Step, chunk: u32) -> Self {
        let nothing = FrameBits::new(step.positions());
        Self::restored(step, chunk, nothing.clone(), nothing)
    }

    pub(crate) fn restored(step: &Step, chunk: u32, done: FrameBits, given_up: FrameBits) -> Self {
        let chunking = layout(step, chunk);
        let mut entry = Self {
            taken: FrameBits::new(chunking.units(step.positions())),
            chunking,
            done,
            given_up,
            first_free: 0,
            failures: BTreeMap::new(),
            attempts: BTreeMap::new(),
            cuts: BTreeMap::new(),
            places: step.divided().map(|_| step.places()),
            lost: BTreeMap::new(),
            replaced: step.replaced,
        };
        for unit in 0..entry.taken.len() {
            if !entry.is_wanted(unit) {
                entry.take(unit);
            }
        }
        entry
    }

    /// Nothing of it is wanted from now on.
    pub(crate) fn replace(&mut self) {
        self.replaced = true;
        for unit in 0..self.taken.len() {
            self.take(unit);
        }
    }

    /// The unit that position belongs to.
    pub(crate) fn unit_of(&self, position: u32) -> u32 {
        let cut = self.cuts.range(..=position).next_back();
        match cut {
            Some((&unit, &span)) if position - unit < span => unit,
            _ => self.chunking.unit_of(position),
        }
    }

    /// The positions of a unit.
    pub(crate) fn positions(&self, unit: u32) -> Range<u32> {
        match self.cuts.get(&unit) {
            Some(span) => unit..unit + span,
            None => self.chunking.positions(unit, self.done.len()),
        }
    }

    /// Whether a place is handed out with one before it.
    pub(crate) fn is_within_another(&self, place: u32) -> bool {
        self.places.is_some() && self.unit_of(place) != place
    }

    /// What one report of a unit is about: its frame at this position, or all of it where it is a run of places.
    pub(crate) fn covered(&self, unit: u32, position: u32) -> Range<u32> {
        match self.places {
            Some(_) => self.positions(unit),
            None => position..position + 1,
        }
    }

    /// All positions of the frame that one is of.
    pub(crate) fn frame_positions(&self, position: u32) -> Range<u32> {
        let places = self.places.unwrap_or(1);
        let first = position / places * places;
        first..first + places
    }

    /// Positions of a unit that was cut when it was handed out, else 1.
    pub(crate) fn span(&self, unit: u32) -> u32 {
        self.cuts.get(&unit).copied().unwrap_or(1)
    }

    /// A unit that is handed out has so many positions from now on.
    pub(crate) fn cut(&mut self, unit: u32, span: u32) {
        if span > 1 && self.places.is_some() {
            self.cuts.insert(unit, span);
            for at in unit + 1..unit + span {
                self.take(at);
            }
        }
    }

    /// Free places of the frame that `unit` is the first free one of, in a row.
    pub(crate) fn free_run(&self, unit: u32) -> u32 {
        let Some(places) = self.places else {
            return 1;
        };
        let end = (unit / places + 1) * places;
        let free = (unit..end).take_while(|&at| !self.taken.get(at));
        free.count() as u32
    }

    /// Whether a position still wants a result.
    pub(crate) fn wants(&self, position: u32) -> bool {
        !self.replaced && !self.done.get(position) && !self.given_up.get(position)
    }

    /// Positions of a unit that still want a result.
    pub(crate) fn wanted(&self, unit: u32) -> impl Iterator<Item = u32> + '_ {
        self.positions(unit).filter(|&at| self.wants(at))
    }

    /// Whether some frame of a unit still wants a result.
    pub(crate) fn is_wanted(&self, unit: u32) -> bool {
        self.wanted(unit).next().is_some()
    }

    /// Whether every frame of a unit was delivered.
    pub(crate) fn unit_done(&self, unit: u32) -> bool {
        self.has_all(self.positions(unit))
    }

    /// Whether all these positions were delivered.
    pub(crate) fn has_all(&self, positions: Range<u32>) -> bool {
        self.done
            .first_clear(positions.start)
            .is_none_or(|clear| clear >= positions.end)
    }

    /// A unit can be handed out.
    pub(crate) fn free(&mut self, unit: u32) {
        self.taken.clear(unit);
        self.first_free = self.first_free.min(unit);
    }

    /// A unit cannot be handed out.
    pub(crate) fn take(&mut self, unit: u32) {
        self.taken.set(unit);
    }

    /// The first free unit from `from` on.
    pub(crate) fn next_free(&self, from: u32) -> Option<u32> {
        self.taken.first_clear(from.max(self.first_free))
    }

    /// Moves the mark of the first free unit up, so that nobody looks at the full words before it again.
    pub(crate) fn advance(&mut self) {
        let len = self.taken.len();
        self.first_free = self.taken.first_clear(self.first_free).unwrap_or(len);
    }

    /// Units that can be handed out.
    pub(crate) fn free_units(&self) -> u32 {
        self.taken.len() - self.taken.count()
    }

    /// Whether every frame was delivered or given up, or is not wanted.
    pub(crate) fn is_over(&self) -> bool {
        // A position is never in both sets.
        self.replaced || self.done.count() + self.given_up.count() == self.done.len()
    }
}

impl JobEntry {
    pub(crate) fn new(job: Job, need: NeedId, accounts: Vec<AccountId>) -> Self {
        let chunk = job.settings.chunk;
        let steps = job.steps.iter().map(|step| StepEntry::fresh(step, chunk));
        Self {
            steps: steps.collect(),
            since: job.submitted_at,
            job,
            state: JobState::Active,
            fetched: None,
            blocked: BTreeSet::new(),
            trouble: BTreeMap::new(),
            leases: BTreeSet::new(),
            lying: BTreeSet::new(),
            leased: 0,
            rendering: 0,
            waits_for: BTreeSet::new(),
            need,
            accounts,
            rank: None,
            places: 0,
            held_milli: 0,
            usage: 0,
            used_us: 0,
            target_milli: 0,
            credit_milli: 0,
            dispatched: 0,
            waiting_since: Duration::ZERO,
            watched: false,
            starved: false,
            room_asked: false,
            trimmed: false,
            cost: Cost::default(),
            loaded_at: BTreeSet::new(),
        }
    }

    pub(crate) fn category(&self) -> AccountId {
        self.accounts[0]
    }

    pub(crate) fn user(&self) -> AccountId {
        self.accounts[1]
    }

    /// The steps whose units can be handed out, in order: the first that is not over, and those after it that follow it frame by
    /// frame or do not wait for it.
    pub(crate) fn open_steps(&self) -> impl Iterator<Item = StepIndex> + '_ {
        let first = self.steps.iter().position(|step| !step.is_over());
        let first = first.unwrap_or(self.steps.len());
        let follow = move |at: &usize| {
            let step = &self.job.steps[*at];
            *at == first || step.by_frame || step.beside
        };
        (first..self.steps.len())
            .take_while(follow)
            .filter(|&at| !self.steps[at].is_over())
            .map(|at| StepIndex(at as u16))
    }

    /// The first step that is not over, the last one if all are.
    pub(crate) fn first_open(&self) -> usize {
        let open = self.steps.iter().position(|step| !step.is_over());
        open.unwrap_or(self.steps.len() - 1)
    }

    pub(crate) fn has_free_unit(&self) -> bool {
        self.open_steps()
            .any(|at| self.steps[at.0 as usize].free_units() > 0)
    }

    /// Units of the open steps that can be handed out.
    pub(crate) fn free_units(&self) -> u32 {
        self.open_steps()
            .map(|at| self.steps[at.0 as usize].free_units())
            .sum()
    }

    pub(crate) fn step(&self, index: StepIndex) -> Option<&StepEntry> {
        self.steps.get(index.0 as usize)
    }

    pub(crate) fn step_mut(&mut self, index: StepIndex) -> Option<&mut StepEntry> {
        self.steps.get_mut(index.0 as usize)
    }

    pub(crate) fn unit_id(&self, step: StepIndex, index: u32) -> UnitId {
        UnitId {
            job: self.job.id,
            step,
            index,
        }
    }

    /// The leases of one unit.
    pub(crate) fn leases_of(&self, unit: UnitId) -> impl Iterator<Item = LeaseKey> + '_ {
        let key = |attempt| LeaseKey {
            unit,
            attempt: Attempt(attempt),
        };
        self.leases.range(key(0)..=key(u32::MAX)).copied()
    }

    /// Positions, delivered, given up; over all steps that somebody waits for.
    pub(crate) fn counts(&self) -> (u32, u32, u32) {
        self.count(|_| true)
    }

    /// Frames that somebody waits for, delivered, given up; over all steps.
    pub(crate) fn frame_counts(&self) -> (u32, u32, u32) {
        self.count(Step::makes_frames)
    }

    /// The last step that makes frames.
    pub(crate) fn last_frames(&self) -> StepIndex {
        let last = self.job.steps.iter().rposition(Step::makes_frames);
        StepIndex(last.unwrap_or(0) as u16)
    }

    /// Places of divided frames, delivered; over all steps.
    pub(crate) fn place_counts(&self) -> (u32, u32) {
        let (places, done, _) = self.count(Step::makes_parts);
        (places, done)
    }

    fn count(&self, which: impl Fn(&Step) -> bool) -> (u32, u32, u32) {
        let steps = self.steps.iter().zip(&self.job.steps);
        let which = |model: &Step| !model.replaced && which(model);
        steps.filter(|(_, model)| which(model)).fold(
            (0, 0, 0),
            |(frames, done, failed), (step, _)| {
                (
                    frames + step.done.len(),
                    done + step.done.count(),
                    failed + step.given_up.count(),
                )
            },
        )
    }

    /// When all that is delivered by now was fetched; none if some of it was not.
    pub(crate) fn fetched_at(&self) -> Option<Timestamp> {
        let (_, done, _) = self.frame_counts();
        let mark = self.fetched.filter(|mark| mark.frames == done);
        mark.map(|mark| mark.at)
    }

    /// Whether it has been over since before a moment and holds nothing that nobody has fetched.
    pub(crate) fn is_kept_enough(&self, over_before: Timestamp) -> bool {
        let nothing_waits = || self.frame_counts().1 == 0 || self.fetched_at().is_some();
        self.state.is_over() && self.since < over_before && nothing_waits()
    }

    /// The number in Blender of the frame at a position.
    pub(crate) fn frame_at(&self, step: StepIndex, position: u32) -> Option<i32> {
        self.job.steps.get(step.0 as usize)?.frame_at(position)
    }

    /// The frames of a lease. Where order matters every frame is rendered, wanted or not, and none after the last wanted one.
    pub(crate) fn frames_of(&self, step: StepIndex, unit: u32) -> Vec<FrameOrder> {
        let (Some(entry), Some(model)) = (self.step(step), self.job.steps.get(step.0 as usize))
        else {
            return Vec::new();
        };
        let last = entry.wanted(unit).last();
        entry
            .positions(unit)
            .take_while(|&at| Some(at) <= last)
            // A run of places is rendered as one.
            .take(if entry.places.is_some() {
                1
            } else {
                usize::MAX
            })
            .filter_map(|position| {
                let wanted = !entry.done.get(position) && !entry.given_up.get(position);
                let frame = model.frame_at(position)?;
                (wanted || model.in_order).then_some(FrameOrder {
                    position,
                    frame,
                    wanted,
                })
            })
            .collect()
    }

    /// Thousandths of slots by which it would have more than its part with so many: negative if it would have less.
    pub(crate) fn beyond_milli(&self, held_milli: u64) -> i64 {
        held_milli as i64 - self.target_milli as i64 - self.credit_milli
    }

    /// Microseconds that one of its units takes at average speed, if that was ever measured.
    pub(crate) fn unit_us(&self) -> Option<u64> {
        let step = &self.steps[self.first_open()];
        let frame_us = self.cost.frame_us?;
        Some(match step.places {
            // Cut as it is handed out, never for much longer than this.
            Some(_) => frame_us.min(slicing::LONGEST_US),
            None => frame_us.saturating_mul(step.positions(0).len() as u64),
        })
    }

    /// Microseconds that so many positions of a step are expected to take on a worker of this speed.
    pub(crate) fn expect_us(&self, step: StepIndex, positions: u32, speed: Speed) -> Option<u64> {
        let beside = match self.is_by_samples(step) {
            true => self.cost.expect_range_us(speed),
            false => 0,
        };
        let whole = self.cost.expect_us(positions, speed)?;
        Some(whole / self.places_of_all(step) + beside)
    }

    /// Places of a step that a whole frame comes to: more than it has where others were rendered before, by another step.
    pub(crate) fn places_of_all(&self, step: StepIndex) -> u64 {
        let Some(model) = self.job.steps.get(step.0 as usize) else {
            return 1;
        };
        let places = u64::from(model.places());
        let last = self.job.steps.iter().rev().find_map(Step::divided);
        let (Some(split), Some(last)) = (model.divided(), last) else {
            return places;
        };
        let part = |all: u32, places: u32| {
            (u64::from(places) * u64::from(all) / u64::from(split.ranged().max(1))).max(1)
        };
        match (split.by, split.noise, split.grows_to) {
            (SplitBy::Samples, ..) => part(last.samples, model.places()),
            (_, Some(_), Some(most)) => part(most, split.tile_count()),
            _ => places,
        }
    }

    /// Whether the frames of a step are divided by their samples.
    fn is_by_samples(&self, step: StepIndex) -> bool {
        let model = self.job.steps.get(step.0 as usize);
        let split = model.and_then(Step::divided);
        split.is_some_and(|split| split.by == SplitBy::Samples)
    }

    /// Whether its units take longer than what may lie ready in numbers; so does what was never measured.
    pub(crate) fn is_long(&self, settings: &FarmSettings) -> bool {
        self.unit_us()
            .is_none_or(|unit| unit / 1000 > settings.long_unit_ms)
    }
}
