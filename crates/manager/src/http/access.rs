//! Who asks, and whether they may: decided here for every route before its handler runs.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, header};
use tessera_model::{Job, JobId, Role, SecretHash, User, UserName, WorkerId};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes::Access;

use super::app::App;
use super::problem::{Answer, Failure, failure, no_job};
use crate::clock;
use crate::guests::Guest;
use crate::identity::{PeerCertificate, secret};

/// The other end of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// Shown and verified against the farm's authority; whether it is still good is looked up at each request.
    pub(crate) certificate: Option<PeerCertificate>,
    pub(crate) guest: Guest,
}

/// Who asks.
#[derive(Debug, Clone)]
enum Caller {
    Client(Client),
    Worker(WorkerPeer),
}

/// A client with a good token.
#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) user: User,
    token: SecretHash,
}

/// A worker with a good certificate.
#[derive(Debug, Clone)]
pub(super) struct WorkerPeer {
    pub(super) worker: WorkerId,
    pub(super) certificate: PeerCertificate,
    pub(super) address: SocketAddr,
}

/// Who sends blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sender {
    /// The files of a job.
    User(UserName),
    /// What it rendered.
    Worker,
}

impl Client {
    /// Whether the token is still good: for answers that go on for hours.
    pub(super) fn is_still_good(&self, app: &App) -> bool {
        app.index()
            .user_of(self.token, clock::wall())
            .is_some_and(|user| user == self.user)
    }

    /// Artists change their own jobs, administrators every one.
    pub(super) fn may_change(&self, job: &Job) -> Answer<()> {
        if self.user.role >= Role::Admin || job.owner == self.user.name {
            return Ok(());
        }
        Err(failure(
            ProblemKind::Forbidden,
            format!(
                "job {} is of {}, and you are {}",
                job.id, job.owner, self.user.name
            ),
            "ask its owner or an administrator",
        ))
    }

    /// The same, for a job that may not be there.
    pub(super) async fn may_change_job(&self, app: &App, job: JobId) -> Answer<()> {
        let client = self.clone();
        app.engine
            .read(move |scheduler, _| scheduler.job_ref(job).map(|job| client.may_change(job)))
            .await?
            .ok_or_else(|| no_job(job))?
    }
}

impl WorkerPeer {
    /// Whether the certificate is still good.
    pub(super) fn is_still_good(&self, app: &App) -> bool {
        app.index().is_valid(&self.certificate, clock::wall())
    }
}

/// The layer of a route: lets a request through, or answers it.
pub(super) async fn check(
    State((app, access)): State<(Arc<App>, Access)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().cloned();
    if access == Access::Public {
        let answer = next.run(request).await;
        if let Some(peer) = peer.filter(|_| answer.status().is_success()) {
            peer.guest.was_answered();
        }
        return answer;
    }
    let caller = identify(&app, peer.as_ref(), request.headers())
        .and_then(|caller| allow(access, &caller).map(|()| caller));
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refused) => refused.into_response(),
    }
}

/// The answer to a path that is not on the list. Who has no credentials does not learn even that.
pub(super) async fn no_route(State(app): State<Arc<App>>, request: Request) -> Failure {
    match identify(&app, request.extensions().get::<Peer>(), request.headers()) {
        Ok(_) => failure(
            ProblemKind::NotFound,
            format!("there is no {} {}", request.method(), request.uri().path()),
            "GET /api/v1/routes lists what there is",
        ),
        Err(refused) => refused,
    }
}

/// Whoever shows good credentials is no guest any more.
fn identify(app: &App, peer: Option<&Peer>, headers: &HeaderMap) -> Answer<Caller> {
    let caller = credentials(app, peer, headers)?;
    if let Some(peer) = peer {
        peer.guest.is_known();
    }
    Ok(caller)
}

fn credentials(app: &App, peer: Option<&Peer>, headers: &HeaderMap) -> Answer<Caller> {
    let now = clock::wall();
    // A token that is shown counts, and a wrong one is not made good by a certificate beside it.
    if let Some(value) = headers.get(header::AUTHORIZATION) {
        let token = value
            .to_str()
            .ok()
            .and_then(|value| value.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, token)| secret::token_hash(token.trim()));
        let found = token.and_then(|token| Some((app.index().user_of(token, now)?, token)));
        return match found {
            Some((user, token)) => Ok(Caller::Client(Client { user, token })),
            None => Err(wrong_token(app, token)),
        };
    }
    match peer {
        Some(Peer {
            address,
            certificate: Some(certificate),
            ..
        }) if app.index().is_valid(certificate, now) => Ok(Caller::Worker(WorkerPeer {
            worker: certificate.worker,
            certificate: certificate.clone(),
            address: *address,
        })),
        Some(Peer {
            certificate: Some(certificate),
            ..
        }) => Err(failure(
            ProblemKind::Unauthorized,
            format!(
                "the certificate of worker {} is void: it was revoked, has expired, or the worker was removed",
                certificate.worker
            ),
            "pair the worker again: `tessera worker --join CODE`",
        )),
        _ => Err(failure(
            ProblemKind::Unauthorized,
            "this needs credentials",
            "connect with `tessera connect CODE`; the manager prints the code",
        )),
    }
}

/// Whoever holds a token that has ended may know that it has: that is what to do something about.
fn wrong_token(app: &App, token: Option<SecretHash>) -> Failure {
    let index = app.index();
    if let Some((user, end)) = token.and_then(|token| index.ended_token(token, clock::wall())) {
        return failure(
            ProblemKind::Unauthorized,
            format!("this token of {user} ended on {}", clock::date(end)),
            "ask an administrator for a new one: `tessera token create`",
        );
    }
    failure(
        ProblemKind::Unauthorized,
        "the token is not, or no longer, one of this farm",
        "connect again: `tessera connect` with a new code of the manager",
    )
}

fn allow(access: Access, caller: &Caller) -> Answer<()> {
    let role = match (access, caller) {
        (Access::Public, _) | (Access::Worker | Access::ClientOrWorker(_), Caller::Worker(_)) => {
            return Ok(());
        }
        (Access::Client(role) | Access::ClientOrWorker(role), Caller::Client(client)) => {
            if client.user.role >= role {
                return Ok(());
            }
            role
        }
        (Access::Client(_), Caller::Worker(_)) => {
            return Err(failure(
                ProblemKind::Forbidden,
                "this is for clients, not for workers",
                "",
            ));
        }
        (Access::Worker, Caller::Client(_)) => {
            return Err(failure(
                ProblemKind::Forbidden,
                "this is for workers, not for clients",
                "",
            ));
        }
    };
    Err(failure(
        ProblemKind::Forbidden,
        format!("this needs the role {role}"),
        "ask an administrator for a token with it",
    ))
}

fn caller(parts: &Parts) -> Option<&Caller> {
    parts.extensions.get::<Caller>()
}

/// A handler that asks for someone else than its route lets in: our fault, so nobody gets in.
fn misplaced() -> Failure {
    failure(
        ProblemKind::Internal,
        "the manager failed",
        "its list of routes and its handlers disagree",
    )
}

impl<S: Send + Sync> FromRequestParts<S> for Client {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match caller(parts) {
            Some(Caller::Client(client)) => Ok(client.clone()),
            _ => Err(misplaced()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Sender {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match caller(parts) {
            Some(Caller::Client(client)) => Ok(Self::User(client.user.name.clone())),
            Some(Caller::Worker(_)) => Ok(Self::Worker),
            None => Err(misplaced()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for WorkerPeer {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        match caller(parts) {
            Some(Caller::Worker(worker)) => Ok(worker.clone()),
            _ => Err(misplaced()),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = Failure;
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(misplaced)
    }
}
