//! A farm for one command: manager and worker in this very process.
//!
//! It is the same manager and the same worker over the same TLS as everywhere, on a free loopback port, so that
//! rendering alone and rendering on a farm are one way through the code. Its folder is locked while it is used and
//! emptied before and after: what matters of a private render, the frames and the record of which are done, is with
//! the user already.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tessera_blender::{Search, Series};
use tessera_client::{Access, Api, Credentials, Trust};
use tessera_manager::{ManagerConfig, Running};
use tessera_model::{PairingGrant, UserName};
use tessera_wire::pairing::PairingLink;
use tessera_worker::{PeerListen, Status as WorkerStatus, WorkerConfig};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::context::{Context, Looking};
use crate::settings::WorkerSettings;

/// Most private farms of a user at once on one machine. Each has all the processor to itself in mind, so more than a few
/// mean a script that has run away.
const FARMS_MAX: usize = 64;

/// How long its worker may take to pair; both sides are in this process.
const PAIRING: Duration = Duration::from_secs(60);

/// How long the end may take before it is forced: Blenders are killed, not asked.
const END: Duration = Duration::from_secs(10);

/// What people read in place of a farm's name.
pub(crate) const NAME: &str = "this computer";

/// What a private farm is started with.
pub(crate) struct PrivatePlan {
    /// Where its folder goes.
    data: PathBuf,
    /// Whose its jobs are.
    user: UserName,
    worker: WorkerSettings,
    search: Search,
    /// The same search under way elsewhere in this process. The worker, which begins after it, finds what was remembered.
    looking: Looking,
    /// The worker starts a Blender for files of this series at once, while the file is still being read.
    series: Option<Series>,
}

impl PrivatePlan {
    /// As the settings say.
    pub(crate) fn new(context: &Context, series: Option<Series>, looking: Looking) -> Self {
        Self {
            data: context.folders.data.clone(),
            user: context.settings.client.user.value.clone(),
            worker: context.settings.worker.clone(),
            search: context.blender_search(),
            looking,
            series,
        }
    }
}

/// A farm of one worker that lives as long as this.
pub(crate) struct PrivateFarm {
    /// The way to it.
    pub(crate) api: Api,
    /// How its worker stands.
    pub(crate) worker: watch::Receiver<WorkerStatus>,
    end_worker: CancellationToken,
    end_manager: CancellationToken,
    manager: JoinHandle<Result<(), tessera_manager::ManagerError>>,
    worker_task: JoinHandle<Result<(), tessera_worker::WorkerError>>,
    folder: Folder,
}

impl PrivateFarm {
    /// Starts it.
    pub(crate) async fn start(plan: PrivatePlan) -> Result<Self> {
        let folder = Folder::claim(&plan.data)?;
        let end_worker = CancellationToken::new();
        let end_manager = CancellationToken::new();
        tracing::debug!("this computer's farm: its folder is claimed");
        let mut config = ManagerConfig::new(folder.path.join("manager"), plan.user.clone());
        config.farm_name = Some(NAME.to_owned());
        config.listen = vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 0))];
        config.discovery = false;
        let (ready, is_ready) = oneshot::channel();
        let mut manager = tokio::spawn(tessera_manager::run(config, ready, end_manager.clone()));
        let running = match is_ready.await {
            Ok(running) => running,
            // It ended before it was ready: its error says why.
            Err(_) => {
                let ended = (&mut manager)
                    .await
                    .context("the manager of this render was cut off")?;
                ended.context("cannot start a manager for this render")?;
                return Err(anyhow!(
                    "the manager of this render ended before it was ready"
                ));
            }
        };
        tracing::debug!("this computer's farm: the manager is up");
        match Self::add_worker(plan, &running, &folder.path, &end_worker).await {
            Ok((worker, worker_task)) => Ok(Self {
                api: Api::new(access(&running)?)?,
                worker,
                end_worker,
                end_manager,
                manager,
                worker_task,
                folder,
            }),
            Err(error) => {
                end_manager.cancel();
                // The first error is the one to tell.
                let _ = manager.await;
                folder.clear();
                Err(error)
            }
        }
    }

    async fn add_worker(
        plan: PrivatePlan,
        running: &Running,
        folder: &Path,
        end: &CancellationToken,
    ) -> Result<(
        watch::Receiver<WorkerStatus>,
        JoinHandle<Result<(), tessera_worker::WorkerError>>,
    )> {
        let url = loopback(running)?;
        let pairing = running
            .mint_pairing(PairingGrant::Worker, PAIRING, true)
            .await
            .map_err(|problem| anyhow!("cannot start a worker for this render: {problem}"))?;
        let link = PairingLink {
            address: Some(url.clone()),
            code: pairing.code.parse()?,
        };
        let data = folder.join("worker");
        let identity = tessera_worker::join(&data, &link, &[url], NAME)
            .await
            .context("cannot start a worker for this render")?;
        tracing::debug!("this computer's farm: the worker has joined");
        let mut config = worker_config(data, &plan.worker, plan.search);
        config.identity = Some(identity);
        config.discovery = false;
        config.peer_listen = PeerListen::Off;
        config.prewarm = plan.series;
        let (tell, told) = watch::channel(WorkerStatus::default());
        let (looking, end) = (plan.looking, end.clone());
        let task = tokio::spawn(async move {
            tokio::select! {
                _ = looking => tessera_worker::run(config, tell, end).await,
                () = end.cancelled() => Ok(()),
            }
        });
        Ok((told, task))
    }

    /// Why its worker ended, if it did: without one nothing will ever be rendered.
    pub(crate) async fn worker_ended(&mut self) -> anyhow::Error {
        match (&mut self.worker_task).await {
            Ok(Ok(())) => anyhow!("the worker of this render ended"),
            Ok(Err(error)) => anyhow::Error::new(error).context("the worker of this render ended"),
            Err(error) => {
                anyhow::Error::new(error).context("the worker of this render was cut off")
            }
        }
    }

    /// Ends it: Blenders are killed, the port is free, the folder is empty when this returns.
    pub(crate) async fn stop(self) {
        tracing::debug!("this computer's farm: ending");
        // The worker first: it gives back what it holds, and does not look for a manager that is gone.
        self.end_worker.cancel();
        let ended = async {
            // Whatever they ended with, there is nobody left whom it would concern.
            let _ = self.worker_task.await;
            tracing::debug!("this computer's farm: the worker has ended");
            self.end_manager.cancel();
            let _ = self.manager.await;
        };
        if tokio::time::timeout(END, ended).await.is_err() {
            tracing::warn!("a part of the private farm did not end within {END:?}");
        }
        self.folder.clear();
        tracing::debug!("this computer's farm: ended");
    }
}

/// What a worker is run with, as the settings say.
pub(crate) fn worker_config(
    data: PathBuf,
    settings: &WorkerSettings,
    search: Search,
) -> WorkerConfig {
    let mut config = WorkerConfig::new(data);
    config.slots = NonZeroU32::new(settings.slots.value).unwrap_or(NonZeroU32::MIN);
    config.threads = settings.threads.value.and_then(NonZeroU32::new);
    config.tags.clone_from(&settings.tags.value);
    config.blender = search;
    config.nice = settings.nice.value;
    config.memory_limit_bytes = settings.memory.value.map(|bytes| bytes.0);
    config.cache_max_bytes = settings.cache.value.0;
    config.peer_listen = settings.peer_listen.value;
    config.hang_after = settings.hang_after.value;
    config
}

fn loopback(running: &Running) -> Result<String> {
    let url = running.loopback_url.clone();
    url.context("the manager of this render does not listen on the loopback address it was given")
}

fn access(running: &Running) -> Result<Access> {
    Ok(Access {
        addresses: vec![loopback(running)?],
        trust: Trust {
            anchor_pem: running.anchor_pem.clone(),
            name_check: running.name_check,
        },
        credentials: Credentials::Token(running.admin_token.clone()),
    })
}

/// `data/private-N`, locked.
struct Folder {
    path: PathBuf,
    /// Held for its lock.
    _lock: File,
}

impl Folder {
    fn claim(data: &Path) -> Result<Self> {
        std::fs::create_dir_all(data).with_context(|| {
            format!(
                "cannot make the folder {}: choose another by TESSERA_HOME",
                data.display()
            )
        })?;
        for number in 0..FARMS_MAX {
            let lock_path = data.join(format!("private-{number}.lock"));
            let lock = File::create(&lock_path).with_context(|| {
                format!(
                    "cannot write {}: choose another folder by TESSERA_HOME",
                    lock_path.display()
                )
            })?;
            if lock.try_lock().is_err() {
                continue;
            }
            let folder = Self {
                path: data.join(format!("private-{number}")),
                _lock: lock,
            };
            folder.clear();
            return Ok(folder);
        }
        Err(anyhow!(
            "{FARMS_MAX} renders of yours run on this machine already: wait for one of them to end"
        ))
    }

    /// Takes everything away. What resists is left to the next one that claims the folder.
    fn clear(&self) {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                tracing::warn!("cannot remove {}: {error}", self.path.display());
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_gets_its_own_empty_folder() {
        let data = tempfile::tempdir().unwrap();
        let first = Folder::claim(data.path()).unwrap();
        let second = Folder::claim(data.path()).unwrap();
        assert_ne!(first.path, second.path);
        std::fs::create_dir_all(first.path.join("left/behind")).unwrap();
        let path = first.path.clone();
        drop(first);
        let third = Folder::claim(data.path()).unwrap();
        assert_eq!(third.path, path);
        assert!(!path.exists());
    }
}
