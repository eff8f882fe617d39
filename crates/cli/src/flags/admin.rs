//! Options of the commands that say who and what belongs to a farm.

use std::time::Duration;

use clap::{Args, Subcommand};
use tessera_model::{JobId, Role, UserName};

use super::FarmFlags;
use crate::units::parse_duration;

/// Workers named by number or name.
#[derive(Debug, Args)]
pub(crate) struct WorkerSelection {
    /// Numbers or names of the workers
    #[arg(value_name = "WORKER", required = true)]
    pub(crate) workers: Vec<String>,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// The same, for one job or all.
#[derive(Debug, Args)]
pub(crate) struct BlockFlags {
    #[command(flatten)]
    pub(crate) selection: WorkerSelection,
    /// Only for this job
    #[arg(long)]
    pub(crate) job: Option<JobId>,
}

/// A worker and what is to be known of it.
#[derive(Debug, Args)]
pub(crate) struct NoteFlags {
    /// Number or name of the worker
    pub(crate) worker: String,
    /// One line, for whoever looks at the workers; '' takes the note away
    pub(crate) text: String,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// `tessera worker-admin …`.
#[derive(Debug, Subcommand)]
pub(crate) enum WorkerAdminCommand {
    /// Give no new work; frames that render are finished
    Pause(WorkerSelection),
    /// Give work again; also ends a drain
    Resume(WorkerSelection),
    /// Give no new work, and end the worker's program once it is idle
    Drain(WorkerSelection),
    /// Give no work at all and take back what renders
    Block(BlockFlags),
    /// Undo a block
    Unblock(BlockFlags),
    /// Say something about it, to whoever looks
    Note(NoteFlags),
    /// Forget the machine and void its certificate
    Remove(WorkerSelection),
}

impl WorkerAdminCommand {
    pub(super) fn farm(&self) -> &FarmFlags {
        match self {
            Self::Pause(workers)
            | Self::Resume(workers)
            | Self::Drain(workers)
            | Self::Remove(workers) => &workers.farm,
            Self::Block(block) | Self::Unblock(block) => &block.selection.farm,
            Self::Note(note) => &note.farm,
        }
    }
}

/// How long something made here lives.
#[derive(Debug, Args)]
pub(crate) struct Lifetime {
    /// How long it is good for: 30m, 12h, 7d
    #[arg(long = "for", visible_alias = "expires", value_name = "TIME", value_parser = parse_duration)]
    pub(crate) lifetime: Option<Duration>,
}

/// `tessera token …`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// List tokens (their secrets are not kept anywhere)
    List(FarmFlags),
    /// Give a user access: a token for scripts, or with --code a code for `tessera connect`
    Create(TokenCreateFlags),
    /// Void tokens
    Revoke {
        /// Ids, as `tessera token list` shows them
        #[arg(value_name = "TOKEN", required = true)]
        tokens: Vec<String>,
        #[command(flatten)]
        farm: FarmFlags,
    },
}

impl TokenCommand {
    pub(super) fn farm(&self) -> &FarmFlags {
        match self {
            Self::List(farm) | Self::Revoke { farm, .. } => farm,
            Self::Create(create) => &create.farm,
        }
    }
}

/// Options of `token create`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tessera token create --user anna --role artist --code   prints a code; anna runs: tessera connect CODE
  tessera token create --user ci --role artist            prints a token; scripts set TESSERA_TOKEN to it")]
pub(crate) struct TokenCreateFlags {
    /// The user it acts as
    #[arg(long)]
    pub(crate) user: UserName,
    /// viewer (sees), artist (submits, changes own jobs) or admin (everything)
    #[arg(long, default_value = "artist")]
    pub(crate) role: Role,
    /// Make a one-time code for `tessera connect` in place of a token; --for then says how long the code is good, and what it gives stays
    #[arg(long)]
    pub(crate) code: bool,
    /// Where it is used, for the list
    #[arg(long, default_value = "", conflicts_with = "code")]
    pub(crate) note: String,
    #[command(flatten)]
    pub(crate) lifetime: Lifetime,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// `tessera cert …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CertCommand {
    /// List the certificates of workers
    List(FarmFlags),
    /// Make a code for `tessera worker --join`
    Create(CertCreateFlags),
    /// Void certificates; the workers' links are closed at once
    Revoke {
        /// Serial numbers, as `tessera cert list` shows them
        #[arg(value_name = "SERIAL", required = true)]
        serials: Vec<String>,
        #[command(flatten)]
        farm: FarmFlags,
    },
}

impl CertCommand {
    pub(super) fn farm(&self) -> &FarmFlags {
        match self {
            Self::List(farm) | Self::Revoke { farm, .. } => farm,
            Self::Create(create) => &create.farm,
        }
    }
}

/// Options of `cert create`.
#[derive(Debug, Args)]
pub(crate) struct CertCreateFlags {
    /// The code may be used by one machine only
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) lifetime: Lifetime,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}
