//! Which Blenders the farm has, without asking every worker for each job that comes.

use std::collections::BTreeMap;

use tessera_model::{BlenderVersion, Build, Series, SeriesRange, WorkerId, choose_build};

use crate::scheduler::Scheduler;
use crate::worker::WorkerEntry;

/// Builds, each with the number of workers that have it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Builds {
    /// Of all workers known.
    pub known: BTreeMap<Build, u32>,
    /// Of those that are linked.
    pub linked: BTreeMap<Build, u32>,
}

/// What a worker was counted with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counted {
    builds: Vec<Build>,
    linked: bool,
}

impl Builds {
    /// The build for a file: of the workers that are linked if one of them has any.
    pub(crate) fn choose(&self, file: Series, range: Option<SeriesRange>) -> Option<&Build> {
        choose_build(file, within(&self.linked, range))
            .or_else(|| choose_build(file, within(&self.known, range)))
    }

    /// The newest version in a range.
    pub(crate) fn newest(&self, range: Option<SeriesRange>) -> Option<BlenderVersion> {
        within(&self.known, range).map(|build| build.version).max()
    }
}

fn within(
    builds: &BTreeMap<Build, u32>,
    range: Option<SeriesRange>,
) -> impl Iterator<Item = &Build> {
    let is_within = move |build: &&Build| {
        let series = build.version.series();
        range.is_none_or(|range| range.contains(series))
    };
    builds.keys().filter(is_within)
}

/// A worker's link or facts have changed.
pub(crate) fn recount(scheduler: &mut Scheduler, id: WorkerId) {
    let Some(worker) = scheduler.workers.get_mut(&id) else {
        return;
    };
    let linked = worker.is_linked();
    let facts = worker.record.facts.as_ref();
    let builds = facts.map_or(&[][..], |facts| &facts.builds);
    if worker.counted.linked == linked && worker.counted.builds == builds {
        return;
    }
    let new = Counted {
        builds: builds.to_vec(),
        linked,
    };
    let old = std::mem::replace(&mut worker.counted, new.clone());
    remove(&mut scheduler.builds, &old);
    add(&mut scheduler.builds, new);
}

/// A worker is gone.
pub(crate) fn forget(scheduler: &mut Scheduler, worker: &WorkerEntry) {
    remove(&mut scheduler.builds, &worker.counted);
}

fn add(builds: &mut Builds, counted: Counted) {
    for build in counted.builds {
        if counted.linked {
            *builds.linked.entry(build.clone()).or_default() += 1;
        }
        *builds.known.entry(build).or_default() += 1;
    }
}

fn remove(builds: &mut Builds, counted: &Counted) {
    let take = |from: &mut BTreeMap<Build, u32>, build: &Build| {
        if let Some(workers) = from.get_mut(build) {
            *workers -= 1;
            if *workers == 0 {
                from.remove(build);
            }
        }
    };
    for build in &counted.builds {
        take(&mut builds.known, build);
        if counted.linked {
            take(&mut builds.linked, build);
        }
    }
}
