//! What looking on costs the manager: a list of many jobs, and many who follow what happens.
//!
//! The shipped manager, with 10,000 jobs of one rendered frame each in its record. The first page of the list, 100 jobs, is asked for
//! over one connection, as the page in a browser and the command line do: a few times before the count, then 50 times. Then 50
//! workers that take a second for each frame render a job, and for ten seconds it is counted what processor time the manager takes;
//! then 200 clients open a stream of events each, over connections of their own, and it is counted again. What they cost together is the
//! difference.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::StreamExt as _;
use tessera_client::{Api, EventFilter};
use tokio::task::JoinSet;

use super::crowd::{Crowd, pair};
use super::jobs::{FRAMES_TO_COME, record_done, submit};
use super::process::{cpu_time, open_many_files};
use super::scene::Scene;
use super::{Bench, figure};
use crate::bench::table::{Aim, Figure};
use crate::farm::{Home, Manager};

const PAGE: u32 = 100;

const ASKED: usize = 50;

const CLIENTS: u32 = 200;

const WORKERS: u32 = 50;

const FRAME_TAKES: Duration = Duration::from_secs(1);

const COUNTED: Duration = Duration::from_secs(10);

pub(in crate::bench) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    open_many_files()?;
    let home = Home::new(&bench.tessera, &bench.out.join("onlookers"));
    let runtime = tokio::runtime::Runtime::new()?;
    let scene = Arc::new(Scene::make()?);
    let folder = home.folder().join("data/manager");
    let jobs = bench.scaled(10_000);
    runtime.block_on(record_done(&folder, jobs, 1, &scene))?;
    let manager = home.manager(&[])?;
    runtime.block_on(async {
        let mut figures = vec![first_page(&home.api()?, jobs).await?];
        figures.extend(events(bench, &home, &manager, &scene).await?);
        Ok(figures)
    })
}

async fn first_page(api: &Api, jobs: u32) -> Result<Figure> {
    let mut took = Vec::with_capacity(ASKED);
    for round in 0..ASKED + 5 {
        let begun = Instant::now();
        api.jobs(None, PAGE).await?;
        if round >= 5 {
            took.push(begun.elapsed());
        }
    }
    took.sort_unstable();
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    Ok(figure(
        "manager: first page of a list of jobs, median",
        ms(took[ASKED / 2]),
        "ms",
        Aim::AtMost(50.0),
        format!(
            "{PAGE} of {jobs} jobs; the longest of {ASKED} {:.1} ms",
            ms(took[ASKED - 1])
        ),
    ))
}

async fn events(
    bench: &Bench,
    home: &Home,
    manager: &Manager,
    scene: &Arc<Scene>,
) -> Result<[Figure; 2]> {
    let api = home.api()?;
    scene.send(&api).await?;
    let farms = pair(&manager.link().parse()?, WORKERS).await?;
    let mut crowd = Crowd::link(&farms, scene, FRAME_TAKES).await?;
    submit(&api, 1, FRAMES_TO_COME, scene).await?;
    crowd.run_up(u64::from(WORKERS)).await?;
    let pid = manager.process.pid();
    let alone = cores(pid).await?;
    let count = bench.scaled(CLIENTS);
    let heard = Arc::new(AtomicU64::new(0));
    let mut clients = JoinSet::new();
    for _ in 0..count {
        let (api, heard) = (home.api()?, Arc::clone(&heard));
        clients.spawn(async move {
            let mut events = api.events(EventFilter::default());
            while let Some(Ok(_)) = events.next().await {
                heard.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // Each was told by now what there was before it came.
    crowd.run_up(crowd.done() + 4 * u64::from(WORKERS)).await?;
    let before = heard.load(Ordering::Relaxed);
    let watched = cores(pid).await?;
    let heard = heard.load(Ordering::Relaxed) - before;
    crowd.check()?;
    clients.shutdown().await;
    crowd.disperse().await;
    let each = heard as f64 / f64::from(count) / COUNTED.as_secs_f64();
    Ok([
        figure(
            "manager: all who follow the events, together",
            100.0 * (watched - alone).max(0.0),
            "% of a core",
            Aim::AtMost(20.0),
            format!("{count} clients, {each:.0} events a second each"),
        ),
        figure(
            "  the manager without them",
            100.0 * alone,
            "% of a core",
            Aim::None,
            format!("{WORKERS} workers, a frame a second each"),
        ),
    ])
}

/// What a process takes of a core.
async fn cores(pid: u32) -> Result<f64> {
    let (before, begun) = (cpu_time(pid)?, Instant::now());
    tokio::time::sleep(COUNTED).await;
    let took = cpu_time(pid)?.saturating_sub(before);
    Ok(took.as_secs_f64() / begun.elapsed().as_secs_f64())
}
