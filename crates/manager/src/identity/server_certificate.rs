//! What the server shows: a certificate of the farm's authority, or the owner's own. Both are kept fresh while it runs:
//! the former is issued anew in time, the latter is read anew when its files have changed.

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, RwLock};

use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use sha2::{Digest as _, Sha256};
use tessera_model::Timestamp;
use tessera_wire::MANAGER_NAME;
use tessera_wire::pairing::{FINGERPRINT_BYTES, Fingerprint, NameCheck};
use x509_parser::extensions::GeneralName;

use super::Authority;
use super::authority::ISSUED_LIFE;
use crate::data_dir::DataDir;
use crate::{ManagerError, OwnCertificate, addresses};

const CHAIN: &str = "server.pem";
const KEY: &str = "server.key";

/// What joining sides are told to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trust {
    pub(crate) anchor_pem: String,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) name_check: NameCheck,
    /// Names the certificate is good for; only of use with [`NameCheck::Host`].
    pub(crate) names: Vec<String>,
}

/// The certificate in use. Cheap to clone; all clones show the same.
#[derive(Debug, Clone)]
pub(crate) struct ServedCertificate {
    current: Arc<RwLock<Current>>,
}

#[derive(Debug)]
struct Current {
    key: Arc<CertifiedKey>,
    trust: Trust,
}

impl ResolvesServerCert for ServedCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self
            .current
            .read()
            .unwrap_or_else(|poison| poison.into_inner());
        Some(Arc::clone(&current.key))
    }
}

impl ServedCertificate {
    /// Loads the owner's, or the farm's, which is issued if there is none that will last.
    pub(crate) fn load(
        own: Option<&OwnCertificate>,
        dir: &DataDir,
        authority: &Authority,
        provider: &CryptoProvider,
        now: Timestamp,
    ) -> Result<Self, ManagerError> {
        let current = load(own, dir, authority, provider, now)?;
        Ok(Self {
            current: Arc::new(RwLock::new(current)),
        })
    }

    /// The same again; what is shown changes only if it succeeds. Returns whether it changed.
    pub(crate) fn refresh(
        &self,
        own: Option<&OwnCertificate>,
        dir: &DataDir,
        authority: &Authority,
        provider: &CryptoProvider,
        now: Timestamp,
    ) -> Result<bool, ManagerError> {
        let fresh = load(own, dir, authority, provider, now)?;
        let mut current = self
            .current
            .write()
            .unwrap_or_else(|poison| poison.into_inner());
        let changed = current.key.cert != fresh.key.cert;
        *current = fresh;
        Ok(changed)
    }

    pub(crate) fn trust(&self) -> Trust {
        let current = self
            .current
            .read()
            .unwrap_or_else(|poison| poison.into_inner());
        current.trust.clone()
    }
}

fn load(
    own: Option<&OwnCertificate>,
    dir: &DataDir,
    authority: &Authority,
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<Current, ManagerError> {
    match own {
        Some(own) => {
            let chain = read(&own.chain)?;
            let key = read(&own.key)?;
            let loaded = check(&own.chain, &own.key, &chain, &key, provider, now)?;
            current(loaded, NameCheck::Host, &own.chain)
        }
        None => {
            let loaded = load_or_issue(dir, authority, provider, now)?;
            current(loaded, NameCheck::Farm, &dir.path(CHAIN))
        }
    }
}

fn read(path: &Path) -> Result<String, ManagerError> {
    std::fs::read_to_string(path).map_err(|source| ManagerError::file("read", path, source))
}

fn load_or_issue(
    dir: &DataDir,
    authority: &Authority,
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<Arc<CertifiedKey>, ManagerError> {
    let local = addresses::all_local();
    if let (Some(chain), Some(key)) = (dir.read(CHAIN)?, dir.read(KEY)?)
        && let Ok(loaded) = check(
            &dir.path(CHAIN),
            &dir.path(KEY),
            &chain,
            &key,
            provider,
            now,
        )
        && loaded.cert.last() == Some(authority.certificate())
        && will_last(&loaded.cert[0], &local, now)
    {
        return Ok(loaded);
    }
    let mut names = vec![MANAGER_NAME.to_owned(), "localhost".to_owned()];
    names.push(addresses::host_name());
    names.dedup();
    let (chain, key) = authority.issue_server(&names, &local, now)?;
    let key = key.serialize_pem();
    dir.write(KEY, &key)?;
    dir.write(CHAIN, &chain)?;
    tracing::info!("issued a new server certificate");
    check(
        &dir.path(CHAIN),
        &dir.path(KEY),
        &chain,
        &key,
        provider,
        now,
    )
}

/// Whether the farm's own certificate has more than a third of its life left and names every local address.
fn will_last(certificate: &CertificateDer<'_>, local: &[IpAddr], now: Timestamp) -> bool {
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(certificate) else {
        return false;
    };
    let left_s = parsed.validity().not_after.timestamp() - now.0 / 1000;
    let named = alternative_names(&parsed);
    left_s > (ISSUED_LIFE / 3).as_secs().cast_signed()
        && local
            .iter()
            .all(|address| named.contains(&address.to_string()))
}

/// DNS names and addresses of a certificate, as text.
fn alternative_names(certificate: &x509_parser::certificate::X509Certificate<'_>) -> Vec<String> {
    let Ok(Some(names)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    names
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => match bytes.len() {
                4 => <[u8; 4]>::try_from(*bytes)
                    .ok()
                    .map(|v4| IpAddr::from(v4).to_string()),
                _ => <[u8; 16]>::try_from(*bytes)
                    .ok()
                    .map(|v6| IpAddr::from(v6).to_string()),
            },
            _ => None,
        })
        .collect()
}

/// A chain with its key, if they belong together and the chain holds today.
fn check(
    chain_path: &Path,
    key_path: &Path,
    chain: &str,
    key: &str,
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<Arc<CertifiedKey>, ManagerError> {
    let wrong = |path: &Path, what: String| ManagerError::Certificate {
        path: path.to_owned(),
        what,
    };
    let certificates: Vec<CertificateDer<'static>> =
        CertificateDer::pem_slice_iter(chain.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|error| wrong(chain_path, format!("it is not PEM ({error})")))?;
    let (Some(first), Some(anchor)) = (certificates.first(), certificates.last()) else {
        return Err(wrong(
            chain_path,
            "it holds no certificate; give the chain in PEM".into(),
        ));
    };
    for certificate in &certificates {
        check_dates(certificate, now).map_err(|what| wrong(chain_path, what))?;
    }
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| {
        wrong(
            key_path,
            "it holds no private key; give the key in PEM, without a pass phrase".into(),
        )
    })?;
    let certified = CertifiedKey::from_der(certificates.clone(), key, provider).map_err(
        |error| match error {
            rustls::Error::InconsistentKeys(_) => wrong(
                key_path,
                format!(
                    "it is not the key of the first certificate in '{}'",
                    chain_path.display()
                ),
            ),
            other => wrong(key_path, other.to_string()),
        },
    )?;
    let mut roots = RootCertStore::empty();
    roots
        .add(anchor.clone())
        .map_err(|error| wrong(chain_path, error.to_string()))?;
    let parsed =
        ParsedCertificate::try_from(first).map_err(|error| wrong(chain_path, error.to_string()))?;
    let moment = UnixTime::since_unix_epoch(std::time::Duration::from_millis(
        now.0.max(0).cast_unsigned(),
    ));
    verify_server_cert_signed_by_trust_anchor(
        &parsed,
        &roots,
        &certificates[1..],
        moment,
        provider.signature_verification_algorithms.all,
    )
    .map_err(|error| {
        wrong(
            chain_path,
            format!("its first certificate is not signed through the others up to the last ({error}); give the server's certificate first, then its issuers in order"),
        )
    })?;
    Ok(Arc::new(certified))
}

fn check_dates(certificate: &CertificateDer<'_>, now: Timestamp) -> Result<(), String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| format!("a certificate in it cannot be read ({error})"))?;
    let validity = parsed.validity();
    let name = parsed.subject();
    if validity.not_after.timestamp() <= now.0 / 1000 {
        return Err(format!(
            "'{name}' expired on {}; renew it",
            validity.not_after
        ));
    }
    if validity.not_before.timestamp() > now.0 / 1000 {
        return Err(format!(
            "'{name}' is not valid before {}; check this machine's clock",
            validity.not_before
        ));
    }
    Ok(())
}

fn current(
    key: Arc<CertifiedKey>,
    name_check: NameCheck,
    path: &Path,
) -> Result<Current, ManagerError> {
    let anchor = key.cert.last().expect("a checked chain is not empty");
    let hash = Sha256::digest(anchor);
    let fingerprint = std::array::from_fn::<u8, FINGERPRINT_BYTES, _>(|at| hash[at]);
    let (_, first) =
        x509_parser::parse_x509_certificate(&key.cert[0]).expect("a checked chain can be read");
    let names = alternative_names(&first);
    if names.is_empty() && name_check == NameCheck::Host {
        return Err(ManagerError::Certificate {
            path: path.to_owned(),
            what: "it has no subject alternative name; issue it for the name or address of this machine".into(),
        });
    }
    let trust = Trust {
        anchor_pem: pem_of(anchor),
        fingerprint: Fingerprint(fingerprint),
        name_check,
        names,
    };
    Ok(Current { key, trust })
}

fn pem_of(certificate: &CertificateDer<'_>) -> String {
    let coded = data_encoding::BASE64.encode(certificate);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in coded.as_bytes().chunks(64) {
        pem.push_str(std::str::from_utf8(line).expect("base 64 is ASCII"));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;

    struct Folder {
        _folder: tempfile::TempDir,
        dir: DataDir,
        authority: Authority,
    }

    fn folder() -> Folder {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let authority = Authority::load_or_make(&dir, "f", clock::wall()).unwrap();
        Folder {
            _folder: folder,
            dir,
            authority,
        }
    }

    fn served(
        folder: &Folder,
        own: Option<&OwnCertificate>,
        now: Timestamp,
    ) -> Result<ServedCertificate, ManagerError> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        ServedCertificate::load(own, &folder.dir, &folder.authority, &provider, now)
    }

    #[test]
    fn the_farms_own_is_kept_and_renewed_in_time() {
        let folder = folder();
        let now = clock::wall();
        let chain = |served: &ServedCertificate| served.current.read().unwrap().key.cert.clone();
        let first = served(&folder, None, now).unwrap();
        let trust = first.trust();
        assert_eq!(trust.name_check, NameCheck::Farm);
        assert_eq!(trust.anchor_pem, folder.authority.pem());
        assert!(trust.names.contains(&MANAGER_NAME.to_owned()));
        assert!(trust.names.contains(&"127.0.0.1".to_owned()));
        assert_eq!(chain(&served(&folder, None, now).unwrap()), chain(&first));
        let late = clock::later(now, ISSUED_LIFE * 2 / 3 + Duration::from_secs(60));
        let second = served(&folder, None, late).unwrap();
        assert_ne!(chain(&second), chain(&first));
        assert_eq!(second.trust().fingerprint, trust.fingerprint);
    }

    #[test]
    fn the_owners_is_refused_with_the_reason() {
        let folder = folder();
        let now = clock::wall();
        let names = ["render.example".to_owned()];
        let (chain, key) = folder.authority.issue_server(&names, &[], now).unwrap();
        folder.dir.write("own.pem", &chain).unwrap();
        folder.dir.write("own.key", &key.serialize_pem()).unwrap();
        let own = |chain: &str, key: &str| OwnCertificate {
            chain: folder.dir.path(chain),
            key: folder.dir.path(key),
        };
        let good = served(&folder, Some(&own("own.pem", "own.key")), now).unwrap();
        assert_eq!(good.trust().name_check, NameCheck::Host);
        assert_eq!(good.trust().names, names);

        let check = |chain: &str, key: &str, now, part: &str| {
            let error = served(&folder, Some(&own(chain, key)), now)
                .unwrap_err()
                .to_string();
            assert!(error.contains(part), "{error}");
        };
        check("own.pem", "ca.key", now, "not the key of");
        check("own.pem", "own.pem", now, "no private key");
        check("own.key", "own.key", now, "no certificate");
        check("none.pem", "own.key", now, "cannot read");
        check(
            "own.pem",
            "own.key",
            clock::later(now, ISSUED_LIFE * 2),
            "expired on",
        );
        check("own.pem", "own.key", Timestamp(0), "not valid before");
        let swapped: Vec<&str> = chain
            .split_inclusive("-----END CERTIFICATE-----\n")
            .collect();
        folder
            .dir
            .write("swapped.pem", &format!("{}{}", swapped[1], swapped[0]))
            .unwrap();
        check("swapped.pem", "own.key", now, "not the key of");
        let other = tempfile::tempdir().unwrap();
        let other = DataDir::open(other.path()).unwrap();
        let stranger = Authority::load_or_make(&other, "g", now).unwrap();
        folder
            .dir
            .write("mixed.pem", &format!("{}{}", swapped[0], stranger.pem()))
            .unwrap();
        check("mixed.pem", "own.key", now, "not signed through");
    }
}
