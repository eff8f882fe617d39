//! `tessera workers`: the machines that render.

mod load;
mod show;

use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use tessera_client::Api;
use tessera_wire::api::WorkerStatus;
use tessera_wire::line::LineKind;
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::WorkersQuery;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::WorkersFlags;
use crate::table::Table;
use crate::units::{Bytes, show_duration};
use crate::{farm, names};

/// Questions asked at once: a farm of thousands is answered in seconds, and its manager has room for others between them.
const QUESTIONS_MAX: usize = 8;

pub(super) async fn run(context: &Context, flags: &WorkersFlags) -> Result<Status> {
    let api = farm::need(context)?.api;
    if !flags.workers.is_empty() {
        return show::show(context, &api, &flags.workers).await;
    }
    let query = WorkersQuery {
        mode: flags.mode,
        linked: flags.linked,
        search: flags.search.clone(),
        ..WorkersQuery::default()
    };
    let workers = api.workers_where(&query).await?.items;
    let table = match (flags.why, flags.stats) {
        (true, _) => reasons(context, &api, workers).await?,
        (false, true) => loads(context, workers),
        (false, false) => all(context, workers),
    };
    if table.is_empty() && query != WorkersQuery::default() {
        context
            .output
            .note("No worker fits. `tessera workers` without filters lists all.");
    } else if table.is_empty() {
        context.output.note(
            "There are no workers. `tessera cert create` prints a code; on the machine that shall render: tessera worker --join CODE",
        );
    } else {
        for line in table.lines() {
            context.output.text(&line);
        }
    }
    Ok(Status::Done)
}

/// What each is and does.
fn all(context: &Context, workers: Vec<WorkerStatus>) -> Table {
    let mut table = Table::new(&[
        "WORKER", "NAME", "STATE", "RENDERS", ">SLOTS", ">CORES", ">MEMORY", "BLENDER", "TAGS",
        "NOTE",
    ]);
    for worker in workers {
        table.row(row(&worker));
        let worker = Box::new(worker);
        context.output.line(LineKind::Worker { worker });
    }
    table
}

/// How each one's machine is.
fn loads(context: &Context, workers: Vec<WorkerStatus>) -> Table {
    let mut table = Table::new(&[
        "WORKER",
        "NAME",
        "STATE",
        ">CPU",
        ">MEMORY USED",
        ">BLENDERS",
        ">DISK FREE",
        "GPUS",
    ]);
    for worker in workers {
        let load = match &worker.machine {
            Some(machine) => [
                load::percent(machine.cpu),
                load::memory(machine),
                load::blenders(machine),
                load::disk_free(machine),
                load::gpus(&worker, machine),
            ],
            None if worker.linked => [load::UNTOLD; 5].map(str::to_owned),
            None => Default::default(),
        };
        let who = [worker.id.to_string(), worker.name.clone(), state(&worker)];
        table.row(who.into_iter().chain(load));
        let worker = Box::new(worker);
        context.output.line(LineKind::Worker { worker });
    }
    table
}

/// What each does, and why not more.
async fn reasons(context: &Context, api: &Api, workers: Vec<WorkerStatus>) -> Result<Table> {
    let mut table = Table::new(&["WORKER", "NAME", "STATE", "RENDERS", "WHY NOT MORE"]);
    let asked = futures_util::stream::iter(workers).map(async |worker| {
        let why = api.worker_why(worker.id).await;
        (worker, why)
    });
    let mut answered = asked.buffered(QUESTIONS_MAX);
    while let Some((worker, why)) = answered.next().await {
        let why = match why {
            Ok(why) => why,
            // It was removed just now.
            Err(error) if error.kind() == Some(ProblemKind::NotFound) => continue,
            Err(error) => return Err(error.into()),
        };
        table.row([
            worker.id.to_string(),
            worker.name.clone(),
            state(&worker),
            renders(&worker),
            why.text.clone(),
        ]);
        let id = worker.id;
        let worker = Box::new(worker);
        context.output.line(LineKind::Worker { worker });
        context.output.line(LineKind::WorkerWhy { worker: id, why });
    }
    Ok(table)
}

fn row(worker: &WorkerStatus) -> [String; 10] {
    let facts = worker.facts.as_ref();
    let number = |pick: fn(&tessera_model::WorkerFacts) -> u32| {
        facts
            .map(|facts| pick(facts).to_string())
            .unwrap_or_default()
    };
    [
        worker.id.to_string(),
        worker.name.clone(),
        state(worker),
        renders(worker),
        number(|facts| facts.slots),
        number(|facts| facts.cores),
        facts
            .map(|facts| Bytes(facts.memory_bytes).to_string())
            .unwrap_or_default(),
        facts.map(blenders).unwrap_or_default(),
        facts.map(|facts| facts.tags.join(";")).unwrap_or_default(),
        worker.note.clone(),
    ]
}

/// By number, or by name.
pub(super) fn find<'a>(known: &'a [WorkerStatus], name: &str) -> Result<&'a WorkerStatus> {
    let number = name.parse().ok();
    let found = known
        .iter()
        .find(|worker| Some(worker.id) == number)
        .or_else(|| known.iter().find(|worker| worker.name == name));
    found.ok_or_else(|| {
        stop(
            Status::Usage,
            format!("there is no worker '{name}': `tessera workers` lists them"),
        )
    })
}

/// How a worker stands, in a word or two.
pub(super) fn state(worker: &WorkerStatus) -> String {
    if !worker.linked {
        return match worker.silent_ms {
            Some(silent) => format!("away {}", show_duration(Duration::from_millis(silent))),
            None => "away".to_owned(),
        };
    }
    let rests = |facts: &tessera_model::WorkerFacts| facts.rest.is_some();
    match worker.mode {
        tessera_model::WorkerMode::Active if worker.facts.as_ref().is_some_and(rests) => {
            "resting".to_owned()
        }
        mode => names::mode(mode).to_owned(),
    }
}

fn renders(worker: &WorkerStatus) -> String {
    let held: Vec<String> = worker
        .holds
        .iter()
        .filter(|held| held.rendering)
        .map(|held| format!("job {} frame {}", held.job, held.frame))
        .collect();
    held.join(", ")
}

fn blenders(facts: &tessera_model::WorkerFacts) -> String {
    if facts.builds.is_empty() {
        return "none".to_owned();
    }
    let versions: Vec<String> = facts
        .builds
        .iter()
        .map(|build| build.version.to_string())
        .collect();
    versions.join(" ")
}
