//! `tessera job why`: why jobs are not rendered, or not by more workers, and what it would take.

use anyhow::Result;
use tessera_client::Api;
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::JobSelection;
use crate::table::printable;

pub(super) async fn why(context: &Context, api: &Api, selection: &JobSelection) -> Result<Status> {
    let jobs = super::selected(api, selection).await?;
    if jobs.is_empty() {
        return Err(stop(Status::Usage, "there are no jobs to explain"));
    }
    for job in jobs {
        let why = api.job_why(job).await?;
        let text = match why.text.as_str() {
            "" => "nothing keeps it from more work",
            text => text,
        };
        let text = format!("job {job}: {}", printable(text));
        context
            .output
            .result(text, || LineKind::JobWhy { job, why });
    }
    Ok(Status::Done)
}
