//! What the engine can be asked, and the handle to ask it.

use tessera_model::{Change, SecretHash, WorkerFacts, WorkerId};
use tessera_scheduler::{Input, Now, Outcome, Scheduler};
use tessera_wire::farm_settings::SettingsPatch;
use tokio::sync::{mpsc, oneshot};

use crate::identity::{IssuedCertificate, WorkerRequest};
use crate::links::{LinkHandle, LinkId};

/// Commands that wait for the engine. Who comes when it is full waits: that is the back-pressure on workers and clients.
pub(super) const WAITING_MAX: usize = 4096;

/// Why a command did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum EngineError {
    /// The manager is ending.
    #[error("the manager is stopping")]
    Stopped,
    /// The record's disk is full.
    #[error("the manager's disk is full: {0}")]
    DiskFull(String),
    /// It could not be recorded otherwise.
    #[error("it could not be recorded: {0}")]
    NotRecorded(String),
    /// A certificate could not be signed.
    #[error("{0}")]
    Signing(String),
}

/// Where the answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, EngineError>>;

/// A question about the present state.
pub(super) type Question = Box<dyn FnOnce(&Scheduler, Now) + Send>;

/// A worker's link is open and wants in.
#[derive(Debug)]
pub(crate) struct Greeting {
    pub(crate) facts: WorkerFacts,
    pub(crate) holds: Vec<tessera_model::LeaseKey>,
    pub(crate) link: LinkHandle,
}

/// Someone shows a pairing code.
#[derive(Debug)]
pub(crate) struct Join {
    /// Of the code's secret.
    pub(crate) code: SecretHash,
    /// Whoever joins.
    pub(crate) party: Party,
}

/// Who joins.
#[derive(Debug)]
pub(crate) enum Party {
    /// A machine.
    Worker {
        /// Its wished name.
        name: String,
        /// What its certificate shall be for.
        request: Box<WorkerRequest>,
    },
    /// A person's program.
    Client {
        /// Where.
        note: String,
        /// Name of the token made for it.
        token_id: String,
        /// What its token hashes to.
        token: SecretHash,
    },
}

/// What a code gave.
#[derive(Debug)]
pub(crate) enum Joined {
    /// A worker's identity.
    Worker {
        worker: WorkerId,
        name: String,
        certificate: IssuedCertificate,
    },
    /// A client's.
    Client { user: tessera_model::User },
    /// No such code, or not any more.
    WrongCode,
    /// The code is for a worker and a client came, or the other way round.
    WrongParty {
        /// What it is for.
        code_is_for: &'static str,
    },
    /// It cannot be, and why.
    Refused(String),
}

/// One command.
pub(super) enum Command {
    /// Something happened, or a user wants something.
    Input(Input, Reply<Outcome>),
    /// A worker said something over its link. Nobody waits for an answer.
    FromLink(WorkerId, LinkId, Input),
    /// A worker greets.
    Link(Box<Greeting>, Reply<Outcome>),
    /// A link has ended.
    Unlink(WorkerId, LinkId),
    /// A code is shown.
    Join(Box<Join>, Reply<Joined>),
    /// A worker wants a new certificate.
    Renew(WorkerId, Box<WorkerRequest>, Reply<IssuedCertificate>),
    /// Some settings of the farm are to be others. Worked in by the engine, so that of two changes at once both hold.
    Settings(Box<SettingsPatch>, Reply<Outcome>),
    /// Facts that the scheduler has no part in.
    Record(Vec<Change>, Reply<()>),
    /// A question.
    Read(Question),
}

/// Asks the engine.
#[derive(Clone)]
pub(crate) struct EngineHandle {
    pub(super) commands: mpsc::Sender<Command>,
}

impl EngineHandle {
    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)?
    }

    /// Applies an input and waits until what followed is recorded.
    pub(crate) async fn input(&self, input: Input) -> Result<Outcome, EngineError> {
        self.ask(|reply| Command::Input(input, reply)).await
    }

    /// Hands on what a worker said. Waits for room, not for the record.
    pub(crate) async fn hear(
        &self,
        worker: WorkerId,
        link: LinkId,
        input: Input,
    ) -> Result<(), EngineError> {
        self.commands
            .send(Command::FromLink(worker, link, input))
            .await
            .map_err(|_| EngineError::Stopped)
    }

    /// Lets a worker in: from then on its link gets orders, and a link it had before is closed.
    pub(crate) async fn link(&self, greeting: Greeting) -> Result<Outcome, EngineError> {
        self.ask(|reply| Command::Link(Box::new(greeting), reply))
            .await
    }

    /// Says that a link has ended.
    pub(crate) async fn unlink(&self, worker: WorkerId, link: LinkId) {
        // An engine that has stopped has no use for it.
        let _ = self.commands.send(Command::Unlink(worker, link)).await;
    }

    /// Redeems a pairing code.
    pub(crate) async fn join(&self, join: Join) -> Result<Joined, EngineError> {
        self.ask(|reply| Command::Join(Box::new(join), reply)).await
    }

    /// A new certificate for a worker that has one.
    pub(crate) async fn renew(
        &self,
        worker: WorkerId,
        request: WorkerRequest,
    ) -> Result<IssuedCertificate, EngineError> {
        self.ask(|reply| Command::Renew(worker, Box::new(request), reply))
            .await
    }

    /// Changes settings of the farm.
    pub(crate) async fn change_settings(
        &self,
        patch: SettingsPatch,
    ) -> Result<Outcome, EngineError> {
        self.ask(|reply| Command::Settings(Box::new(patch), reply))
            .await
    }

    /// Records facts and waits until they are.
    pub(crate) async fn record(&self, changes: Vec<Change>) -> Result<(), EngineError> {
        self.ask(|reply| Command::Record(changes, reply)).await
    }

    /// Looks at the state as it is recorded. `question` runs on the engine's task: it copies out and no more.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        question: impl FnOnce(&Scheduler, Now) -> T + Send + 'static,
    ) -> Result<T, EngineError> {
        let (reply, answer) = oneshot::channel();
        let question = move |scheduler: &Scheduler, now: Now| {
            let _ = reply.send(question(scheduler, now));
        };
        self.commands
            .send(Command::Read(Box::new(question)))
            .await
            .map_err(|_| EngineError::Stopped)?;
        answer.await.map_err(|_| EngineError::Stopped)
    }
}
