//! The command line as typed, before anything is decided.
//!
//! These structures know how an option is spelled, what it is for and how its value is read, and
//! nothing else: no environment, no file, no default that could also come from there. [`Settings`]
//! puts flags, `TESSERA_*` variables and `tessera.toml` together; commands see only the result.
//!
//! [`Settings`]: crate::settings::Settings

mod admin;
mod farm;
mod job;
mod merge;
mod needs;
mod notify;
mod pack;
mod settings;
mod store;

pub(crate) use admin::{
    CertCommand, CertCreateFlags, NoteFlags, TokenCommand, TokenCreateFlags, WorkerAdminCommand,
};
pub(crate) use farm::{ManagerFlags, WorkerFlags};
pub(crate) use job::{
    EditFlags, FetchFlags, JobCommand, JobSelection, LogsFlags, RenderFlags, SamplesWanted,
    SceneFlags, SubmitFlags,
};
pub(crate) use merge::MergeFlags;
pub(crate) use needs::{Cores, NeedFlags, OrNone, OrderFlags, Os, given_names, jobs, new_names};
pub(crate) use notify::{NotifyCommand, ReceiverFlags, WayFlags};
pub(crate) use pack::PackFlags;
pub(crate) use settings::{SettingsChange, SettingsFlags};
pub(crate) use store::{StoreAction, StoreFlags};

use std::num::NonZeroU32;

use clap::{Args, Parser, Subcommand};
use serde::de::DeserializeOwned;
use tessera_model::{JobId, UserName, WorkerMode};
use tessera_wire::query::StateFilter;

use crate::settings::SettingFlags;

/// What `tessera --help` ends with.
const EXAMPLES: &str = "\
Examples:
  tessera render scene.blend                    render the file's frames here, or on the farm if there is one
  tessera render scene.blend -f 1..24 -o out    24 frames into the folder out
  tessera manager                               start a farm on this machine
  tessera worker --join CODE                    let this machine render for it
  tessera connect CODE                          let this user send jobs to it
  tessera doctor                                check this machine and say what to do

Settings come from flags, then TESSERA_* variables, then tessera.toml; `tessera config` shows each with its origin.
Exit status: 0 done, 1 the job failed, 2 usage, 3 cannot reach or not allowed, 130 interrupted.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "tessera",
    version,
    about = "A network renderer for Blender: press render, and every machine on the network helps."
)]
#[command(after_help = EXAMPLES, max_term_width = 110)]
#[command(
    infer_long_args = false,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
pub(crate) struct Flags {
    /// What applies everywhere.
    #[command(flatten)]
    pub(crate) global: GlobalFlags,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct GlobalFlags {
    /// Print one JSON object per line on standard output, for programs
    #[arg(long, global = true, display_order = 902)]
    pub(crate) json: bool,
    /// Say more on standard error; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count, display_order = 903)]
    pub(crate) verbose: u8,
}

/// Which farm a command speaks to.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct FarmFlags {
    /// Address of the farm's manager, as https://HOST:PORT; without it the connected farm, else one that runs on this machine
    #[arg(long, value_name = "URL", display_order = 900)]
    pub(crate) manager: Option<String>,
    /// Name of the farm, if this user is connected to several
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "manager",
        display_order = 901
    )]
    pub(crate) farm: Option<String>,
}

/// Commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Render a .blend file and leave its frames in a folder
    Render(Box<RenderFlags>),
    /// Start a farm's manager on this machine
    Manager(ManagerFlags),
    /// Let this machine render for a farm
    Worker(WorkerFlags),
    /// Make this user a client of a farm
    Connect(ConnectFlags),
    /// List the farms on this network, and those this user is connected to
    Farms,
    /// Open the farm's web page in a browser, logged in
    Web(WebFlags),
    /// Send a job and print its number; frames stay on the farm until fetched
    Submit(Box<SubmitFlags>),
    /// Show every file that a .blend needs, or put all of them into a folder or an archive
    Pack(PackFlags),
    /// Bring the finished frames of a job into a folder
    Fetch(FetchFlags),
    /// List jobs, newest first
    Jobs(JobsFlags),
    /// Show or change jobs
    #[command(subcommand)]
    Job(JobCommand),
    /// List workers, or show some of them
    Workers(WorkersFlags),
    /// Change what workers are given
    #[command(subcommand)]
    WorkerAdmin(WorkerAdminCommand),
    /// Show and change the settings of the farm: shares, limits, times
    Settings(SettingsFlags),
    /// What uses the space at the manager, and giving back what nobody needs
    Store(StoreFlags),
    /// Who may use the farm: list, create and revoke access tokens
    #[command(subcommand)]
    Token(TokenCommand),
    /// Who is told of what happens: webhooks, mail, Discord, Slack, Matrix
    #[command(subcommand)]
    Notify(NotifyCommand),
    /// Which machines may render: list and revoke worker certificates, create codes to join with
    #[command(subcommand)]
    Cert(CertCommand),
    /// Follow a job, or the whole farm, as it happens
    Watch(WatchFlags),
    /// Print what Blender wrote while it rendered, byte for byte
    Logs(LogsFlags),
    /// Put one frame together from EXR files with tiles or ranges of its samples
    Merge(MergeFlags),
    /// Check this machine and its farm, and say what to do
    Doctor(FarmFlags),
    /// Print every setting and where it came from
    Config,
}

/// Options of `connect`.
#[derive(Debug, Args)]
#[command(after_help = "\
The manager's admin makes the code:  tessera token create --user ANNA --role artist --code
Where discovery by multicast does not reach, use the whole link (https://HOST:PORT/#CODE) in place of the code.")]
pub(crate) struct ConnectFlags {
    /// The pairing code, or the link that holds it
    #[arg(value_name = "CODE|URL")]
    pub(crate) code: String,
    /// Address of the manager, if only the code is given and it cannot be discovered
    #[arg(long, value_name = "URL")]
    pub(crate) manager: Option<String>,
    /// What to call the farm here; its own name if not given
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
}

/// Options of `web`.
#[derive(Debug, Args)]
pub(crate) struct WebFlags {
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
    /// Print the address only, open no browser
    #[arg(long)]
    pub(crate) no_browser: bool,
}

/// Options of `jobs`. Of several filters all have to fit.
#[derive(Debug, Args)]
pub(crate) struct JobsFlags {
    /// Only those that are: active (waiting or rendering), waiting, rendering, paused, over (cancelled, done or failed), cancelled, done, failed
    #[arg(long, value_parser = word::<StateFilter>)]
    pub(crate) state: Option<StateFilter>,
    /// Only those of this user
    #[arg(long, value_name = "USER")]
    pub(crate) owner: Option<UserName>,
    /// Only those of this category
    #[arg(long)]
    pub(crate) category: Option<String>,
    /// Only those with this tag
    #[arg(long)]
    pub(crate) tag: Option<String>,
    /// Only those whose name holds this text, in whatever case
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// Options of `workers`.
#[derive(Debug, Args)]
pub(crate) struct WorkersFlags {
    /// Show all that is known of these, by number or name, in place of the list
    #[arg(value_name = "WORKER", conflicts_with_all = ["why", "stats", "mode", "linked", "search"])]
    pub(crate) workers: Vec<String>,
    /// Say of each why it has nothing, or not more, to do
    #[arg(long)]
    pub(crate) why: bool,
    /// Show how each one's machine is: processors, memory, disk, GPUs of NVIDIA
    #[arg(long, conflicts_with = "why")]
    pub(crate) stats: bool,
    /// Only those to which this may be given: active, paused, draining, blocked
    #[arg(long, value_parser = word::<WorkerMode>)]
    pub(crate) mode: Option<WorkerMode>,
    /// Only those that are there (true) or away (false)
    #[arg(long, value_name = "TRUE|FALSE", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) linked: Option<bool>,
    /// Only those whose name holds this text, in whatever case
    #[arg(long, value_name = "TEXT")]
    pub(crate) search: Option<String>,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// Options of `watch`.
#[derive(Debug, Args)]
pub(crate) struct WatchFlags {
    /// The job; the whole farm if none is given
    pub(crate) job: Option<JobId>,
    /// Show on this desktop when a job is over, and the first frame of each that is given up
    #[arg(long)]
    pub(crate) notify: bool,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

impl Flags {
    /// The flags that settings can also come from.
    pub(crate) fn setting_flags(&self) -> SettingFlags<'_> {
        let mut flags = SettingFlags {
            log: match self.global.verbose {
                0 => None,
                1 => Some("info"),
                _ => Some("debug"),
            },
            ..SettingFlags::default()
        };
        match &self.command {
            Command::Render(render) => flags.scene = Some(&render.scene),
            Command::Submit(submit) => flags.scene = Some(&submit.scene),
            Command::Manager(manager) => flags.manager = Some(manager),
            Command::Fetch(fetch) => flags.bandwidth = fetch.bandwidth,
            Command::Worker(worker) => {
                flags.bandwidth = worker.bandwidth;
                flags.worker = Some(worker);
                flags.manager_address = worker.manager.as_deref();
                flags.blender = &worker.blender;
            }
            Command::Connect(connect) => flags.manager_address = connect.manager.as_deref(),
            Command::Pack(pack) => {
                flags.blender = &pack.blender;
                flags.map_path = &pack.map_path;
            }
            _ => {}
        }
        if let Some(scene) = flags.scene {
            flags.blender = &scene.blender;
            flags.bandwidth = scene.bandwidth;
            flags.map_path = &scene.map_path;
        }
        if let Some(farm) = self.command.farm() {
            flags.manager_address = farm.manager.as_deref();
            flags.farm = farm.farm.as_deref();
        }
        flags
    }
}

impl Command {
    /// Which farm it was told to speak to, if it speaks to one.
    fn farm(&self) -> Option<&FarmFlags> {
        match self {
            Self::Render(render) => Some(&render.farm),
            Self::Submit(submit) => Some(&submit.farm),
            Self::Fetch(fetch) => Some(&fetch.farm),
            Self::Doctor(farm) => Some(farm),
            Self::Jobs(jobs) => Some(&jobs.farm),
            Self::Workers(workers) => Some(&workers.farm),
            Self::Settings(settings) => Some(settings.farm()),
            Self::Store(store) => Some(store.farm()),
            Self::Job(job) => Some(job.farm()),
            Self::WorkerAdmin(admin) => Some(admin.farm()),
            Self::Token(token) => Some(token.farm()),
            Self::Notify(notify) => Some(notify.farm()),
            Self::Cert(cert) => Some(cert.farm()),
            Self::Web(web) => Some(&web.farm),
            Self::Watch(watch) => Some(&watch.farm),
            Self::Logs(logs) => Some(&logs.farm),
            Self::Manager(_)
            | Self::Worker(_)
            | Self::Connect(_)
            | Self::Farms
            | Self::Pack(_)
            | Self::Merge(_)
            | Self::Config => None,
        }
    }
}

/// Reads a word of the wire: what else it may be is said by its type.
fn word<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(text.into()).map_err(|error| error.to_string())
}

/// Reads a number of things of which none would make no sense.
fn at_least_one(text: &str) -> Result<NonZeroU32, String> {
    match text.trim().parse::<u64>().map(u32::try_from) {
        Ok(Ok(number)) => NonZeroU32::new(number).ok_or_else(|| "it must be at least 1".to_owned()),
        Ok(Err(_)) => Err(format!("it must be at most {}", u32::MAX)),
        Err(_) => Err("it must be a whole number, at least 1".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Flags::command().debug_assert();
    }

    fn check(line: &str, good: bool) {
        let words = std::iter::once("tessera").chain(line.split_whitespace());
        let parsed = Flags::try_parse_from(words);
        assert_eq!(parsed.is_ok(), good, "{line}: {parsed:?}");
    }

    #[test]
    fn numbers_of_things_begin_at_one() {
        for line in [
            "render a --samples 0",
            "render a --priority 0",
            "submit a --chunk 0",
            "submit a --attempts 0",
            "worker --slots 0",
            "worker --threads 0",
            "job edit 1 --priority 0",
            "job edit 1 --attempts 0",
        ] {
            let words = std::iter::once("tessera").chain(line.split_whitespace());
            let said = Flags::try_parse_from(words).unwrap_err().to_string();
            assert!(said.contains("at least 1"), "{line}: {said}");
        }
        let said = Flags::try_parse_from(["tessera", "worker", "--slots", "1025"]).unwrap_err();
        assert!(said.to_string().contains("at most 1024"), "{said}");
        check("worker --slots 1024", true);
        let said = |text| at_least_one(text).unwrap_err();
        assert_eq!(at_least_one("7").map(u32::from), Ok(7));
        assert!(said("-1").contains("at least 1") && said("x").contains("whole number"));
        assert!(said("4294967296").contains("at most 4294967295"));
    }

    #[test]
    fn reads_the_contract() {
        for line in [
            "render a.blend",
            "render a.blend -f 1..24 -o out/####.png --scene S --engine CYCLES --device gpu --samples 4 --exr --detach --json",
            "render a.blend -f -10..-1",
            "manager --listen 127.0.0.1:7373 --listen [::1]:7373 --data d",
            "worker --manager https://h:1 --join X --blender a --blender b --slots 2 --threads 4 --tags a;b --name n --data d",
            "connect CODE",
            "web",
            "submit a.blend --priority 3",
            "render a.blend --reread --pack-textures",
            "pack a.blend",
            "pack a.blend -o a.zip -f 1..3 --allow-missing --pack-textures --blender b",
            "fetch 3 -f 1..2 -o out --wait",
            "fetch 3 -f 1..2 --previews look",
            "jobs",
            "jobs --state over --owner anna --category film --tag gpu --search shot",
            "job show 1",
            "job pause 1 2 3",
            "job remove --all",
            "job edit 1 --priority 3",
            "job edit 1 --chunk 3 --memory none --after 3;4 --after-frames none --preempt --gpu rtx",
            "job edit 1 --preempt=false",
            "job why 1 2",
            "submit a.blend --after 3;4 --after-frames 5 --workers anna;ben --memory 32GB --cores 8 --gpu rtx --gpu-memory 12GB --os linux --blender-version 4.2..5.0 --resources a;b --preempt",
            "render a.blend --memory 16G --resources a",
            "workers --why",
            "settings",
            "settings --json",
            "settings set cap_percent=50 users.ada.slots_max=10",
            "settings unset users.ada cap_percent",
            "workers",
            "workers --mode paused --linked=false --search box",
            "workers --linked --why",
            "token create --user u --expires 30d",
            "worker-admin block 3 --job 4",
            "worker-admin drain 3",
            "token list",
            "token create --user u --role artist --code",
            "token revoke x",
            "cert list",
            "cert create",
            "cert revoke 00",
            "watch",
            "watch 3 --json",
            "watch --notify",
            "notify list",
            "notify add studio --discord --secret-file -",
            "notify change studio --events job_done;worker_lost --jobs of=anna",
            "notify remove studio anna",
            "notify test studio",
            "submit a.blend --notify studio;anna",
            "job edit 1 --notify none",
            "logs 3 -5 --follow",
            "doctor",
            "config",
            "farms",
        ] {
            check(line, true);
        }
        for line in [
            "render",
            "render a.blend -f 5..1",
            "render a.blend --device toaster",
            "render a.blend --samples 0",
            "job pause",
            "jobs --state ready",
            "workers --mode asleep",
            "job show x",
            "token create",
            "worker --slots 0",
            "submit a.blend --after x",
            "submit a.blend --os beos",
            "submit a.blend --memory much",
            "submit a.blend --blender-version new",
            "settings set",
            "settings unset",
            "fetch 3 --previews look --wait",
            "frobnicate",
        ] {
            check(line, false);
        }
    }
}
