//! A farm of one manager and some workers, in a folder of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use futures_util::StreamExt;
use serde_json::Value;
use tempfile::TempDir;
use tessera_blender::Search;
use tessera_blender::testing::{fake_blend, install_fake_blender};
use tessera_blobs::{BlobRef, Content, Entry, Manifest, Origin, Store, TreePath};
use tessera_client::{
    Access, Api, Ask, BlockSource, Credentials, EventFilter, Trust, receive, send,
};
use tessera_manager::{ManagerConfig, Running};
use tessera_model::{
    BlenderVersion, Blob, FrameError, FrameResult, JobId, JobSettings, JobState, Overrides,
    PairingGrant, Step, StepKind, UserName,
};
use tessera_wire::api::{FramePhase, FrameStatus, JobDetail, Submit};
use tessera_wire::blob::{to_model, to_store};
use tessera_wire::pairing::PairingLink;
use tessera_worker::{LinkStatus, Status, WorkerConfig, WorkerError};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Nothing in these tests takes so long unless it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Waits for what must come, and says what did not.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("never came: {what}"),
    }
}

pub struct Farm {
    pub dir: TempDir,
    listen: SocketAddr,
    pub running: Running,
    stop: CancellationToken,
    manager: Option<JoinHandle<Result<(), tessera_manager::ManagerError>>>,
    pub api: Api,
}

impl Farm {
    pub async fn start() -> Self {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
            let filter = tracing_subscriber::EnvFilter::from_default_env();
            let _ = tracing_subscriber::fmt()
                .with_env_filter(filter)
                .with_test_writer()
                .try_init();
        });
        let dir = tempfile::tempdir().unwrap();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (running, stop, manager) = start_manager(dir.path(), any).await;
        let listen = running.addresses[0];
        let api = admin(&running);
        Self {
            dir,
            listen,
            running,
            stop,
            manager: Some(manager),
            api,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    pub async fn stop_manager(&mut self) {
        self.stop.cancel();
        let manager = self.manager.take().expect("it runs");
        soon("the manager's end", manager).await.unwrap().unwrap();
    }

    pub async fn start_manager(&mut self) {
        let (running, stop, manager) = start_manager(self.dir.path(), self.listen).await;
        self.api = admin(&running);
        (self.running, self.stop, self.manager) = (running, stop, Some(manager));
    }

    /// A paired worker's configuration, with the fake Blender.
    pub async fn pair(&self, name: &str, address: SocketAddr) -> WorkerConfig {
        let data = self.dir.path().join(name);
        let code = self
            .running
            .mint_pairing(PairingGrant::Worker, Duration::from_secs(600), true)
            .await
            .unwrap();
        let link: PairingLink = code.code.parse().unwrap();
        let address = format!("https://{address}");
        tessera_worker::join(&data, &link, std::slice::from_ref(&address), name)
            .await
            .unwrap();
        let mut config = WorkerConfig::new(data);
        config.addresses = vec![address];
        config.discovery = false;
        config.blender = Search {
            paths: vec![self.fake_blender()],
            usual_places: false,
            cache: None,
        };
        config
    }

    fn fake_blender(&self) -> PathBuf {
        let path = self.dir.path().join("blender");
        match path.exists() {
            true => path,
            false => install_fake_blender(self.dir.path()).unwrap(),
        }
    }

    /// A worker with the fake Blender, linked.
    pub async fn worker(&self, name: &str) -> Worker {
        let config = self.pair(name, self.address()).await;
        let mut worker = Worker::start(config);
        worker.linked().await;
        worker
    }

    /// A job whose scene is a fake Blender's.
    pub async fn submit(&self, scene: &Value, frames: &str) -> JobId {
        self.submit_with(scene, frames, |_| {}).await
    }

    pub async fn submit_with(
        &self,
        scene: &Value,
        frames: &str,
        change: impl FnOnce(&mut Submit),
    ) -> JobId {
        let blend = self.dir.path().join(format!("{}.blend", Blob::of(scene)));
        std::fs::write(&blend, fake_blend(scene)).unwrap();
        let files = [("home/u/shot.blend", blend.as_path())];
        self.submit_files(&files, "3.4.1", frames, change).await
    }

    /// A job of these files, the first of which is the .blend.
    pub async fn submit_files(
        &self,
        files: &[(&str, &Path)],
        version: &str,
        frames: &str,
        change: impl FnOnce(&mut Submit),
    ) -> JobId {
        let mut origin = Origin::new();
        let mut manifest = Manifest::new();
        for (name, path) in files {
            let cut = origin.add_file(path).unwrap();
            manifest
                .insert(TreePath::new(name).unwrap(), Entry::file(&cut))
                .unwrap();
        }
        let root = origin.add_manifest(&manifest);
        let source = BlockSource::Origin(Arc::new(origin));
        send(&self.api, &source, &[root], &[], Ask::First, |_| {})
            .await
            .unwrap();
        let mut submit = Submit {
            settings: JobSettings::named("shot"),
            manifest: to_model(&root),
            main_file: files[0].0.into(),
            file_version: version.parse::<BlenderVersion>().unwrap().series(),
            steps: vec![Step {
                kind: StepKind::Render(Overrides::default()),
                frames: frames.parse().unwrap(),
                in_order: false,
                by_frame: false,
                beside: false,
                split: None,
                tiles: Vec::new(),
                chunking: None,
                replaced: false,
            }],
            client_note: String::new(),
        };
        change(&mut submit);
        self.api.submit(&submit).await.unwrap().job
    }

    /// All that happened to a job from its beginning, and all that will: whoever looks at the job before each event
    /// misses nothing.
    fn events(&self, job: JobId) -> tessera_client::Events {
        self.api.events(EventFilter {
            job: Some(job),
            since: Some(0),
        })
    }

    /// Waits until a job is as wished.
    pub async fn job(&self, job: JobId, what: &str, is: impl Fn(&JobDetail) -> bool) -> JobDetail {
        let waiting = async {
            let mut events = self.events(job);
            loop {
                let detail = self.api.job(job).await.unwrap();
                if is(&detail) {
                    return detail;
                }
                events.next().await.unwrap().unwrap();
            }
        };
        soon(what, waiting).await
    }

    pub async fn done(&self, job: JobId) -> Vec<FrameResult> {
        let over = |detail: &JobDetail| detail.summary.state.is_over();
        let detail = self.job(job, "the end of the job", over).await;
        let errors = self.errors(job).await;
        assert_eq!(detail.summary.state, JobState::Done, "{errors:?}");
        let results = self.results(job).await;
        let journal = self.api.journal(job).await.unwrap();
        assert_eq!(journal.accepts as usize, results.len());
        assert!(journal.repeated.is_empty());
        results
    }

    pub async fn results(&self, job: JobId) -> Vec<FrameResult> {
        self.api.results(job, 0, 1000).await.unwrap().items
    }

    pub async fn errors(&self, job: JobId) -> Vec<FrameError> {
        self.api.errors(job).await.unwrap().items
    }

    /// Waits until a frame of the job is being rendered.
    pub async fn started(&self, job: JobId, frame: i32) {
        let waiting = async {
            let mut events = self.events(job);
            let rendering = |status: &FrameStatus| {
                status.frame == frame && status.phase == FramePhase::Rendering
            };
            loop {
                let frames = self.api.frames(job, 0, 1000).await.unwrap().items;
                if frames.iter().any(rendering) {
                    return;
                }
                events.next().await.unwrap().unwrap();
            }
        };
        soon("the start of the frame", waiting).await;
    }

    /// The bytes of a blob.
    pub async fn bytes(&self, blob: &Blob) -> Vec<u8> {
        let blob: BlobRef = to_store(blob);
        let dir = tempfile::tempdir().unwrap();
        let store = Arc::new(Store::open(dir.path()).unwrap());
        receive(&self.api, &store, &[blob], |_| {}).await.unwrap();
        tessera_blobs::read_bytes(&blob, u64::MAX, |digest| store.get(digest)).unwrap()
    }
}

/// A name for a scene's file.
trait Named {
    fn of(scene: &Value) -> String;
}

impl Named for Blob {
    fn of(scene: &Value) -> String {
        tessera_blobs::Digest::of(scene.to_string().as_bytes()).to_string()
    }
}

async fn start_manager(
    dir: &Path,
    listen: SocketAddr,
) -> (
    Running,
    CancellationToken,
    JoinHandle<Result<(), tessera_manager::ManagerError>>,
) {
    let user: UserName = "tester".parse().unwrap();
    let mut config = ManagerConfig::new(dir.join("manager"), user);
    config.listen = vec![listen];
    config.discovery = false;
    config.scheduler.retry_after_ms = 1;
    // On a busy machine coming back takes longer than between real ones.
    config.scheduler.closed_after_ms = 5_000;
    let (ready, running) = oneshot::channel();
    let stop = CancellationToken::new();
    let manager = tokio::spawn(tessera_manager::run(config, ready, stop.clone()));
    match soon("the manager's start", running).await {
        Ok(running) => (running, stop, manager),
        Err(_) => panic!("{}", manager.await.unwrap().unwrap_err()),
    }
}

fn admin(running: &Running) -> Api {
    let access = Access {
        addresses: running.loopback_url.iter().cloned().collect(),
        trust: Trust {
            anchor_pem: running.anchor_pem.clone(),
            name_check: running.name_check,
        },
        credentials: Credentials::Token(running.admin_token.clone()),
    };
    Api::new(access).unwrap()
}

/// A running worker.
pub struct Worker {
    pub status: watch::Receiver<Status>,
    pub stop: CancellationToken,
    pub task: JoinHandle<Result<(), WorkerError>>,
    pub data_dir: PathBuf,
}

impl Worker {
    pub fn start(config: WorkerConfig) -> Self {
        let (sender, status) = watch::channel(Status::default());
        let stop = CancellationToken::new();
        let data_dir = config.data_dir.clone();
        let task = tokio::spawn(tessera_worker::run(config, sender, stop.clone()));
        Self {
            status,
            stop,
            task,
            data_dir,
        }
    }

    /// Waits until it is as wished.
    pub async fn is(&mut self, what: &str, is: impl Fn(&Status) -> bool) -> Status {
        let status = soon(what, self.status.wait_for(|status| is(status))).await;
        match status.map(|status| status.clone()) {
            Ok(status) => status,
            Err(_) => panic!("the worker ended before: {what}"),
        }
    }

    pub async fn linked(&mut self) {
        let linked = |status: &Status| matches!(status.link, LinkStatus::Linked { .. });
        self.is("the link", linked).await;
    }

    pub async fn lost(&mut self) {
        let lost = |status: &Status| matches!(status.link, LinkStatus::Lost { .. });
        self.is("the loss of the link", lost).await;
    }

    pub async fn stop(self) {
        self.stop.cancel();
        soon("the worker's end", self.task).await.unwrap().unwrap();
    }
}

/// Whether something with this text in its command line or environment still runs.
pub fn processes_of(dir: &Path) -> Vec<u32> {
    let dir = dir.to_str().unwrap();
    let running = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let alive = std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z "));
        alive && *pid != std::process::id() && String::from_utf8_lossy(&line).contains(dir)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(running)
        .collect()
}

pub fn content_of(bytes: &[u8]) -> BlobRef {
    tessera_blobs::write_bytes(bytes, Content::Other, |_| Ok::<(), std::io::Error>(())).unwrap()
}
