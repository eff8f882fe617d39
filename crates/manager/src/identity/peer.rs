//! What a client certificate says. It is read only after TLS has verified it against the farm's authority.

use data_encoding::HEXLOWER;
use rustls_pki_types::CertificateDer;
use tessera_model::WorkerId;

/// Who shows it, and which of the certificates it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerCertificate {
    pub(crate) worker: WorkerId,
    pub(crate) serial: String,
}

const WORKER_PREFIX: &str = "worker-";

/// The common name of a worker's certificate.
pub(super) fn worker_name(worker: WorkerId) -> String {
    format!("{WORKER_PREFIX}{worker}")
}

impl PeerCertificate {
    /// None if it is not a worker's.
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
        let worker = name.strip_prefix(WORKER_PREFIX)?.parse().ok()?;
        let serial = parsed.raw_serial();
        let serial = serial.strip_prefix(&[0]).unwrap_or(serial);
        Some(Self {
            worker,
            serial: HEXLOWER.encode(serial),
        })
    }
}
