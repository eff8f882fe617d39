//! Why no connection to a manager came about, in words that say what to do.
//!
//! The libraries below report a failed connection as a nest of errors; [`ConnectError::from_nest`] looks through it once, so
//! that every caller says the same sentence for the same thing.

use std::error::Error as StdError;
use std::io;
use std::time::Duration;

use rustls::AlertDescription;

use crate::address::AddressError;
use crate::trust::TrustFault;

/// Longest that reaching a manager may take, TLS included.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How `rustls` words an alert of the other side. After the handshake, which is when HTTP/2 comes in, the only alert that is
/// not an ordinary end is one about this side's certificate.
const ALERT_TEXT: &str = "received fatal alert: ";

/// Deepest nest of errors that is looked through; real ones have about six levels.
const NEST_MAX: usize = 32;

/// A connection that did not come about. Each names the address.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Pairing: the chain there has not the code's fingerprint.
    #[error(
        "the manager at {address} is not the one the code is for: someone may stand in between, or the code is of another farm. \
         Nothing was sent. Make a new code at the right manager"
    )]
    WrongFarm {
        /// Address.
        address: String,
    },
    /// The certificate there was not issued by the farm.
    #[error(
        "the manager at {address} does not belong to this farm: someone may stand in between, or it was set up anew. \
         Nothing was sent. If it was set up anew, connect to it with a new pairing code"
    )]
    Stranger {
        /// Address.
        address: String,
    },
    /// The certificate there is of the farm and for another name.
    #[error(
        "the certificate at {address} is for {presented}, not for {expected}: use an address the certificate holds, or renew it with that name"
    )]
    WrongName {
        /// Address.
        address: String,
        /// The name that was looked for.
        expected: String,
        /// The names it holds.
        presented: String,
    },
    /// A certificate of the chain has ended.
    #[error(
        "the certificate of the manager at {address} ({whose}) ended on {since}: restart the manager or give it a new certificate; \
         if that date is not past, set this computer's clock"
    )]
    Expired {
        /// Address.
        address: String,
        /// Whose certificate it is.
        whose: String,
        /// When it ended.
        since: String,
    },
    /// A certificate of the chain is not valid yet.
    #[error(
        "the certificate of the manager at {address} ({whose}) is not valid before {from}: compare the clocks of this computer and the manager's"
    )]
    NotYetValid {
        /// Address.
        address: String,
        /// Whose certificate it is.
        whose: String,
        /// When it begins.
        from: String,
    },
    /// Something answers, and not in TLS.
    #[error(
        "what listens at {address} is not a Tessera manager (it does not speak TLS): check host and port"
    )]
    NotTls {
        /// Address.
        address: String,
    },
    /// Nothing listens there.
    #[error("nothing listens at {address}: start the manager there, or check host and port")]
    Refused {
        /// Address.
        address: String,
        /// The system's own words.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{address} did not answer within {} s: check that the machine is on and that no firewall keeps the port closed", CONNECT_TIMEOUT.as_secs())]
    TimedOut {
        /// Address.
        address: String,
    },
    /// The name does not resolve.
    #[error("the host name of {address} is not known: check its spelling, or use the IP address")]
    NoHost {
        /// Address.
        address: String,
        /// The resolver's own words.
        #[source]
        source: Option<io::Error>,
    },
    /// No way there.
    #[error("{address} cannot be reached from this network: check cable, Wi-Fi or VPN")]
    Unreachable {
        /// Address.
        address: String,
        /// The system's own words.
        source: io::Error,
    },
    /// The manager does not take this machine's certificate.
    #[error(
        "the manager at {address} does not accept this worker's certificate ({alert}): it was revoked, has ended or is of another farm; let the worker join with a new code"
    )]
    IdentityRefused {
        /// Address.
        address: String,
        /// The TLS alert.
        alert: String,
    },
    /// The connection ended before it was made.
    #[error("the connection to {address} was cut")]
    Cut {
        /// Address.
        address: String,
        /// How.
        source: Box<dyn StdError + Send + Sync>,
    },
    /// TLS failed in another way.
    #[error("no secure connection to {address}: {source}")]
    Tls {
        /// Address.
        address: String,
        /// How.
        source: rustls::Error,
    },
    /// The address itself is wrong.
    #[error(transparent)]
    Address(#[from] AddressError),
}

impl ConnectError {
    /// Whether it can pass by itself: a manager that restarts, a cable that is plugged in again.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::NoHost { .. }
            | Self::Unreachable { .. }
            | Self::Cut { .. } => true,
            Self::WrongFarm { .. }
            | Self::Stranger { .. }
            | Self::WrongName { .. }
            | Self::Expired { .. }
            | Self::NotYetValid { .. }
            | Self::NotTls { .. }
            | Self::IdentityRefused { .. }
            | Self::Tls { .. }
            | Self::Address(_) => false,
        }
    }

    /// What a nest of errors says about reaching `address`.
    pub(crate) fn from_nest(address: &str, error: Box<dyn StdError + Send + Sync>) -> Self {
        let address = address.to_owned();
        let mut resolving = false;
        let mut io_error = None;
        let mut at: Option<&(dyn StdError + 'static)> = Some(&*error);
        for _ in 0..NEST_MAX {
            let Some(inner) = at else { break };
            resolving |= inner.to_string() == "dns error";
            if let Some(tls) = inner.downcast_ref::<rustls::Error>() {
                return Self::from_tls(address, tls);
            }
            if let Some(io) = inner.downcast_ref::<io::Error>() {
                io_error = Some(io);
                // What it holds may say more than it does itself, and is not its source.
                at = match io.get_ref() {
                    Some(held) => Some(held),
                    None => io.source(),
                };
                continue;
            }
            if inner
                .downcast_ref::<reqwest::Error>()
                .is_some_and(reqwest::Error::is_timeout)
                || inner.to_string() == "operation timed out"
            {
                return Self::TimedOut { address };
            }
            at = inner.source();
        }
        if let Some(io) = io_error {
            return Self::from_io(address, io, resolving, error.to_string());
        }
        if resolving {
            Self::NoHost {
                address,
                source: None,
            }
        } else {
            Self::Cut {
                address,
                source: error,
            }
        }
    }

    fn from_tls(address: String, error: &rustls::Error) -> Self {
        match TrustFault::of(error) {
            Some(TrustFault::WrongFarm) => return Self::WrongFarm { address },
            Some(TrustFault::Stranger) => return Self::Stranger { address },
            Some(TrustFault::WrongName {
                expected,
                presented,
            }) => {
                return Self::WrongName {
                    address,
                    expected,
                    presented: presented.join(", "),
                };
            }
            Some(TrustFault::Expired { whose, since }) => {
                return Self::Expired {
                    address,
                    whose,
                    since,
                };
            }
            Some(TrustFault::NotYetValid { whose, from }) => {
                return Self::NotYetValid {
                    address,
                    whose,
                    from,
                };
            }
            Some(TrustFault::Invalid(_)) | None => {}
        }
        match error {
            rustls::Error::InvalidMessage(_) => Self::NotTls { address },
            rustls::Error::AlertReceived(
                alert @ (AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::CertificateRequired
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied
                | AlertDescription::DecryptError),
            ) => Self::IdentityRefused {
                address,
                alert: format!("{alert:?}"),
            },
            other => Self::Tls {
                address,
                source: other.clone(),
            },
        }
    }

    fn from_io(address: String, error: &io::Error, resolving: bool, whole: String) -> Self {
        let source = io::Error::new(error.kind(), error.to_string());
        // HTTP/2 passes a TLS alert on as its text.
        if let Some(alert) = source.to_string().strip_prefix(ALERT_TEXT) {
            return Self::IdentityRefused {
                address,
                alert: alert.to_owned(),
            };
        }
        match error.kind() {
            _ if resolving => Self::NoHost {
                address,
                source: Some(source),
            },
            io::ErrorKind::ConnectionRefused => Self::Refused { address, source },
            io::ErrorKind::TimedOut => Self::TimedOut { address },
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::AddrNotAvailable
            | io::ErrorKind::NetworkDown => Self::Unreachable { address, source },
            _ => Self::Cut {
                address,
                source: format!("{whole}: {error}").into(),
            },
        }
    }
}
