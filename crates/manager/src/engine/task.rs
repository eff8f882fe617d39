//! Gathers, commits, recovers.

use std::sync::Arc;
use std::time::Duration;

use tessera_model::{FarmSettings, Term};
use tessera_state::{State, WriteError};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::command::{Command, EngineError, EngineHandle, WAITING_MAX};
use super::core::{Batch, Core};
use super::release::release;
use crate::ManagerError;
use crate::clock::Clock;
use crate::events::Events;
use crate::identity::{Authority, SharedIndex};
use crate::links::{Closing, Links};
use crate::metrics::Metrics;
use crate::notify::Notifier;

/// Commands that share one transaction. So many come together only where thousands of workers report at once; then the more
/// share the pages that are written and the one sync, the less each of them costs.
const BATCH_MAX: usize = 1024;

/// After a failed commit nothing is tried for so long: a full disk does not become free in less, and a rebuild costs time.
const RECOVERY_PAUSE: Duration = Duration::from_secs(1);

/// What the engine works with.
pub(crate) struct EngineParts {
    pub(crate) state: Arc<State>,
    pub(crate) term: Term,
    /// While the record holds none.
    pub(crate) settings: FarmSettings,
    pub(crate) clock: Clock,
    pub(crate) index: SharedIndex,
    pub(crate) authority: Arc<Authority>,
    pub(crate) links: Arc<Links>,
    pub(crate) events: Arc<Events>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The engine, not yet running.
pub(crate) struct Engine {
    core: Core,
    commands: mpsc::Receiver<Command>,
    state: Arc<State>,
    term: Term,
    clock: Clock,
    links: Arc<Links>,
    events: Arc<Events>,
    notifier: Arc<Notifier>,
    metrics: Arc<Metrics>,
    trouble: Option<Trouble>,
}

/// The last commit failed.
struct Trouble {
    error: EngineError,
    /// Nothing is tried before.
    until: Instant,
}

impl Engine {
    /// Reads the record.
    pub(crate) async fn new(parts: EngineParts) -> Result<(Self, EngineHandle), ManagerError> {
        let snapshot = parts.state.load().await?;
        let core = Core::new(
            snapshot,
            parts.settings,
            parts.clock.now(),
            parts.index,
            parts.authority,
        );
        let (sender, commands) = mpsc::channel(WAITING_MAX);
        let engine = Self {
            core,
            commands,
            state: parts.state,
            term: parts.term,
            clock: parts.clock,
            links: parts.links,
            events: parts.events,
            notifier: parts.notifier,
            metrics: parts.metrics,
            trouble: None,
        };
        Ok((engine, EngineHandle { commands: sender }))
    }

    /// Runs until `stop`; what waits then is still decided and recorded.
    ///
    /// # Errors
    /// If another manager has taken over, or the record cannot be read any more.
    pub(crate) async fn run(mut self, stop: CancellationToken) -> Result<(), ManagerError> {
        let mut waiting = Vec::with_capacity(BATCH_MAX);
        loop {
            let wake = self.wake();
            tokio::select! {
                taken = self.commands.recv_many(&mut waiting, BATCH_MAX) => {
                    if taken == 0 {
                        return Ok(());
                    }
                }
                () = sleep_until(wake) => {}
                () = stop.cancelled(), if !self.commands.is_closed() => self.commands.close(),
            }
            self.turn(&mut waiting).await?;
        }
    }

    /// When something is due though nobody asks.
    fn wake(&self) -> Option<Instant> {
        if let Some(trouble) = &self.trouble {
            return Some(trouble.until);
        }
        let in_ = self.core.scheduler.next_tick(self.clock.now())?;
        Some(Instant::now() + in_)
    }

    async fn turn(&mut self, waiting: &mut Vec<Command>) -> Result<(), ManagerError> {
        let now = self.clock.now();
        let mut batch = Batch::default();
        if let Some(trouble) = &self.trouble {
            if Instant::now() < trouble.until {
                let error = trouble.error.clone();
                for command in waiting.drain(..) {
                    self.refuse(command, &error);
                }
                return Ok(());
            }
            self.core.relink(now, &mut batch);
        }
        // Asked before each batch: a manager that is never idle must notice a silent worker too.
        if self
            .core
            .scheduler
            .next_tick(now)
            .is_some_and(|due| due.is_zero())
        {
            self.core.tick(now, &mut batch);
        }
        for command in waiting.drain(..) {
            self.core.apply(now, command, &mut batch);
        }
        if !batch.changes.is_empty() {
            let began = Instant::now();
            if let Err(error) = self.state.commit(self.term, &batch.changes).await {
                return self.fail(batch, error).await;
            }
            self.metrics.recorded(&batch.changes, began.elapsed());
        }
        if self.trouble.take().is_some() {
            tracing::info!("the record can be written again");
            self.metrics.set_records(true);
        }
        release(
            &mut self.core,
            batch,
            now,
            &self.links,
            &self.events,
            &self.notifier,
        );
        Ok(())
    }

    /// Nothing of the batch leaves, and the scheduler forgets it.
    async fn fail(&mut self, batch: Batch, cause: WriteError) -> Result<(), ManagerError> {
        if matches!(cause, WriteError::Fenced { .. }) {
            return Err(cause.into());
        }
        let error = match &cause {
            WriteError::DiskFull { .. } => EngineError::DiskFull(cause.to_string()),
            _ => EngineError::NotRecorded(cause.to_string()),
        };
        tracing::error!(changes = batch.changes.len(), "{}", with_sources(&cause));
        self.metrics.set_records(false);
        let snapshot = self.state.load().await?;
        let now = self.clock.now();
        self.core.rebuild(snapshot, now);
        self.trouble = Some(Trouble {
            error: error.clone(),
            until: Instant::now() + RECOVERY_PAUSE,
        });
        for step in batch.steps {
            if let Some(pending) = step.pending {
                pending(Err(error.clone()));
            }
            // A worker that was not let in greets again, and whatever link it had before goes with that.
            if let Some(link) = step.link {
                self.core.roster.leave(link.worker);
                self.links.close(link.worker, Closing::Later);
            }
        }
        for question in batch.questions {
            question(&self.core.scheduler, now);
        }
        Ok(())
    }

    /// Answers without deciding.
    fn refuse(&mut self, command: Command, error: &EngineError) {
        self.core.hear(&command);
        match command {
            Command::Input(_, reply) | Command::Link(_, reply) | Command::Settings(_, reply) => {
                drop(reply.send(Err(error.clone())))
            }
            Command::Join(_, reply) => drop(reply.send(Err(error.clone()))),
            Command::Renew(_, _, reply) => drop(reply.send(Err(error.clone()))),
            Command::Record(_, reply) => drop(reply.send(Err(error.clone()))),
            Command::Read(question) => question(&self.core.scheduler, self.clock.now()),
            Command::FromLink(..) | Command::Unlink(..) => {}
        }
    }
}

async fn sleep_until(wake: Option<Instant>) {
    match wake {
        Some(wake) => tokio::time::sleep_until(wake).await,
        None => std::future::pending().await,
    }
}

fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
