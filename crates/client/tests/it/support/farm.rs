//! A real manager in this process, on a port of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tessera_client::{Access, Api, Credentials, Trust};
use tessera_manager::{ManagerConfig, OwnCertificate, Running};
use tessera_model::{PairingGrant, Role};
use tessera_wire::pairing::PairingLink;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub struct TestFarm {
    pub running: Running,
    pub dir: TempDir,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl TestFarm {
    pub async fn start() -> Self {
        Self::with(None).await
    }

    /// On every address of this machine, and announced.
    pub async fn announced() -> Self {
        Self::at("0.0.0.0:0", None).await
    }

    pub async fn with(certificate: Option<(PathBuf, PathBuf)>) -> Self {
        Self::at("127.0.0.1:0", certificate).await
    }

    async fn at(listen: &str, certificate: Option<(PathBuf, PathBuf)>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (running, stop, task) = run(dir.path(), listen.parse().unwrap(), certificate).await;
        Self {
            running,
            dir,
            stop,
            task,
        }
    }

    pub fn address(&self) -> String {
        self.running.loopback_url.clone().unwrap()
    }

    pub fn trust(&self) -> Trust {
        Trust {
            anchor_pem: self.running.anchor_pem.clone(),
            name_check: self.running.name_check,
        }
    }

    /// The administrator's client, by whatever address.
    pub fn api_at(&self, address: String) -> Api {
        let credentials = Credentials::Token(self.running.admin_token.clone());
        Api::new(Access {
            addresses: vec![address],
            trust: self.trust(),
            credentials,
        })
        .unwrap()
    }

    pub fn api(&self) -> Api {
        self.api_at(self.address())
    }

    /// A link for one member, with the loopback address.
    pub async fn link(&self, grant: PairingGrant) -> PairingLink {
        let pairing = self
            .running
            .mint_pairing(grant, Duration::from_secs(60), true)
            .await
            .unwrap();
        PairingLink {
            address: Some(self.address()),
            code: pairing.code.parse().unwrap(),
        }
    }

    pub async fn client_link(&self, role: Role) -> PairingLink {
        self.link(PairingGrant::Client {
            user: "ann".parse().unwrap(),
            role,
        })
        .await
    }

    /// Ends it in order; its data stays.
    pub async fn stop(self) -> (TempDir, SocketAddr) {
        self.stop.cancel();
        self.task.await.unwrap();
        (self.dir, self.running.addresses[0])
    }

    /// Starts on data and at an address that were left.
    pub async fn again((dir, address): (TempDir, SocketAddr)) -> Self {
        let (running, stop, task) = run(dir.path(), address, None).await;
        Self {
            running,
            dir,
            stop,
            task,
        }
    }
}

async fn run(
    dir: &Path,
    listen: SocketAddr,
    certificate: Option<(PathBuf, PathBuf)>,
) -> (Running, CancellationToken, JoinHandle<()>) {
    let mut config = ManagerConfig::new(dir.join("manager"), "root".parse().unwrap());
    config.listen = vec![listen];
    config.discovery = !listen.ip().is_loopback();
    config.certificate = certificate.map(|(chain, key)| OwnCertificate { chain, key });
    let (ready, is_ready) = oneshot::channel();
    let stop = CancellationToken::new();
    let until = stop.clone();
    let task =
        tokio::spawn(async move { tessera_manager::run(config, ready, until).await.unwrap() });
    (is_ready.await.unwrap(), stop, task)
}
