//! Requests and answers of the HTTP API, all JSON, times in milliseconds since 1970 UTC.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tessera_model::{
    Attempt, Blob, Build, FrameSet, JobId, JobSettings, JobState, PairingGrant, Role, Series,
    Slice, Split, Step, StepIndex, Timestamp, UserName, Window, WorkerFacts, WorkerId, WorkerMode,
};

use crate::link::Machine;
use crate::store::StoreLevel;

/// Most entries of one page, whatever is asked for: bounds an answer's size.
pub const PAGE_MAX: u32 = 1000;

/// Most digests of one request: 64 kB of them bounded by what a manager reads at once.
pub const DIGESTS_MAX: usize = 4096;

/// A part of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "PageOf{T}")]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// Where the next page begins, for the query that gave this one; none on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// What anyone may know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// "ok".
    pub status: String,
    /// Version of the program.
    pub version: String,
    /// Newest protocol it speaks.
    pub protocol: u32,
    /// Oldest protocol it speaks.
    pub protocol_oldest: u32,
}

/// A farm at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Farm {
    /// Its name.
    pub name: String,
    /// Addresses (`https://host:port`) of all its managers.
    pub managers: Vec<String>,
    /// Workers whose link is open.
    pub workers: u32,
    /// Of these, busy ones.
    pub busy: u32,
    /// Jobs not over.
    pub jobs: u32,
    /// Who asks, as what.
    pub user: UserName,
    /// The role of the asking token.
    pub role: Role,
    /// The manager's version.
    pub version: String,
    /// How what is stored stands against its quota.
    #[serde(default)]
    pub store: StoreLevel,
    /// How what the asking user's jobs need stands against the quota of each user.
    #[serde(default)]
    pub own_store: StoreLevel,
}

/// Asks to become part of the farm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PairRequest {
    /// Secret part of the pairing code, in hexadecimal.
    pub secret: String,
    /// Protocol of the asking side.
    pub protocol: u32,
    /// For a worker: its wished name and a certificate signing request; for a client none.
    pub worker: Option<PairWorker>,
    /// For a client: where the token will be used (host name).
    #[serde(default)]
    pub note: String,
}

/// The worker's part of a [`PairRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PairWorker {
    /// Wished name; made unique if taken.
    pub name: String,
    /// Certificate signing request, PEM.
    pub csr: String,
}

/// What a pairing gives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairReply {
    /// An identity for a worker.
    Worker(WorkerIdentity),
    /// A token for a client.
    Client {
        /// The farm's name.
        farm: String,
        /// The bearer token. Said this once.
        token: String,
        /// Its user.
        user: UserName,
        /// Its role.
        role: Role,
    },
}

/// A worker's identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerIdentity {
    /// The farm's name.
    pub farm: String,
    /// The worker's number.
    pub worker: WorkerId,
    /// The worker's name in the farm.
    pub name: String,
    /// Its certificate followed by the farm's CA, PEM.
    pub certificate: String,
    /// When it ends. Renewed from two thirds of its life on.
    pub expires_at: Timestamp,
}

/// Asks for a new certificate under the present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renewal {
    /// Certificate signing request, PEM.
    pub csr: String,
}

/// Asks for a pairing code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewPairing {
    /// What the code grants.
    pub grant: PairingGrant,
    /// Seconds it lives; at most 30 days.
    pub lifetime_s: u64,
    /// Whether its first use ends it.
    pub once: bool,
}

/// A pairing code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pairing {
    /// The code ([`PairingCode`](crate::pairing::PairingCode)) as text.
    pub code: String,
    /// The same with the manager's address, for where discovery does not reach.
    pub links: Vec<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// A new job. Every blob of the manifest must be in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Submit {
    /// See [`JobSettings`].
    pub settings: JobSettings,
    /// The file tree.
    pub manifest: Blob,
    /// The .blend's path in it.
    pub main_file: String,
    /// The Blender that saved it.
    pub file_version: Series,
    /// What to do.
    pub steps: Vec<Step>,
    /// At most 64 KiB, given back as it is to whoever fetches.
    #[serde(default)]
    pub client_note: String,
}

/// Answer to [`Submit`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Submitted {
    /// The job's number.
    pub job: JobId,
    /// What it was pinned to; none while no worker has a fitting Blender.
    pub build: Option<Build>,
}

/// How a job stands, in a word for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Active, nothing is being rendered.
    Waiting,
    /// Active, frames are being rendered.
    Rendering,
    /// See [`JobState::Paused`].
    Paused,
    /// See [`JobState::Cancelled`].
    Cancelled,
    /// See [`JobState::Done`].
    Done,
    /// See [`JobState::Failed`].
    Failed,
}

/// A job in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobSummary {
    /// Number.
    pub id: JobId,
    /// Whose.
    pub owner: UserName,
    /// What its owner set.
    pub settings: JobSettings,
    /// Recorded state.
    pub state: JobState,
    /// State for people.
    pub phase: Phase,
    /// Frames of all steps.
    pub frames: u32,
    /// Of these, delivered.
    pub done: u32,
    /// Given up.
    pub failed: u32,
    /// Of frames that are divided among workers, all parts; each counts as many places as it covers.
    #[serde(default)]
    pub places: u32,
    /// Of these, delivered.
    #[serde(default)]
    pub places_done: u32,
    /// In an event about new parts of a divided frame: which frame.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growing: Option<i32>,
    /// In workers' hands.
    pub leased: u32,
    /// The Blender it is pinned to.
    pub build: Option<Build>,
    /// When.
    pub submitted_at: Timestamp,
}

/// All about a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobDetail {
    /// As in the list.
    #[serde(flatten)]
    pub summary: JobSummary,
    /// The file tree.
    pub manifest: Blob,
    /// The .blend's path in it.
    pub main_file: String,
    /// The Blender that saved it.
    pub file_version: Series,
    /// What it does.
    pub steps: Vec<Step>,
    /// As submitted.
    pub client_note: String,
    /// Workers that get no frames of it.
    pub blocked_workers: Vec<WorkerId>,
    /// Why nothing is being rendered, if nothing is though it could; for people.
    #[serde(default)]
    pub waiting_because: String,
    /// When a client had brought all that is delivered to a place of its own; none if some of it nobody has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetched_at: Option<Timestamp>,
}

/// What a client has of a job, verified and on its disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Fetched {
    /// Delivered frames, of all steps.
    pub frames: u32,
    /// The last step that any of them is of. Of a job to which samples were added it has to be said: its frames are made more than
    /// once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepIndex>,
}

impl JobSummary {
    /// Percent of the parts of divided frames that are done, while some are not.
    #[must_use]
    pub fn percent_of_parts(&self) -> Option<u32> {
        let open = self.places_done < self.places;
        open.then(|| (u64::from(self.places_done) * 100 / u64::from(self.places)) as u32)
    }
}

impl JobDetail {
    /// The frames that it makes, in their order; none if there are none.
    #[must_use]
    pub fn frames(&self) -> Option<FrameSet> {
        let steps = self.steps.iter().filter(|step| step.makes_frames());
        FrameSet::of(steps.flat_map(|step| step.frames.iter())).ok()
    }
}

/// The parts of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Parts {
    /// How the frame was divided.
    pub split: Split,
    /// What was rendered of it.
    pub files: Vec<Part>,
}

/// A part of a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Part {
    /// Which.
    pub slice: Slice,
    /// What its file holds: more than is kept where the pixels around matter.
    pub rendered: Window,
    /// Its file, multilayer EXR.
    pub blob: Blob,
}

/// What can be done to a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum JobAction {
    /// No new frames; running ones are finished.
    Pause,
    /// On again.
    Resume,
    /// Ends it; what renders is killed, what is done stays.
    Cancel,
    /// Failed frames are tried again; delivered ones stay.
    Retry,
}

/// A frame's state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FramePhase {
    /// Not handed out.
    Waiting,
    /// In a worker's hands, not begun.
    Queued,
    /// Being rendered.
    Rendering,
    /// Delivered.
    Done,
    /// Given up.
    Failed,
}

/// A frame in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FrameStatus {
    /// Step.
    pub step: u16,
    /// Position in the step's set.
    pub position: u32,
    /// Number in Blender.
    pub frame: i32,
    /// State.
    pub phase: FramePhase,
    /// Who has it, if someone has.
    pub worker: Option<WorkerId>,
    /// How often it failed since the last retry.
    pub failures: u32,
}

/// What the record says of deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Journal {
    /// Frames of the job.
    pub frames: u32,
    /// Accepts in the journal.
    pub accepts: u64,
    /// Frames with more than one accept: always empty, or the promise is broken.
    pub repeated: Vec<i32>,
    /// Units handed out, all attempts counted.
    pub leases: u64,
    /// Failures recorded.
    pub failures: u64,
}

/// What became of a reported result or failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Recorded.
    Accepted,
    /// Already there, or no longer wanted: nothing was recorded and nothing is to be done.
    NotNeeded,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct WorkerStatus {
    /// Number.
    pub id: WorkerId,
    /// Name.
    pub name: String,
    /// What it said of itself last.
    pub facts: Option<WorkerFacts>,
    /// What may be given to it.
    pub mode: WorkerMode,
    /// Whether its link is open; suspect counts as open.
    pub linked: bool,
    /// Milliseconds since it was last heard; none if not since the manager started.
    pub silent_ms: Option<u64>,
    /// What it has in hand.
    pub holds: Vec<Held>,
    /// Address of its link.
    pub address: Option<String>,
    /// How its machine is, as it said with its last sign of life; none while it is away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine: Option<Machine>,
    /// What its owner noted about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// How much of the farm was in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Utilisation {
    /// Oldest first: one of each minute since the manager started, for a day at most, and last one of this moment.
    pub samples: Vec<UtilisationSample>,
}

/// How much of the farm was in use at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UtilisationSample {
    /// When.
    pub at: Timestamp,
    /// Frames that linked workers could render at once.
    pub slots: u32,
    /// Frames that they rendered.
    pub busy: u32,
}

/// Something in a worker's hands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// Job.
    pub job: JobId,
    /// Frame being rendered or waiting first.
    pub frame: i32,
    /// Whether it is being rendered.
    pub rendering: bool,
    /// Attempt.
    pub attempt: Attempt,
}

/// What can be done to a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "action", rename_all = "snake_case")]
pub enum WorkerAction {
    /// No new work; running frames are finished.
    Pause,
    /// Work again; also ends a drain.
    Resume,
    /// No new work, and the worker's program ends once it is idle.
    Drain,
    /// No work at all, running frames are taken back; for one job if named.
    Block {
        /// The job; every job if none.
        job: Option<JobId>,
    },
    /// Undoes a block.
    Unblock {
        /// The job; the general block if none.
        job: Option<JobId>,
    },
    /// Says something about it, to whoever looks.
    Note {
        /// One line of at most 500 bytes; nothing, if empty.
        text: String,
    },
    /// Forgets it and voids its certificates.
    Remove,
}

/// Asks for a token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// Its user.
    pub user: UserName,
    /// Its role.
    pub role: Role,
    /// Where it is used.
    #[serde(default)]
    pub note: String,
    /// Seconds it lives; for ever if none.
    pub lifetime_s: Option<u64>,
}

/// A new token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CreatedToken {
    /// All but the secret.
    #[serde(flatten)]
    pub info: TokenInfo,
    /// The secret. Said this once.
    pub token: String,
}

/// A token without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TokenInfo {
    /// Name for revoking.
    pub id: String,
    /// Its user.
    pub user: UserName,
    /// Its role.
    pub role: Role,
    /// Where it is used.
    pub note: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Option<Timestamp>,
}

/// A worker's certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CertificateInfo {
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// Whose.
    pub worker: WorkerId,
    /// Whose, by name.
    pub worker_name: String,
    /// When it ends.
    pub expires_at: Timestamp,
    /// Whether it is void.
    pub revoked: bool,
}

/// Digests in hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Digests {
    /// At most [`DIGESTS_MAX`].
    pub digests: Vec<tessera_blobs::Digest>,
}

/// Files that were sent, where each shall lie.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Tree {
    /// At least one, each at a path of its own.
    pub files: Vec<TreeFile>,
}

/// A file of a [`Tree`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TreeFile {
    /// Where it lies, with `/` between folders and none before the first.
    pub path: String,
    /// What lies there.
    pub blob: Blob,
}

/// The name of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    /// It.
    pub blob: Blob,
}

/// Most trees of one [`Trees`] request.
pub const TREES_MAX: usize = 1024;

/// Most digests that answer a [`Trees`] request, 4.4 MB: all that is new in a scene of tens of gigabytes is known in one answer.
pub const NEEDED_MAX: usize = 1 << 16;

/// Trees of blocks that shall be complete in the store.
///
/// The store walks the lists it has and names what is lacking below them, so the cost of asking follows what is new
/// and not what is there: a moved camera in a large scene costs some hundred bytes of question and answer.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Trees {
    /// Manifests; the files they name count too, once the manifest itself is there.
    #[serde(default)]
    pub manifests: Vec<Blob>,
    /// Single files. With the manifests at most [`TREES_MAX`].
    #[serde(default)]
    pub blobs: Vec<Blob>,
}

/// Blocks of a file that stood where an edit has new ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// The file.
    pub basis: Blob,
    /// Runs of its data blocks: the number of the first, and of the one after the last.
    pub runs: Vec<(u32, u32)>,
}

/// All of a frame in tiles of falling size, for whoever looks at it: `docs/api.md` says how to read them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Pyramid {
    /// The frame's file that it is of.
    pub file: String,
    /// Its bytes, to be fetched in ranges, for an hour at least after this was asked for; none while a worker makes it: ask again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob: Option<Blob>,
}

/// What previews are, whatever the format of their frames.
pub const PREVIEW_MEDIA_TYPE: &str = "image/jpeg";

/// The sizes of a frame's [`Previews`](tessera_model::Previews).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PreviewSize {
    /// For lists.
    Thumbnail,
    /// For a look.
    #[default]
    Preview,
}
