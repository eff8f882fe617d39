//! Becoming part of a farm with a pairing code.
//!
//! The code says what the manager's certificate must be. So the connection is verified first, and only then is the code's secret
//! said: somebody in between learns nothing, and somebody who imitates an announcement is passed over.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use tessera_model::{Timestamp, User};
use tessera_wire::PROTOCOL;
use tessera_wire::api::{PairReply, PairRequest, PairWorker, Renewal, WorkerIdentity};
use tessera_wire::pairing::{PairingCode, PairingLink};

use crate::address::{AddressError, normalise_address};
use crate::api::{Api, ApiError, Credentials};
use crate::discover::{DiscoverError, browse};
use crate::farm::Farm;
use crate::trust::{Identity, Trust, TrustError, pairing_config};
use crate::worker_farm::WorkerFarm;

/// How long a manager is looked for when a code comes without an address.
pub const DISCOVERY_TIME: Duration = Duration::from_secs(10);

/// Joining failed.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// No manager was found.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// The manager could not be reached, or said no.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// TLS cannot be set up.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No key could be made.
    #[error("no key could be made for this machine: {0}")]
    Key(#[from] rcgen::Error),
    /// The code is for the other sort of member.
    #[error(
        "this code is for a {granted}: use it with `{command}`, or make one for a {wanted} at the manager"
    )]
    WrongSort {
        /// What it grants.
        granted: &'static str,
        /// What was wanted.
        wanted: &'static str,
        /// Where it fits.
        command: &'static str,
    },
}

/// Makes this user a client of the farm. Nothing is written: keep the answer with [`save_farm`](crate::save_farm).
/// `note` says where the token will be used (the host's name).
///
/// # Errors
/// If no manager with the code's fingerprint is found, or it does not take the code.
pub async fn join_as_client(link: &PairingLink, note: &str) -> Result<(Farm, User), JoinError> {
    let request = PairRequest {
        secret: secret_of(&link.code),
        protocol: PROTOCOL,
        worker: None,
        note: note.to_owned(),
    };
    let joined = pair(link, &request).await?;
    let PairReply::Client {
        farm: name,
        token,
        user,
        role,
    } = joined.reply
    else {
        return Err(JoinError::WrongSort {
            granted: "worker",
            wanted: "client",
            command: "tessera worker --join CODE",
        });
    };
    let mut farm = Farm {
        name,
        addresses: joined.addresses,
        trust: joined.trust,
        token,
    };
    // The farm knows more addresses than the one used; if it cannot be asked now, that one will do.
    if let Ok(view) = Api::new(farm.access())?.farm().await {
        add_addresses(&mut farm.addresses, view.managers);
    }
    Ok((farm, User { name: user, role }))
}

/// Makes this machine a worker of the farm, with a key that is made here. Nothing is written.
///
/// # Errors
/// If no manager with the code's fingerprint is found, or it does not take the code.
pub async fn join_as_worker(link: &PairingLink, name: &str) -> Result<WorkerFarm, JoinError> {
    let key = KeyPair::generate()?;
    let worker = PairWorker {
        name: name.to_owned(),
        csr: signing_request(&key, name)?,
    };
    let request = PairRequest {
        secret: secret_of(&link.code),
        protocol: PROTOCOL,
        worker: Some(worker),
        note: String::new(),
    };
    let joined = pair(link, &request).await?;
    match joined.reply {
        PairReply::Worker(identity) => {
            Ok(worker_farm(identity, &key, joined.addresses, joined.trust))
        }
        PairReply::Client { .. } => Err(JoinError::WrongSort {
            granted: "client",
            wanted: "worker",
            command: "tessera connect CODE",
        }),
    }
}

/// A new key and certificate for a worker, under its present one. Save the answer, then use it for a new [`Api`].
///
/// # Errors
/// If the manager cannot be reached or says no.
pub async fn renew(api: &Api, farm: &WorkerFarm) -> Result<WorkerFarm, JoinError> {
    let key = KeyPair::generate()?;
    let renewal = Renewal {
        csr: signing_request(&key, &farm.name)?,
    };
    let identity = api.worker_certificate(&renewal).await?;
    Ok(worker_farm(
        identity,
        &key,
        farm.addresses.clone(),
        farm.trust.clone(),
    ))
}

fn worker_farm(
    identity: WorkerIdentity,
    key: &KeyPair,
    addresses: Vec<String>,
    trust: Trust,
) -> WorkerFarm {
    WorkerFarm {
        farm: identity.farm,
        worker: identity.worker,
        name: identity.name,
        addresses,
        trust,
        identity: Identity {
            certificate_pem: identity.certificate,
            key_pem: key.serialize_pem(),
        },
        issued_at: now(),
        expires_at: identity.expires_at,
    }
}

struct Joined {
    reply: PairReply,
    addresses: Vec<String>,
    trust: Trust,
}

async fn pair(link: &PairingLink, request: &PairRequest) -> Result<Joined, JoinError> {
    if let Some(address) = &link.address {
        return pair_at(vec![normalise_address(address)?], &link.code, request).await;
    }
    let mut announced = browse(Some(link.code.fingerprint), DISCOVERY_TIME)?;
    let mut last_error = None;
    while let Some(seen) = announced.next().await {
        match pair_at(seen.addresses, &link.code, request).await {
            Err(JoinError::Api(error @ ApiError::Connect(_))) => {
                tracing::warn!(%error, "passed over an announced manager");
                last_error = Some(error);
            }
            outcome => return outcome,
        }
    }
    Err(last_error.map_or(
        JoinError::Discover(DiscoverError::Nobody {
            time: DISCOVERY_TIME,
        }),
        JoinError::Api,
    ))
}

async fn pair_at(
    addresses: Vec<String>,
    code: &PairingCode,
    request: &PairRequest,
) -> Result<Joined, JoinError> {
    let (tls, found) = pairing_config(code.fingerprint, code.name_check)?;
    let api = Api::with_tls(addresses, &Credentials::None, tls);
    let reply = api.pair(request).await?;
    let trust = found.trust().ok_or(TrustError::Anchor { source: None })?;
    let mut addresses = vec![api.address().to_owned()];
    add_addresses(&mut addresses, api.addresses().to_vec());
    Ok(Joined {
        reply,
        addresses,
        trust,
    })
}

fn add_addresses(known: &mut Vec<String>, more: Vec<String>) {
    for address in more {
        if !known.contains(&address) {
            known.push(address);
        }
    }
}

fn secret_of(code: &PairingCode) -> String {
    data_encoding::HEXLOWER.encode(&code.secret)
}

fn signing_request(key: &KeyPair, name: &str) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.serialize_request(key)?.pem()
}

pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
