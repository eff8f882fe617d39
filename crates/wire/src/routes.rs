//! The literal list of routes. The manager builds its router from it and refuses what is not on it, so
//! the list a test walks (`GET /api/v1/routes`) is the list that is served.

use serde::{Deserialize, Serialize};
use tessera_model::Role;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Route {
    /// Method.
    pub method: Method,
    /// Path, parameters in braces.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
}

macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident: $method:ident $path:literal, $access:expr;)*) => {
        $($(#[$doc])* pub const $name: Route = Route { method: Method::$method, path: $path, access: $access };)*
        /// Every route there is.
        pub const ALL: &[Route] = &[$($name),*];
    };
}

use Access::{Client, ClientOrWorker, Public, Worker};
use Role::{Admin, Artist, Viewer};

routes! {
    /// [`Health`](crate::api::Health).
    HEALTH: Get "/api/v1/health", Public;
    /// The same, or a problem while this manager can not take work in and record it.
    READY: Get "/api/v1/ready", Public;
    /// [`PairRequest`](crate::api::PairRequest) → [`PairReply`](crate::api::PairReply).
    PAIR: Post "/api/v1/pair", Public;
    /// The status page.
    PAGE: Get "/", Public;
    /// What the page is made of.
    ASSET: Get "/assets/{file}", Public;

    /// [`Farm`](crate::api::Farm).
    FARM: Get "/api/v1/farm", Client(Viewer);
    /// Figures for Prometheus, as OpenMetrics text.
    METRICS: Get "/metrics", Client(Viewer);
    /// This list as JSON.
    ROUTES: Get "/api/v1/routes", Client(Viewer);
    /// `?after=JOB&limit=N` → [`Page`](crate::api::Page) of [`JobSummary`](crate::api::JobSummary), newest first.
    JOBS: Get "/api/v1/jobs", Client(Viewer);
    /// [`Submit`](crate::api::Submit) → [`Submitted`](crate::api::Submitted).
    SUBMIT: Post "/api/v1/jobs", Client(Artist);
    /// [`JobDetail`](crate::api::JobDetail).
    JOB: Get "/api/v1/jobs/{job}", Client(Viewer);
    /// [`JobEdit`](tessera_model::JobEdit) → [`JobDetail`](crate::api::JobDetail).
    JOB_EDIT: Patch "/api/v1/jobs/{job}", Client(Artist);
    /// [`JobAction`](crate::api::JobAction) → [`JobDetail`](crate::api::JobDetail).
    JOB_ACT: Post "/api/v1/jobs/{job}/actions", Client(Artist);
    /// [`Fetched`](crate::api::Fetched), said by whoever has brought all frames of a job that is over to a durable place → [`JobDetail`](crate::api::JobDetail).
    /// Until it is said, the job is not removed because time has passed. Refused if there are other frames than these.
    JOB_FETCHED: Post "/api/v1/jobs/{job}/fetched", Client(Viewer);
    /// Removes the job and its results.
    JOB_REMOVE: Delete "/api/v1/jobs/{job}", Client(Artist);
    /// [`Why`](crate::why::Why) nothing (more) of it is being rendered.
    JOB_WHY: Get "/api/v1/jobs/{job}/why", Client(Viewer);
    /// `?from=POSITION&limit=N` → [`Page`](crate::api::Page) of [`FrameStatus`](crate::api::FrameStatus).
    FRAMES: Get "/api/v1/jobs/{job}/frames", Client(Viewer);
    /// `?from=POSITION&limit=N` → [`Page`](crate::api::Page) of [`FrameResult`](tessera_model::FrameResult), done frames only.
    RESULTS: Get "/api/v1/jobs/{job}/results", Client(Viewer);
    /// Newest first: [`Page`](crate::api::Page) of [`FrameError`](tessera_model::FrameError).
    ERRORS: Get "/api/v1/jobs/{job}/errors", Client(Viewer);
    /// [`Journal`](crate::api::Journal).
    JOURNAL: Get "/api/v1/jobs/{job}/journal", Client(Viewer);
    /// `?stream=stdout|stderr&from=OFFSET` → bytes; header `tessera-log-complete: true|false`.
    LOG: Get "/api/v1/jobs/{job}/frames/{frame}/log", Client(Viewer);
    /// `?size=thumbnail|preview&part=POSITION` → JPEG, with a strong `ETag`. With `part`, of the parts of a divided frame that the result at this
    /// position has: each as large as it is in the frame's picture, one below the other, in the order of the result's files.
    PREVIEW: Get "/api/v1/jobs/{job}/frames/{frame}/preview", Client(Viewer);
    /// `?job=JOB&since=SEQ` → server-sent [`Event`](crate::event::Event)s.
    EVENTS: Get "/api/v1/events", Client(Viewer);
    /// [`Page`](crate::api::Page) of [`WorkerStatus`](crate::api::WorkerStatus).
    WORKERS: Get "/api/v1/workers", Client(Viewer);
    /// [`WorkerAction`](crate::api::WorkerAction) → [`WorkerStatus`](crate::api::WorkerStatus).
    WORKER_ACT: Post "/api/v1/workers/{worker}/actions", Client(Admin);
    /// [`Why`](crate::why::Why) it has nothing (more) to do.
    WORKER_WHY: Get "/api/v1/workers/{worker}/why", Client(Viewer);
    /// [`FarmSettings`](tessera_model::FarmSettings).
    SETTINGS: Get "/api/v1/settings", Client(Viewer);
    /// [`SettingsPatch`](crate::farm_settings::SettingsPatch), a JSON merge patch → the settings as they are then.
    SETTINGS_EDIT: Patch "/api/v1/settings", Client(Admin);
    /// [`NewPairing`](crate::api::NewPairing) → [`Pairing`](crate::api::Pairing).
    PAIRING_NEW: Post "/api/v1/pairings", Client(Admin);
    /// [`Page`](crate::api::Page) of [`TokenInfo`](crate::api::TokenInfo).
    TOKENS: Get "/api/v1/tokens", Client(Admin);
    /// [`NewToken`](crate::api::NewToken) → [`CreatedToken`](crate::api::CreatedToken).
    TOKEN_NEW: Post "/api/v1/tokens", Client(Admin);
    /// Revokes.
    TOKEN_REVOKE: Delete "/api/v1/tokens/{token}", Client(Admin);
    /// [`Page`](crate::api::Page) of [`CertificateInfo`](crate::api::CertificateInfo).
    CERTIFICATES: Get "/api/v1/certificates", Client(Admin);
    /// Revokes, and closes the worker's link.
    CERTIFICATE_REVOKE: Delete "/api/v1/certificates/{serial}", Client(Admin);

    /// [`Digests`](crate::api::Digests) → [`Digests`](crate::api::Digests): those of them the store lacks.
    BLOBS_MISSING: Post "/api/v1/blobs/missing", ClientOrWorker(Artist);
    /// [`Trees`](crate::api::Trees) → [`Digests`](crate::api::Digests): what of them the store lacks, as far as the lists it has tell.
    /// Send these and ask again, until the answer is empty.
    BLOBS_NEEDED: Post "/api/v1/blobs/needed", ClientOrWorker(Artist);
    /// Framed blocks (see `tessera_blobs`'s transport) → 204 once they are durable.
    BLOBS_PUT: Put "/api/v1/blobs", ClientOrWorker(Artist);
    /// [`Replaced`](crate::api::Replaced) → sums of these blocks' pieces (see `tessera_blobs::sums`).
    BLOBS_SUMS: Post "/api/v1/blobs/sums", Client(Artist);
    /// An edit of a file that is here (see `tessera_blobs::Edit`), as zstd has it → 204 once the new file is durable.
    BLOBS_EDIT: Post "/api/v1/blobs/edits", Client(Artist);
    /// [`Digests`](crate::api::Digests) → framed blocks.
    BLOBS_FETCH: Post "/api/v1/blobs/fetch", ClientOrWorker(Viewer);

    /// [`StoreReport`](crate::store::StoreReport).
    STORE: Get "/api/v1/store", Client(Viewer);
    /// Gives back the space of blocks that nobody needs: [`Collected`](crate::store::Collected).
    STORE_COLLECT: Post "/api/v1/store/collect", Client(Admin);

    /// WebSocket of [`link`](crate::link) messages.
    LINK: Get "/api/v1/worker/link", Worker;
    /// [`FrameResult`](tessera_model::FrameResult) → [`Verdict`](crate::api::Verdict).
    WORKER_RESULT: Post "/api/v1/worker/results", Worker;
    /// [`Parts`](crate::api::Parts) of a frame (by its position) that the step before rendered.
    WORKER_PARTS: Get "/api/v1/worker/parts/{job}/{step}/{position}", Worker;
    /// [`FrameError`](tessera_model::FrameError) → [`Verdict`](crate::api::Verdict).
    WORKER_FAILURE: Post "/api/v1/worker/failures", Worker;
    /// [`Renewal`](crate::api::Renewal) → [`WorkerIdentity`](crate::api::WorkerIdentity).
    WORKER_CERTIFICATE: Post "/api/v1/worker/certificate", Worker;
}
