//! Options of the commands about jobs.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Subcommand};
use tessera_client::{Divide, PathMap};
use tessera_model::{Device, FrameSet, JobId};

use super::{FarmFlags, NeedFlags, OrderFlags, at_least_one};
use crate::units::Rate;

const RENDER_EXAMPLES: &str = "\
Examples:
  tessera render scene.blend                      the frames and the output folder of the file
  tessera render scene.blend -f 1..24 -o out      into the folder out, named as the file names them
  tessera render scene.blend -f 1..100x10 -o out/preview_####.png --samples 16
  tessera render scene.blend -f 12 --exr -o out   one frame with every pass, as multilayer EXR

Without a farm, this machine renders alone. Interrupted (Ctrl-C) or failed, the same command goes on where it stopped:
frames that are there are not rendered again.";

/// What is rendered and how: shared by `render` and `submit`.
#[derive(Debug, Args)]
pub(crate) struct SceneFlags {
    /// The .blend file
    #[arg(value_name = "FILE.blend")]
    pub(crate) file: PathBuf,
    /// Frames: 1..24, 1,5,9, -10..-1, 1..100x5; the file's own range if not given
    #[arg(short, long, allow_hyphen_values = true)]
    pub(crate) frames: Option<FrameSet>,
    /// Folder, or a pattern as in Blender (out/shot_####.png); the file's own output if not given
    #[arg(short, long, value_name = "PATTERN|DIR")]
    pub(crate) output: Option<String>,
    /// Scene to render; the file's active one if not given
    #[arg(long)]
    pub(crate) scene: Option<String>,
    /// Engine: CYCLES, BLENDER_EEVEE, BLENDER_WORKBENCH or an add-on's; the file's own if not given
    #[arg(long)]
    pub(crate) engine: Option<String>,
    /// What to render on: file (as the file says), cpu, gpu, cuda, optix, hip, oneapi or metal
    #[arg(long, value_parser = parse_device)]
    pub(crate) device: Option<Device>,
    /// Samples per pixel; the file's own if not given
    #[arg(long, value_parser = at_least_one)]
    pub(crate) samples: Option<NonZeroU32>,
    /// Divide frames among workers, where it pays (auto): into tiles, by their samples, not at all (off), or each into so many tiles, 4x3
    #[arg(
        long,
        visible_alias = "tiles",
        value_name = "auto|tiles|samples|XxY|off",
        default_value = "auto",
        value_parser = parse_divide
    )]
    pub(crate) split: Divide,
    /// Give samples, farm-wide, where noise is left, as the file's noise threshold asks: near to what one machine renders with adaptive
    /// sampling, and not the same
    #[arg(long, conflicts_with_all = ["split", "room_for"])]
    pub(crate) elastic: bool,
    /// Of a single frame with --split samples: have a sampling pattern for so many samples, so that they can be added later
    /// (`tessera job edit --samples`)
    #[arg(long, value_name = "SAMPLES", value_parser = at_least_one)]
    pub(crate) room_for: Option<NonZeroU32>,
    /// Write multilayer EXR with every pass, whatever format the file asks for
    #[arg(long)]
    pub(crate) exr: bool,
    /// Let scripts and drivers of the file run (only for files you trust)
    #[arg(long)]
    pub(crate) scripts: bool,
    /// Read every file, also those that have not changed since they were read last
    #[arg(long)]
    pub(crate) reread: bool,
    /// Send textures inside of the .blend files, as Blender packs them; frames come out the same
    #[arg(long)]
    pub(crate) pack_textures: bool,
    /// What to call the job; the file's name if not given
    #[arg(long, help_heading = "Job")]
    pub(crate) name: Option<String>,
    /// Share against other jobs: twice the number, twice the share
    #[arg(long, value_name = "N", help_heading = "Job", value_parser = at_least_one)]
    pub(crate) priority: Option<NonZeroU32>,
    /// Category; the farm is shared evenly between categories first
    #[arg(long, help_heading = "Job")]
    pub(crate) category: Option<String>,
    /// Only workers with all of these tags: a;b (or none)
    #[arg(long, value_delimiter = ';', value_name = "A;B", help_heading = "Job")]
    pub(crate) tags: Option<Vec<String>>,
    /// A note for people
    #[arg(long, help_heading = "Job")]
    pub(crate) comment: Option<String>,
    /// Frames handed to a worker at once
    #[arg(long, value_name = "N", help_heading = "Job", value_parser = at_least_one)]
    pub(crate) chunk: Option<NonZeroU32>,
    /// How often a frame may fail before it is given up
    #[arg(long, value_name = "N", help_heading = "Job", value_parser = at_least_one)]
    pub(crate) attempts: Option<NonZeroU32>,
    /// End frames of jobs of lower priority, if that is what it takes to begin at once
    #[arg(long, help_heading = "Job")]
    pub(crate) preempt: bool,
    /// Receivers of notifications that are told of this job, beside those that are told of all: studio;anna
    #[arg(long, help_heading = "Job", value_delimiter = ';', value_name = "A;B")]
    pub(crate) notify: Vec<String>,
    /// Send every file again, also what the farm says it has; it mends its own copies by them
    #[arg(long)]
    pub(crate) force_upload: bool,
    /// Most that goes over the network, in both directions together: 20MB/s; 0 for no limit
    #[arg(long, value_name = "RATE")]
    pub(crate) bandwidth: Option<Rate>,
    #[command(flatten)]
    pub(crate) order: OrderFlags,
    #[command(flatten)]
    pub(crate) needs: NeedFlags,
    /// Where files lie here that the scene names as another computer does: 'C:\proj=/mnt/proj'; repeatable
    #[arg(long = "map-path", value_name = "FROM=TO")]
    pub(crate) map_path: Vec<PathMap>,
    /// Blender to read the file with (an executable, or a Python that can import bpy); repeatable
    #[arg(long, value_name = "PATH")]
    pub(crate) blender: Vec<PathBuf>,
}

/// Options of `render`.
#[derive(Debug, Args)]
#[command(after_help = RENDER_EXAMPLES)]
pub(crate) struct RenderFlags {
    #[command(flatten)]
    pub(crate) scene: SceneFlags,
    /// Hand the job to the farm and return; bring the frames with `tessera fetch`
    #[arg(long)]
    pub(crate) detach: bool,
    /// Render all frames, also those that an earlier run left
    #[arg(long)]
    pub(crate) again: bool,
    /// Render on this machine alone, even if a farm is connected
    #[arg(long, conflicts_with_all = ["manager", "farm", "detach"])]
    pub(crate) local: bool,
    /// Of a single frame that workers render in parts: put what is there of it into this folder, all passes in one EXR file, again
    /// whenever there is more
    #[arg(long, value_name = "DIR", conflicts_with = "detach")]
    pub(crate) so_far: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// Options of `submit`.
#[derive(Debug, Args)]
pub(crate) struct SubmitFlags {
    #[command(flatten)]
    pub(crate) scene: SceneFlags,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// Options of `fetch`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tessera fetch 12                 what is finished, to where the job was submitted to leave it
  tessera fetch 12 -o out --wait   everything, as it is finished, into the folder out
  tessera fetch 12 --previews look small pictures of what is there, into the folder look")]
pub(crate) struct FetchFlags {
    /// The job
    pub(crate) job: JobId,
    /// Only these frames
    #[arg(short, long, allow_hyphen_values = true)]
    pub(crate) frames: Option<FrameSet>,
    /// Folder, or a pattern as in Blender, to put them into; the job's own if not given
    #[arg(short, long, value_name = "PATTERN|DIR")]
    pub(crate) output: Option<String>,
    /// Stay until the job is over
    #[arg(long)]
    pub(crate) wait: bool,
    /// Bring small pictures (JPEG, 1920 pixels at most) of what is finished, and of frames rendered in parts what is there of them, into
    /// this folder, and not the frames
    #[arg(long, value_name = "DIR", conflicts_with_all = ["output", "wait"])]
    pub(crate) previews: Option<PathBuf>,
    /// Most that goes over the network: 20MB/s; 0 for no limit
    #[arg(long, value_name = "RATE")]
    pub(crate) bandwidth: Option<Rate>,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// Jobs named by number, or all of them.
#[derive(Debug, Args)]
pub(crate) struct JobSelection {
    /// Numbers of the jobs
    #[arg(value_name = "JOB", required_unless_present = "all")]
    pub(crate) jobs: Vec<JobId>,
    /// Every job this applies to (as an artist: your own)
    #[arg(long, conflicts_with = "jobs")]
    pub(crate) all: bool,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// `tessera job …`.
#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// Everything about jobs, their failed frames included
    Show(JobSelection),
    /// What jobs cost in worker-hours, and where the time of their frames went
    Times(JobSelection),
    /// Why jobs are not rendered, or not by more workers, and what it would take
    Why(JobSelection),
    /// Start no new frames; those that render are finished
    Pause(JobSelection),
    /// Go on with paused jobs
    Resume(JobSelection),
    /// End jobs: what renders is stopped, what is done stays
    Cancel(JobSelection),
    /// Remove jobs and their results from the farm
    Remove(JobSelection),
    /// Try failed frames again, and go on with cancelled jobs (with --all: failed frames only)
    Retry(JobSelection),
    /// Change a job's settings while it runs
    Edit(Box<EditFlags>),
}

impl JobCommand {
    pub(super) fn farm(&self) -> &FarmFlags {
        match self {
            Self::Show(jobs)
            | Self::Times(jobs)
            | Self::Why(jobs)
            | Self::Pause(jobs)
            | Self::Resume(jobs)
            | Self::Cancel(jobs)
            | Self::Remove(jobs)
            | Self::Retry(jobs) => &jobs.farm,
            Self::Edit(edit) => &edit.farm,
        }
    }
}

/// Options of `job edit`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tessera job edit 12 --priority 200 --category film
  tessera job edit 12 --memory 64GB --gpu none --tags none
  tessera job edit 12 --after '7;8' --chunk 10
  tessera job edit 12 --samples +256               a still with --split samples, done or not: what is there is kept

`none` takes back what was asked for, of a list all of it. A chunk holds for the frames that were not handed out yet.")]
#[command(override_usage = "tessera job edit <JOB> <CHANGES>...")]
pub(crate) struct EditFlags {
    /// The job
    pub(crate) job: JobId,
    /// What to call it
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Share against other jobs
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) priority: Option<NonZeroU32>,
    /// Category
    #[arg(long)]
    pub(crate) category: Option<String>,
    /// Only workers with all of these tags: a;b (or none)
    #[arg(long, value_delimiter = ';', value_name = "A;B")]
    pub(crate) tags: Option<Vec<String>>,
    /// A note for people
    #[arg(long)]
    pub(crate) comment: Option<String>,
    /// Frames handed to a worker at once
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) chunk: Option<NonZeroU32>,
    /// How often a frame may fail before it is given up
    #[arg(long, value_name = "N", value_parser = at_least_one)]
    pub(crate) attempts: Option<NonZeroU32>,
    /// Whether it may end frames of jobs of lower priority to begin at once
    #[arg(
        long,
        value_name = "true|false",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "true"
    )]
    pub(crate) preempt: Option<bool>,
    /// Receivers of notifications that are told of it: studio;anna (or none)
    #[arg(long, value_delimiter = ';', value_name = "A;B")]
    pub(crate) notify: Option<Vec<String>>,
    /// Samples per pixel of frames that are divided by their samples: so many in all, or +N more; what is rendered is kept
    #[arg(long, value_name = "N|+N", value_parser = parse_samples)]
    pub(crate) samples: Option<SamplesWanted>,
    #[command(flatten)]
    pub(crate) order: OrderFlags,
    #[command(flatten)]
    pub(crate) needs: NeedFlags,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

/// How many samples frames shall have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SamplesWanted {
    /// In all.
    All(u32),
    /// Beside those that they have.
    More(u32),
}

fn parse_samples(text: &str) -> Result<SamplesWanted, String> {
    let (number, wanted): (_, fn(u32) -> SamplesWanted) = match text.strip_prefix('+') {
        Some(number) => (number, SamplesWanted::More),
        None => (text, SamplesWanted::All),
    };
    let number = at_least_one(number)?;
    Ok(wanted(number.into()))
}

/// Options of `logs`.
#[derive(Debug, Args)]
#[command(after_help = "\
Blender's standard output goes to standard output, its standard error to standard error, byte for byte:
  tessera logs 12 7 2> errors.txt > output.txt")]
pub(crate) struct LogsFlags {
    /// The job
    pub(crate) job: JobId,
    /// The frame; every frame that has a log if not given
    #[arg(allow_negative_numbers = true)]
    pub(crate) frame: Option<i32>,
    /// Go on while the frame renders
    #[arg(long)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) farm: FarmFlags,
}

fn parse_divide(text: &str) -> Result<Divide, String> {
    let grid = || {
        let (columns, rows) = text.split_once(['x', 'X'])?;
        let (columns, rows) = (columns.trim().parse().ok()?, rows.trim().parse().ok()?);
        (columns > 0 && rows > 0).then_some(Divide::Grid { columns, rows })
    };
    match text.trim() {
        "auto" => Ok(Divide::Auto),
        "off" => Ok(Divide::Off),
        "tiles" => Ok(Divide::Tiles),
        "samples" => Ok(Divide::Samples),
        _ => grid().ok_or_else(|| {
            "it must be auto, tiles, samples, off, or tiles side by side and one above the other, as 4x3"
                .to_owned()
        }),
    }
}

fn parse_device(text: &str) -> Result<Device, String> {
    match text.to_ascii_lowercase().as_str() {
        "file" => Ok(Device::File),
        "cpu" => Ok(Device::Cpu),
        "gpu" => Ok(Device::Gpu),
        known @ ("cuda" | "optix" | "hip" | "oneapi" | "metal") => {
            Ok(Device::Interface(known.to_owned()))
        }
        _ => Err(format!(
            "'{text}' is not a device: file, cpu, gpu, cuda, optix, hip, oneapi or metal"
        )),
    }
}
