//! What `tessera … --json` prints: one object a line, each with `v` and `type`.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use tessera_model::{
    Build, FarmSettings, FrameError, JobId, JobState, ResultTimings, Role, UserName, WorkerId,
};

use crate::api::{
    CertificateInfo, CreatedToken, FrameStatus, JobDetail, JobSummary, Journal, Pairing, TokenInfo,
    WorkerStatus,
};
use crate::event::Event;
use crate::link::LogStream;
use crate::notify::{ReceiverInfo, TestReport};
use crate::store::{Collected, StoreReport};
use crate::why::Why;

/// Version of these lines.
pub const LINE_VERSION: u32 = 1;

/// What a worker's finished frames took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerTimes {
    /// Whose.
    pub worker: WorkerId,
    /// How many.
    pub frames: u32,
    /// The sums of all.
    pub timings: ResultTimings,
}

impl WorkerTimes {
    /// Of a worker, without any frames yet.
    #[must_use]
    pub fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            frames: 0,
            timings: ResultTimings::default(),
        }
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// [`LINE_VERSION`].
    pub v: u32,
    /// What happened.
    #[serde(flatten)]
    pub what: LineKind,
}

impl Line {
    /// A line of the present version.
    #[must_use]
    pub fn new(what: LineKind) -> Self {
        Self {
            v: LINE_VERSION,
            what,
        }
    }
}

/// Sorts of lines.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum LineKind {
    /// Where it will render.
    Farm {
        /// Its name; "this computer" for a private one.
        name: String,
        /// Address of the manager.
        address: String,
        /// Whether it was started for this command alone.
        private: bool,
    },
    /// Reading the file.
    Packing {
        /// The .blend.
        file: PathBuf,
    },
    /// The file's contents are known.
    Packed {
        /// Files found.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// A file that a .blend needs, or the .blend.
    Needed {
        /// Where it lies.
        path: PathBuf,
        /// What it is: `blend`, `library`, `image`, …
        kind: String,
        /// Its size; none if it is not there.
        bytes: Option<u64>,
        /// Who needs it, for people.
        used_by: Vec<String>,
        /// The frames that need it; none if it is needed whatever frame is rendered.
        frames: Option<String>,
        /// Whether it should be there and is not.
        missing: bool,
    },
    /// All that a .blend needs.
    Closure {
        /// Files that are there.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// Files that are missing.
        missing: u64,
    },
    /// A folder or an archive with all that a .blend needs.
    Bundled {
        /// Where.
        path: PathBuf,
        /// The .blend in it.
        main: PathBuf,
        /// Files in it.
        files: u64,
        /// Their bytes.
        bytes: u64,
        /// .blend files that were saved anew.
        saved_anew: Vec<PathBuf>,
        /// Files that are inside of .blend files now.
        inside: u64,
    },
    /// Sending.
    Sending {
        /// Bytes sent so far, as they are on the wire: compressed, questions included. Not to be compared with the total.
        sent_bytes: u64,
        /// Bytes of answers so far: what the farm lacks.
        #[serde(default)]
        received_bytes: u64,
        /// Bytes of blocks sent so far, before compression. A cut takes back those that did not arrive.
        #[serde(default)]
        done_bytes: u64,
        /// Bytes of blocks to send in all, before compression, as far as known: it grows while it is found out what is lacking.
        total_bytes: u64,
    },
    /// Something that the user should know and that does not stop the work.
    Warning {
        /// What.
        message: String,
    },
    /// The job is in.
    Submitted {
        /// Its number.
        job: JobId,
        /// Frames to render.
        frames: u32,
        /// Frames that are there from an earlier run.
        present: u32,
        /// The Blender it is pinned to.
        build: Option<Build>,
    },
    /// A frame has begun.
    Started {
        /// The frame.
        frame: i32,
        /// Who renders it.
        worker: WorkerId,
    },
    /// A frame's files lie in the output folder.
    Frame {
        /// The frame.
        frame: i32,
        /// Its files.
        files: Vec<PathBuf>,
        /// Who rendered it.
        worker: WorkerId,
        /// Rendering time in seconds.
        seconds: f64,
    },
    /// A preview of a frame lies in a folder.
    Preview {
        /// The frame.
        frame: i32,
        /// A picture that a screen shows.
        file: PathBuf,
        /// Whether the frame is finished; if not, the picture holds what is there of it.
        finished: bool,
    },
    /// A file holds what is there of a frame that is rendered in parts.
    SoFar {
        /// The frame.
        frame: i32,
        /// EXR with all passes; what is not rendered yet is black. The next one takes its place.
        file: PathBuf,
    },
    /// A frame failed once.
    FrameFailed {
        /// The frame.
        frame: i32,
        /// Where.
        worker: WorkerId,
        /// What happened.
        message: String,
        /// Whether it will not be tried again.
        given_up: bool,
    },
    /// How far it is.
    Progress {
        /// Frames in the output folder.
        done: u32,
        /// Frames asked for.
        frames: u32,
        /// Given up.
        failed: u32,
        /// Of frames that are divided among workers, parts done.
        #[serde(default)]
        parts_done: u32,
        /// All parts of such frames.
        #[serde(default)]
        parts: u32,
        /// Seconds left, once they can be told.
        seconds_left: Option<f64>,
    },
    /// The end.
    Finished {
        /// The job.
        job: JobId,
        /// How it ended.
        state: JobState,
        /// Frames in the output folder.
        done: u32,
        /// Given up.
        failed: u32,
        /// Wall-clock seconds of the command.
        seconds: f64,
    },
    /// The manager cannot be reached; the command waits for it.
    Outage {
        /// What happened.
        message: String,
    },
    /// It is back.
    Back {
        /// Seconds it was away.
        seconds: f64,
    },
    /// A job, in a list or after it was changed.
    Job {
        /// How it is.
        job: Box<JobSummary>,
    },
    /// All about a job.
    JobDetail {
        /// How it is.
        job: Box<JobDetail>,
        /// Frames that failed, newest first.
        errors: Vec<FrameError>,
        /// Frames that are being rendered or were given up.
        frames: Vec<FrameStatus>,
        /// What the record says of deliveries.
        journal: Journal,
    },
    /// What the finished frames of a job took. Of divided frames that is what putting them together took.
    JobTimes {
        /// Which.
        job: JobId,
        /// Each worker that rendered some.
        workers: Vec<WorkerTimes>,
        /// Attempts that failed; what they took is not counted.
        failures: u64,
    },
    /// Why nothing (more) of a job is being rendered.
    JobWhy {
        /// Which.
        job: JobId,
        /// Why.
        why: Why,
    },
    /// A job is gone.
    JobRemoved {
        /// Which.
        job: JobId,
    },
    /// A worker, in a list or after it was changed.
    Worker {
        /// How it is.
        worker: Box<WorkerStatus>,
    },
    /// Why a worker has nothing (more) to do.
    WorkerWhy {
        /// Which.
        worker: WorkerId,
        /// Why.
        why: Why,
    },
    /// A worker is gone for good.
    WorkerRemoved {
        /// Which.
        worker: WorkerId,
    },
    /// A farm, known or found on the network.
    KnownFarm {
        /// Its name: as this user knows it, else as it says.
        name: String,
        /// Fingerprint of the certificate that its managers are believed by.
        fingerprint: String,
        /// Addresses (`https://HOST:PORT`) of its managers.
        addresses: Vec<String>,
        /// Whether this user is connected to it.
        connected: bool,
        /// Whether it announces itself on the network now.
        announced: bool,
    },
    /// An access token in a list.
    Token {
        /// All but its secret.
        token: TokenInfo,
    },
    /// A new access token.
    NewToken {
        /// With its secret.
        token: CreatedToken,
    },
    /// A worker's certificate in a list.
    Certificate {
        /// What is known of it.
        certificate: CertificateInfo,
    },
    /// A token (by id) or certificate (by serial) was voided.
    Revoked {
        /// Which.
        id: String,
    },
    /// A receiver of notifications in a list, or as it was set.
    Receiver {
        /// All but its secret.
        receiver: Box<ReceiverInfo>,
    },
    /// A receiver of notifications was removed.
    ReceiverRemoved {
        /// Its name.
        name: String,
    },
    /// A receiver of notifications was sent a test.
    ReceiverTested {
        /// Its name.
        name: String,
        /// How it went.
        report: TestReport,
    },
    /// A new pairing code.
    Pairing {
        /// The code and the links that hold it.
        pairing: Pairing,
    },
    /// This user is now a client of a farm.
    Connected {
        /// The farm.
        farm: String,
        /// As whom.
        user: UserName,
        /// With which role.
        role: Role,
    },
    /// A manager is up.
    Manager {
        /// The farm.
        farm: String,
        /// Its addresses, best first.
        urls: Vec<String>,
        /// A code for workers, with its links.
        pairing: Pairing,
    },
    /// How the worker of this command stands.
    WorkerState {
        /// Its name.
        name: String,
        /// The farm's name.
        farm: String,
        /// Its number, once it is known.
        worker: Option<WorkerId>,
        /// Whether its link is open.
        linked: bool,
        /// Frames being rendered.
        rendering: Vec<i32>,
        /// Frames done since it was started.
        done: u64,
        /// Frames failed since it was started.
        failed: u64,
        /// The same for people.
        message: String,
    },
    /// The web page can be opened.
    Web {
        /// Where, once, in this user's browser.
        url: String,
    },
    /// Something that happened on the farm.
    Event {
        /// What.
        event: Box<Event>,
    },
    /// A part of what Blender wrote. Bytes that are not UTF-8 are replaced: without `--json` they come as they are.
    Log {
        /// The frame.
        frame: i32,
        /// Where Blender wrote it.
        stream: LogStream,
        /// What it wrote.
        text: String,
    },
    /// One thing that was checked.
    Check {
        /// What.
        name: String,
        /// Whether it is as it should be; none if it is neither good nor bad.
        good: Option<bool>,
        /// What was found.
        found: String,
        /// What to do about it; empty if nothing.
        advice: String,
    },
    /// The settings of the farm.
    FarmSettings {
        /// All of them.
        settings: Box<FarmSettings>,
    },
    /// Files with parts of a frame were merged.
    Merged {
        /// The frame's file.
        output: String,
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Channels of all passes.
        channels: usize,
        /// Tiles that it was made of.
        tiles: usize,
        /// Samples of the pixel with the fewest; 0 if a tile is missing.
        samples_min: u64,
        /// Samples of the pixel with the most.
        samples_max: u64,
    },
    /// What uses the space of the farm's block store.
    Store {
        /// All of it.
        report: Box<StoreReport>,
    },
    /// Space was given back.
    Collected {
        /// How much.
        answer: Collected,
    },
    /// A setting.
    Setting {
        /// Its key in the settings file.
        key: String,
        /// Its environment variable.
        variable: String,
        /// Its value; none if it is not set and the program decides.
        value: Option<String>,
        /// Where it came from.
        origin: String,
    },
    /// What stopped the command; the exit status says the sort.
    Error {
        /// What happened, to what, and what to do.
        message: String,
        /// Exit status.
        status: u8,
    },
}
