//! Options of `notify`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use tessera_model::{MailTls, NoticeEvent, WhoseJobs};

use super::needs::OrNone;
use super::{FarmFlags, word};

/// `tessera notify …`.
#[derive(Debug, Subcommand)]
pub(crate) enum NotifyCommand {
    /// List who is told of what, and how it goes with each
    List(FarmFlags),
    /// Have somebody told: by webhook, mail, Discord, Slack or Matrix
    #[command(after_help = EXAMPLES)]
    Add(ReceiverFlags),
    /// Change what is named of a receiver; the rest stays
    Change(ReceiverFlags),
    /// Remove receivers, with all that waits for them
    Remove {
        /// Their names, as `tessera notify list` shows them
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        #[command(flatten)]
        farm: FarmFlags,
    },
    /// Send a test message now, and show what is answered
    Test {
        /// Whom to
        name: String,
        #[command(flatten)]
        farm: FarmFlags,
    },
}

const EXAMPLES: &str = "\
Examples:
  tessera notify add studio --discord --secret-file url.txt
  tessera notify add anna --email anna@example.org --jobs of=anna --server smtp.example.org --tls starttls \\
      --user farm --from farm@example.org --secret-file password.txt
  tessera notify add pipeline --webhook https://example.org/hook --secret-file key.txt --events job_done;job_failed
  tessera notify add room --matrix https://matrix.org --room '!abc:matrix.org' --secret-file token.txt
  tessera notify test studio

A secret is the address of the webhook (Discord, Slack), a password (mail), an access token (Matrix), or the key that a webhook's
messages are signed with. It is never shown again.";

impl NotifyCommand {
    pub(super) fn farm(&self) -> &FarmFlags {
        match self {
            Self::List(farm) | Self::Remove { farm, .. } | Self::Test { farm, .. } => farm,
            Self::Add(flags) | Self::Change(flags) => &flags.farm,
        }
    }
}

/// Options of `notify add` and `notify change`.
#[derive(Debug, Args)]
pub(crate) struct ReceiverFlags {
    /// What to call it; jobs can name it (`tessera submit --notify NAME`)
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) way: WayFlags,
    /// Of what: job_done, job_failed, first_error, frame_given_up, worker_blocked, worker_lost, store_full; several with ';'
    #[arg(long, value_name = "A;B", value_delimiter = ';', value_parser = word::<NoticeEvent>)]
    pub(crate) events: Option<Vec<NoticeEvent>>,
    /// Of whose jobs: all, of=USER, or named (only those that name it)
    #[arg(long, value_name = "WHOSE", value_parser = parse_jobs)]
    pub(crate) jobs: Option<WhoseJobs>,
    /// The secret; other users of this machine may see it while the command runs
    #[arg(long, value_name = "SECRET", conflicts_with = "secret_file")]
    pub(crate) secret: Option<String>,
    /// A file whose first line is the secret; - is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// How somebody is told.
#[derive(Debug, Default, Args)]
pub(crate) struct WayFlags {
    /// By an HTTP POST of JSON to this address
    #[arg(long, value_name = "URL", group = "kind")]
    pub(crate) webhook: Option<String>,
    /// By mail to these addresses; several with ';'
    #[arg(long, value_name = "ADDRESS", value_delimiter = ';', group = "kind")]
    pub(crate) email: Option<Vec<String>>,
    /// In a channel of Discord
    #[arg(long, group = "kind")]
    pub(crate) discord: bool,
    /// In a channel of Slack, or of what takes the same messages
    #[arg(long, group = "kind")]
    pub(crate) slack: bool,
    /// In a room of Matrix, by this homeserver
    #[arg(long, value_name = "URL", group = "kind")]
    pub(crate) matrix: Option<String>,
    /// The room, '!id:server'
    #[arg(long, value_name = "ROOM", help_heading = "Matrix")]
    pub(crate) room: Option<String>,
    /// The mail server; the usual port if none is named
    #[arg(long, value_name = "HOST[:PORT]", help_heading = "Mail")]
    pub(crate) server: Option<String>,
    /// How the connection is kept secret: tls (default), starttls or none
    #[arg(long, help_heading = "Mail", value_parser = word::<MailTls>)]
    pub(crate) tls: Option<MailTls>,
    /// Who logs in there (or none)
    #[arg(long, help_heading = "Mail")]
    pub(crate) user: Option<OrNone<String>>,
    /// Whom mails are from
    #[arg(long, value_name = "ADDRESS", help_heading = "Mail")]
    pub(crate) from: Option<String>,
}

fn parse_jobs(text: &str) -> Result<WhoseJobs, String> {
    match (text, text.split_once('=')) {
        ("all", _) => Ok(WhoseJobs::All),
        ("named", _) => Ok(WhoseJobs::Named),
        (_, Some(("of", user))) => user.parse().map(WhoseJobs::Owner),
        _ => Err("it is all, of=USER or named".to_owned()),
    }
}
