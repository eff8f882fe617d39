//! Certificates of every sort, and a TLS server that shows them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair,
};
use rustls::ServerConfig;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A CA with its key.
pub struct Authority {
    pub certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// From now.
pub fn days(days: i64) -> SystemTime {
    let length = Duration::from_secs(days.unsigned_abs() * 24 * 3600);
    if days < 0 {
        SystemTime::now() - length
    } else {
        SystemTime::now() + length
    }
}

fn params(name: &str, names: &[&str]) -> CertificateParams {
    let mut params =
        CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    pub fn intermediate(&self, name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = params(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            certificate,
            issuer: Issuer::new(params, key),
        }
    }

    /// A server's certificate and key for these names, valid between these times.
    pub fn server(
        &self,
        names: &[&str],
        from: SystemTime,
        until: SystemTime,
    ) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = params("the manager", names);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.not_before = from.into();
        params.not_after = until.into();
        (params.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// What `openssl req -x509` makes: one certificate that is its own CA.
    pub fn openssl_like(names: &[&str]) -> (Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let mut params = params("alone", names);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        (params.self_signed(&key).unwrap(), key)
    }
}

/// Shakes hands and says nothing.
pub struct TlsServer {
    pub address: SocketAddr,
}

impl TlsServer {
    pub async fn start(chain: &[&Certificate], key: &KeyPair) -> Self {
        let chain: Vec<CertificateDer<'static>> = chain
            .iter()
            .map(|certificate| certificate.der().clone())
            .collect();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let config = builder
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    // A client that refuses the certificate is what the tests are about; one that does not is hung up on.
                    let _ = acceptor.accept(stream).await;
                });
            }
        });
        Self { address }
    }

    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }
}
