//! Why a manager's certificate was not believed, kept whole on its way through the TLS library.

use rustls::{CertificateError, OtherError};
use std::sync::Arc;

/// What is wrong with the certificate that was shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TrustFault {
    /// No certificate of the chain has the code's fingerprint.
    #[error("no certificate has the fingerprint of the pairing code")]
    WrongFarm,
    /// The chain does not lead to the farm's anchor.
    #[error("the certificate was not issued by this farm")]
    Stranger,
    /// It is for somebody else.
    #[error("the certificate is for {}, not for {expected}", presented.join(", "))]
    WrongName {
        /// Who was asked for.
        expected: String,
        /// Whose it is.
        presented: Vec<String>,
    },
    /// Its time is over.
    #[error("the certificate of {whose} ended on {since}")]
    Expired {
        /// Subject of the certificate that ended.
        whose: String,
        /// When, UTC.
        since: String,
    },
    /// Its time has not begun.
    #[error("the certificate of {whose} begins on {from}")]
    NotYetValid {
        /// Subject of the certificate.
        whose: String,
        /// When it begins, UTC.
        from: String,
    },
    /// Anything else the TLS library found.
    #[error("the certificate is not valid: {0}")]
    Invalid(String),
}

impl From<TrustFault> for rustls::Error {
    fn from(fault: TrustFault) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(fault))))
    }
}

impl TrustFault {
    /// The fault that `error` carries, if it carries one.
    pub(crate) fn of(error: &rustls::Error) -> Option<Self> {
        match error {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
                inner.downcast_ref::<Self>().cloned()
            }
            rustls::Error::InvalidCertificate(other) => Some(Self::Invalid(other.to_string())),
            _ => None,
        }
    }
}
