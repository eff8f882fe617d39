//! The recorded credentials in memory, for verifying, and the receivers of notifications: the engine keeps it in step with the record.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, RwLock};

use tessera_model::{
    CertificateRecord, Change, PairingRecord, ReceiverRecord, SecretHash, Telling, Timestamp,
    TokenRecord, User, UserName, WorkerId,
};
use tessera_state::Snapshot;

use super::PeerCertificate;

/// Void certificates that workers are told of at most: one list fits many times into a message of the link, and a farm revokes a few
/// in the 90 days that each would have lived.
const VOID_MAX: usize = 16_384;

/// Written by the engine alone, read by every request.
pub(crate) type SharedIndex = Arc<RwLock<Index>>;

/// Every credential that is recorded, and the local administrator's, which is not.
#[derive(Debug, Default)]
pub(crate) struct Index {
    tokens: HashMap<SecretHash, TokenRecord>,
    pairings: HashMap<SecretHash, PairingRecord>,
    certificates: BTreeMap<String, CertificateRecord>,
    workers: BTreeMap<WorkerId, String>,
    receivers: BTreeMap<String, (ReceiverRecord, Telling)>,
    local: Option<(SecretHash, User)>,
}

impl Index {
    /// As recorded; the local administrator stays.
    pub(crate) fn reset(&mut self, snapshot: &Snapshot) {
        *self = Self {
            tokens: snapshot
                .tokens
                .iter()
                .map(|token| (token.hash, token.clone()))
                .collect(),
            pairings: snapshot
                .pairings
                .iter()
                .map(|pairing| (pairing.hash, pairing.clone()))
                .collect(),
            certificates: snapshot
                .certificates
                .iter()
                .map(|certificate| (certificate.serial.clone(), certificate.clone()))
                .collect(),
            workers: snapshot
                .workers
                .iter()
                .map(|worker| (worker.id, worker.name.clone()))
                .collect(),
            receivers: snapshot
                .receivers
                .iter()
                .map(|receiver| (receiver.0.receiver.name.clone(), receiver.clone()))
                .collect(),
            local: self.local.take(),
        };
    }

    /// The administrator on this machine, for as long as the manager runs.
    pub(crate) fn set_local(&mut self, hash: SecretHash, user: User) {
        self.local = Some((hash, user));
    }

    /// Takes in what concerns it.
    pub(crate) fn apply(&mut self, change: &Change) {
        match change {
            Change::TokenAdded(token) => {
                self.tokens.insert(token.hash, token.clone());
            }
            Change::TokenRevoked(id) => self.tokens.retain(|_, token| token.id != *id),
            Change::PairingAdded(pairing) => {
                self.pairings.insert(pairing.hash, pairing.clone());
            }
            Change::PairingRemoved(hash) => {
                self.pairings.remove(hash);
            }
            Change::CertificateIssued(certificate) => {
                self.certificates
                    .insert(certificate.serial.clone(), certificate.clone());
            }
            Change::CertificateRevoked(serial) => {
                if let Some(certificate) = self.certificates.get_mut(serial) {
                    certificate.revoked = true;
                }
            }
            Change::ReceiverSet(record) => {
                let name = record.receiver.name.clone();
                let told = self.receivers.remove(&name).map(|(_, telling)| telling);
                let receiver = ((**record).clone(), told.unwrap_or_default());
                self.receivers.insert(name, receiver);
            }
            Change::ReceiverTold(name, telling) => {
                if let Some((_, told)) = self.receivers.get_mut(name) {
                    *told = (**telling).clone();
                }
            }
            Change::ReceiverRemoved(name) => {
                self.receivers.remove(name);
            }
            Change::WorkerSet(worker) => {
                self.workers.insert(worker.id, worker.name.clone());
            }
            Change::WorkerRemoved(worker) => {
                self.workers.remove(worker);
            }
            _ => {}
        }
    }

    /// Who acts with the bearer token of this hash, if there is one and it has not ended.
    pub(crate) fn user_of(&self, hash: SecretHash, now: Timestamp) -> Option<User> {
        if let Some((local, user)) = &self.local
            && *local == hash
        {
            return Some(user.clone());
        }
        let token = self.tokens.get(&hash)?;
        token.expires_at.is_none_or(|end| now < end).then(|| User {
            name: token.user.clone(),
            role: token.role,
        })
    }

    /// When the token of this hash ended, and whose it was; none if there is none, or it has not ended.
    pub(crate) fn ended_token(
        &self,
        hash: SecretHash,
        now: Timestamp,
    ) -> Option<(&UserName, Timestamp)> {
        let token = self.tokens.get(&hash)?;
        let end = token.expires_at.filter(|end| *end <= now)?;
        Some((&token.user, end))
    }

    /// Whether this certificate still makes its holder the worker it names.
    pub(crate) fn is_valid(&self, peer: &PeerCertificate, now: Timestamp) -> bool {
        self.workers.contains_key(&peer.worker)
            && self
                .certificates
                .get(&peer.serial)
                .is_some_and(|certificate| {
                    certificate.worker == peer.worker
                        && !certificate.revoked
                        && now < certificate.expires_at
                })
    }

    /// The pairing of this secret, if it has not ended.
    pub(crate) fn pairing(&self, hash: SecretHash, now: Timestamp) -> Option<&PairingRecord> {
        self.pairings
            .get(&hash)
            .filter(|pairing| now < pairing.expires_at)
    }

    /// Pairings that have ended and lie about.
    pub(crate) fn ended_pairings(&self, now: Timestamp) -> Vec<SecretHash> {
        self.pairings
            .values()
            .filter(|pairing| pairing.expires_at <= now)
            .map(|pairing| pairing.hash)
            .collect()
    }

    pub(crate) fn pairing_count(&self) -> usize {
        self.pairings.len()
    }

    /// Tokens, oldest first.
    pub(crate) fn tokens(&self) -> Vec<TokenRecord> {
        let mut tokens: Vec<TokenRecord> = self.tokens.values().cloned().collect();
        tokens.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        tokens
    }

    pub(crate) fn token_count(&self) -> usize {
        self.tokens.len()
    }

    pub(crate) fn has_token(&self, id: &str) -> bool {
        self.tokens.values().any(|token| token.id == id)
    }

    /// Certificates, by worker, then by end.
    pub(crate) fn certificates(&self) -> Vec<CertificateRecord> {
        let mut all: Vec<CertificateRecord> = self.certificates.values().cloned().collect();
        all.sort_by(|a, b| {
            (a.worker, a.expires_at, &a.serial).cmp(&(b.worker, b.expires_at, &b.serial))
        });
        all
    }

    pub(crate) fn certificate(&self, serial: &str) -> Option<&CertificateRecord> {
        self.certificates.get(serial)
    }

    /// Serial numbers of certificates that are void before their end; of very many those that would be good for longest.
    pub(crate) fn void_certificates(&self, now: Timestamp) -> Vec<String> {
        let mut void: Vec<&CertificateRecord> = self
            .certificates
            .values()
            .filter(|certificate| certificate.revoked && now < certificate.expires_at)
            .collect();
        void.sort_by_key(|certificate| std::cmp::Reverse(certificate.expires_at));
        void.truncate(VOID_MAX);
        let serial = |certificate: &CertificateRecord| certificate.serial.clone();
        void.into_iter().map(serial).collect()
    }

    /// A worker's certificates that are not void.
    pub(crate) fn certificates_of(&self, worker: WorkerId) -> Vec<String> {
        self.certificates
            .values()
            .filter(|certificate| certificate.worker == worker && !certificate.revoked)
            .map(|certificate| certificate.serial.clone())
            .collect()
    }

    /// Receivers of notifications, by name.
    pub(crate) fn receivers(&self) -> Vec<(ReceiverRecord, Telling)> {
        self.receivers.values().cloned().collect()
    }

    pub(crate) fn receiver(&self, name: &str) -> Option<&(ReceiverRecord, Telling)> {
        self.receivers.get(name)
    }

    pub(crate) fn has_receivers(&self) -> bool {
        !self.receivers.is_empty()
    }

    /// A worker's name; empty once it is removed.
    pub(crate) fn worker_name(&self, worker: WorkerId) -> &str {
        self.workers.get(&worker).map_or("", String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tessera_model::{PairingGrant, Role, WorkerMode, WorkerRecord};

    use super::super::secret;
    use super::*;
    use crate::clock::later;

    #[test]
    fn what_has_ended_or_is_void_opens_nothing() {
        let mut index = Index::default();
        let now = Timestamp(1_000_000);
        let soon = later(now, Duration::from_secs(1));
        let hash = secret::hash(b"token");
        let token = TokenRecord {
            id: "t".into(),
            hash,
            user: "u".parse().unwrap(),
            role: Role::Viewer,
            note: String::new(),
            created_at: now,
            expires_at: Some(soon),
        };
        index.apply(&Change::TokenAdded(token));
        assert!(index.user_of(hash, now).is_some());
        assert!(index.user_of(hash, soon).is_none());
        assert!(index.ended_token(hash, now).is_none());
        assert_eq!(index.ended_token(hash, soon).unwrap().1, soon);
        index.apply(&Change::TokenRevoked("t".into()));
        assert!(index.user_of(hash, now).is_none());
        assert!(index.ended_token(hash, soon).is_none());

        let hash = secret::hash(b"code");
        index.apply(&Change::PairingAdded(PairingRecord {
            hash,
            grant: PairingGrant::Worker,
            expires_at: soon,
            once: true,
        }));
        assert!(index.pairing(hash, now).is_some());
        assert!(index.pairing(hash, soon).is_none());
        assert_eq!(index.ended_pairings(soon), [hash]);

        let worker = WorkerId(1);
        let peer = PeerCertificate {
            worker,
            serial: "40".into(),
        };
        index.apply(&Change::CertificateIssued(CertificateRecord {
            serial: "40".into(),
            worker,
            expires_at: soon,
            revoked: false,
        }));
        assert!(!index.is_valid(&peer, now), "of a worker that is not there");
        index.apply(&Change::WorkerSet(WorkerRecord {
            id: worker,
            name: "w".into(),
            facts: None,
            mode: WorkerMode::Active,
            paired_at: now,
            note: String::new(),
        }));
        assert!(index.is_valid(&peer, now));
        assert!(!index.is_valid(&peer, soon));
        let other = PeerCertificate {
            worker: WorkerId(2),
            ..peer.clone()
        };
        assert!(!index.is_valid(&other, now));
        assert!(index.void_certificates(now).is_empty());
        index.apply(&Change::CertificateRevoked("40".into()));
        assert!(!index.is_valid(&peer, now));
        assert_eq!(index.void_certificates(now), ["40"]);
        assert!(index.void_certificates(soon).is_empty());
    }
}
