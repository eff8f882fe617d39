//! What can go wrong, of the three things one does with a record: open it, write it, read it.

use std::path::PathBuf;

use tessera_model::{JobId, LeaseKey, StepIndex, Term, UnitId, WorkerId};

/// Opening the record failed; nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder or a file in it cannot be made or opened.
    #[error("cannot open '{}': check that it exists and that this user may write to it", path.display())]
    Folder {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Another manager has it.
    #[error(
        "another manager{} uses the folder '{}': stop it, or give this one its own folder with --data",
        process.map(|id| format!(" (process {id})")).unwrap_or_default(), folder.display()
    )]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// The other one's process, where it can be told.
        process: Option<u32>,
    },
    /// A newer program wrote it.
    #[error(
        "the record '{}' has version {found}, this program knows versions up to {known}: use the newer program again",
        file.display()
    )]
    Newer {
        /// The database file.
        file: PathBuf,
        /// Its version.
        found: u32,
        /// The newest one known here.
        known: u32,
    },
    /// A database of something else.
    #[error(
        "'{}' is a database of another program: give the manager its own folder with --data",
        file.display()
    )]
    Foreign {
        /// The database file.
        file: PathBuf,
    },
    /// The file's content makes no sense.
    #[error("the record '{}' is damaged ({what}): {DAMAGED_ADVICE}", file.display())]
    Damaged {
        /// The database file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No room.
    #[error("the disk of '{}' is full: free some space there, then start again", folder.display())]
    DiskFull {
        /// The folder.
        folder: PathBuf,
    },
    /// Anything else.
    #[error("cannot open the record '{}'", file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

pub(crate) const DAMAGED_ADVICE: &str =
    "put back a copy of the folder, or move the file away to begin with an empty record";

/// A write was refused or failed; nothing of it is recorded.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Somebody else leads now.
    #[error(
        "this manager leads term {have}, but term {current} has begun: another manager has taken over, stop this one",
        have = have.0, current = current.0
    )]
    Fenced {
        /// The term of the write.
        have: Term,
        /// The term of the record.
        current: Term,
    },
    /// A frame that is done was accepted again.
    #[error("frame position {position} of job {job}, step {} is recorded as done already", step.0)]
    AlreadyDone {
        /// The job.
        job: JobId,
        /// Its step.
        step: StepIndex,
        /// The frame's position.
        position: u32,
    },
    /// The unit was handed out with a higher attempt since, or this very attempt is in another worker's hands.
    #[error("attempt {} of unit {} was handed out otherwise", key.attempt.0, key.unit)]
    AttemptUsed {
        /// The lease.
        key: LeaseKey,
    },
    /// The job is not there.
    #[error("job {0} is not in the record")]
    NoSuchJob(JobId),
    /// The job has no such step, or the step no such frame.
    #[error("job {job} has no frame position {position} in step {}", step.0)]
    NoSuchFrame {
        /// The job.
        job: JobId,
        /// The step.
        step: StepIndex,
        /// The position.
        position: u32,
    },
    /// The job has fewer steps.
    #[error("job {job} has no step {}", step.0)]
    NoSuchStep {
        /// The job.
        job: JobId,
        /// The step.
        step: StepIndex,
    },
    /// The unit's job or step is not there.
    #[error("unit {0} is of no job and step in the record")]
    NoSuchUnit(UnitId),
    /// The worker is not there.
    #[error("worker {0} is not in the record")]
    NoSuchWorker(WorkerId),
    /// The id was used before.
    #[error("job {0} was recorded before, as another job: ids are never used again")]
    JobReused(JobId),
    /// The id was used before.
    #[error("worker {0} was recorded before and removed: ids are never used again")]
    WorkerReused(WorkerId),
    /// Two workers of one name.
    #[error("a worker named '{0}' is in the record already: give this one another name")]
    WorkerNameTaken(String),
    /// The same token id or certificate serial with other content.
    #[error("the {what} '{id}' is in the record already, with other content")]
    Conflict {
        /// "token", "certificate".
        what: &'static str,
        /// Which.
        id: String,
    },
    /// No room.
    #[error(
        "the disk of '{}' is full: free some space there; nothing was recorded, and the manager can go on once there is room",
        folder.display()
    )]
    DiskFull {
        /// The folder.
        folder: PathBuf,
    },
    /// The file's content makes no sense.
    #[error("the record '{}' is damaged ({what}): {DAMAGED_ADVICE}", file.display())]
    Damaged {
        /// The database file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// Anything else.
    #[error("cannot write the record '{}'", file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}

/// A read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file's content makes no sense.
    #[error("the record '{}' is damaged ({what}): {DAMAGED_ADVICE}", file.display())]
    Damaged {
        /// The database file.
        file: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// No room for what even a read needs.
    #[error("the disk of '{}' is full: free some space there", folder.display())]
    DiskFull {
        /// The folder.
        folder: PathBuf,
    },
    /// Anything else.
    #[error("cannot read the record '{}'", file.display())]
    Database {
        /// The database file.
        file: PathBuf,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
}
