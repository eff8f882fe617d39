//! Whom this side believes, and as whom it speaks.
//!
//! A farm is known by one certificate, its anchor: the farm's own CA, or the last certificate of the owner's chain.
//! That is the only root; what the operating system trusts does not count, so nobody with a bought certificate can stand in between.
//! The first contact has only the anchor's fingerprint, from the pairing code ([`pairing_config`]); every later one has the anchor.

mod fault;
mod peer;
mod verifier;

use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tessera_wire::pairing::{FINGERPRINT_BYTES, Fingerprint, NameCheck};

pub(crate) use fault::TrustFault;
pub use peer::{WorkerCertificate, peer_client_config, peer_server_config};
use verifier::{AnchorVerifier, PairingVerifier};

/// The one certificate that a farm's managers are known by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trust {
    /// The anchor, PEM.
    pub anchor_pem: String,
    /// Which name the manager's certificate must carry.
    pub name_check: NameCheck,
}

/// What this side proves itself with: a worker's certificate and key.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The certificate, then those that lead to the farm's CA, PEM.
    pub certificate_pem: String,
    /// Its private key, PKCS #8 PEM.
    pub key_pem: String,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate_pem", &self.certificate_pem)
            .field("key_pem", &"withheld")
            .finish()
    }
}

/// A chain of certificates, and the key of its first.
type ChainAndKey = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Identity {
    fn parts(&self) -> Result<ChainAndKey, TrustError> {
        let bad = |source: rustls_pki_types::pem::Error| TrustError::Identity {
            source: Box::new(source),
        };
        let chain = CertificateDer::pem_slice_iter(self.certificate_pem.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(bad)?;
        let key = PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes()).map_err(bad)?;
        Ok((chain, key))
    }
}

/// A stored anchor or identity that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The anchor is not a certificate.
    #[error(
        "the farm's stored certificate is damaged: connect to the farm again with a new pairing code"
    )]
    Anchor {
        /// What is wrong with it, where that can be said.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// The certificate or key of this machine cannot be used.
    #[error(
        "this machine's own certificate or key is damaged: let it join the farm again with a new pairing code"
    )]
    Identity {
        /// What is wrong with it.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The TLS library does not allow what is asked of it.
    #[error("TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// The fingerprint of a certificate in DER: the first bytes of its SHA-256.
#[must_use]
pub fn fingerprint_of(der: &[u8]) -> Fingerprint {
    let hash = Sha256::digest(der);
    let mut bytes = [0; FINGERPRINT_BYTES];
    bytes.copy_from_slice(&hash[..FINGERPRINT_BYTES]);
    Fingerprint(bytes)
}

impl Trust {
    /// Trust in the certificate `anchor`, DER.
    #[must_use]
    pub fn from_der(anchor: &[u8], name_check: NameCheck) -> Self {
        Self {
            anchor_pem: pem_of(anchor),
            name_check,
        }
    }

    pub(crate) fn anchor_der(&self) -> Result<CertificateDer<'static>, TrustError> {
        CertificateDer::from_pem_slice(self.anchor_pem.as_bytes()).map_err(|source| {
            TrustError::Anchor {
                source: Some(Box::new(source)),
            }
        })
    }

    /// The anchor's fingerprint, as pairing codes and announcements carry it.
    ///
    /// # Errors
    /// If the anchor is not a certificate.
    pub fn fingerprint(&self) -> Result<Fingerprint, TrustError> {
        Ok(fingerprint_of(&self.anchor_der()?))
    }

    /// Whether the anchor is a CA that a manager made for its farm, as its subject says, and not one the owner brought.
    pub(crate) fn is_farm_ca(&self) -> Result<bool, TrustError> {
        use x509_parser::prelude::{FromDer, X509Certificate};
        let der = self.anchor_der()?;
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|source| TrustError::Anchor {
            source: Some(Box::new(source)),
        })?;
        let organisation = parsed
            .subject()
            .iter_organization()
            .next()
            .and_then(|name| name.as_str().ok());
        Ok(parsed.is_ca() && organisation == Some("Tessera"))
    }

    /// A TLS configuration that believes nobody but this farm. It offers no application protocol (ALPN) yet.
    ///
    /// # Errors
    /// If the anchor or the identity cannot be used.
    pub fn client_config(&self, identity: Option<&Identity>) -> Result<ClientConfig, TrustError> {
        let verifier = AnchorVerifier::new(
            self.anchor_der()?,
            self.name_check,
            provider().signature_verification_algorithms,
        )?;
        config(Arc::new(verifier), identity)
    }
}

/// What the first contact found out.
#[derive(Debug, Clone)]
pub(crate) struct Found(Arc<PairingVerifier>);

impl Found {
    /// The certificate with the code's fingerprint, once a handshake has been made with the one who holds it.
    pub(crate) fn trust(&self) -> Option<Trust> {
        self.0
            .found()
            .map(|der| Trust::from_der(&der, self.0.name_check()))
    }
}

/// For the first contact: only a manager whose chain holds and verifies to the certificate with this fingerprint is spoken to.
pub(crate) fn pairing_config(
    fingerprint: Fingerprint,
    name_check: NameCheck,
) -> Result<(ClientConfig, Found), TrustError> {
    let verifier = Arc::new(PairingVerifier::new(
        fingerprint,
        name_check,
        provider().signature_verification_algorithms,
    ));
    Ok((config(verifier.clone(), None)?, Found(verifier)))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn config(
    verifier: Arc<dyn rustls::client::danger::ServerCertVerifier>,
    identity: Option<&Identity>,
) -> Result<ClientConfig, TrustError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let Some(identity) = identity else {
        return Ok(builder.with_no_client_auth());
    };
    let (chain, key) = identity.parts()?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|source| TrustError::Identity {
            source: Box::new(source),
        })
}

/// Certificate in DER as PEM.
fn pem_of(der: &[u8]) -> String {
    let text = data_encoding::BASE64.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for line in text.as_bytes().chunks(64) {
        pem.extend(line.iter().map(|&letter| letter as char));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}
