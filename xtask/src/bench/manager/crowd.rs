//! Many workers in one process.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tessera_client::{WorkerFarm, join_as_worker};
use tessera_wire::pairing::PairingLink;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::scene::Scene;
use super::worker::{Tally, Worker};

/// Handshakes at once: below the number of strangers that a manager lets in.
const JOINING_MAX: usize = 64;

/// Longest that all of them may take to be in, and to get to work.
const WITHIN: Duration = Duration::from_secs(120);

/// How often it is looked whether something has come about.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// Pairs so many workers, each with a key of its own.
pub(super) async fn pair(link: &PairingLink, count: u32) -> Result<Vec<WorkerFarm>> {
    let room = Arc::new(Semaphore::new(JOINING_MAX));
    let mut joining = JoinSet::new();
    for number in 0..count {
        let (room, link) = (Arc::clone(&room), link.clone());
        joining.spawn(async move {
            let _room = room.acquire().await.expect("it is never closed");
            join_as_worker(&link, &format!("node{number}")).await
        });
    }
    let mut farms = Vec::with_capacity(count as usize);
    while let Some(joined) = joining.join_next().await {
        farms.push(joined?.context("a worker could not join")?);
    }
    Ok(farms)
}

/// Workers that are linked.
pub(super) struct Crowd {
    pub(super) tally: Arc<Tally>,
    stop: CancellationToken,
    working: JoinSet<Result<()>>,
}

impl Crowd {
    /// `frame_takes`: what each pretends that a frame takes.
    pub(super) async fn link(
        farms: &[WorkerFarm],
        scene: &Arc<Scene>,
        frame_takes: Duration,
    ) -> Result<Self> {
        let mut crowd = Self {
            tally: Arc::default(),
            stop: CancellationToken::new(),
            working: JoinSet::new(),
        };
        let begun = Instant::now();
        for (number, farm) in (0..).zip(farms) {
            let worker = Worker::new(
                farm,
                Arc::clone(scene),
                frame_takes,
                Arc::clone(&crowd.tally),
            )?;
            crowd.working.spawn(worker.run(crowd.stop.clone()));
            while crowd.linked() + JOINING_MAX as u64 <= number {
                crowd.wait(begun).await?;
            }
        }
        while crowd.linked() < farms.len() as u64 {
            crowd.wait(begun).await?;
        }
        Ok(crowd)
    }

    fn linked(&self) -> u64 {
        self.tally.linked.load(Ordering::Relaxed)
    }

    pub(super) fn done(&self) -> u64 {
        self.tally.done.load(Ordering::Relaxed)
    }

    /// Waits until so many slices are done.
    pub(super) async fn run_up(&mut self, slices: u64) -> Result<()> {
        let begun = Instant::now();
        while self.done() < slices {
            self.check()?;
            if begun.elapsed() > WITHIN {
                bail!("only {} slices are done", self.done());
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(())
    }

    /// A moment, unless one of them has failed.
    async fn wait(&mut self, since: Instant) -> Result<()> {
        self.check()?;
        if since.elapsed() > WITHIN {
            bail!("only {} of the workers are linked", self.linked());
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }

    /// Whether all still work.
    ///
    /// # Errors
    /// The first one's that does not.
    pub(super) fn check(&mut self) -> Result<()> {
        match self.working.try_join_next() {
            None => Ok(()),
            Some(ended) => {
                ended??;
                bail!("a worker has ended by itself")
            }
        }
    }

    /// They leave.
    pub(super) async fn disperse(mut self) {
        self.stop.cancel();
        while self.working.join_next().await.is_some() {}
    }
}
