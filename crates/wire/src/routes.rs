//! The literal list of routes: who may use each, what it takes and what it answers. The manager builds its router from it and refuses
//! what is not on it, so the list a test walks (`GET /api/v1/routes`) is the list that is served, and the one that
//! [`openapi`](crate::openapi) describes. The first line of a route's documentation is its summary there.

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use tessera_blobs::STREAM_MEDIA_TYPE;
use tessera_model::{FarmSettings, FrameError, FrameResult, JobEdit, Role};

use crate::api::{
    CertificateInfo, CreatedToken, Digests, Farm, Fetched, FrameStatus, Health, JobAction,
    JobDetail, JobSummary, Journal, NewPairing, NewToken, PREVIEW_MEDIA_TYPE, Page, PairReply,
    PairRequest, Pairing, Parts, Pyramid, Renewal, Replaced, Stored, Submit, Submitted, TokenInfo,
    Tree, Trees, Utilisation, Verdict, WorkerAction, WorkerIdentity, WorkerStatus,
};
use crate::event::Event;
use crate::farm_settings::PatchSchema;
use crate::notify::{ReceiverInfo, ReceiverInput, TestReport};
use crate::query::{
    EventsQuery, FileQuery, JobsQuery, LogQuery, LongPageQuery, PageQuery, PreviewQuery, PutQuery,
    PyramidQuery, WorkersQuery,
};
use crate::store::{Collected, StoreReport};
use crate::why::Why;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Anyone who can reach the port: pairing, health, readiness, static pages. Nothing else, ever.
    Public,
    /// A client whose token has at least this role.
    Client(Role),
    /// A worker with a valid certificate.
    Worker,
    /// Either of the two; the role for the client.
    ClientOrWorker(Role),
}

/// HTTP method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    Get,
    Post,
    Put,
    Patch,
    Delete,
}

/// One route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Route {
    /// Method.
    pub method: Method,
    /// Path, parameters in braces.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
}

/// Gives the JSON Schema of a type, or a reference to it.
pub type Shape = fn(&mut SchemaGenerator) -> Schema;

/// What a request carries, or its answer.
#[derive(Debug, Clone, Copy)]
pub enum Body {
    /// No body.
    Nothing,
    /// A JSON document.
    Json(Shape),
    /// Bytes of a media type, and what they are.
    Bytes(&'static str, &'static str),
    /// The same, with a strong `ETag`: whoever has them already is told so (304).
    Tagged(&'static str, &'static str),
    /// Server-sent events, the `data` of each a JSON document.
    Events(Shape),
    /// The connection becomes a WebSocket.
    WebSocket,
}

/// A route with all that is said of it.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// Its name in this list.
    pub name: &'static str,
    /// A line that sums it up, then more.
    pub doc: &'static str,
    /// Method, path, access.
    pub route: Route,
    /// The parameters of its query, as properties of an object.
    pub query: Option<Shape>,
    /// What it takes.
    pub takes: Body,
    /// What it answers if all went well.
    pub answers: Body,
}

const fn json<T: JsonSchema>() -> Body {
    Body::Json(SchemaGenerator::subschema_for::<T>)
}

macro_rules! routes {
    ($(
        $(#[doc = $doc:literal])*
        $name:ident: $method:ident $path:literal, $access:expr, $takes:expr => $answers:expr $(, query $query:ty)?;
    )*) => {
        $($(#[doc = $doc])* pub const $name: Route = Route { method: Method::$method, path: $path, access: $access };)*
        /// Every route there is.
        pub const ALL: &[Route] = &[$($name),*];
        /// The same, with all that is said of them.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            name: stringify!($name),
            doc: concat!($($doc, "\n"),*),
            route: $name,
            query: [$(Some(<$query as JsonSchema>::json_schema as Shape),)? None][0],
            takes: $takes,
            answers: $answers,
        }),*];
    };
}

use Access::{Client, ClientOrWorker, Public, Worker};
use Body::{Bytes, Events, Nothing, Tagged, WebSocket};
use Role::{Admin, Artist, Viewer};

/// How many blocks travel in one body (`tessera_blobs::StreamEncoder`).
const BLOCKS: &str = "A stream of blocks; numbers are big-endian. Header: `TESBLK`, version u16 (1). Each block: digest (32 bytes), encoding u8 \
    (0 plain, 1 zstd), length u32, so many bytes. End: 32 zeros, 0xFF, number of blocks u32.";

/// Bytes that are no format anybody else knows.
const BYTES: &str = "application/octet-stream";

routes! {
    /// Whether a manager is there, and which versions it speaks
    HEALTH: Get "/api/v1/health", Public, Nothing => json::<Health>();
    /// Whether this manager can take work in and record it
    ///
    /// The same as `health`, or a problem while it can not.
    READY: Get "/api/v1/ready", Public, Nothing => json::<Health>();
    /// Use a pairing code: a worker gets a certificate, a client a token
    PAIR: Post "/api/v1/pair", Public, json::<PairRequest>() => json::<PairReply>();
    /// The web page
    PAGE: Get "/", Public, Nothing => Bytes("text/html; charset=utf-8", "The page.");
    /// What the page is made of
    ASSET: Get "/assets/{file}", Public, Nothing => Bytes("*/*", "A style sheet, a script, a picture.");

    /// The farm at a glance, and who asks
    FARM: Get "/api/v1/farm", Client(Viewer), Nothing => json::<Farm>();
    /// How much of the farm was in use over the last day
    UTILISATION: Get "/api/v1/farm/utilisation", Client(Viewer), Nothing => json::<Utilisation>();
    /// Figures for Prometheus
    METRICS: Get "/metrics", Client(Viewer), Nothing => Bytes("application/openmetrics-text; version=1.0.0; charset=utf-8", "OpenMetrics text.");
    /// Figures of each worker's machine for Prometheus
    ///
    /// Apart from those of the farm: there are as many series of each as there are workers linked.
    WORKERS_METRICS: Get "/metrics/workers", Client(Viewer), Nothing => Bytes("application/openmetrics-text; version=1.0.0; charset=utf-8", "OpenMetrics text.");
    /// The list of routes, and who may use each
    ROUTES: Get "/api/v1/routes", Client(Viewer), Nothing => json::<Vec<Route>>();
    /// This document
    OPENAPI: Get "/api/v1/openapi.json", Client(Viewer), Nothing => json::<serde_json::Map<String, serde_json::Value>>();
    /// Jobs, newest first
    JOBS: Get "/api/v1/jobs", Client(Viewer), Nothing => json::<Page<JobSummary>>(), query JobsQuery;
    /// Submit a job
    ///
    /// Every blob that its file tree names must be in the store. The job is recorded before this is answered.
    SUBMIT: Post "/api/v1/jobs", Client(Artist), json::<Submit>() => json::<Submitted>();
    /// All about a job
    JOB: Get "/api/v1/jobs/{job}", Client(Viewer), Nothing => json::<JobDetail>();
    /// Change a job's settings
    ///
    /// Artists change their own jobs, administrators every one.
    JOB_EDIT: Patch "/api/v1/jobs/{job}", Client(Artist), json::<JobEdit>() => json::<JobDetail>();
    /// Pause, resume, cancel or retry a job
    ///
    /// Artists change their own jobs, administrators every one.
    JOB_ACT: Post "/api/v1/jobs/{job}/actions", Client(Artist), json::<JobAction>() => json::<JobDetail>();
    /// Say that all frames of a job that is over were brought to a durable place
    ///
    /// Until it is said, the job is not removed because time has passed. Refused if there are other frames than these.
    JOB_FETCHED: Post "/api/v1/jobs/{job}/fetched", Client(Viewer), json::<Fetched>() => json::<JobDetail>();
    /// Remove a job with its results
    ///
    /// Artists change their own jobs, administrators every one.
    JOB_REMOVE: Delete "/api/v1/jobs/{job}", Client(Artist), Nothing => Nothing;
    /// Why nothing (more) of a job is being rendered
    JOB_WHY: Get "/api/v1/jobs/{job}/why", Client(Viewer), Nothing => json::<Why>();
    /// How each frame of a job stands
    FRAMES: Get "/api/v1/jobs/{job}/frames", Client(Viewer), Nothing => json::<Page<FrameStatus>>(), query PageQuery;
    /// Finished frames of a job, with their files
    RESULTS: Get "/api/v1/jobs/{job}/results", Client(Viewer), Nothing => json::<Page<FrameResult>>(), query PageQuery;
    /// Failures of a job's frames, newest first
    ERRORS: Get "/api/v1/jobs/{job}/errors", Client(Viewer), Nothing => json::<Page<FrameError>>(), query PageQuery;
    /// What the record says of a job's deliveries
    JOURNAL: Get "/api/v1/jobs/{job}/journal", Client(Viewer), Nothing => json::<Journal>();
    /// What Blender wrote while it rendered a frame
    ///
    /// Also while it still does: the header `tessera-log-complete` says `true` if nothing will follow, else `false`.
    LOG: Get "/api/v1/jobs/{job}/frames/{frame}/log", Client(Viewer), Nothing => Bytes("text/plain; charset=utf-8", "The log from that byte on, exactly as Blender wrote it."), query LogQuery;
    /// What is rendered of a frame that is divided among workers
    ///
    /// Results of its parts, each of which may hold several, until the job is done.
    PARTS: Get "/api/v1/jobs/{job}/frames/{frame}/parts", Client(Viewer), Nothing => json::<Page<FrameResult>>(), query PageQuery;
    /// A small picture of a finished frame, or of parts of one
    ///
    /// Parts stand one below the other in the order of the result's files, each as large as it is in the picture of the frame: from
    /// `round(x * W / width)` to `round((x + w) * W / width)`, where `x` and `w` are those of the part, `width` that of the frame and `W` that of
    /// its picture, which is at most 1920 pixels (256 for a thumbnail) on its longer side; the same from top to bottom.
    PREVIEW: Get "/api/v1/jobs/{job}/frames/{frame}/preview", Client(Viewer), Nothing => Tagged(PREVIEW_MEDIA_TYPE, "The picture."), query PreviewQuery;
    /// All of a finished frame in tiles of falling size, for a viewer
    ///
    /// A worker makes it of an EXR when it is asked for, which takes seconds; until then `blob` is not there, and the answer comes after 20 seconds at
    /// most. Parts of it are fetched as parts of any file. It is kept for an hour after it was last asked for.
    PYRAMID: Get "/api/v1/jobs/{job}/frames/{frame}/pyramid", Client(Viewer), Nothing => json::<Pyramid>(), query PyramidQuery;
    /// What happens on the farm, as it happens
    ///
    /// Server-sent events: `id` is the event's `seq`, `data` one `Event`. The stream does not end; whoever was cut off goes on with the
    /// last `seq` in `since` or in the header `Last-Event-ID`, and reads everything anew when a `resync` comes.
    EVENTS: Get "/api/v1/events", Client(Viewer), Nothing => Events(SchemaGenerator::subschema_for::<Event>), query EventsQuery;
    /// Workers
    WORKERS: Get "/api/v1/workers", Client(Viewer), Nothing => json::<Page<WorkerStatus>>(), query WorkersQuery;
    /// A worker
    WORKER: Get "/api/v1/workers/{worker}", Client(Viewer), Nothing => json::<WorkerStatus>();
    /// Pause, resume, drain, block, unblock or remove a worker, or note something about it
    WORKER_ACT: Post "/api/v1/workers/{worker}/actions", Client(Admin), json::<WorkerAction>() => json::<WorkerStatus>();
    /// Why a worker has nothing (more) to do
    WORKER_WHY: Get "/api/v1/workers/{worker}/why", Client(Viewer), Nothing => json::<Why>();
    /// The settings of the farm
    SETTINGS: Get "/api/v1/settings", Client(Viewer), Nothing => json::<FarmSettings>();
    /// Change some of the settings of the farm
    ///
    /// A JSON merge patch (RFC 7396): what it names is set, `null` sets back to the default or takes an entry out, what it does not name
    /// stays. Answers all settings as they are then.
    SETTINGS_EDIT: Patch "/api/v1/settings", Client(Admin), json::<PatchSchema>() => json::<FarmSettings>();
    /// Receivers of notifications, without their secrets
    RECEIVERS: Get "/api/v1/receivers", Client(Admin), Nothing => json::<Page<ReceiverInfo>>(), query LongPageQuery;
    /// Set a receiver of notifications: a new one, or another one of that name
    RECEIVER_SET: Put "/api/v1/receivers/{receiver}", Client(Admin), json::<ReceiverInput>() => json::<ReceiverInfo>();
    /// Remove a receiver of notifications, with all that waits for it
    RECEIVER_REMOVE: Delete "/api/v1/receivers/{receiver}", Client(Admin), Nothing => Nothing;
    /// Send a test message to a receiver, once and now, and say what it answers
    RECEIVER_TEST: Post "/api/v1/receivers/{receiver}/test", Client(Admin), Nothing => json::<TestReport>();
    /// Make a pairing code
    PAIRING_NEW: Post "/api/v1/pairings", Client(Admin), json::<NewPairing>() => json::<Pairing>();
    /// Access tokens, without their secrets
    TOKENS: Get "/api/v1/tokens", Client(Admin), Nothing => json::<Page<TokenInfo>>(), query LongPageQuery;
    /// Make an access token
    TOKEN_NEW: Post "/api/v1/tokens", Client(Admin), json::<NewToken>() => json::<CreatedToken>();
    /// Revoke an access token
    TOKEN_REVOKE: Delete "/api/v1/tokens/{token}", Client(Admin), Nothing => Nothing;
    /// Certificates of workers
    CERTIFICATES: Get "/api/v1/certificates", Client(Admin), Nothing => json::<Page<CertificateInfo>>(), query LongPageQuery;
    /// Revoke a worker's certificate, and close its link
    CERTIFICATE_REVOKE: Delete "/api/v1/certificates/{serial}", Client(Admin), Nothing => Nothing;

    /// Send a file as it is
    ///
    /// The body is the file, and the answer is its name, once it is durable. For a few files and for scripts; Tessera's own client sends
    /// blocks, and only those that are lacking. A `.blend` is kept as what it decompresses to.
    FILE_PUT: Put "/api/v1/files", Client(Artist), Bytes(BYTES, "The file.") => json::<Stored>();
    /// Fetch a file
    ///
    /// The bytes of any file that a job or a result names: `files` of a frame's result, for one. All of them, or some in a row.
    FILE: Get "/api/v1/files/{blob}", Client(Viewer), Nothing => Bytes(BYTES, "The file, or what was asked for of it."), query FileQuery;
    /// Name files that were sent as a tree, which is what a job is submitted with
    ///
    /// Paths lie to each other as they shall when Blender opens them. The answer is what a job's `manifest` is.
    TREE_PUT: Post "/api/v1/trees", Client(Artist), json::<Tree>() => json::<Stored>();
    /// Which of these blocks the store lacks
    BLOBS_MISSING: Post "/api/v1/blobs/missing", ClientOrWorker(Artist), json::<Digests>() => json::<Digests>();
    /// What the store lacks of whole trees of blocks, as far as the lists it has tell
    ///
    /// Send these and ask again, until the answer is empty.
    BLOBS_NEEDED: Post "/api/v1/blobs/needed", ClientOrWorker(Artist), json::<Trees>() => json::<Digests>();
    /// Send blocks
    ///
    /// Answered once they are durable. A body is at most 1 GiB.
    BLOBS_PUT: Put "/api/v1/blobs", ClientOrWorker(Artist), Bytes(STREAM_MEDIA_TYPE, BLOCKS) => Nothing, query PutQuery;
    /// Sums of the pieces of blocks that an edit replaces
    BLOBS_SUMS: Post "/api/v1/blobs/sums", Client(Artist), json::<Replaced>() => Bytes(BYTES, "Sums as rsync has them, in the form of Tessera's own client.");
    /// Send a small edit of a file that is there
    ///
    /// Answered once the new file is durable.
    BLOBS_EDIT: Post "/api/v1/blobs/edits", Client(Artist), Bytes(BYTES, "An edit in the form of Tessera's own client.") => Nothing;
    /// Fetch blocks
    ///
    /// What is not there is left out of the stream.
    BLOBS_FETCH: Post "/api/v1/blobs/fetch", ClientOrWorker(Viewer), json::<Digests>() => Bytes(STREAM_MEDIA_TYPE, BLOCKS);

    /// What uses the space of the block store
    STORE: Get "/api/v1/store", Client(Viewer), Nothing => json::<StoreReport>();
    /// Give back the space of blocks that nobody needs
    STORE_COLLECT: Post "/api/v1/store/collect", Client(Admin), Nothing => json::<Collected>();

    /// The link of a worker: leases, heartbeats, recalls
    ///
    /// Its messages are between a manager and a worker of about the same version, and no public interface.
    LINK: Get "/api/v1/worker/link", Worker, Nothing => WebSocket;
    /// Report a finished frame
    WORKER_RESULT: Post "/api/v1/worker/results", Worker, json::<FrameResult>() => json::<Verdict>();
    /// The parts of a divided frame that the step before rendered
    WORKER_PARTS: Get "/api/v1/worker/parts/{job}/{step}/{position}", Worker, Nothing => json::<Parts>();
    /// Report a frame that failed
    WORKER_FAILURE: Post "/api/v1/worker/failures", Worker, json::<FrameError>() => json::<Verdict>();
    /// Renew a worker's certificate
    WORKER_CERTIFICATE: Post "/api/v1/worker/certificate", Worker, json::<Renewal>() => json::<WorkerIdentity>();
}
