//! What a manager is started with. The command line has merged flags, environment and file before.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tessera_model::{FarmSettings, UserName};
use tessera_wire::subnet::Subnet;

/// All of it. [`ManagerConfig::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct ManagerConfig {
    /// Where the farm lives; made if missing, for this user only.
    pub data_dir: PathBuf,
    /// The farm's name, at its first start; the host's name if none. Later starts keep what the folder says.
    pub farm_name: Option<String>,
    /// Where to listen; every address, IPv4 and IPv6, on the usual port if empty. Port 0 lets the system choose.
    pub listen: Vec<SocketAddr>,
    /// The owner's certificate in place of one issued by the farm's own authority.
    pub certificate: Option<OwnCertificate>,
    /// Whether the farm is announced in the local network.
    pub discovery: bool,
    /// Whose the local administrator's token is: the user that runs the program.
    pub local_user: UserName,
    /// Where to leave the credentials for this user's own commands on this machine while the manager runs.
    pub local_file: Option<PathBuf>,
    /// Who may connect at all; everyone if empty. This machine always may.
    pub allow_from: Vec<Subnet>,
    /// The farm's numbers as long as its record holds none: until somebody changes one.
    pub scheduler: FarmSettings,
    /// So long blocks stay after they were sent or asked about, though no job names them: an upload may go on. Also the time after a
    /// start before anything goes.
    pub upload_grace: Duration,
    /// Between the first try of a notification and the second; each further pause is longer.
    pub notify_retry_after: Duration,
    /// So long a worker that went without a word may be away before people are told that it is lost.
    pub notify_lost_after: Duration,
}

/// An hour: longer than a sender that was cut off takes to come back, short enough that removing a job helps a full disk.
const UPLOAD_GRACE: Duration = Duration::from_secs(60 * 60);

/// A receiver that was restarted is back in less, mostly.
const NOTIFY_RETRY_AFTER: Duration = Duration::from_secs(5);

/// A machine that is started anew, or a network that is mended, should wake nobody.
const NOTIFY_LOST_AFTER: Duration = Duration::from_secs(120);

/// A certificate chain and its key, PEM files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnCertificate {
    /// The server's certificate first, then whoever issued it, up to the one that others shall trust.
    pub chain: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl ManagerConfig {
    /// Defaults: every address, own authority, announced, no local file, anyone may connect.
    #[must_use]
    pub fn new(data_dir: PathBuf, local_user: UserName) -> Self {
        Self {
            data_dir,
            farm_name: None,
            listen: Vec::new(),
            certificate: None,
            discovery: true,
            local_user,
            local_file: None,
            allow_from: Vec::new(),
            scheduler: FarmSettings::default(),
            upload_grace: UPLOAD_GRACE,
            notify_retry_after: NOTIFY_RETRY_AFTER,
            notify_lost_after: NOTIFY_LOST_AFTER,
        }
    }
}
