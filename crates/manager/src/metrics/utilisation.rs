//! How much of the farm was in use, minute by minute, since this manager started and for a day at most.
//!
//! It is kept in memory only: nothing depends on it, and whoever wants it for longer has Prometheus.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tessera_scheduler::{Now, Scheduler};
use tessera_wire::api::UtilisationSample;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Metrics;
use crate::engine::EngineHandle;
use crate::links::Links;
use crate::views;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(60);

/// Looks that are kept: a day of them, 40 kB.
const KEPT_MAX: usize = 24 * 60;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Utilisation {
    kept: Mutex<VecDeque<UtilisationSample>>,
}

impl Utilisation {
    fn kept(&self) -> MutexGuard<'_, VecDeque<UtilisationSample>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, sample: UtilisationSample) {
        let mut kept = self.kept();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(sample);
    }

    /// All that is kept, oldest first.
    pub(crate) fn samples(&self) -> Vec<UtilisationSample> {
        self.kept().iter().copied().collect()
    }
}

/// How much of it is in use at this moment.
pub(crate) fn sample(scheduler: &Scheduler, links: &Links, now: Now) -> UtilisationSample {
    let mut sample = UtilisationSample {
        at: now.wall,
        slots: 0,
        busy: 0,
    };
    for view in scheduler.workers(now) {
        let worker = views::worker_status(&view, links);
        let Some(facts) = worker.facts.filter(|_| worker.linked) else {
            continue;
        };
        let busy = worker.holds.iter().filter(|held| held.rendering).count();
        sample.slots += facts.slots;
        sample.busy += facts.slots.min(u32::try_from(busy).unwrap_or(u32::MAX));
    }
    sample
}

/// Looks again and again, until the manager ends.
pub(crate) async fn keep(
    engine: EngineHandle,
    links: Arc<Links>,
    metrics: Arc<Metrics>,
    ending: CancellationToken,
) {
    let mut looks = tokio::time::interval(EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while ending.run_until_cancelled(looks.tick()).await.is_some() {
        let links = Arc::clone(&links);
        let look = move |scheduler: &Scheduler, now| sample(scheduler, &links, now);
        if let Ok(sample) = engine.read(look).await {
            metrics.utilisation.keep(sample);
        }
    }
}

#[cfg(test)]
mod tests {
    use tessera_model::Timestamp;

    use super::*;

    #[test]
    fn a_day_is_kept() {
        let utilisation = Utilisation::default();
        for at in 0..2000 {
            utilisation.keep(UtilisationSample {
                at: Timestamp(at),
                slots: 4,
                busy: 1,
            });
        }
        let samples = utilisation.samples();
        assert_eq!(samples.len(), 1440);
        assert_eq!(
            (samples[0].at, samples[1439].at),
            (Timestamp(560), Timestamp(1999))
        );
    }
}
