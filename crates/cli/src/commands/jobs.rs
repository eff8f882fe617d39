//! `tessera jobs`: the farm's jobs, newest first.

use anyhow::Result;
use tessera_model::JobId;
use tessera_wire::api::{JobSummary, PAGE_MAX};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::Status;
use crate::table::Table;
use crate::{farm, moment, names};

pub(super) async fn run(context: &Context) -> Result<Status> {
    let connection = farm::need(context)?;
    let mut table = Table::new(&[
        "JOB",
        "NAME",
        "STATE",
        ">DONE",
        ">FRAMES",
        ">FAILED",
        "OWNER",
        ">PRIORITY",
        "SUBMITTED",
    ]);
    let mut after = None;
    loop {
        let page = connection.api.jobs(after, PAGE_MAX).await?;
        for job in page.items {
            table.row(row(&job));
            let job = Box::new(job);
            context.output.line(LineKind::Job { job });
        }
        match page.next {
            Some(next) if !context.output.is_closed() => after = Some(JobId(next)),
            _ => break,
        }
    }
    if table.is_empty() {
        context
            .output
            .note("There are no jobs. `tessera submit FILE.blend` makes one.");
    } else {
        for line in table.lines() {
            context.output.text(&line);
        }
    }
    Ok(Status::Done)
}

fn row(job: &JobSummary) -> [String; 9] {
    [
        job.id.to_string(),
        job.settings.name.clone(),
        names::phase(job.phase).to_owned(),
        job.done.to_string(),
        job.frames.to_string(),
        job.failed.to_string(),
        job.owner.to_string(),
        job.settings.priority.to_string(),
        moment::relative(job.submitted_at, moment::now()),
    ]
}
