//! Becoming part of the farm, and staying it.

use std::sync::Arc;

use axum::extract::State;
use data_encoding::HEXLOWER_PERMISSIVE;
use tessera_model::{SecretHash, WorkerId};
use tessera_wire::api::{PairReply, PairRequest, PairWorker, Renewal, WorkerIdentity};
use tessera_wire::pairing::SECRET_BYTES;
use tessera_wire::problem::ProblemKind;

use super::access::{Peer, WorkerPeer};
use super::app::App;
use super::extract::Json;
use super::identities::{TOKEN_ID_BYTES, check_token};
use super::link::check_protocol;
use super::problem::{Answer, Failure, failure, internal};
use crate::clock;
use crate::engine::{Join, Joined, Party};
use crate::identity::{Guess, IssuedCertificate, WorkerRequest, secret};

/// Longest name of a worker in characters.
const NAME_MAX: usize = 64;

pub(super) async fn pair(
    State(app): State<Arc<App>>,
    peer: Peer,
    Json(request): Json<PairRequest>,
) -> Answer<Json<PairReply>> {
    check_protocol(request.protocol).map_err(|reason| {
        failure(
            ProblemKind::Version,
            reason,
            "install the version the manager runs",
        )
    })?;
    let code = HEXLOWER_PERMISSIVE
        .decode(request.secret.as_bytes())
        .ok()
        .filter(|secret| secret.len() == SECRET_BYTES)
        .map(|secret| secret::hash(&secret));
    let code = known_code(&app, &peer, code)?;
    let token = secret::token().map_err(|error| internal(&error))?;
    let party = match request.worker {
        Some(worker) => worker_party(worker)?,
        None => {
            check_token(&app, &request.note)?;
            Party::Client {
                note: request.note,
                token_id: secret::random_hex::<TOKEN_ID_BYTES>()
                    .map_err(|error| internal(&error))?,
                token: secret::token_hash(&token).expect("a new token is one"),
            }
        }
    };
    let reply = match app.engine.join(Join { code, party }).await? {
        Joined::Worker {
            worker,
            name,
            certificate,
        } => {
            tracing::info!(%worker, name, address = %peer.address, "worker paired");
            PairReply::Worker(identity(&app, worker, name, certificate))
        }
        Joined::Client { user } => {
            tracing::info!(user = %user.name, role = %user.role, address = %peer.address, "client connected");
            PairReply::Client {
                farm: app.farm.name.clone(),
                token,
                user: user.name,
                role: user.role,
            }
        }
        // Used up, or ended, between the look at it and now.
        Joined::WrongCode => return Err(wrong_code()),
        Joined::WrongParty { code_is_for } => {
            return Err(failure(
                ProblemKind::Code,
                format!("this code is for {code_is_for}"),
                "use `tessera worker --join` with a worker's code and `tessera connect` with a client's",
            ));
        }
        Joined::Refused(why) => return Err(failure(ProblemKind::Conflict, why, "")),
    };
    Ok(Json(reply))
}

/// The code, if there is such a one and its party may try.
fn known_code(app: &App, peer: &Peer, code: Option<SecretHash>) -> Answer<SecretHash> {
    let mut tries = app
        .tries
        .lock()
        .unwrap_or_else(|poison| poison.into_inner());
    let is_known = || code.is_some_and(|code| app.index().pairing(code, clock::wall()).is_some());
    let guess = tries.guess(peer.address.ip(), app.clock.now().elapsed, is_known);
    drop(tries);
    match (guess, code) {
        (Guess::Right, Some(code)) => Ok(code),
        (Guess::TooMany, _) => Err(failure(
            ProblemKind::TooMany,
            "too many wrong pairing codes",
            "wait a minute, then try again",
        )),
        (Guess::Right | Guess::Wrong, _) => {
            tracing::warn!(address = %peer.address, "a wrong pairing code");
            Err(wrong_code())
        }
    }
}

fn wrong_code() -> Failure {
    failure(
        ProblemKind::Code,
        "the pairing code is wrong, was used, or has ended",
        "ask for a new one where the manager runs",
    )
}

fn worker_party(worker: PairWorker) -> Answer<Party> {
    let name = worker.name.trim().to_owned();
    if name.is_empty() || name.chars().count() > NAME_MAX || name.chars().any(char::is_control) {
        return Err(failure(
            ProblemKind::Invalid,
            format!("a worker's name has 1 to {NAME_MAX} characters and no control characters"),
            "choose one with --name",
        ));
    }
    Ok(Party::Worker {
        name,
        request: Box::new(read_request(&worker.csr)?),
    })
}

fn read_request(csr: &str) -> Answer<WorkerRequest> {
    WorkerRequest::read(csr).map_err(|why| {
        failure(
            ProblemKind::Invalid,
            format!("the certificate request cannot be read: {why}"),
            "",
        )
    })
}

fn identity(
    app: &App,
    worker: WorkerId,
    name: String,
    certificate: IssuedCertificate,
) -> WorkerIdentity {
    WorkerIdentity {
        farm: app.farm.name.clone(),
        worker,
        name,
        certificate: certificate.chain_pem,
        expires_at: certificate.expires_at,
    }
}

pub(super) async fn renew(
    State(app): State<Arc<App>>,
    peer: WorkerPeer,
    Json(renewal): Json<Renewal>,
) -> Answer<Json<WorkerIdentity>> {
    let request = read_request(&renewal.csr)?;
    let certificate = app.engine.renew(peer.worker, request).await?;
    let name = app.index().worker_name(peer.worker).to_owned();
    tracing::info!(worker = %peer.worker, name, "certificate renewed");
    Ok(Json(identity(&app, peer.worker, name, certificate)))
}
