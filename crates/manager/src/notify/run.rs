//! The task: hears of occasions, puts notices in line, has the lines recorded, sends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tessera_model::{Notice, ReceiverRecord, Telling, WorkerId};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::lines::{Lines, Then};
use super::message::{self, Scene};
use super::post::{PostError, Poster};
use super::witness::Occasion;
use crate::clock;
use crate::engine::EngineHandle;
use crate::identity::SharedIndex;

/// Occasions that wait to be put in line: the task waits for nothing but the record, so more than a few are a sign of a full disk.
const OCCASIONS_MAX: usize = 1024;

/// Occasions that are recorded together.
const TOGETHER_MAX: usize = 64;

/// What happened, told by those who must not wait; and tests of receivers.
#[derive(Debug)]
pub(crate) struct Notifier {
    occasions: mpsc::Sender<Occasion>,
    /// Receivers are others.
    changed: Notify,
    poster: Poster,
}

impl Notifier {
    /// With the end at which what is told comes out.
    pub(crate) fn new() -> (Arc<Self>, mpsc::Receiver<Occasion>) {
        let (occasions, told) = mpsc::channel(OCCASIONS_MAX);
        let notifier = Self {
            occasions,
            changed: Notify::new(),
            poster: Poster::default(),
        };
        (Arc::new(notifier), told)
    }

    /// Tells of something, at once or not at all.
    pub(crate) fn tell(&self, occasion: Occasion) {
        if let Err(error) = self.occasions.try_send(occasion) {
            tracing::warn!("a notification is left out: {error}");
        }
    }

    /// Says that receivers were set or removed.
    pub(crate) fn changed(&self) {
        self.changed.notify_one();
    }

    /// Tells a receiver at once, and once.
    pub(crate) async fn post(
        &self,
        record: &ReceiverRecord,
        notice: &Notice,
    ) -> Result<String, PostError> {
        self.poster.post(record, notice).await
    }
}

/// Where the farm's page is, if anybody can reach it: asked for each notice, as a machine may get another address.
pub(crate) type Page = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// What the task works with.
pub(crate) struct Runner {
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) told: mpsc::Receiver<Occasion>,
    pub(crate) engine: EngineHandle,
    pub(crate) index: SharedIndex,
    pub(crate) farm: String,
    pub(crate) page: Page,
    /// Between the first try of a notice and the second.
    pub(crate) retry_after: Duration,
    /// So long a worker may be away before it is lost.
    pub(crate) lost_after: Duration,
}

/// A try that has ended.
struct Tried {
    receiver: String,
    notice: Notice,
    outcome: Result<String, PostError>,
}

impl Runner {
    /// Runs until the manager ends. What waits then is recorded.
    pub(crate) async fn run(mut self, ending: CancellationToken) {
        let mut lines = Lines::new(self.retry_after);
        self.look_at_receivers(&mut lines);
        let mut cut = BTreeMap::<WorkerId, Instant>::new();
        let mut tries = JoinSet::new();
        let mut told = Vec::new();
        loop {
            for (receiver, notice) in lines.take_due(Instant::now()) {
                self.begin(&mut tries, receiver, notice);
            }
            let lost_due = cut.values().min().map(|at| *at + self.lost_after);
            let wake = lost_due.into_iter().chain(lines.next()).min();
            tokio::select! {
                () = ending.cancelled() => return,
                () = self.notifier.changed.notified() => self.look_at_receivers(&mut lines),
                some = self.told.recv_many(&mut told, TOGETHER_MAX) => {
                    if some == 0 {
                        return;
                    }
                    for occasion in told.drain(..) {
                        match occasion {
                            Occasion::Cut(worker) => drop(cut.insert(worker, Instant::now())),
                            other => self.hear(other, &mut lines),
                        }
                    }
                }
                Some(tried) = tries.join_next() => match tried {
                    Ok(tried) => settle(&mut lines, &tried),
                    Err(error) => tracing::error!("a notification's try broke off: {error}"),
                },
                () = sleep_until(wake) => {
                    if lost_due.is_some_and(|due| due <= Instant::now()) {
                        self.look_for_lost(&mut cut, &mut lines).await;
                    }
                }
            }
            self.record(&mut lines).await;
        }
    }

    /// The receivers that are recorded.
    fn receivers(&self) -> Vec<(ReceiverRecord, Telling)> {
        let index = self.index.read();
        index
            .unwrap_or_else(|poison| poison.into_inner())
            .receivers()
    }

    fn look_at_receivers(&self, lines: &mut Lines) {
        let all = self.receivers().into_iter();
        let all = all.map(|(record, telling)| (record.receiver.name, telling));
        lines.keep(all.collect(), Instant::now());
    }

    fn scene(&self) -> Scene<'_> {
        Scene {
            farm: &self.farm,
            at: clock::wall(),
            page: (self.page)(),
        }
    }

    fn hear(&self, occasion: Occasion, lines: &mut Lines) {
        if let Some((notice, named)) = message::notice(&self.scene(), occasion) {
            self.put_in_line(&notice, &named, lines);
        }
    }

    fn put_in_line(&self, notice: &Notice, named: &[String], lines: &mut Lines) {
        for (record, _) in self.receivers() {
            if record.receiver.wants(notice, named) {
                lines.push(&record.receiver.name, notice.clone(), Instant::now());
            }
        }
    }

    /// Of workers that were cut off, those that have been away for long. One that went a little later than the first is among
    /// them, so that what goes together is told together.
    async fn look_for_lost(&self, cut: &mut BTreeMap<WorkerId, Instant>, lines: &mut Lines) {
        let before = Instant::now()
            .checked_sub(self.lost_after / 2)
            .unwrap_or_else(Instant::now);
        let ripe: Vec<WorkerId> = cut
            .iter()
            .filter(|(_, at)| **at <= before)
            .map(|(worker, _)| *worker)
            .collect();
        cut.retain(|worker, _| !ripe.contains(worker));
        let away = self.engine.read(move |scheduler, now| {
            let views = ripe.iter().filter_map(|id| scheduler.worker(now, *id));
            let away = views.filter(|view| !view.linked);
            away.map(|view| view.record.name).collect::<Vec<_>>()
        });
        // If the engine has stopped, so does this.
        let away = away.await.unwrap_or_default();
        if !away.is_empty() {
            let notice = message::lost(&self.scene(), away, self.lost_after);
            self.put_in_line(&notice, &[], lines);
        }
    }

    /// Sends to the receiver as it is now: it may have been set anew since the last try.
    fn begin(&self, tries: &mut JoinSet<Tried>, receiver: String, notice: Notice) {
        let mut receivers = self.receivers().into_iter();
        let record = receivers.find(|(record, _)| record.receiver.name == receiver);
        let notifier = Arc::clone(&self.notifier);
        tries.spawn(async move {
            let outcome = match record {
                Some((record, _)) => notifier.post(&record, &notice).await,
                None => Err(PostError::lasting("the receiver is gone")),
            };
            Tried {
                receiver,
                notice,
                outcome,
            }
        });
    }

    async fn record(&self, lines: &mut Lines) {
        let changes = lines.changes();
        if changes.is_empty() {
            return;
        }
        // They are sent all the same; a restart would not know of them.
        if let Err(error) = self.engine.record(changes).await {
            tracing::warn!("what waits for receivers of notifications is not recorded: {error}");
        }
    }
}

fn settle(lines: &mut Lines, tried: &Tried) {
    let Tried {
        receiver,
        notice,
        outcome,
    } = tried;
    let (now, at) = (Instant::now(), clock::wall());
    let then = lines.settle(receiver, &notice.id, outcome, at, now);
    let reason = outcome.as_ref().err().map_or("", |error| &error.text);
    let title = &notice.title;
    match then {
        Some(Then::Told) => tracing::debug!(receiver, title, "a notification arrived"),
        Some(Then::Again(pause)) => tracing::warn!(
            receiver,
            title,
            reason,
            "a notification did not arrive; it is tried again in {} s",
            pause.as_secs()
        ),
        Some(Then::GivenUp) => tracing::error!(
            receiver,
            title,
            reason,
            "a notification is given up: see `tessera notify list`"
        ),
        None => {}
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}
