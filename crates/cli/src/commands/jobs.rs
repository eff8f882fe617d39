//! `tessera jobs`: the farm's jobs, newest first.

use anyhow::Result;
use tessera_model::JobId;
use tessera_wire::api::{JobSummary, PAGE_MAX};
use tessera_wire::line::LineKind;
use tessera_wire::query::JobsQuery;

use crate::context::Context;
use crate::exit::Status;
use crate::flags::JobsFlags;
use crate::table::Table;
use crate::{farm, moment, names};

pub(super) async fn run(context: &Context, flags: &JobsFlags) -> Result<Status> {
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
    let mut query = JobsQuery {
        after: None,
        limit: Some(PAGE_MAX),
        state: flags.state,
        owner: flags.owner.clone(),
        category: flags.category.clone(),
        tag: flags.tag.clone(),
        search: flags.search.clone(),
    };
    let unfiltered = JobsQuery {
        limit: Some(PAGE_MAX),
        ..JobsQuery::default()
    };
    let is_filtered = query != unfiltered;
    loop {
        let page = connection.api.jobs_where(&query).await?;
        for job in page.items {
            table.row(row(&job));
            let job = Box::new(job);
            context.output.line(LineKind::Job { job });
        }
        match page.next {
            Some(next) if !context.output.is_closed() => query.after = Some(JobId(next)),
            _ => break,
        }
    }
    if table.is_empty() {
        context.output.note(if is_filtered {
            "No job fits. `tessera jobs` without filters lists all."
        } else {
            "There are no jobs. `tessera submit FILE.blend` makes one."
        });
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
