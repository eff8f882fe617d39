//! The two questions asked of a manager's certificate: has its chain the fingerprint of the code, and does it lead to the anchor.
//!
//! Both end in the same check ([`verify_chain`]); pairing only chooses the anchor from the presented chain first.

use std::sync::Mutex;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tessera_wire::MANAGER_NAME;
use tessera_wire::pairing::{Fingerprint, NameCheck};
use x509_parser::prelude::{ASN1Time, FromDer, X509Certificate};

use super::{TrustError, TrustFault, fingerprint_of};

/// Most certificates of a chain that are looked at; real ones have two to four.
const CHAIN_MAX: usize = 16;

/// Believes chains that lead to one stored anchor.
#[derive(Debug)]
pub(crate) struct AnchorVerifier {
    anchor: CertificateDer<'static>,
    name_check: NameCheck,
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnchorVerifier {
    pub(crate) fn new(
        anchor: CertificateDer<'static>,
        name_check: NameCheck,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Result<Self, TrustError> {
        roots_of(&anchor).map_err(|source| TrustError::Anchor {
            source: Some(Box::new(source)),
        })?;
        Ok(Self {
            anchor,
            name_check,
            algorithms,
        })
    }
}

/// Believes chains that hold, and lead to, a certificate with one fingerprint; remembers that certificate.
#[derive(Debug)]
pub(crate) struct PairingVerifier {
    fingerprint: Fingerprint,
    name_check: NameCheck,
    algorithms: WebPkiSupportedAlgorithms,
    found: Mutex<Option<CertificateDer<'static>>>,
}

impl PairingVerifier {
    pub(crate) fn new(
        fingerprint: Fingerprint,
        name_check: NameCheck,
        algorithms: WebPkiSupportedAlgorithms,
    ) -> Self {
        Self {
            fingerprint,
            name_check,
            algorithms,
            found: Mutex::new(None),
        }
    }

    pub(crate) fn name_check(&self) -> NameCheck {
        self.name_check
    }

    /// The anchor of the last chain that was believed.
    pub(crate) fn found(&self) -> Option<CertificateDer<'static>> {
        self.found
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }
}

impl ServerCertVerifier for AnchorVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        verify_chain(
            end_entity,
            intermediates,
            &self.anchor,
            server_name,
            self.name_check,
            now,
            &self.algorithms,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ServerCertVerifier for PairingVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let anchor = std::iter::once(end_entity)
            .chain(intermediates.iter().take(CHAIN_MAX))
            .find(|cert| fingerprint_of(cert) == self.fingerprint)
            .ok_or(TrustFault::WrongFarm)?;
        let verified = verify_chain(
            end_entity,
            intermediates,
            anchor,
            server_name,
            self.name_check,
            now,
            &self.algorithms,
        )?;
        *self
            .found
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = Some(anchor.clone().into_owned());
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn roots_of(anchor: &CertificateDer<'_>) -> Result<RootCertStore, Error> {
    let mut roots = RootCertStore::empty();
    roots.add(anchor.clone().into_owned())?;
    Ok(roots)
}

/// Verifies chain, times, purpose and name, with `anchor` as the only root.
fn verify_chain(
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    anchor: &CertificateDer<'_>,
    server_name: &ServerName<'_>,
    name_check: NameCheck,
    now: UnixTime,
    algorithms: &WebPkiSupportedAlgorithms,
) -> Result<ServerCertVerified, Error> {
    let parsed = ParsedCertificate::try_from(end_entity)?;
    if end_entity == anchor {
        // A single self-signed certificate, as `openssl req -x509` makes it: it is a CA by its own words, which the usual path
        // check refuses as a server's. It is known byte by byte here, so only its time is left to check.
        check_times(end_entity, now)?;
    } else {
        let intermediates = &intermediates[..intermediates.len().min(CHAIN_MAX)];
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots_of(anchor)?,
            intermediates,
            now,
            algorithms.all,
        )
        .map_err(|error| chain_fault(error, end_entity, intermediates, now))?;
    }
    let own_name = ServerName::try_from(MANAGER_NAME)
        .map_err(|_| Error::General("the farm's own name is not a DNS name".into()))?;
    let expected = match name_check {
        NameCheck::Farm => &own_name,
        NameCheck::Host => server_name,
    };
    verify_server_name(&parsed, expected).map_err(|error| name_fault(error, expected))?;
    Ok(ServerCertVerified::assertion())
}

fn chain_fault(
    error: Error,
    end_entity: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    now: UnixTime,
) -> Error {
    let Error::InvalidCertificate(kind) = &error else {
        return error;
    };
    match kind {
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => std::iter::once(end_entity)
            .chain(intermediates)
            .find_map(|cert| check_times(cert, now).err())
            .unwrap_or(error),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            TrustFault::Stranger.into()
        }
        _ => error,
    }
}

fn name_fault(error: Error, expected: &ServerName<'_>) -> Error {
    match error {
        Error::InvalidCertificate(CertificateError::NotValidForNameContext {
            presented, ..
        }) => TrustFault::WrongName {
            expected: expected.to_str().into_owned(),
            presented,
        }
        .into(),
        Error::InvalidCertificate(CertificateError::NotValidForName) => TrustFault::WrongName {
            expected: expected.to_str().into_owned(),
            presented: Vec::new(),
        }
        .into(),
        other => other,
    }
}

/// Refuses a certificate outside of its time, saying whose it is and when that was.
fn check_times(cert: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let (_, parsed) = X509Certificate::from_der(cert)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    let whose = || parsed.subject().to_string();
    let validity = parsed.validity();
    if validity.not_after.timestamp() < now {
        return Err(TrustFault::Expired {
            whose: whose(),
            since: for_people(&validity.not_after),
        }
        .into());
    }
    if validity.not_before.timestamp() > now {
        return Err(TrustFault::NotYetValid {
            whose: whose(),
            from: for_people(&validity.not_before),
        }
        .into());
    }
    Ok(())
}

fn for_people(time: &ASN1Time) -> String {
    let time = time.to_datetime();
    format!(
        "{} {:02}:{:02} UTC",
        time.date(),
        time.hour(),
        time.minute()
    )
}
