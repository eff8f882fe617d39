//! A worker without a Blender. It pairs, links and speaks as a real one, by the same client; its frames take no time, or as long as is said.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tessera_client::{Api, ApiError, LinkReceiver, LinkSender, Retry, WorkerFarm};
use tessera_model::{WorkerFacts, WorkerId};
use tessera_wire::PROTOCOL;
use tessera_wire::api::Verdict;
use tessera_wire::link::{FromWorker, HEARTBEAT, Holding, LeaseOffer, Machine, ToWorker};
use tokio::time::{Instant, Interval, interval_at};
use tokio_util::sync::CancellationToken;

use super::scene::{Scene, build};

/// How long a report is tried again: thousands of connections that are made at once take their time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What all of them do together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) linked: AtomicU64,
    /// Slices reported and accepted.
    pub(super) done: AtomicU64,
    /// Reported, and not needed.
    pub(super) not_needed: AtomicU64,
    /// Links that ended though nobody wanted it.
    pub(super) lost: AtomicU64,
}

type Report = Pin<Box<dyn Future<Output = Result<Verdict, ApiError>> + Send>>;

pub(super) struct Worker {
    id: WorkerId,
    api: Api,
    scene: Arc<Scene>,
    frame_takes: Duration,
    tally: Arc<Tally>,
    /// The first of it is being reported.
    hand: VecDeque<LeaseOffer>,
    report: Option<Report>,
}

impl Worker {
    pub(super) fn new(
        farm: &WorkerFarm,
        scene: Arc<Scene>,
        frame_takes: Duration,
        tally: Arc<Tally>,
    ) -> Result<Self> {
        Ok(Self {
            id: farm.worker,
            api: Api::new(farm.access())?.retrying(Retry::for_at_most(PATIENCE)),
            scene,
            frame_takes,
            tally,
            hand: VecDeque::new(),
            report: None,
        })
    }

    /// Links and works until it is stopped.
    pub(super) async fn run(mut self, stop: CancellationToken) -> Result<()> {
        let (mut sender, mut receiver) = self.link().await?;
        self.tally.linked.fetch_add(1, Ordering::Relaxed);
        // Spread, as they are on a farm whose workers were not all started at once.
        let first = HEARTBEAT.mul_f64(f64::from(self.id.0 % 1000) / 1000.0);
        let mut heartbeat = interval_at(Instant::now() + first, HEARTBEAT);
        let worked = tokio::select! {
            () = stop.cancelled() => Ok(()),
            worked = self.work(&mut sender, &mut receiver, &mut heartbeat) => worked,
        };
        if worked.is_err() {
            self.tally.lost.fetch_add(1, Ordering::Relaxed);
        }
        sender.close().await;
        worked
    }

    async fn link(&mut self) -> Result<(LinkSender, LinkReceiver)> {
        let link = self.api.link().await.context("cannot link")?;
        let (mut sender, mut receiver) = link.split();
        let hello = FromWorker::Hello {
            protocol: PROTOCOL,
            facts: facts(self.id),
            holds: Vec::new(),
            peer: None,
            pyramids: false,
        };
        sender.send(&hello).await?;
        let first = receiver.next().await?;
        ensure!(
            matches!(first, Some(ToWorker::Welcome { .. })),
            "not welcomed: {first:?}"
        );
        Ok((sender, receiver))
    }

    async fn work(
        &mut self,
        sender: &mut LinkSender,
        receiver: &mut LinkReceiver,
        heartbeat: &mut Interval,
    ) -> Result<()> {
        loop {
            tokio::select! {
                heard = receiver.next() => {
                    let heard = heard?.context("the manager closed the link")?;
                    self.take_in(heard, sender).await?;
                }
                verdict = reported(&mut self.report) => {
                    self.report = None;
                    self.count(verdict?);
                    if let Some(offer) = self.hand.pop_front() {
                        sender.send(&FromWorker::Finished { key: offer.key }).await?;
                    }
                }
                _ = heartbeat.tick() => sender.send(&self.heartbeat()).await?,
            }
            if self.report.is_none() {
                self.begin_next(sender).await?;
            }
        }
    }

    async fn take_in(&mut self, heard: ToWorker, sender: &mut LinkSender) -> Result<()> {
        match heard {
            ToWorker::Lease(offer) => self.hand.push_back(*offer),
            ToWorker::Recall { key } => {
                let waits = self.hand.iter().skip(1).any(|offer| offer.key == key);
                if waits {
                    self.hand.retain(|offer| offer.key != key);
                    sender.send(&FromWorker::Returned { key }).await?;
                }
            }
            ToWorker::Cancel { key } => {
                if self.hand.front().is_some_and(|offer| offer.key == key) {
                    self.report = None;
                }
                self.hand.retain(|offer| offer.key != key);
            }
            ToWorker::Refused { reason, .. } => bail!("refused: {reason}"),
            ToWorker::Welcome { .. }
            | ToWorker::Mode { .. }
            | ToWorker::Log { .. }
            | ToWorker::Pyramid { .. }
            | ToWorker::Peers { .. }
            | ToWorker::Void { .. } => {}
        }
        Ok(())
    }

    async fn begin_next(&mut self, sender: &mut LinkSender) -> Result<()> {
        let Some(offer) = self.hand.front() else {
            return Ok(());
        };
        let frame = *offer.frames.first().context("a lease without frames")?;
        let key = offer.key;
        let position = frame.position;
        sender.send(&FromWorker::Started { key, position }).await?;
        let result = self.scene.result(self.id, key, frame);
        let (api, takes) = (self.api.clone(), self.frame_takes);
        self.report = Some(Box::pin(async move {
            tokio::time::sleep(takes).await;
            api.worker_result(&result).await
        }));
        Ok(())
    }

    fn count(&self, verdict: Verdict) {
        let count = match verdict {
            Verdict::Accepted => &self.tally.done,
            Verdict::NotNeeded => &self.tally.not_needed,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }

    fn heartbeat(&self) -> FromWorker {
        let held = self.hand.iter().enumerate().map(|(at, offer)| Holding {
            key: offer.key,
            rendering: offer
                .frames
                .first()
                .filter(|_| at == 0)
                .map(|frame| frame.position),
        });
        FromWorker::Heartbeat {
            holds: held.collect(),
            machine: Some(Machine::default()),
        }
    }
}

async fn reported(report: &mut Option<Report>) -> Result<Verdict, ApiError> {
    match report {
        Some(report) => report.await,
        None => std::future::pending().await,
    }
}

fn facts(worker: WorkerId) -> WorkerFacts {
    WorkerFacts {
        divides: true,
        slots: 1,
        threads: 16,
        cores: 16,
        memory_bytes: 64 << 30,
        os: "linux".into(),
        arch: "x86_64".into(),
        host: format!("node{worker}"),
        tags: Vec::new(),
        builds: vec![build()],
        gpus: Vec::new(),
        version: env!("CARGO_PKG_VERSION").into(),
        rest: None,
    }
}
