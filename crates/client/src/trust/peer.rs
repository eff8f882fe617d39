//! Workers among each other: both ends show the certificate that the farm gave them, and believe nobody who has none.
//!
//! These certificates are made to be shown to a manager, hence by clients. Where one is shown by a server, it is verified by the
//! rule for clients all the same, and then by its name: whoever is asked must be the worker that was meant. So a worker needs no
//! second certificate, and none that a manager's could be mistaken for.

use std::sync::Arc;

use data_encoding::HEXLOWER;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tessera_model::WorkerId;
use tessera_wire::peer::{worker_identity, worker_of};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{Identity, TrustError, TrustFault, config, provider};

/// What a worker's certificate says. It is read only after TLS has verified it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerCertificate {
    /// Whose it is.
    pub worker: WorkerId,
    /// Which of its certificates it is: the serial number as the farm lists it.
    pub serial: String,
}

impl WorkerCertificate {
    /// None if it is not a worker's.
    #[must_use]
    pub fn read(der: &CertificateDer<'_>) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let name = parsed.subject().iter_common_name().next()?.as_str().ok()?;
        let serial = parsed.raw_serial();
        let serial = serial.strip_prefix(&[0]).unwrap_or(serial);
        Some(Self {
            worker: worker_of(name)?,
            serial: HEXLOWER.encode(serial),
        })
    }
}

/// TLS of a worker that others ask: only who shows a worker's certificate of the same farm comes past the handshake. HTTP/2 is offered.
///
/// # Errors
/// If the identity cannot be used.
pub fn peer_server_config(identity: &Identity) -> Result<ServerConfig, TrustError> {
    let (chain, key) = identity.parts()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(of_the_farm(&chain)?)
        .with_single_cert(chain, key)
        .map_err(|source| TrustError::Identity {
            source: Box::new(source),
        })?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// TLS towards this worker of the same farm. It offers no application protocol (ALPN) yet.
///
/// # Errors
/// If the identity cannot be used.
pub fn peer_client_config(
    identity: &Identity,
    worker: WorkerId,
) -> Result<ClientConfig, TrustError> {
    let (chain, _) = identity.parts()?;
    let verifier = WorkerVerifier {
        of_the_farm: of_the_farm(&chain)?,
        worker,
        algorithms: provider().signature_verification_algorithms,
    };
    config(Arc::new(verifier), Some(identity))
}

/// Verifies that a certificate is a client's of the farm whose authority ends this worker's own chain. (The one that managers are
/// known by may be another, if the owner brought it.)
fn of_the_farm(
    chain: &[CertificateDer<'static>],
) -> Result<Arc<dyn ClientCertVerifier>, TrustError> {
    let bad = |source: Box<dyn std::error::Error + Send + Sync>| TrustError::Identity { source };
    let authority = chain.last().ok_or_else(|| bad("it has no chain".into()))?;
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.clone())
        .map_err(|error| bad(error.into()))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build();
    verifier.map_err(|error| bad(error.into()))
}

/// Believes one worker.
#[derive(Debug)]
struct WorkerVerifier {
    of_the_farm: Arc<dyn ClientCertVerifier>,
    worker: WorkerId,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for WorkerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.of_the_farm
            .verify_client_cert(end_entity, intermediates, now)?;
        match WorkerCertificate::read(end_entity) {
            Some(certificate) if certificate.worker == self.worker => {
                Ok(ServerCertVerified::assertion())
            }
            other => Err(TrustFault::WrongName {
                expected: worker_identity(self.worker),
                presented: other
                    .map(|certificate| worker_identity(certificate.worker))
                    .into_iter()
                    .collect(),
            }
            .into()),
        }
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
