//! Tokens, certificates and pairing codes, for administrators.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use http::StatusCode;
use tessera_model::{Change, TokenRecord};
use tessera_wire::api::{
    CertificateInfo, CreatedToken, NewPairing, NewToken, Page, Pairing, TokenInfo,
};
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::LongPageQuery;

use super::access::Client;
use super::app::App;
use super::extract::{Json, Path, Query, counted_page};
use super::problem::{Answer, failure, internal};
use crate::clock;
use crate::identity::secret;

/// Tokens of a farm: one for each user and machine.
pub(super) const TOKENS_MAX: usize = 10_000;

/// Longest note of a token.
const NOTE_MAX_BYTES: usize = 256;

/// Bytes of a token's public name.
pub(super) const TOKEN_ID_BYTES: usize = 6;

pub(super) async fn new_pairing(
    State(app): State<Arc<App>>,
    client: Client,
    Json(wanted): Json<NewPairing>,
) -> Answer<Json<Pairing>> {
    let lifetime = Duration::from_secs(wanted.lifetime_s);
    tracing::info!(user = %client.user.name, grant = ?wanted.grant, "pairing code made");
    app.mint_pairing(wanted.grant, lifetime, wanted.once)
        .await
        .map(Json)
}

fn info(token: TokenRecord) -> TokenInfo {
    TokenInfo {
        id: token.id,
        user: token.user,
        role: token.role,
        note: token.note,
        created_at: token.created_at,
        expires_at: token.expires_at,
    }
}

pub(super) async fn tokens(
    State(app): State<Arc<App>>,
    Query(query): Query<LongPageQuery>,
) -> Json<Page<TokenInfo>> {
    let items = app.index().tokens().into_iter().map(info).collect();
    Json(counted_page(items, query))
}

/// Room for one more, and a note of bearable length.
pub(super) fn check_token(app: &App, note: &str) -> Answer<()> {
    if app.index().token_count() >= TOKENS_MAX {
        return Err(failure(
            ProblemKind::TooMany,
            format!("the farm has {TOKENS_MAX} tokens"),
            "revoke those that nobody uses: `tessera token list`",
        ));
    }
    if note.len() > NOTE_MAX_BYTES {
        return Err(failure(
            ProblemKind::Invalid,
            format!("a note has at most {NOTE_MAX_BYTES} bytes"),
            "",
        ));
    }
    Ok(())
}

pub(super) async fn new_token(
    State(app): State<Arc<App>>,
    client: Client,
    Json(wanted): Json<NewToken>,
) -> Answer<Json<CreatedToken>> {
    check_token(&app, &wanted.note)?;
    let token = secret::token().map_err(|error| internal(&error))?;
    let created_at = clock::wall();
    let record = TokenRecord {
        id: secret::random_hex::<TOKEN_ID_BYTES>().map_err(|error| internal(&error))?,
        hash: secret::token_hash(&token).expect("a new token is one"),
        user: wanted.user,
        role: wanted.role,
        note: wanted.note,
        created_at,
        expires_at: wanted
            .lifetime_s
            .map(|seconds| clock::later(created_at, Duration::from_secs(seconds))),
    };
    app.engine
        .record(vec![Change::TokenAdded(record.clone())])
        .await?;
    tracing::info!(by = %client.user.name, id = record.id, user = %record.user, role = %record.role, "token made");
    Ok(Json(CreatedToken {
        info: info(record),
        token,
    }))
}

pub(super) async fn revoke_token(
    State(app): State<Arc<App>>,
    client: Client,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    if !app.index().has_token(&id) {
        return Err(failure(
            ProblemKind::NotFound,
            format!("there is no token {id}"),
            "`tessera token list` lists them",
        ));
    }
    app.engine
        .record(vec![Change::TokenRevoked(id.clone())])
        .await?;
    tracing::info!(by = %client.user.name, id, "token revoked");
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn certificates(
    State(app): State<Arc<App>>,
    Query(query): Query<LongPageQuery>,
) -> Json<Page<CertificateInfo>> {
    let index = app.index();
    let items = index
        .certificates()
        .into_iter()
        .map(|certificate| CertificateInfo {
            worker_name: index.worker_name(certificate.worker).to_owned(),
            serial: certificate.serial,
            worker: certificate.worker,
            expires_at: certificate.expires_at,
            revoked: certificate.revoked,
        })
        .collect();
    Json(counted_page(items, query))
}

pub(super) async fn revoke_certificate(
    State(app): State<Arc<App>>,
    client: Client,
    Path(serial): Path<String>,
) -> Answer<StatusCode> {
    let serial = serial.to_ascii_lowercase();
    if app.index().certificate(&serial).is_none() {
        return Err(failure(
            ProblemKind::NotFound,
            format!("there is no certificate {serial}"),
            "`tessera cert list` lists them",
        ));
    }
    app.engine
        .record(vec![Change::CertificateRevoked(serial.clone())])
        .await?;
    tracing::info!(by = %client.user.name, serial, "certificate revoked");
    Ok(StatusCode::NO_CONTENT)
}
