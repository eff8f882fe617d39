//! A farm on this machine: a manager and workers, each a process of its own, and what its record says.

use std::path::Path;
use std::time::Duration;

use tessera_client::{Api, Folders, Wanted, choose_farm};
use tessera_model::JobId;
use tessera_wire::api::{Journal, WorkerStatus};
use tessera_wire::line::LineKind;
use xtask::farm::{Home, Manager, Process};

use crate::processes::Watched;
use crate::world::{Project, World, text};

/// Longest that anything the manager is asked about may take to come true.
const COMES_TRUE: Duration = Duration::from_secs(60);

/// How long no event may come before it is looked again.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// A manager and workers paired with it.
pub struct Site {
    /// Who started the manager: commands of this home find it by themselves.
    pub boss: Home,
    pub manager: Manager,
    pub workers: Vec<Hand>,
}

/// A worker and whose it is.
pub struct Hand {
    pub home: Home,
    pub process: Process,
}

impl Site {
    /// A manager alone.
    pub fn new(boss: Home) -> Self {
        let manager = boss.manager(&["--name", "Site"]).unwrap();
        Self {
            boss,
            manager,
            workers: Vec::new(),
        }
    }

    /// One with these workers, one thread each.
    pub fn with_workers(world: &World, names: &[&str]) -> Self {
        let mut site = Self::new(world.home("boss"));
        for name in names {
            site.hire(world.home(name), name);
        }
        site
    }

    /// Pairs a worker by the manager's code.
    pub fn hire(&mut self, home: Home, name: &str) {
        let arguments = [
            "--join",
            self.manager.link(),
            "--name",
            name,
            "--threads",
            "1",
        ];
        let process = home.worker(&arguments).unwrap();
        self.workers.push(Hand { home, process });
    }

    /// The address and port of the manager, as it was given them.
    pub fn address(&self) -> String {
        self.manager.urls[0]
            .trim_start_matches("https://")
            .to_owned()
    }

    /// Starts the manager again, on the port it had.
    pub fn restart_manager(&mut self) {
        let address = self.address();
        self.manager = self
            .boss
            .manager_with(&["manager", "--listen", &address, "--no-discovery"])
            .unwrap();
    }

    /// Hands in a job and gives its number.
    pub fn submit(&self, project: &Project, flags: &[&str]) -> JobId {
        let mut arguments = vec!["submit", project.file()];
        arguments.extend(flags);
        let lines = self.boss.run(&arguments).unwrap();
        let number = lines.iter().find_map(|line| match line {
            LineKind::Submitted { job, .. } => Some(*job),
            _ => None,
        });
        number.unwrap_or_else(|| panic!("no job in {lines:?}"))
    }

    /// What the record says of a job's deliveries.
    pub fn journal(&self, job: JobId) -> Journal {
        ask(&self.boss, async |api: Api| api.journal(job).await.unwrap())
    }

    /// Every frame of the job was delivered exactly once; what the record says of it.
    #[track_caller]
    pub fn delivered_once(&self, job: JobId) -> Journal {
        let journal = self.journal(job);
        assert_eq!(journal.accepts, u64::from(journal.frames), "{journal:?}");
        assert!(journal.repeated.is_empty(), "{journal:?}");
        journal
    }
}

impl Hand {
    /// Starts it again, whether its manager is there or not: it knows its farm.
    pub fn start(&mut self) {
        self.process = self.home.start(&["worker", "--threads", "1"]).unwrap();
    }

    /// Waits until its link is open.
    pub fn wait_linked(&mut self) {
        self.process
            .wait(|line| matches!(line, LineKind::WorkerState { linked: true, .. }).then_some(()))
            .unwrap();
    }

    /// Starts it again and waits until it is back.
    pub fn restart(&mut self) {
        self.start();
        self.wait_linked();
    }

    /// Its Blenders that live now.
    pub fn blenders(&self) -> Vec<Watched> {
        Watched::blenders_of(self.home.folder())
    }
}

/// Asks the manager as this user.
pub fn ask<T>(home: &Home, question: impl AsyncFnOnce(Api) -> T) -> T {
    // Whoever asks first installs it; the others find it there.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let folders = Folders::at(home.folder());
    let (farm, _) = choose_farm(&folders, &Wanted::default())
        .unwrap()
        .expect("this user has a farm");
    let api = Api::new(farm.access()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(question(api))
}

/// The number of the worker of this name.
pub fn worker_id(home: &Home, name: &str) -> tessera_model::WorkerId {
    let found = workers(home).into_iter().find(|worker| worker.name == name);
    found.unwrap().id
}

/// The workers.
pub fn workers(home: &Home) -> Vec<WorkerStatus> {
    ask(home, async |api: Api| api.workers().await.unwrap().items)
}

/// Watches the farm's events until what is asked for is so. Fails when it does not become so in a time that is far too long.
#[track_caller]
pub fn until<T>(home: &Home, what: &str, mut holds: impl AsyncFnMut(&Api) -> Option<T>) -> T {
    use futures_util::StreamExt as _;
    let found = ask(home, async |api: Api| {
        tokio::time::timeout(COMES_TRUE, async {
            let mut events = api.events(tessera_client::EventFilter {
                job: None,
                since: Some(0),
            });
            loop {
                if let Some(found) = holds(&api).await {
                    return found;
                }
                // What only time brings about makes no event: it is looked again after a while.
                if let Ok(event) = tokio::time::timeout(LOOK_AGAIN, events.next()).await {
                    event.expect("events go on").unwrap();
                }
            }
        })
        .await
    });
    found.unwrap_or_else(|_| panic!("it did not happen: {what}"))
}

/// A frame of the job is being rendered now, begun after this call, by this worker if one is named. Which, and by whom.
#[track_caller]
pub fn next_begun(
    render: &mut Process,
    worker: Option<tessera_model::WorkerId>,
) -> (i32, tessera_model::WorkerId) {
    render.lines_so_far();
    render
        .wait(|line| match line {
            LineKind::Started { frame, worker: by }
                if worker.is_none_or(|wanted| wanted == *by) =>
            {
                Some((*frame, *by))
            }
            _ => None,
        })
        .unwrap()
}

/// The arguments of a render into a folder.
pub fn render_into<'a>(project: &'a Project, frames: &'a str, out: &'a Path) -> Vec<&'a str> {
    vec!["render", project.file(), "-f", frames, "-o", text(out)]
}
