//! TLS: a client certificate is asked for, verified against the farm's authority, and not required: which routes need one
//! is the routes' business.

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::ManagerError;
use crate::identity::{Authority, ServedCertificate};

/// The configuration of every connection.
pub(crate) fn server_config(
    provider: &Arc<CryptoProvider>,
    authority: &Authority,
    served: ServedCertificate,
) -> Result<Arc<ServerConfig>, ManagerError> {
    let fault = |error: String| ManagerError::Authority(error);
    let mut roots = RootCertStore::empty();
    roots
        .add(authority.certificate().clone())
        .map_err(|error| fault(error.to_string()))?;
    let verifier =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
            .allow_unauthenticated()
            .build()
            .map_err(|error| fault(error.to_string()))?;
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(error.to_string()))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(served));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
