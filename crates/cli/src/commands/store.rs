//! `tessera store`: what uses the space at the manager, and giving back what nobody needs.

use anyhow::Result;
use tessera_wire::line::LineKind;
use tessera_wire::store::{Collected, StoreJob, StoreLevel, StoreReport};

use crate::context::Context;
use crate::exit::Status;
use crate::flags::{StoreAction, StoreFlags};
use crate::table::Table;
use crate::units::{Bytes, show_duration};
use crate::{farm, moment, names, units};

/// Jobs that are shown to people, those that use the most; programs are told of all.
const JOBS_SHOWN: usize = 20;

pub(super) async fn run(context: &Context, flags: &StoreFlags) -> Result<Status> {
    match &flags.action {
        Some(StoreAction::Collect(_)) => collect(context).await,
        None => show(context).await,
    }
}

async fn show(context: &Context) -> Result<Status> {
    let report = farm::need(context)?.api.store().await?;
    for line in lines(&report) {
        context.output.text(&line);
    }
    let report = Box::new(report);
    context.output.line(LineKind::Store { report });
    Ok(Status::Done)
}

fn bytes(count: u64) -> String {
    Bytes(count).to_string()
}

fn lines(report: &StoreReport) -> Vec<String> {
    let mut lines = summary(report);
    if !report.users.is_empty() {
        let mut users = Table::new(&["USER", ">JOBS", ">ALONE", "QUOTA"]);
        for used in &report.users {
            users.row([
                used.user.to_string(),
                used.jobs.to_string(),
                bytes(used.bytes),
                stands(used.level).to_owned(),
            ]);
        }
        lines.push(String::new());
        lines.extend(users.lines());
    }
    if report.jobs.is_empty() {
        return lines;
    }
    lines.push(String::new());
    let mut jobs = Table::new(&[
        "JOB",
        "NAME",
        "USER",
        "STATE",
        ">FILES",
        ">RESULTS",
        ">LOGS",
        ">ALONE",
        "FETCHED",
        "KEPT UNTIL",
    ]);
    for job in report.jobs.iter().take(JOBS_SHOWN) {
        jobs.row([
            job.job.to_string(),
            job.name.clone(),
            job.owner.to_string(),
            names::state(job.state).to_owned(),
            bytes(job.alone.files_bytes),
            bytes(job.alone.results_bytes),
            bytes(job.alone.logs_bytes),
            bytes(job.alone.bytes()),
            fetched(job),
            kept(job),
        ]);
    }
    lines.extend(jobs.lines());
    if let Some(more) = report.jobs.len().checked_sub(JOBS_SHOWN + 1) {
        lines.push(format!("and {} more jobs; --json tells of all", more + 1));
    }
    lines
}

/// How something stands against its quota, in words.
fn stands(level: StoreLevel) -> &'static str {
    match level {
        StoreLevel::Fine => "",
        StoreLevel::Warning => "nearly used up",
        StoreLevel::Full => "used up, no new files are taken in",
    }
}

fn fetched(job: &StoreJob) -> String {
    match (job.fetched_at, job.unfetched_since) {
        (Some(at), _) => moment::absolute(at),
        (None, Some(since)) => format!("no, over since {}", moment::absolute(since)),
        (None, None) => String::new(),
    }
}

fn kept(job: &StoreJob) -> String {
    match (job.kept_until, job.unfetched_since) {
        (Some(until), _) => moment::absolute(until),
        (None, Some(_)) => "it is fetched".to_owned(),
        (None, None) => String::new(),
    }
}

fn summary(report: &StoreReport) -> Vec<String> {
    let free = report.disk_free_bytes.map_or_else(String::new, |free| {
        format!(", {} free on its disk", bytes(free))
    });
    let alone: u64 = report.jobs.iter().map(|job| job.alone.bytes()).sum();
    let mut lines = vec![
        format!(
            "{} in {}, {}{free}",
            bytes(report.used_bytes),
            units::counted(report.packs, "pack"),
            units::counted(report.blocks, "block")
        ),
        format!("  {:>10}  of single jobs", bytes(alone)),
        format!(
            "  {:>10}  that several jobs share",
            bytes(report.shared_bytes)
        ),
        format!(
            "  {:>10}  of uploads under way",
            bytes(report.uploads_bytes)
        ),
        format!("  {:>10}  that nobody needs", bytes(report.unheld_bytes)),
    ];
    if let Some(quota) = report.quota_bytes {
        let stands = match stands(report.level) {
            "" => String::new(),
            stands => format!(": {stands}"),
        };
        lines.push(format!("quota {}{stands}", bytes(quota)));
    }
    if let Some(quota) = report.user_quota_bytes {
        lines.push(format!("quota of each user {}", bytes(quota)));
    }
    if let Some(last) = &report.last_collection {
        lines.push(format!(
            "last collection {}: {} given back",
            moment::relative(last.at, moment::now()),
            bytes(last.freed_bytes)
        ));
    }
    lines
}

async fn collect(context: &Context) -> Result<Status> {
    let answer = farm::need(context)?.api.collect_store().await?;
    context
        .output
        .result(told(&answer), || LineKind::Collected {
            answer: answer.clone(),
        });
    Ok(Status::Done)
}

fn told(answer: &Collected) -> String {
    match &answer.collection {
        None => "nothing goes yet: the manager has just started, and what may belong to an upload that goes on is kept for an hour".to_owned(),
        Some(done) => format!(
            "{} given back in {}: {}{}",
            bytes(done.freed_bytes),
            show_duration(std::time::Duration::from_millis(done.took_ms)),
            units::counted(done.blocks, "block"),
            if done.finished { "" } else { "; the manager ended before all was looked at" },
        ),
    }
}
