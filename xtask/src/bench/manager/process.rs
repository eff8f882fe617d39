//! What the system says of a process.

use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Lets this process, and those that it starts, have as many files open as the system grants.
pub(super) fn open_many_files() -> Result<Option<u64>> {
    let most = getrlimit(Resource::Nofile).maximum;
    let wanted = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Nofile, wanted).context("cannot raise the number of open files")?;
    Ok(most)
}

/// Processor time of a process and its threads so far, by `/proc/PID/stat`.
pub(super) fn cpu_time(pid: u32) -> Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("no name in stat")?;
    // utime and stime are fields 14 and 15; those after the name begin with the third.
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks
        .map(|field| field.parse::<u64>())
        .sum::<Result<_, _>>()?;
    let per_s = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_s as f64))
}
