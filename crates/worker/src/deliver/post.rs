//! Telling the manager, for as long as it takes.

use tessera_client::{Api, ApiError, Ask, BlockSource, SendError, send};
use tessera_model::{FrameError, FrameErrorKind, FrameResult, Timestamp};
use tessera_wire::api::Verdict;
use tessera_wire::problem::ProblemKind;

use super::Deliverer;
use super::seal::{Body, Sealed};
use crate::uplink::Uplink;

/// A report with no more bytes than this is sent without asking first what the manager has: the question would take
/// as long as the answer saves.
const UNASKED_MAX_BYTES: u64 = 1 << 20;

/// What became of a try.
enum Told {
    /// The manager has answered.
    Yes(Verdict),
    /// The manager will never take it as it is.
    Never(String),
    /// Blocks it was sent are not there any more.
    Again,
    /// Not this time.
    NotYet {
        why: String,
        /// The manager was reached and has trouble of its own, which its owner should hear of.
        trouble: bool,
    },
}

/// Returns when the manager has the report, or nobody waits for it any more.
pub(super) async fn deliver(context: &Deliverer, sealed: &Sealed) {
    let mut uplink = context.uplink.clone();
    let mut backoff = Uplink::backoff();
    let mut ask = match sealed.bytes() <= UNASKED_MAX_BYTES {
        true => Ask::Never,
        false => Ask::First,
    };
    let mut refused: Option<Body> = None;
    let mut warned = false;
    loop {
        let api = uplink.api().await;
        if !context.hub.is_held(&sealed.key()) {
            tracing::debug!("{} is not wanted any more", describe(sealed, &sealed.body));
            return;
        }
        let told = match &refused {
            None => tell(&api, sealed, ask).await,
            Some(body) => post(&api, body).await,
        };
        let why = match told {
            Told::Yes(verdict) => return log(sealed, refused.as_ref(), verdict),
            Told::Never(why) if refused.is_some() => {
                tracing::warn!("{} is given up: {why}", describe(sealed, &sealed.body));
                return;
            }
            Told::Never(why) => {
                refused = Some(refusal(&sealed.body, &why));
                continue;
            }
            Told::Again => {
                ask = Ask::First;
                "blocks are missing at the manager".to_owned()
            }
            Told::NotYet { why, trouble } => {
                if trouble && !warned {
                    warned = true;
                    tracing::warn!("{} waits: {why}", describe(sealed, &sealed.body));
                }
                why
            }
        };
        let wait = backoff.wait();
        let what = describe(sealed, &sealed.body);
        tracing::debug!("{what} is told again in {:.1} s: {why}", wait.as_secs_f64());
        tokio::time::sleep(wait).await;
    }
}

async fn tell(api: &Api, sealed: &Sealed, ask: Ask) -> Told {
    let source = BlockSource::Origin(sealed.origin.clone());
    match send(api, &source, &[], &sealed.roots, ask, |_| {}).await {
        Ok(_) => post(api, &sealed.body).await,
        Err(SendError::Api(error)) => judge(&error),
        Err(error) => Told::Never(error.to_string()),
    }
}

async fn post(api: &Api, body: &Body) -> Told {
    let answer = match body {
        Body::Done(result) => api.worker_result(result).await,
        Body::Failed(error) => api.worker_failure(error).await,
    };
    match answer {
        Ok(verdict) => Told::Yes(verdict),
        Err(error) => judge(&error),
    }
}

fn judge(error: &ApiError) -> Told {
    match error.kind() {
        Some(ProblemKind::MissingBlobs) => Told::Again,
        // The job was removed.
        Some(ProblemKind::NotFound) => Told::Yes(Verdict::NotNeeded),
        Some(ProblemKind::Invalid | ProblemKind::TooLarge | ProblemKind::Conflict) => {
            Told::Never(error.to_string())
        }
        // A person has to mend it, or a restart does.
        kind => Told::NotYet {
            why: error.to_string(),
            trouble: kind.is_some_and(|kind| kind != ProblemKind::NotActive),
        },
    }
}

/// A result that the manager can not take is a failure that it can.
fn refusal(body: &Body, why: &str) -> Body {
    let error = match body {
        Body::Failed(error) => FrameError {
            stdout: None,
            stderr: None,
            ..(**error).clone()
        },
        Body::Done(result) => {
            let FrameResult {
                lease,
                position,
                frame,
                worker,
                ..
            } = **result;
            FrameError {
                lease,
                position,
                frame,
                worker,
                kind: FrameErrorKind::Worker,
                message: format!("the frame was rendered but could not be delivered: {why}"),
                stdout: None,
                stderr: None,
                at: Timestamp::default(),
            }
        }
    };
    Body::Failed(Box::new(error))
}

fn describe(sealed: &Sealed, body: &Body) -> String {
    let frame = match body {
        Body::Done(result) => result.frame,
        Body::Failed(error) => error.frame,
    };
    let job = sealed.key().unit.job;
    match sealed.job_name.as_str() {
        "" => format!("frame {frame} of job {job}"),
        name => format!("frame {frame} of job {job} '{name}'"),
    }
}

/// The operator's one line for a frame.
fn log(sealed: &Sealed, refused: Option<&Body>, verdict: Verdict) {
    let body = refused.unwrap_or(&sealed.body);
    let what = describe(sealed, body);
    let fate = match verdict {
        Verdict::Accepted => "",
        Verdict::NotNeeded => " (not needed any more)",
    };
    match body {
        Body::Done(result) => {
            let times = result.timings;
            let seconds = |micros: u64| micros as f64 / 1e6;
            tracing::info!(
                "{what} rendered in {:.3} s{fate} (loaded {:.3} s, written {:.3} s, waited {:.3} s, {} kB, {})",
                seconds(times.sync_us + times.render_us),
                seconds(times.load_us),
                seconds(times.write_us),
                seconds(times.idle_us),
                sealed.bytes() / 1000,
                result.device,
            );
        }
        Body::Failed(error) => tracing::warn!("{what} failed{fate}: {}", error.message),
    }
}
