//! Figures of the farm for Prometheus and whatever else reads OpenMetrics text.
//!
//! What happens is counted here as it is recorded, since the start of the manager; how things stand is asked of the scheduler
//! when somebody wants to know. Labels have few values: none for a job, a frame or a worker, whose machines have a text of their own
//! (`workers`). docs/metrics.md lists all.

pub(crate) mod utilisation;
pub(crate) mod workers;

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tessera_model::{Change, FrameErrorKind, FrameResult, JobState, WorkerMode};
use tessera_scheduler::{JobView, Now, Scheduler};
use tessera_wire::api::WorkerStatus;

use crate::links::Links;
use crate::metrics::utilisation::Utilisation;
use crate::views;

/// Of the text that is given.
pub(crate) const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One label.
type Label = [(&'static str, &'static str); 1];

/// See the module.
#[derive(Debug)]
pub(crate) struct Metrics {
    frames: Counter,
    failures: Family<Label, Counter>,
    frame_time: Family<Label, Counter<f64, AtomicU64>>,
    commits: Histogram,
    unrecorded: AtomicBool,
    pub(crate) utilisation: Utilisation,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            frames: Counter::default(),
            failures: Family::default(),
            frame_time: Family::default(),
            // Half a millisecond to a quarter of a minute: from a fast disk to one that hangs.
            commits: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            unrecorded: AtomicBool::new(false),
            utilisation: Utilisation::default(),
        }
    }
}

impl Metrics {
    /// These changes were recorded, which took so long.
    pub(crate) fn recorded(&self, changes: &[Change], took: Duration) {
        self.commits.observe(took.as_secs_f64());
        for change in changes {
            match change {
                Change::FrameDone(result) => self.delivered(result),
                Change::FrameFailed(error) => {
                    let label = [("kind", kind_name(error.kind))];
                    self.failures.get_or_create(&label).inc();
                }
                _ => {}
            }
        }
    }

    /// Whether changes can be recorded from now on, as far as is known.
    pub(crate) fn set_records(&self, records: bool) {
        self.unrecorded.store(!records, Ordering::Relaxed);
    }

    /// See [`set_records`](Self::set_records).
    pub(crate) fn records(&self) -> bool {
        !self.unrecorded.load(Ordering::Relaxed)
    }

    fn delivered(&self, result: &FrameResult) {
        self.frames.inc();
        let timings = &result.timings;
        for (stage, us) in [
            ("transfer", timings.transfer_us),
            ("load", timings.load_us),
            ("sync", timings.sync_us),
            ("render", timings.render_us),
            ("write", timings.write_us),
            ("idle", timings.idle_us),
        ] {
            let time = Duration::from_micros(us).as_secs_f64();
            self.frame_time
                .get_or_create(&[("stage", stage)])
                .inc_by(time);
        }
    }

    /// All of it as text.
    pub(crate) fn text(&self, farm: Standing, store: Store) -> Result<String, fmt::Error> {
        let mut registry = Registry::with_prefix("tessera");
        let Standing {
            workers,
            slots,
            jobs,
            frames,
        } = farm;
        registry.register("frames", "Frames delivered", self.frames.clone());
        let help = "Frames that failed on a worker, by kind";
        registry.register("frame_failures", help, self.failures.clone());
        let help = "Time that delivered frames took on their workers, by stage";
        registry.register_with_unit("frame_time", help, Unit::Seconds, self.frame_time.clone());
        let help = "Time that recording changes took";
        registry.register_with_unit("commit", help, Unit::Seconds, self.commits.clone());
        registry.register("workers", "Workers, by what they do", workers);
        registry.register(
            "slots",
            "Frames that linked workers can render at once",
            slots,
        );
        registry.register("jobs", "Jobs, by state", jobs);
        let help = "Frames of jobs that are not over, by state";
        registry.register("job_frames", help, frames);
        let used: Gauge = gauge(store.used_bytes);
        registry.register_with_unit("store_used", "Space that blocks take", Unit::Bytes, used);
        let quota: Gauge = gauge(store.quota_bytes);
        let help = "Space that blocks may take; 0: any";
        registry.register_with_unit("store_quota", help, Unit::Bytes, quota);
        let version = Family::<Label, Gauge>::default();
        let label = [("version", env!("CARGO_PKG_VERSION"))];
        version.get_or_create(&label).set(1);
        registry.register("manager_info", "Version of the manager", version);
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

/// What uses the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Store {
    pub(crate) used_bytes: u64,
    pub(crate) quota_bytes: u64,
}

/// How the farm stands at a moment.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    workers: Family<Label, Gauge>,
    slots: Gauge,
    jobs: Family<Label, Gauge>,
    frames: Family<Label, Gauge>,
}

impl Standing {
    pub(crate) fn of(scheduler: &Scheduler, links: &Links, now: Now) -> Self {
        let standing = Self::default();
        // A state that nobody is in is shown too, so that a graph of it has no holes.
        for state in [
            "away", "blocked", "busy", "draining", "idle", "paused", "resting",
        ] {
            standing.workers.get_or_create(&[("state", state)]).set(0);
        }
        for state in [
            JobState::Active,
            JobState::Paused,
            JobState::Cancelled,
            JobState::Done,
            JobState::Failed,
        ] {
            standing
                .jobs
                .get_or_create(&[("state", job_state(state))])
                .set(0);
        }
        for view in scheduler.workers(now) {
            let worker = views::worker_status(&view, links);
            let label = [("state", worker_state(&worker))];
            standing.workers.get_or_create(&label).inc();
            if worker.linked {
                let slots = worker.facts.map_or(0, |facts| facts.slots);
                standing.slots.inc_by(i64::from(slots));
            }
        }
        let mut frames = [
            ("waiting", 0),
            ("leased", 0),
            ("rendering", 0),
            ("done", 0),
            ("failed", 0),
        ];
        for job in scheduler.jobs(now, None, usize::MAX) {
            let label = [("state", job_state(job.state))];
            standing.jobs.get_or_create(&label).inc();
            if !job.state.is_over() {
                for ((_, sum), more) in frames.iter_mut().zip(frames_of(&job)) {
                    *sum += i64::from(more);
                }
            }
        }
        for (state, sum) in frames {
            standing.frames.get_or_create(&[("state", state)]).set(sum);
        }
        standing
    }
}

/// Waiting, leased and not begun, rendering, done, failed: together all of them.
fn frames_of(job: &JobView) -> [u32; 5] {
    let leased = job.leased.saturating_sub(job.rendering);
    let others = job.leased + job.done + job.failed;
    let waiting = job.frames.saturating_sub(others);
    [waiting, leased, job.rendering, job.done, job.failed]
}

fn worker_state(worker: &WorkerStatus) -> &'static str {
    let rests = worker
        .facts
        .as_ref()
        .is_some_and(|facts| facts.rest.is_some());
    match worker.mode {
        _ if !worker.linked => "away",
        WorkerMode::Blocked => "blocked",
        WorkerMode::Draining => "draining",
        WorkerMode::Paused => "paused",
        WorkerMode::Active if worker.holds.iter().any(|held| held.rendering) => "busy",
        WorkerMode::Active if rests => "resting",
        WorkerMode::Active => "idle",
    }
}

fn job_state(state: JobState) -> &'static str {
    match state {
        JobState::Active => "active",
        JobState::Paused => "paused",
        JobState::Cancelled => "cancelled",
        JobState::Done => "done",
        JobState::Failed => "failed",
    }
}

fn kind_name(kind: FrameErrorKind) -> &'static str {
    match kind {
        FrameErrorKind::Crash => "crash",
        FrameErrorKind::Hang => "hang",
        FrameErrorKind::Memory => "memory",
        FrameErrorKind::Scene => "scene",
        FrameErrorKind::Files => "files",
        FrameErrorKind::Disk => "disk",
        FrameErrorKind::Worker => "worker",
    }
}

fn gauge(value: u64) -> Gauge {
    let gauge = Gauge::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    gauge
}

/// Sets one of a family.
fn set<L: Clone + Eq + Hash>(family: &Family<L, Gauge>, label: &L, value: impl Into<u64>) {
    let value = i64::try_from(value.into()).unwrap_or(i64::MAX);
    family.get_or_create(label).set(value);
}
