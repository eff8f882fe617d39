//! The farm's certificate authority: made at the first start, never leaving the farm's folder.

use std::net::IpAddr;
use std::time::Duration;

use data_encoding::HEXLOWER;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData as _,
    SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use tessera_model::{Timestamp, WorkerId};
use tessera_wire::peer::worker_identity;
use time::OffsetDateTime;

use super::secret;
use crate::ManagerError;
use crate::data_dir::DataDir;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Life of the authority's own certificate: longer than any farm; every pairing ends with it.
const AUTHORITY_LIFE: Duration = DAY.saturating_mul(30 * 365);

/// Life of what it issues. Renewed from two thirds on, so a machine may be off for a month.
pub(super) const ISSUED_LIFE: Duration = DAY.saturating_mul(90);

/// Certificates begin this much in the past: the clocks of a farm disagree.
const CLOCK_SKEW: Duration = DAY;

/// Longest signing request that is read; one with an RSA-8192 key has less than 4 kB.
const REQUEST_MAX_BYTES: usize = 16 * 1024;

const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";

/// The authority, able to sign.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    pem: String,
}

/// A certificate for a worker.
#[derive(Debug, Clone)]
pub(crate) struct IssuedCertificate {
    /// Itself, then the authority's.
    pub(crate) chain_pem: String,
    pub(crate) serial: String,
    pub(crate) expires_at: Timestamp,
}

/// A worker's signing request, read and its signature verified. Only the key in it counts: names, usages and
/// extensions are ours to choose.
#[derive(Debug)]
pub(crate) struct WorkerRequest(CertificateSigningRequestParams);

impl WorkerRequest {
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn read(pem: &str) -> Result<Self, String> {
        if pem.len() > REQUEST_MAX_BYTES {
            return Err(format!("it is larger than {REQUEST_MAX_BYTES} bytes"));
        }
        CertificateSigningRequestParams::from_pem(pem)
            .map(Self)
            .map_err(|error| error.to_string())
    }
}

fn signing(error: rcgen::Error) -> ManagerError {
    ManagerError::Authority(error.to_string())
}

fn date(at: Timestamp) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1000)).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// A positive 16-byte number whose first byte is never zero: its hexadecimal form is the same in every tool.
fn new_serial() -> Result<[u8; 16], ManagerError> {
    let mut serial: [u8; 16] = secret::random()?;
    serial[0] = serial[0] & 0x3f | 0x40;
    Ok(serial)
}

fn params(name: &str, now: Timestamp, life: Duration) -> Result<CertificateParams, ManagerError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Tessera");
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date(now) - CLOCK_SKEW;
    params.not_after = date(now) + life;
    params.serial_number = Some(SerialNumber::from_slice(&new_serial()?));
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

impl Authority {
    /// The farm's; made if the folder has none.
    pub(crate) fn load_or_make(
        dir: &DataDir,
        farm: &str,
        now: Timestamp,
    ) -> Result<Self, ManagerError> {
        match (dir.read(CA_CERTIFICATE)?, dir.read(CA_KEY)?) {
            (Some(certificate), Some(key)) => Self::load(dir, certificate, &key, now),
            // The certificate is written last: a key alone is a first start that was cut off.
            (None, _) => Self::make(dir, farm, now),
            (Some(_), None) => Err(ManagerError::Damaged {
                path: dir.path(CA_KEY),
                what: "the certificate authority's key is gone".into(),
            }),
        }
    }

    fn make(dir: &DataDir, farm: &str, now: Timestamp) -> Result<Self, ManagerError> {
        let key = KeyPair::generate().map_err(signing)?;
        let mut params = params(&format!("{farm} farm authority"), now, AUTHORITY_LIFE)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(signing)?;
        dir.write(CA_KEY, &key.serialize_pem())?;
        dir.write(CA_CERTIFICATE, &certificate.pem())?;
        Ok(Self {
            pem: certificate.pem(),
            certificate: certificate.der().clone(),
            issuer: Issuer::new(params, key),
        })
    }

    fn load(dir: &DataDir, pem: String, key: &str, now: Timestamp) -> Result<Self, ManagerError> {
        let damaged = |name: &str, what: String| ManagerError::Damaged {
            path: dir.path(name),
            what,
        };
        let key = KeyPair::from_pem(key).map_err(|error| damaged(CA_KEY, error.to_string()))?;
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| damaged(CA_CERTIFICATE, error.to_string()))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|error| damaged(CA_CERTIFICATE, error.to_string()))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(damaged(
                CA_KEY,
                format!("it is not the key of {CA_CERTIFICATE}"),
            ));
        }
        if parsed.validity().not_after.timestamp() <= now.0 / 1000 {
            return Err(damaged(
                CA_CERTIFICATE,
                "it has expired, or this machine's clock is wrong".into(),
            ));
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|error| damaged(CA_CERTIFICATE, error.to_string()))?;
        Ok(Self {
            issuer,
            certificate,
            pem,
        })
    }

    /// Its certificate.
    pub(crate) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    #[cfg(test)]
    pub(super) fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate that lets its holder be `worker`, and nothing else.
    pub(crate) fn issue_worker(
        &self,
        worker: WorkerId,
        request: WorkerRequest,
        now: Timestamp,
    ) -> Result<IssuedCertificate, ManagerError> {
        self.issue_worker_for(worker, request, now, ISSUED_LIFE)
    }

    fn issue_worker_for(
        &self,
        worker: WorkerId,
        WorkerRequest(mut request): WorkerRequest,
        now: Timestamp,
        life: Duration,
    ) -> Result<IssuedCertificate, ManagerError> {
        let mut params = params(&worker_identity(worker), now, life)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let serial = params
            .serial_number
            .as_ref()
            .map(|serial| HEXLOWER.encode(&serial.to_bytes()))
            .unwrap_or_default();
        let expires_at = Timestamp(params.not_after.unix_timestamp() * 1000);
        request.params = params;
        let certificate = request.signed_by(&self.issuer).map_err(signing)?;
        Ok(IssuedCertificate {
            chain_pem: certificate.pem() + &self.pem,
            serial,
            expires_at,
        })
    }

    /// A certificate and key for the server under these names. The chain ends in the authority.
    pub(super) fn issue_server(
        &self,
        names: &[String],
        addresses: &[IpAddr],
        now: Timestamp,
    ) -> Result<(String, KeyPair), ManagerError> {
        let key = KeyPair::generate().map_err(signing)?;
        let mut params = params("manager", now, ISSUED_LIFE)?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.subject_alt_names = names
            .iter()
            // A host name may hold letters that no certificate can; it is left out, the farm's own name always works.
            .filter_map(|name| name.as_str().try_into().ok().map(SanType::DnsName))
            .chain(addresses.iter().copied().map(SanType::IpAddress))
            .collect();
        let certificate = params.signed_by(&key, &self.issuer).map_err(signing)?;
        Ok((certificate.pem() + &self.pem, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn stays_the_same_and_notices_a_wrong_key() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let load = || Authority::load_or_make(&dir, "f", clock::wall());
        let first = load().unwrap();
        assert_eq!(load().unwrap().certificate(), first.certificate());
        dir.write(CA_KEY, &KeyPair::generate().unwrap().serialize_pem())
            .unwrap();
        assert!(matches!(load(), Err(ManagerError::Damaged { .. })));
        std::fs::remove_file(dir.path(CA_KEY)).unwrap();
        assert!(matches!(load(), Err(ManagerError::Damaged { .. })));
        std::fs::remove_file(dir.path(CA_CERTIFICATE)).unwrap();
        assert_ne!(load().unwrap().certificate(), first.certificate());
    }

    #[test]
    fn a_request_cannot_ask_for_more_than_a_worker_is() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(folder.path()).unwrap();
        let authority = Authority::load_or_make(&dir, "f", clock::wall()).unwrap();
        let mut greedy = CertificateParams::new(["manager.tessera.internal".to_owned()]).unwrap();
        greedy.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        greedy.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let csr = greedy
            .serialize_request(&KeyPair::generate().unwrap())
            .unwrap()
            .pem()
            .unwrap();
        let issued = authority
            .issue_worker(
                WorkerId(7),
                WorkerRequest::read(&csr).unwrap(),
                clock::wall(),
            )
            .unwrap();
        let der = CertificateDer::from_pem_slice(issued.chain_pem.as_bytes()).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        assert!(!certificate.is_ca());
        assert!(certificate.subject_alternative_name().unwrap().is_none());
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && !usage.any);
        let peer = super::super::PeerCertificate::read(&der).unwrap();
        assert_eq!(peer.worker, WorkerId(7));
        assert_eq!(peer.serial, issued.serial);

        assert!(WorkerRequest::read("nonsense").is_err());
        assert!(WorkerRequest::read(&"x".repeat(REQUEST_MAX_BYTES + 1)).is_err());
    }
}
