//! `tessera job times`: what jobs cost, and where the time went.
//!
//! Counted is what the record keeps: the times of finished frames. What failed attempts took is in it nowhere, nor, once a divided frame
//! is put together, what its parts took; both are said.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use tessera_client::Api;
use tessera_model::{JobId, ResultTimings, WorkerId};
use tessera_wire::api::{JobDetail, PAGE_MAX};
use tessera_wire::line::{LineKind, WorkerTimes};

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::JobSelection;
use crate::sheet::Sheet;
use crate::table::{Table, printable};
use crate::units::{counted, show_duration};

pub(super) async fn times(
    context: &Context,
    api: &Api,
    selection: &JobSelection,
) -> Result<Status> {
    let jobs = super::selected(api, selection).await?;
    if jobs.is_empty() {
        return Err(stop(Status::Usage, "there are no jobs to measure"));
    }
    let names: BTreeMap<WorkerId, String> = {
        let workers = api.workers().await?.items;
        let named = workers.into_iter().map(|worker| (worker.id, worker.name));
        named.collect()
    };
    for (place, id) in jobs.into_iter().enumerate() {
        let job = api.job(id).await?;
        let workers = measured(api, id).await?;
        let failures = api.journal(id).await?.failures;
        if place > 0 {
            context.output.text("");
        }
        context.output.text(&sheet(&job, &workers, failures));
        for line in table(&workers, &names).lines() {
            context.output.text(&format!("  {line}"));
        }
        context.output.line(LineKind::JobTimes {
            job: id,
            workers,
            failures,
        });
    }
    Ok(Status::Done)
}

/// The finished frames of each worker, and what they took.
async fn measured(api: &Api, job: JobId) -> Result<Vec<WorkerTimes>> {
    let mut workers = BTreeMap::<WorkerId, WorkerTimes>::new();
    let mut from = 0;
    loop {
        let page = api.results(job, from, PAGE_MAX).await?;
        for result in page.items {
            let of_worker = workers
                .entry(result.worker)
                .or_insert_with(|| WorkerTimes::new(result.worker));
            of_worker.frames += 1;
            of_worker.timings += result.timings;
        }
        match page.next {
            Some(next) => from = next,
            None => return Ok(workers.into_values().collect()),
        }
    }
}

fn sheet(job: &JobDetail, workers: &[WorkerTimes], failures: u64) -> String {
    let name = printable(&job.summary.settings.name);
    let mut sheet = Sheet::new(format!("Job {}  {name}", job.summary.id));
    let frames: u32 = workers.iter().map(|worker| worker.frames).sum();
    let mut sum = ResultTimings::default();
    for worker in workers {
        sum += worker.timings;
    }
    let total = sum.total_us();
    let cost = format!(
        "{:.2} worker-hours for {}, {} each",
        Duration::from_micros(total).as_secs_f64() / 3600.0,
        counted(frames.into(), "finished frame"),
        span(total / u64::from(frames.max(1)))
    );
    sheet.say("cost", cost);
    for (stage, us) in [
        ("transfer", sum.transfer_us),
        ("load", sum.load_us),
        ("sync", sum.sync_us),
        ("render", sum.render_us),
        ("write", sum.write_us),
    ] {
        let percent = us as f64 * 100.0 / total.max(1) as f64;
        sheet.say(stage, format!("{percent:.1} %, {}", span(us)));
    }
    sheet.say("between", format!("{} between frames", span(sum.idle_us)));
    if failures > 0 {
        let failed = counted(failures, "failed attempt");
        sheet.say(
            "failed",
            format!("{failed}, which took what is not counted"),
        );
    }
    if job.steps.iter().any(|step| step.divided().is_some()) {
        sheet.say("parts", "what parts of divided frames took is not counted");
    }
    sheet.text()
}

fn table(workers: &[WorkerTimes], names: &BTreeMap<WorkerId, String>) -> Table {
    let mut table = Table::new(&[
        "WORKER",
        "NAME",
        ">FRAMES",
        ">TOOK",
        ">EACH",
        ">RENDER EACH",
    ]);
    for of_worker in workers {
        let WorkerTimes {
            worker,
            frames,
            timings,
        } = of_worker;
        let each = |us: u64| span(us / u64::from((*frames).max(1)));
        table.row([
            worker.to_string(),
            names.get(worker).cloned().unwrap_or_default(),
            frames.to_string(),
            span(timings.total_us()),
            each(timings.total_us()),
            each(timings.render_us),
        ]);
    }
    table
}

fn span(us: u64) -> String {
    show_duration(Duration::from_micros(us))
}
