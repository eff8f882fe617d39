//! What calls of the scheduler took.
//!
//! By the clock; but of a call that took long, by the processor time of the thread, since another program may have had the processor
//! in between. (Asking for that at the end of every call would cost more than most calls take.)

use std::time::{Duration, Instant};

/// A call that took longer may have been interrupted.
const LONG: Duration = Duration::from_micros(20);

/// Counts from [`reset`](Self::reset) on.
#[derive(Debug, Default)]
pub(super) struct Stopwatch {
    /// Every call that took something in.
    calls_ns: Vec<u32>,
    /// All calls.
    pub(super) whole: Duration,
    /// Of it, taking in new jobs and forgetting old ones.
    pub(super) turnover: Duration,
    /// Units handed out.
    pub(super) units: u64,
}

/// What a call is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What workers say, and time.
    Work,
    /// Jobs come and go.
    Turnover,
    /// Asking when time has to be told: not a call of `apply`.
    Question,
}

impl Stopwatch {
    pub(super) fn reset(&mut self) {
        *self = Self::default();
    }

    pub(super) fn time<T>(&mut self, purpose: Purpose, call: impl FnOnce() -> T) -> T {
        let cpu = thread_time();
        let begun = Instant::now();
        let answer = call();
        let mut took = begun.elapsed();
        if took > LONG {
            took = took.min(thread_time().saturating_sub(cpu));
        }
        self.whole += took;
        if purpose == Purpose::Turnover {
            self.turnover += took;
        }
        if purpose != Purpose::Question {
            let ns = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX);
            self.calls_ns.push(ns);
        }
        answer
    }

    pub(super) fn calls_per_s(&self) -> f64 {
        self.calls() as f64 / self.whole.as_secs_f64()
    }

    pub(super) fn units_per_s(&self) -> f64 {
        self.units as f64 / self.whole.as_secs_f64()
    }

    /// Cost of a unit handed out, jobs' coming and going aside.
    pub(super) fn us_per_unit(&self) -> f64 {
        (self.whole - self.turnover).as_secs_f64() * 1e6 / self.units as f64
    }

    pub(super) fn calls(&self) -> usize {
        self.calls_ns.len()
    }

    /// How long calls took in microseconds, the shortest first.
    pub(super) fn calls_us(&self) -> Vec<f64> {
        let us = |&ns: &u32| f64::from(ns) / 1000.0;
        let mut calls: Vec<f64> = self.calls_ns.iter().map(us).collect();
        calls.sort_by(f64::total_cmp);
        calls
    }
}

/// Processor time of this thread so far.
fn thread_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
