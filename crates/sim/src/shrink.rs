//! A failing run, made as small as it goes: whatever can be left out without the violation going away is left out.

use crate::plan::Plan;
use crate::run::run;
use crate::trace::Trace;
use crate::violation::Violation;

/// Runs tried at most: each takes about a second or less, and what is left then is small enough to read.
const TRIES_MAX: u32 = 120;

/// The smallest plan found that violates the same property, and how it does.
#[must_use]
pub fn shrink(plan: Plan, violation: Violation) -> (Plan, Violation) {
    let mut best = (plan, violation);
    let mut tries = 0;
    loop {
        let mut found = false;
        for smaller in smaller(best.0) {
            if tries == TRIES_MAX {
                return best;
            }
            tries += 1;
            if let Err(violation) = run(smaller, Trace::Off).verdict
                && violation.property == best.1.property
            {
                best = (smaller, violation);
                found = true;
                break;
            }
        }
        if !found {
            return best;
        }
    }
}

/// Plans a step smaller, the boldest first.
fn smaller(plan: Plan) -> Vec<Plan> {
    let mut plans = Vec::new();
    for parts in [8, 4, 2] {
        plans.push(Plan {
            workers: (plan.workers / parts).max(1),
            frames: (plan.frames / parts).max(1),
            ..plan
        });
    }
    for fault in plan.faults.iter() {
        let faults = plan.faults.without(fault);
        plans.push(Plan { faults, ..plan });
    }
    for (numerator, denominator) in [(1, 4), (1, 2), (3, 4)] {
        let part = |of: u32| (of * numerator / denominator).max(1);
        let jobs = plan.job_count();
        plans.push(Plan {
            workers: part(plan.workers),
            ..plan
        });
        plans.push(Plan {
            frames: part(plan.frames),
            ..plan
        });
        plans.push(Plan {
            jobs: Some(part(jobs)),
            ..plan
        });
        plans.push(Plan {
            minutes: part(plan.minutes),
            ..plan
        });
    }
    plans.push(Plan {
        workers: plan.workers.saturating_sub(1).max(1),
        ..plan
    });
    plans.push(Plan {
        frames: plan.frames.saturating_sub(1).max(1),
        ..plan
    });
    plans.retain(|smaller| *smaller != plan);
    plans
}
