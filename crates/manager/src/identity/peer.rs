//! What a client certificate says. It is read only after TLS has verified it against the farm's authority.

use data_encoding::HEXLOWER;
use rustls_pki_types::CertificateDer;
use tessera_model::WorkerId;
use tessera_wire::peer::worker_of;

/// Who shows it, and which of the certificates it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerCertificate {
    pub(crate) worker: WorkerId,
    pub(crate) serial: String,
}

impl PeerCertificate {
    /// None if it is not a worker's.
    pub(crate) fn read(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
        let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
        let worker = worker_of(name)?;
        let serial = parsed.raw_serial();
        let serial = serial.strip_prefix(&[0]).unwrap_or(serial);
        Some(Self {
            worker,
            serial: HEXLOWER.encode(serial),
        })
    }
}
