//! A farm's block store by itself: people upload in steps and with breaks, jobs are taken in, workers hand results in, jobs are removed,
//! the manager dies; and beside all that one sweep follows the other.
//!
//! The record is the real one, and so is what decides ([`tessera_blobs::Keeping`], [`tessera_blobs::Live`]); the store is a model of the
//! real one in what a sweep sees (`vault`), and sweeps are put together as the manager's keeper does it (`sweep`). Between any two steps of
//! a sweep others act. What must hold stands in `check`.

mod check;
mod people;
mod sweep;
mod vault;
mod workers;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tessera_blobs::{Digest, Keeping};
use tessera_model::{JobId, Term};
use tessera_state::{BlobRoots, State};

use crate::dice::{Concern, Dice};
use crate::queue::Queue;
use crate::violation::Violation;

use people::Upload;
use sweep::Sweeping;
use vault::Vault;

/// As the manager's, but for the round number.
const GRACE: Duration = Duration::from_secs(3600);

/// Something new happens for so long; then what goes on comes to its end.
const BUSY: Duration = Duration::from_secs(20 * 3600);

/// Uploads in a run.
const UPLOADS: usize = 12;

/// What a keeper may forget: each would lose something, and the checks are to find that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Omits {
    /// Nothing: the keeper that ships.
    Nothing,
    /// That an upload goes on, once its first blocks are old.
    Pins,
    /// That what is young belongs to somebody though nobody names it.
    Grace,
    /// That somebody was told of blocks, and has not had them recorded.
    Intakes,
    /// To take the horizon before it reads the record.
    Order,
    /// What a tree's files are made of.
    Files,
    /// What workers rendered.
    Results,
    /// What Blender wrote.
    Logs,
}

/// What a run was like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Kept {
    /// Sweeps that came to their end.
    pub sweeps: u64,
    /// Blocks they took.
    pub taken: u64,
    /// Jobs taken in.
    pub jobs: u64,
    /// Results and failures recorded.
    pub reports: u64,
    /// Starts of the manager.
    pub starts: u32,
}

/// What happens.
#[derive(Debug, Clone)]
enum Event {
    /// A person goes on with an upload.
    Uploads(usize),
    /// A submission reaches the manager of that many starts.
    Submits(usize, u32),
    /// It is recorded.
    Submitted(usize, u32, u64),
    /// A worker has rendered a frame, and sends its files.
    Rendered(JobId, u32),
    /// It reports.
    Reports(workers::Report, u32),
    /// That is recorded.
    Reported(workers::Report, u32, u64),
    /// A person removes a job.
    Removes(JobId),
    /// The manager takes a horizon.
    Horizon(u32),
    /// A sweep begins, if none is under way.
    Sweeps(u32),
    /// It goes on.
    SweepGoesOn(u32),
    /// The manager dies and comes back.
    Restarts,
}

/// All there is.
struct Life<'a> {
    now: Duration,
    queue: Queue<Event>,
    dice: Dice,
    omits: Omits,
    state: &'a State,
    term: Term,
    vault: Vault,
    keeping: Keeping<usize, u32>,
    /// When the manager started: its own clock begins there.
    started_at: Duration,
    starts: u32,
    intakes: BTreeSet<u64>,
    next_intake: u64,
    sweeping: Option<Sweeping<'a>>,
    uploads: Vec<Upload>,
    /// What each recorded job needs.
    jobs: BTreeMap<JobId, BTreeSet<Digest>>,
    next_job: u64,
    /// What workers sent, and the manager has not taken in.
    in_flight: BTreeMap<workers::Report, workers::Sent>,
    kept: Kept,
}

impl<'a> Life<'a> {
    async fn begin(seed: u64, omits: Omits, state: &'a State) -> Result<Self, Violation> {
        let term = state.begin_term().await.map_err(|error| cannot(&error))?;
        let mut dice = Dice::new(seed, Concern::Keeping);
        let uploads = people::uploads(&mut dice, UPLOADS);
        let mut life = Self {
            now: Duration::ZERO,
            queue: Queue::new(),
            dice,
            omits,
            state,
            term,
            vault: Vault::default(),
            keeping: Keeping::new(GRACE),
            started_at: Duration::ZERO,
            starts: 1,
            intakes: BTreeSet::new(),
            next_intake: 0,
            sweeping: None,
            uploads,
            jobs: BTreeMap::new(),
            next_job: 1,
            in_flight: BTreeMap::new(),
            kept: Kept::default(),
        };
        for index in 0..UPLOADS {
            let at = life.within(BUSY / 2);
            life.queue.push(at, Event::Uploads(index));
        }
        for _ in 0..life.dice.below(4) {
            let at = life.within(BUSY);
            life.queue.push(at, Event::Restarts);
        }
        life.start();
        Ok(life)
    }

    /// A moment from now on.
    fn within(&mut self, span: Duration) -> Duration {
        self.now + Duration::from_millis(self.dice.below(span.as_millis() as u64))
    }

    /// The manager's own time.
    fn elapsed(&self) -> Duration {
        self.now - self.started_at
    }

    fn start(&mut self) {
        self.queue.push(self.now, Event::Horizon(self.starts));
        self.queue.push(self.now, Event::Sweeps(self.starts));
    }

    fn restart(&mut self) {
        self.starts += 1;
        self.started_at = self.now;
        self.keeping = Keeping::new(GRACE);
        self.vault.reopen();
        self.intakes.clear();
        self.sweeping = None;
        self.start();
    }

    fn begin_intake(&mut self) -> u64 {
        let number = self.next_intake;
        self.next_intake += 1;
        self.intakes.insert(number);
        number
    }

    async fn happens(&mut self, event: Event) -> Result<(), Violation> {
        match event {
            Event::Uploads(index) => people::goes_on(self, index),
            Event::Submits(index, starts) => people::submits(self, index, starts)?,
            Event::Submitted(index, starts, intake) => {
                people::submitted(self, index, starts, intake).await?;
            }
            Event::Rendered(job, position) => workers::rendered(self, job, position),
            Event::Reports(report, starts) => workers::reports(self, report, starts)?,
            Event::Reported(report, starts, intake) => {
                workers::reported(self, report, starts, intake).await?;
            }
            Event::Removes(job) => people::removes(self, job).await?,
            Event::Horizon(starts) if starts == self.starts => sweep::horizon(self),
            Event::Sweeps(starts) if starts == self.starts => sweep::begins(self),
            Event::SweepGoesOn(starts) if starts == self.starts => sweep::goes_on(self).await?,
            Event::Horizon(_) | Event::Sweeps(_) | Event::SweepGoesOn(_) => {}
            Event::Restarts => self.restart(),
        }
        Ok(())
    }
}

fn cannot(error: &dyn std::error::Error) -> Violation {
    Violation::new("what happens can be recorded", error.to_string())
}

/// Runs a store's life.
///
/// # Errors
/// What did not hold.
///
/// # Panics
/// If this process can not have an empty record in memory.
pub fn keep(seed: u64, omits: Omits) -> Result<Kept, Violation> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a thread can have a runtime");
    runtime.block_on(async {
        let state = State::open_in_memory()
            .await
            .expect("memory can hold an empty record");
        let mut life = Life::begin(seed, omits, &state).await?;
        // When nothing new happens any more, time enough for whatever is kept for a while to become old.
        let end = BUSY + 12 * GRACE;
        while let Some((at, event)) = life.queue.pop() {
            if at > end {
                break;
            }
            life.now = at;
            life.happens(event).await?;
        }
        check::finished(&life)?;
        life.kept.starts = life.starts;
        Ok(life.kept)
    })
}

/// The walk over the record, as far as it is.
type Walk<'a> = BlobRoots<'a>;
