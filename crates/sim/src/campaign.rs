//! Many runs, as many at once as there are processors.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::plan::Plan;
use crate::run::{Summary, run_watched};
use crate::trace::Trace;
use crate::violation::Violation;

/// Runs of one size and different seeds.
#[derive(Debug, Clone, Copy)]
pub struct Campaign {
    /// The first seed's plan.
    pub first: Plan,
    /// Number of seeds.
    pub seeds: u64,
    /// Runs at once.
    pub threads: usize,
}

/// The first run that failed, by its seed.
#[derive(Debug)]
pub struct Failure {
    /// Which.
    pub plan: Plan,
    /// What did not hold.
    pub violation: Violation,
}

impl Campaign {
    /// Runs all seeds. After a failure no further one is begun. Each that ended is told, and now and then how far one is
    /// that takes long.
    ///
    /// # Errors
    /// The failure of the lowest seed that failed.
    ///
    /// # Panics
    /// If a run panics.
    pub fn run(
        &self,
        ended: impl Fn(&Plan, &Summary) + Sync,
        during: impl Fn(&Plan, &Summary) + Sync,
    ) -> Result<Summary, Box<Failure>> {
        let next = AtomicU64::new(0);
        let total = Mutex::new((Summary::default(), None::<Box<Failure>>));
        std::thread::scope(|scope| {
            let (next, total, ended, during) = (&next, &total, &ended, &during);
            for thread in 0..self.threads.max(1) {
                scope.spawn(move || {
                    stay_on_one_processor(thread);
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.seeds {
                            return;
                        }
                        let seed = self.first.seed + number;
                        let plan = Plan { seed, ..self.first };
                        let verdict =
                            run_watched(plan, Trace::Off, &|so_far| during(&plan, so_far)).verdict;
                        let mut total = total.lock().expect("nothing panics under the lock");
                        match verdict {
                            Ok(summary) => {
                                ended(&plan, &summary);
                                total.0 = total.0.with(summary);
                            }
                            Err(violation) => {
                                next.store(self.seeds, Ordering::Relaxed);
                                let lowest = total.1.as_ref().map(|f| f.plan.seed);
                                if lowest.is_none_or(|lowest| seed < lowest) {
                                    total.1 = Some(Box::new(Failure { plan, violation }));
                                }
                            }
                        }
                    }
                });
            }
        });
        let (summary, failure) = total.into_inner().expect("nothing panics under the lock");
        failure.map_or(Ok(summary), Err)
    }
}

/// A farm and the thread of its database take turns: on one processor neither has to be woken on another, which costs more than most of
/// what they do.
#[cfg(target_os = "linux")]
fn stay_on_one_processor(thread: usize) {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let Ok(allowed) = sched_getaffinity(None) else {
        return;
    };
    let processors = (0..CpuSet::MAX_CPU).filter(|&at| allowed.is_set(at));
    if let Some(processor) = processors.cycle().nth(thread) {
        let mut only = CpuSet::new();
        only.set(processor);
        // Without it the farm is slower and no other.
        let _ = sched_setaffinity(None, &only);
    }
}

#[cfg(not(target_os = "linux"))]
fn stay_on_one_processor(_: usize) {}
