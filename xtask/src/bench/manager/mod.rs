//! What a whole manager can do: the shipped program, its TLS, its WebSockets, its record on disk.
//!
//! Command: `tessera manager --listen 127.0.0.1:PORT --no-discovery` in a fresh home, with 900 jobs of 1,000 frames each in its record
//! that are rendered already, written there by the code that the manager itself writes with. 5,000 workers of one slot, all in this
//! process, pair and link over the loopback network, each with a key, a certificate and connections of its own. 60 more
//! jobs of 5,000 frames are submitted through the API. Each worker answers a lease with `Started`, posts the result (one picture, one log,
//! both in the store already: moving pixels is not what is measured) and says `Finished`; a frame takes no time, so the manager is
//! what everybody waits for. All beat their hearts every five seconds. A slice is a unit of one frame.
//!
//! Slices are counted by the workers for 20 s after four for each of them, with the processor time of both processes beside
//! them, since they share the machine. Memory is the resident set of the manager (`VmRSS`), with all linked and at rest, and at the end of that time.
//! The restart: the manager is killed, the workers are gone, and the same command runs again; the clock stops when the first
//! request with the old token is answered. No caches are dropped. There is no baseline: the figures are held against what they aim at.

mod crowd;
mod jobs;
pub(super) mod onlookers;
pub(super) mod page;
mod process;
mod scene;
mod worker;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tessera_client::Api;

use super::Bench;
use super::memory::resident_mb;
use super::table::{Aim, Figure};
use crate::farm::{Home, Manager};
use crowd::{Crowd, LOOK};
use jobs::{FRAMES_DONE, FRAMES_TO_COME};
use scene::Scene;

/// Enough for ten thousand slices a second.
const JOBS: u32 = 60;

/// Slices for each worker before the count begins: every one has made its connections by then.
const RUN_UP: u64 = 4;

const COUNTED: Duration = Duration::from_secs(20);

/// Longest that a manager may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    process::open_many_files()?;
    let home = Home::new(&bench.tessera, &bench.out.join("manager"));
    let runtime = tokio::runtime::Runtime::new()?;
    let scene = Arc::new(Scene::make()?);
    let recorded = bench.scaled(900);
    let folder = home.folder().join("data/manager");
    let took = runtime.block_on(jobs::record_done(&folder, recorded, FRAMES_DONE, &scene))?;
    let frames = recorded * FRAMES_DONE;
    println!("  {frames} frames recorded in {:.1} s", took.as_secs_f64());

    let manager = home.manager(&[])?;
    let mut figures = runtime.block_on(work(bench, &home, &manager, &scene))?;
    let api = home.api()?;
    let address = api.address().to_owned();
    manager.process.kill()?;
    figures.push(restart(&home, &runtime, &api, &address)?);
    Ok(figures)
}

/// Puts so many jobs of one frame each, all done, into the record of a manager that has not started yet, in the folder of its data.
///
/// # Errors
/// If they cannot be recorded.
pub async fn record_jobs(folder: &std::path::Path, jobs: u32) -> Result<()> {
    jobs::record_done(folder, jobs, 1, &Scene::make()?).await?;
    Ok(())
}

fn figure(name: &str, value: f64, unit: &'static str, aim: Aim, note: String) -> Figure {
    Figure {
        name: name.into(),
        value,
        unit,
        aim,
        note,
    }
}

/// Everything but the restart.
async fn work(
    bench: &Bench,
    home: &Home,
    manager: &Manager,
    scene: &Arc<Scene>,
) -> Result<Vec<Figure>> {
    let api = home.api()?;
    let pid = manager.process.pid();
    let workers = bench.scaled(5_000);
    scene.send(&api).await?;
    let empty = resident_mb(pid)?;
    let begun = Instant::now();
    let farms = crowd::pair(&manager.link().parse()?, workers).await?;
    let paired = begun.elapsed();
    let begun = Instant::now();
    let mut crowd = Crowd::link(&farms, scene, Duration::ZERO).await?;
    let linked = begun.elapsed();
    println!(
        "  {workers} workers paired in {:.1} s, linked in {:.1} s",
        paired.as_secs_f64(),
        linked.as_secs_f64()
    );
    let resting = resident_mb(pid)?;
    jobs::submit(&api, JOBS, FRAMES_TO_COME, scene).await?;
    let begun = Instant::now();
    crowd.run_up(u64::from(workers) * RUN_UP).await?;
    println!("  all at work after {:.1} s", begun.elapsed().as_secs_f64());
    let count = Count::during(COUNTED, pid, &crowd).await?;
    crowd.check()?;
    let busy = resident_mb(pid)?;
    let left = api.farm().await?.jobs;
    if left == 0 {
        bail!("all jobs ended before the time was over: there were too few of them");
    }
    crowd.disperse().await;
    let linked = format!("{workers} workers; {empty:.0} MB before they came");
    let connections = "each with its link and a connection for results".into();
    let mut figures = count.figures();
    figures.extend([
        figure(
            "manager: memory, all workers linked",
            resting,
            "MB",
            Aim::AtMost(400.0),
            linked,
        ),
        figure(
            "manager: memory, all workers busy",
            busy,
            "MB",
            Aim::None,
            connections,
        ),
    ]);
    Ok(figures)
}

/// What happened in a time.
struct Count {
    slices: u64,
    seconds: f64,
    manager_cpu: Duration,
    workers_cpu: Duration,
}

impl Count {
    async fn during(time: Duration, pid: u32, crowd: &Crowd) -> Result<Self> {
        let own = std::process::id();
        let before = (process::cpu_time(pid)?, process::cpu_time(own)?);
        let (done, begun) = (crowd.done(), Instant::now());
        tokio::time::sleep(time).await;
        Ok(Self {
            slices: crowd.done() - done,
            seconds: begun.elapsed().as_secs_f64(),
            manager_cpu: process::cpu_time(pid)? - before.0,
            workers_cpu: process::cpu_time(own)? - before.1,
        })
    }

    fn figures(&self) -> Vec<Figure> {
        let cpu = |time: Duration| time.as_secs_f64() / (self.slices as f64 / 1000.0);
        let cores = |time: Duration| time.as_secs_f64() / self.seconds;
        vec![
            figure(
                "manager: slices",
                self.slices as f64 / self.seconds,
                "/s",
                Aim::AtLeast(3_000.0),
                format!(
                    "the manager had {:.2} cores, the workers {:.2}",
                    cores(self.manager_cpu),
                    cores(self.workers_cpu)
                ),
            ),
            figure(
                "  processor time of the manager for 1,000",
                cpu(self.manager_cpu),
                "s",
                Aim::None,
                format!("and {:.3} s of the workers", cpu(self.workers_cpu)),
            ),
        ]
    }
}

fn restart(
    home: &Home,
    runtime: &tokio::runtime::Runtime,
    api: &Api,
    address: &str,
) -> Result<Figure> {
    let listen = address.trim_start_matches("https://");
    let begun = Instant::now();
    let _manager = home.start(&["manager", "--listen", listen, "--no-discovery"])?;
    let farm = runtime.block_on(async {
        loop {
            match api.farm().await {
                Ok(farm) => return Ok(farm),
                Err(error) if begun.elapsed() > BACK_WITHIN => {
                    return Err(error).context("the manager did not come back");
                }
                Err(_) => tokio::time::sleep(LOOK / 4).await,
            }
        }
    })?;
    let took = begun.elapsed().as_secs_f64();
    Ok(figure(
        "manager: restart with a million frames",
        took,
        "s",
        Aim::AtMost(3.0),
        format!("killed before; {} jobs are not over", farm.jobs),
    ))
}
