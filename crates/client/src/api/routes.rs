//! One method for each route of [`tessera_wire::routes`] that clients and workers use.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tessera_blobs::{BlobRef, Digest, EncodedBlock, STREAM_MEDIA_TYPE, StreamEncoder};
use tessera_model::{FarmSettings, FrameError, FrameResult, JobEdit, JobId, StepIndex, WorkerId};
use tessera_wire::api::{
    CertificateInfo, CreatedToken, DIGESTS_MAX, Digests, Farm, Fetched, FrameStatus, Health,
    JobAction, JobDetail, JobSummary, Journal, NewPairing, NewToken, Page, PairReply, PairRequest,
    Pairing, Parts, PreviewSize, Renewal, Replaced, Submit, Submitted, TokenInfo, Trees, Verdict,
    WorkerAction, WorkerIdentity, WorkerStatus,
};
use tessera_wire::blob::to_model;
use tessera_wire::farm_settings::SettingsPatch;
use tessera_wire::link::LogStream;
use tessera_wire::notify::{ReceiverInfo, ReceiverInput, TestReport};
use tessera_wire::query::{JobsQuery, LongPageQuery, WorkersQuery};
use tessera_wire::routes::{self, Route};
use tessera_wire::store::{Collected, StoreReport};
use tessera_wire::why::Why;

use super::call::Call;
use super::turns::Repeat;
use super::{Api, ApiError, BlockStream};

/// Longest wait for what makes the manager walk over a whole scene or its whole store, and perhaps for its turn to: a terabyte's lists on
/// a slow disk take minutes.
const WALK_PATIENCE: Duration = Duration::from_secs(30 * 60);

/// A part of a frame's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPart {
    /// Bytes from the asked offset on, exactly as Blender wrote them.
    pub bytes: Bytes,
    /// Whether nothing will follow them.
    pub complete: bool,
}

fn in_job(route: Route, job: JobId) -> String {
    route.path.replace("{job}", &job.to_string())
}

/// A name that goes into a path: all but unreserved characters escaped.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'~' => out.push(byte as char),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A path with what of a query is said.
fn with_query(route: Route, query: &impl Serialize) -> String {
    let query = serde_json::to_value(query).expect("queries are JSON objects");
    let pairs = query.as_object().into_iter().flatten();
    let pairs = pairs.map(|(name, value)| {
        let text = value.as_str().map_or_else(|| value.to_string(), escaped);
        format!("{name}={text}")
    });
    let pairs: Vec<String> = pairs.collect();
    let mark = if pairs.is_empty() { "" } else { "?" };
    format!("{}{mark}{}", route.path, pairs.join("&"))
}

fn receiver_path(route: Route, name: &str) -> String {
    route.path.replace("{receiver}", &escaped(name))
}

fn from_place(route: Route, from: Option<u64>) -> String {
    with_query(route, &LongPageQuery { from, limit: None })
}

impl Api {
    async fn get<T: DeserializeOwned>(
        &self,
        route: Route,
        path: impl Into<String>,
    ) -> Result<T, ApiError> {
        self.json(Call::new(route, path)).await
    }

    /// Every page of a list, as one; `from` says where the page that begins at a place is found.
    async fn all<T: DeserializeOwned>(
        &self,
        route: Route,
        from: impl Fn(Option<u64>) -> String,
    ) -> Result<Page<T>, ApiError> {
        let mut whole: Page<T> = self.get(route, from(None)).await?;
        while let Some(next) = whole.next {
            let page: Page<T> = self.get(route, from(Some(next))).await?;
            whole.items.extend(page.items);
            whole.next = page.next.filter(|place| *place > next);
        }
        Ok(whole)
    }

    async fn tell<B: Serialize, T: DeserializeOwned>(
        &self,
        route: Route,
        path: impl Into<String>,
        body: &B,
    ) -> Result<T, ApiError> {
        self.json(Call::new(route, path).json(body)).await
    }

    /// Whether a manager is there, and which versions it speaks.
    pub async fn health(&self) -> Result<Health, ApiError> {
        self.get(routes::HEALTH, routes::HEALTH.path).await
    }

    /// Uses a pairing code. Not repeated once it may have been heard: a code can be used up.
    pub async fn pair(&self, request: &PairRequest) -> Result<PairReply, ApiError> {
        self.tell(routes::PAIR, routes::PAIR.path, request).await
    }

    /// The farm at a glance.
    pub async fn farm(&self) -> Result<Farm, ApiError> {
        self.get(routes::FARM, routes::FARM.path).await
    }

    /// Jobs older than `after`, newest first.
    pub async fn jobs(
        &self,
        after: Option<JobId>,
        limit: u32,
    ) -> Result<Page<JobSummary>, ApiError> {
        let query = JobsQuery {
            after,
            limit: Some(limit),
            ..JobsQuery::default()
        };
        self.jobs_where(&query).await
    }

    /// Jobs that fit, newest first.
    pub async fn jobs_where(&self, query: &JobsQuery) -> Result<Page<JobSummary>, ApiError> {
        self.get(routes::JOBS, with_query(routes::JOBS, query))
            .await
    }

    /// Submits a job. Not repeated once it may have been heard: it would run twice.
    pub async fn submit(&self, job: &Submit) -> Result<Submitted, ApiError> {
        self.tell(routes::SUBMIT, routes::SUBMIT.path, job).await
    }

    /// All about a job.
    pub async fn job(&self, job: JobId) -> Result<JobDetail, ApiError> {
        self.get(routes::JOB, in_job(routes::JOB, job)).await
    }

    /// Why nothing (more) of a job is being rendered.
    pub async fn job_why(&self, job: JobId) -> Result<Why, ApiError> {
        self.get(routes::JOB_WHY, in_job(routes::JOB_WHY, job))
            .await
    }

    /// Changes a job's settings.
    pub async fn edit(&self, job: JobId, edit: &JobEdit) -> Result<JobDetail, ApiError> {
        self.tell(routes::JOB_EDIT, in_job(routes::JOB_EDIT, job), edit)
            .await
    }

    /// Pauses, resumes, cancels or retries a job. Each does the same if it is said twice.
    pub async fn act(&self, job: JobId, action: JobAction) -> Result<JobDetail, ApiError> {
        self.json(
            Call::new(routes::JOB_ACT, in_job(routes::JOB_ACT, job))
                .json(&action)
                .repeat(Repeat::Safe),
        )
        .await
    }

    /// Says that all frames of a job that is over have been brought to a durable place. Says no more if it is said twice.
    pub async fn fetched(&self, job: JobId, fetched: Fetched) -> Result<JobDetail, ApiError> {
        self.json(
            Call::new(routes::JOB_FETCHED, in_job(routes::JOB_FETCHED, job))
                .json(&fetched)
                .repeat(Repeat::Safe),
        )
        .await
    }

    /// Removes a job and its results.
    pub async fn remove(&self, job: JobId) -> Result<(), ApiError> {
        self.done(Call::new(
            routes::JOB_REMOVE,
            in_job(routes::JOB_REMOVE, job),
        ))
        .await
    }

    /// How frames stand, from position `from` on.
    pub async fn frames(
        &self,
        job: JobId,
        from: u64,
        limit: u32,
    ) -> Result<Page<FrameStatus>, ApiError> {
        self.get(
            routes::FRAMES,
            format!("{}?from={from}&limit={limit}", in_job(routes::FRAMES, job)),
        )
        .await
    }

    /// Delivered frames, from position `from` on.
    pub async fn results(
        &self,
        job: JobId,
        from: u64,
        limit: u32,
    ) -> Result<Page<FrameResult>, ApiError> {
        self.get(
            routes::RESULTS,
            format!("{}?from={from}&limit={limit}", in_job(routes::RESULTS, job)),
        )
        .await
    }

    /// What is rendered of a frame that is divided among workers, from position `from` on.
    pub async fn parts(
        &self,
        job: JobId,
        frame: i32,
        from: u64,
        limit: u32,
    ) -> Result<Page<FrameResult>, ApiError> {
        let path = in_job(routes::PARTS, job).replace("{frame}", &frame.to_string());
        self.get(routes::PARTS, format!("{path}?from={from}&limit={limit}"))
            .await
    }

    /// Failures of frames, newest first.
    pub async fn errors(&self, job: JobId) -> Result<Page<FrameError>, ApiError> {
        self.get(routes::ERRORS, in_job(routes::ERRORS, job)).await
    }

    /// What the record says of deliveries.
    pub async fn journal(&self, job: JobId) -> Result<Journal, ApiError> {
        self.get(routes::JOURNAL, in_job(routes::JOURNAL, job))
            .await
    }

    /// A frame's log from byte `from` on.
    pub async fn log(
        &self,
        job: JobId,
        frame: i32,
        stream: LogStream,
        from: u64,
    ) -> Result<LogPart, ApiError> {
        let stream = match stream {
            LogStream::Stdout => "stdout",
            LogStream::Stderr => "stderr",
        };
        let path = in_job(routes::LOG, job).replace("{frame}", &frame.to_string());
        let call = Call::new(routes::LOG, format!("{path}?stream={stream}&from={from}"));
        let (address, response) = self.send(&call).await?;
        let complete = response
            .headers()
            .get("tessera-log-complete")
            .is_none_or(|value| value.as_bytes() == b"true");
        let bytes = self.body(&address, &call.what(), response).await?;
        Ok(LogPart { bytes, complete })
    }

    /// A small picture of a finished frame, or of those of its parts that the result at the position `part` has, as JPEG.
    pub async fn preview(
        &self,
        job: JobId,
        frame: i32,
        part: Option<(StepIndex, u32)>,
        size: PreviewSize,
    ) -> Result<Bytes, ApiError> {
        let size = match size {
            PreviewSize::Thumbnail => "thumbnail",
            PreviewSize::Preview => "preview",
        };
        let path = in_job(routes::PREVIEW, job).replace("{frame}", &frame.to_string());
        let part = part.map(|(step, part)| format!("&part={part}&step={}", step.0));
        let part = part.unwrap_or_default();
        let call = Call::new(routes::PREVIEW, format!("{path}?size={size}{part}"));
        let (address, response) = self.send(&call).await?;
        self.body(&address, &call.what(), response).await
    }

    /// All workers, in one page however many there are.
    pub async fn workers(&self) -> Result<Page<WorkerStatus>, ApiError> {
        self.workers_where(&WorkersQuery::default()).await
    }

    /// All workers that fit, in one page however many there are.
    pub async fn workers_where(
        &self,
        query: &WorkersQuery,
    ) -> Result<Page<WorkerStatus>, ApiError> {
        let from = |from| {
            with_query(
                routes::WORKERS,
                &WorkersQuery {
                    from,
                    ..query.clone()
                },
            )
        };
        self.all(routes::WORKERS, from).await
    }

    /// Pauses, resumes, drains, blocks, unblocks or removes a worker. Each does the same if it is said twice.
    pub async fn worker_act(
        &self,
        worker: WorkerId,
        action: &WorkerAction,
    ) -> Result<WorkerStatus, ApiError> {
        let path = routes::WORKER_ACT
            .path
            .replace("{worker}", &worker.to_string());
        self.json(
            Call::new(routes::WORKER_ACT, path)
                .json(action)
                .repeat(Repeat::Safe),
        )
        .await
    }

    /// Why a worker has nothing (more) to do.
    pub async fn worker_why(&self, worker: WorkerId) -> Result<Why, ApiError> {
        let path = routes::WORKER_WHY
            .path
            .replace("{worker}", &worker.to_string());
        self.get(routes::WORKER_WHY, path).await
    }

    /// The settings of the farm.
    pub async fn settings(&self) -> Result<FarmSettings, ApiError> {
        self.get(routes::SETTINGS, routes::SETTINGS.path).await
    }

    /// Changes what is named; all of them afterwards.
    pub async fn change_settings(&self, patch: &SettingsPatch) -> Result<FarmSettings, ApiError> {
        self.tell(routes::SETTINGS_EDIT, routes::SETTINGS_EDIT.path, patch)
            .await
    }

    /// What uses the space of the manager's block store.
    pub async fn store(&self) -> Result<StoreReport, ApiError> {
        let call = Call::new(routes::STORE, routes::STORE.path);
        self.json(call.patience(WALK_PATIENCE)).await
    }

    /// Gives back the space of blocks that nobody needs. Does the same if it is said twice.
    pub async fn collect_store(&self) -> Result<Collected, ApiError> {
        let path = routes::STORE_COLLECT.path;
        let call = Call::new(routes::STORE_COLLECT, path).repeat(Repeat::Safe);
        self.json(call.patience(WALK_PATIENCE)).await
    }

    /// Makes a pairing code.
    pub async fn new_pairing(&self, pairing: &NewPairing) -> Result<Pairing, ApiError> {
        self.tell(routes::PAIRING_NEW, routes::PAIRING_NEW.path, pairing)
            .await
    }

    /// Tokens, without their secrets.
    pub async fn tokens(&self) -> Result<Page<TokenInfo>, ApiError> {
        self.all(routes::TOKENS, |from| from_place(routes::TOKENS, from))
            .await
    }

    /// Makes a token.
    pub async fn new_token(&self, token: &NewToken) -> Result<CreatedToken, ApiError> {
        self.tell(routes::TOKEN_NEW, routes::TOKEN_NEW.path, token)
            .await
    }

    /// Voids a token, by its id.
    pub async fn revoke_token(&self, id: &str) -> Result<(), ApiError> {
        self.done(Call::new(
            routes::TOKEN_REVOKE,
            routes::TOKEN_REVOKE.path.replace("{token}", &escaped(id)),
        ))
        .await
    }

    /// Receivers of notifications, without their secrets.
    pub async fn receivers(&self) -> Result<Page<ReceiverInfo>, ApiError> {
        self.all(routes::RECEIVERS, |from| {
            from_place(routes::RECEIVERS, from)
        })
        .await
    }

    /// Sets a receiver of notifications: a new one, or another one of that name.
    pub async fn set_receiver(
        &self,
        name: &str,
        receiver: &ReceiverInput,
    ) -> Result<ReceiverInfo, ApiError> {
        let path = receiver_path(routes::RECEIVER_SET, name);
        self.tell(routes::RECEIVER_SET, path, receiver).await
    }

    /// Removes a receiver of notifications.
    pub async fn remove_receiver(&self, name: &str) -> Result<(), ApiError> {
        let path = receiver_path(routes::RECEIVER_REMOVE, name);
        self.done(Call::new(routes::RECEIVER_REMOVE, path)).await
    }

    /// Sends a test message to a receiver.
    pub async fn test_receiver(&self, name: &str) -> Result<TestReport, ApiError> {
        let path = receiver_path(routes::RECEIVER_TEST, name);
        self.json(Call::new(routes::RECEIVER_TEST, path)).await
    }

    /// Workers' certificates.
    pub async fn certificates(&self) -> Result<Page<CertificateInfo>, ApiError> {
        self.all(routes::CERTIFICATES, |from| {
            from_place(routes::CERTIFICATES, from)
        })
        .await
    }

    /// Voids a worker's certificate, by its serial number.
    pub async fn revoke_certificate(&self, serial: &str) -> Result<(), ApiError> {
        self.done(Call::new(
            routes::CERTIFICATE_REVOKE,
            routes::CERTIFICATE_REVOKE
                .path
                .replace("{serial}", &escaped(serial)),
        ))
        .await
    }

    /// The literal list of routes, as the manager serves it.
    pub async fn routes(&self) -> Result<serde_json::Value, ApiError> {
        self.get(routes::ROUTES, routes::ROUTES.path).await
    }

    /// What was rendered of a frame that is to be put together.
    pub async fn worker_parts(
        &self,
        job: JobId,
        step: StepIndex,
        position: u32,
    ) -> Result<Parts, ApiError> {
        let path = in_job(routes::WORKER_PARTS, job)
            .replace("{step}", &step.0.to_string())
            .replace("{position}", &position.to_string());
        self.get(routes::WORKER_PARTS, path).await
    }

    /// Reports a finished frame. The same report twice is the same as once.
    pub async fn worker_result(&self, result: &FrameResult) -> Result<Verdict, ApiError> {
        self.json(
            Call::new(routes::WORKER_RESULT, routes::WORKER_RESULT.path)
                .json(result)
                .repeat(Repeat::Safe),
        )
        .await
    }

    /// Reports a failed frame. The same report twice is the same as once.
    pub async fn worker_failure(&self, failure: &FrameError) -> Result<Verdict, ApiError> {
        self.json(
            Call::new(routes::WORKER_FAILURE, routes::WORKER_FAILURE.path)
                .json(failure)
                .repeat(Repeat::Safe),
        )
        .await
    }

    /// A new certificate under the present one.
    pub async fn worker_certificate(&self, renewal: &Renewal) -> Result<WorkerIdentity, ApiError> {
        self.json(
            Call::new(routes::WORKER_CERTIFICATE, routes::WORKER_CERTIFICATE.path)
                .json(renewal)
                .repeat(Repeat::Safe),
        )
        .await
    }

    /// Those of `digests` that the manager lacks. Any number of them; asked in pieces.
    pub async fn blobs_missing(&self, digests: &[Digest]) -> Result<Vec<Digest>, ApiError> {
        let mut missing = Vec::new();
        for piece in digests.chunks(DIGESTS_MAX) {
            let call =
                Call::new(routes::BLOBS_MISSING, routes::BLOBS_MISSING.path).json(&Digests {
                    digests: piece.to_vec(),
                });
            let answer: Digests = self.json(call.repeat(Repeat::Safe)).await?;
            missing.extend(answer.digests);
        }
        Ok(missing)
    }

    /// What the manager lacks of some trees, as far as the lists it has tell; empty once it has everything.
    pub async fn blobs_needed(&self, trees: &Trees) -> Result<Vec<Digest>, ApiError> {
        let call = Call::new(routes::BLOBS_NEEDED, routes::BLOBS_NEEDED.path).json(trees);
        let call = call.repeat(Repeat::Safe).patience(WALK_PATIENCE);
        let answer: Digests = self.json(call).await?;
        Ok(answer.digests)
    }

    /// Sends blocks; they are durable at the manager when this returns. The caller bounds how many.
    pub async fn put_blocks(&self, blocks: &[EncodedBlock]) -> Result<(), ApiError> {
        let mut call = Call::new(routes::BLOBS_PUT, routes::BLOBS_PUT.path);
        call.body = Some((framed(blocks), STREAM_MEDIA_TYPE));
        self.done(call).await
    }

    /// Sums of blocks of a file, by the numbers of their runs.
    pub(crate) async fn edit_sums(
        &self,
        basis: &BlobRef,
        runs: &[Range<u32>],
    ) -> Result<Bytes, ApiError> {
        let call = Call::new(routes::BLOBS_SUMS, routes::BLOBS_SUMS.path).json(&Replaced {
            basis: to_model(basis),
            runs: runs.iter().map(|run| (run.start, run.end)).collect(),
        });
        let call = call.repeat(Repeat::Safe).patience(WALK_PATIENCE);
        let (address, response) = self.send(&call).await?;
        self.body(&address, &call.what(), response).await
    }

    /// Has the manager make a file of what it was; it is durable there when this returns.
    pub(crate) async fn put_edit(&self, body: Vec<u8>) -> Result<(), ApiError> {
        let mut call = Call::new(routes::BLOBS_EDIT, routes::BLOBS_EDIT.path)
            .repeat(Repeat::Safe)
            .patience(WALK_PATIENCE);
        call.body = Some((body.into(), "application/octet-stream"));
        self.done(call).await
    }

    /// Blocks by digest, at most [`DIGESTS_MAX`], as they arrive. What the stream leaves out, the manager lacks.
    pub async fn fetch_blocks(&self, digests: &[Digest]) -> Result<BlockStream, ApiError> {
        let call = Call::new(routes::BLOBS_FETCH, routes::BLOBS_FETCH.path)
            .json(&Digests {
                digests: digests.to_vec(),
            })
            .repeat(Repeat::Safe);
        self.blocks(call).await
    }

    /// Sends a call whose answer is blocks.
    pub(crate) async fn blocks(&self, call: Call) -> Result<BlockStream, ApiError> {
        let (address, response) = self.send(&call).await?;
        Ok(BlockStream::new(self.clone(), address, response))
    }
}

/// Blocks as one body.
fn framed(blocks: &[EncodedBlock]) -> Bytes {
    let size: usize = blocks.iter().map(|block| block.bytes.len() + 64).sum();
    let mut encoder = StreamEncoder::new();
    let mut body = Vec::with_capacity(size + 64);
    body.extend_from_slice(&encoder.header());
    for block in blocks {
        for part in encoder.block(block) {
            body.extend_from_slice(&part);
        }
    }
    body.extend_from_slice(&encoder.end());
    body.into()
}
