//! Decides. Synchronous: the task around it only gathers, commits and sends.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLockWriteGuard};

use tessera_model::{
    CertificateRecord, Change, FarmSettings, FrameError, JobId, LeaseKey, PairingGrant, StepIndex,
    TokenRecord, User, WorkerId,
};
use tessera_scheduler::{Effects, Input, Now, Order, Outcome, Refusal, Scheduler};
use tessera_state::Snapshot;
use tessera_wire::farm_settings::{SettingsPatch, patched};

use super::command::{Command, EngineError, Greeting, Join, Joined, Party, Question, Reply};
use super::restore::restored;
use super::roster::Roster;
use super::sharers::Sharers;
use crate::identity::{Authority, Index, IssuedCertificate, SharedIndex, WorkerRequest};
use crate::links::LinkHandle;
use crate::notify::{Occasion, Witness};

/// Sends an answer, once it is known whether what it says was recorded.
pub(super) type Pending = Box<dyn FnOnce(Result<(), EngineError>) + Send>;

fn pending<T: Send + 'static>(reply: Reply<T>, answer: T) -> Pending {
    // Whoever asked may have gone; what was decided stands all the same.
    Box::new(move |recorded| drop(reply.send(recorded.map(|()| answer))))
}

/// What one command leads to, apart from what is recorded.
#[derive(Default)]
pub(super) struct Step {
    /// A link that gets orders from here on.
    pub(super) link: Option<LinkHandle>,
    /// To send.
    pub(super) orders: Vec<(WorkerId, Order)>,
    /// Leases that a greeting worker is told to drop.
    pub(super) dropped: Option<(WorkerId, Vec<LeaseKey>)>,
    /// To answer.
    pub(super) pending: Option<Pending>,
}

/// What watchers are told of a batch.
#[derive(Default)]
pub(super) struct News {
    pub(super) jobs: BTreeSet<JobId>,
    pub(super) removed_jobs: BTreeSet<JobId>,
    pub(super) workers: BTreeSet<WorkerId>,
    pub(super) started: Vec<(JobId, StepIndex, u32, i32, WorkerId)>,
    pub(super) failures: Vec<(Box<FrameError>, bool)>,
    /// Workers whose links ended without a word.
    pub(super) cut: Vec<WorkerId>,
}

/// All that is decided and waits for one commit.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) changes: Vec<Change>,
    pub(super) steps: Vec<Step>,
    pub(super) news: News,
    /// Asked in between; answered after the commit, so that nobody sees what may not last.
    pub(super) questions: Vec<Question>,
}

/// The state that decisions are made on.
pub(super) struct Core {
    pub(super) scheduler: Scheduler,
    pub(super) roster: Roster,
    pub(super) sharers: Sharers,
    pub(super) witness: Witness,
    index: SharedIndex,
    authority: Arc<Authority>,
    initial: FarmSettings,
}

/// The scheduler by the record. A record that holds no settings, as nobody changed any, has the `initial` ones.
fn restore(mut snapshot: Snapshot, initial: &FarmSettings, now: Now) -> Scheduler {
    let settings = snapshot.farm.take();
    let settings = settings.unwrap_or_else(|| initial.clone());
    Scheduler::restore(settings, now, restored(snapshot))
}

impl Core {
    pub(super) fn new(
        snapshot: Snapshot,
        initial: FarmSettings,
        now: Now,
        index: SharedIndex,
        authority: Arc<Authority>,
    ) -> Self {
        index
            .write()
            .unwrap_or_else(|poison| poison.into_inner())
            .reset(&snapshot);
        Self {
            scheduler: restore(snapshot, &initial, now),
            roster: Roster::default(),
            sharers: Sharers::default(),
            witness: Witness::default(),
            index,
            authority,
            initial,
        }
    }

    /// Back to what is recorded. Links stay in the roster; [`relink`](Self::relink) tells the scheduler of them.
    pub(super) fn rebuild(&mut self, snapshot: Snapshot, now: Now) {
        self.index_mut().reset(&snapshot);
        self.scheduler = restore(snapshot, &self.initial, now);
    }

    /// Every linked worker greets a rebuilt scheduler.
    pub(super) fn relink(&mut self, now: Now, batch: &mut Batch) {
        for (worker, input) in self.roster.greetings() {
            let (mut step, outcome) = self.decide(now, input, batch);
            match outcome {
                Outcome::Linked { drop, .. } => {
                    // They were welcomed long ago, so they are told by a cancel each.
                    step.orders
                        .extend(drop.iter().map(|&key| (worker, Order::Cancel(key))));
                }
                // Not in the record any more: its pairing is undone.
                _ => step.orders.push((worker, Order::Dismiss)),
            }
            batch.steps.push(step);
        }
    }

    /// Takes note of what a worker said even when nothing can be decided on it.
    pub(super) fn hear(&mut self, command: &Command) {
        match command {
            Command::FromLink(worker, link, input) if self.roster.is_current(*worker, *link) => {
                self.roster.heard(*worker, input);
            }
            Command::Unlink(worker, link) if self.roster.is_current(*worker, *link) => {
                self.roster.leave(*worker);
            }
            _ => {}
        }
    }

    /// Decides one command and adds what follows to the batch.
    pub(super) fn apply(&mut self, now: Now, command: Command, batch: &mut Batch) {
        let step = match command {
            Command::Input(input, reply) => {
                let (mut step, outcome) = self.decide(now, input, batch);
                step.pending = Some(pending(reply, outcome));
                step
            }
            Command::FromLink(worker, link, input) => {
                if !self.roster.is_current(worker, link) {
                    return;
                }
                // To the scheduler a sign of life is a wish for work, and a worker that ends has none.
                let is_sign_of_life =
                    matches!(input, Input::Heartbeat { .. } | Input::Facts { .. });
                if is_sign_of_life && self.roster.is_leaving(worker) {
                    return;
                }
                self.roster.heard(worker, &input);
                self.decide(now, input, batch).0
            }
            Command::Link(greeting, reply) => self.link(now, *greeting, reply, batch),
            Command::Unlink(worker, link) => {
                if !self.roster.is_current(worker, link) {
                    return;
                }
                if !self.roster.is_leaving(worker) {
                    batch.news.cut.push(worker);
                }
                self.roster.leave(worker);
                self.decide(now, Input::Unlinked(worker), batch).0
            }
            Command::Join(join, reply) => self.join(now, *join, reply, batch),
            Command::Renew(worker, request, reply) => {
                self.renew(now, worker, *request, reply, batch)
            }
            Command::Settings(patch, reply) => self.change_settings(now, &patch, reply, batch),
            Command::Record(changes, reply) => {
                self.record(changes, batch);
                Step {
                    pending: Some(pending(reply, ())),
                    ..Step::default()
                }
            }
            Command::Read(question) => {
                batch.questions.push(question);
                return;
            }
        };
        batch.steps.push(step);
    }

    /// Nothing but time passed.
    pub(super) fn tick(&mut self, now: Now, batch: &mut Batch) {
        let (step, _) = self.decide(now, Input::Tick, batch);
        batch.steps.push(step);
    }

    /// What of a batch is worth telling, if there is anybody to tell.
    pub(super) fn occasions(&mut self, now: Now, batch: &Batch) -> Vec<Occasion> {
        let index = self.index.read();
        let has_receivers = index.is_ok_and(|index| index.has_receivers());
        if !has_receivers {
            return Vec::new();
        }
        let News { failures, cut, .. } = &batch.news;
        self.witness
            .see(&self.scheduler, now, failures, cut, &batch.changes)
    }

    fn index_mut(&self) -> RwLockWriteGuard<'_, Index> {
        self.index
            .write()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    fn record(&self, changes: Vec<Change>, batch: &mut Batch) {
        let mut index = self.index_mut();
        for change in changes {
            index.apply(&change);
            batch.changes.push(change);
        }
    }

    fn decide(&mut self, now: Now, input: Input, batch: &mut Batch) -> (Step, Outcome) {
        let Effects {
            changes,
            orders,
            outcome,
            jobs,
            removed_jobs,
            workers,
            started,
            failures,
        } = self.scheduler.apply(now, input);
        let mut void = Vec::new();
        for change in &changes {
            // A worker that is gone must not come back by the certificate it still has.
            if let Change::WorkerRemoved(worker) = change {
                let serials = self.index_mut().certificates_of(*worker);
                void.extend(serials.into_iter().map(Change::CertificateRevoked));
            }
        }
        self.record(changes, batch);
        self.record(void, batch);
        let news = &mut batch.news;
        news.jobs.extend(jobs);
        news.removed_jobs.extend(removed_jobs);
        news.workers.extend(workers);
        news.started.extend(started);
        news.failures.extend(failures);
        let step = Step {
            orders,
            ..Step::default()
        };
        (step, outcome)
    }

    fn link(
        &mut self,
        now: Now,
        greeting: Greeting,
        reply: Reply<Outcome>,
        batch: &mut Batch,
    ) -> Step {
        let Greeting { facts, holds, link } = greeting;
        let worker = link.worker;
        let input = Input::Linked {
            worker,
            facts: facts.clone(),
            holds: holds.clone(),
        };
        let (mut step, outcome) = self.decide(now, input, batch);
        if let Outcome::Linked { drop, .. } = &outcome {
            self.roster.enter(worker, link.id, facts, &holds);
            // After a restart nothing else tells who has what.
            for key in holds.iter().filter(|key| !drop.contains(key)) {
                if let Some(job) = self.scheduler.job_ref(key.unit.job) {
                    self.sharers.enter(worker, link.id, &job.manifest);
                }
            }
            step.dropped = Some((worker, drop.clone()));
            step.link = Some(link);
        }
        step.pending = Some(pending(reply, outcome));
        step
    }

    fn change_settings(
        &mut self,
        now: Now,
        patch: &SettingsPatch,
        reply: Reply<Outcome>,
        batch: &mut Batch,
    ) -> Step {
        let (step, outcome) = match patched(self.scheduler.settings(), patch) {
            Ok(settings) => self.decide(now, Input::Settings(Box::new(settings)), batch),
            Err(error) => {
                let refusal = Refusal::Invalid(error.to_string());
                (Step::default(), Outcome::Refused(refusal))
            }
        };
        Step {
            pending: Some(pending(reply, outcome)),
            ..step
        }
    }

    fn join(&mut self, now: Now, join: Join, reply: Reply<Joined>, batch: &mut Batch) -> Step {
        let answer = |step: Step, joined| Step {
            pending: Some(pending(reply, joined)),
            ..step
        };
        let found = self.index_mut().pairing(join.code, now.wall).cloned();
        let Some(pairing) = found else {
            return answer(Step::default(), Joined::WrongCode);
        };
        let (step, joined) = match (join.party, pairing.grant) {
            (Party::Worker { name, request }, PairingGrant::Worker) => {
                self.join_worker(now, name, *request, batch)
            }
            (
                Party::Client {
                    note,
                    token_id,
                    token,
                },
                PairingGrant::Client { user, role },
            ) => {
                let record = TokenRecord {
                    id: token_id,
                    hash: token,
                    user: user.clone(),
                    role,
                    note,
                    created_at: now.wall,
                    expires_at: None,
                };
                self.record(vec![Change::TokenAdded(record)], batch);
                let user = User { name: user, role };
                (Step::default(), Joined::Client { user })
            }
            (_, PairingGrant::Worker) => (
                Step::default(),
                Joined::WrongParty {
                    code_is_for: "a worker",
                },
            ),
            (_, PairingGrant::Client { .. }) => (
                Step::default(),
                Joined::WrongParty {
                    code_is_for: "a client",
                },
            ),
        };
        let used = matches!(joined, Joined::Worker { .. } | Joined::Client { .. });
        if used && pairing.once {
            self.record(vec![Change::PairingRemoved(join.code)], batch);
        }
        answer(step, joined)
    }

    fn join_worker(
        &mut self,
        now: Now,
        name: String,
        request: WorkerRequest,
        batch: &mut Batch,
    ) -> (Step, Joined) {
        let (step, outcome) = self.decide(now, Input::Paired(name), batch);
        let (worker, name) = match outcome {
            Outcome::Paired(worker, name) => (worker, name),
            Outcome::Refused(refusal) => return (step, Joined::Refused(refusal.to_string())),
            other => {
                return (
                    step,
                    Joined::Refused(format!("the scheduler answered {other:?}")),
                );
            }
        };
        match self.issue(now, worker, request, batch) {
            Ok(certificate) => (
                step,
                Joined::Worker {
                    worker,
                    name,
                    certificate,
                },
            ),
            // The worker is taken in all the same, harmless without a certificate: an administrator can remove it.
            Err(error) => (step, Joined::Refused(error.to_string())),
        }
    }

    fn renew(
        &mut self,
        now: Now,
        worker: WorkerId,
        request: WorkerRequest,
        reply: Reply<IssuedCertificate>,
        batch: &mut Batch,
    ) -> Step {
        let pending: Pending = match self.issue(now, worker, request, batch) {
            Ok(certificate) => pending(reply, certificate),
            Err(error) => Box::new(move |recorded| drop(reply.send(recorded.and(Err(error))))),
        };
        Step {
            pending: Some(pending),
            ..Step::default()
        }
    }

    fn issue(
        &mut self,
        now: Now,
        worker: WorkerId,
        request: WorkerRequest,
        batch: &mut Batch,
    ) -> Result<IssuedCertificate, EngineError> {
        let issued = self
            .authority
            .issue_worker(worker, request, now.wall)
            .map_err(|error| EngineError::Signing(error.to_string()))?;
        let record = CertificateRecord {
            serial: issued.serial.clone(),
            worker,
            expires_at: issued.expires_at,
            revoked: false,
        };
        self.record(vec![Change::CertificateIssued(record)], batch);
        Ok(issued)
    }
}
