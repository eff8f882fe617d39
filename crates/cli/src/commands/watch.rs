//! `tessera watch`: a job, or the whole farm, as it happens.

mod look;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tessera_client::{Api, EventFilter};
use tessera_model::{JobId, WorkerId};
use tessera_wire::api::{JobSummary, PAGE_MAX, WorkerStatus};
use tessera_wire::event::{Event, What};
use tessera_wire::line::LineKind;
use tokio::time::Instant;

use self::look::Look;
use super::workers::state;
use crate::context::Context;
use crate::desktop::Desktop;
use crate::exit::{Status, stop};
use crate::flags::WatchFlags;
use crate::output::Output;
use crate::render::Outages;
use crate::table::{Table, printable};
use crate::{farm, names};

/// Most jobs that the table shows: those not over first, newest first.
const JOBS_MAX: usize = 15;

/// Most workers that the table shows.
const WORKERS_MAX: usize = 25;

/// The table is redrawn at most so often; events come by the hundred each second.
const REDRAW: Duration = Duration::from_millis(200);

pub(super) async fn run(context: &Context, flags: &WatchFlags) -> Result<Status> {
    let end = context.interrupt.token().clone();
    tokio::select! {
        biased;
        () = end.cancelled() => Ok(context.interrupt.status()),
        status = watch(context, flags) => status,
    }
}

/// The farm as last heard of.
#[derive(Default)]
struct View {
    jobs: BTreeMap<JobId, JobSummary>,
    workers: BTreeMap<WorkerId, WorkerStatus>,
}

async fn watch(context: &Context, flags: &WatchFlags) -> Result<Status> {
    let only = flags.job;
    let connection = farm::need(context)?;
    let output = &context.output;
    let mut view = View::default();
    let mut desktop = match flags.notify {
        true => Some(Desktop::find().await?),
        false => None,
    };
    // A wrong address or job is said at once; only what was reached once is waited for.
    view.read(&connection.api, only).await?;
    let mut outages = Outages::new();
    let api = outages.patient(&connection.api);
    let mut events = api.events(EventFilter {
        job: only,
        since: Some(0),
    });
    let screen = Screen::new(output);
    let mut look = only
        .filter(|_| screen.live())
        .and_then(|job| Look::at(&api, job));
    let mut drawn = Instant::now() - REDRAW;
    let mut stale = true;
    loop {
        if stale && drawn.elapsed() >= REDRAW {
            screen.draw(&view, look.as_ref(), outages.present().as_deref());
            (drawn, stale) = (Instant::now(), false);
        }
        tokio::select! {
            event = events.next() => {
                let Some(event) = event else { return Ok(Status::Done) };
                let event = event?;
                show(&mut desktop, &view, &event.what).await?;
                say(output, &screen, &view, &event);
                if matches!(event.what, What::Resync) {
                    // What happened unseen is told by how everything stands now.
                    let mut now = View::default();
                    now.read(&api, only).await?;
                    for what in now.all() {
                        show(&mut desktop, &view, &what).await?;
                        say(output, &screen, &view, &Event { what, ..event });
                    }
                    view = now;
                } else {
                    if let Some(look) = &mut look {
                        look.take(&event.what);
                    }
                    view.take(event.what);
                }
                stale = true;
            }
            () = seen(&mut look) => stale = true,
            () = outages.changed() => {
                if let (Some(outage), false) = (outages.present(), screen.live()) {
                    output.note(format!("tessera: warning: {outage}"));
                }
                stale = true;
            }
            () = tokio::time::sleep_until(drawn + REDRAW), if stale => {}
        }
        if output.is_closed() {
            return Ok(Status::Done);
        }
        if let Some(job) = only
            .and_then(|only| view.jobs.get(&only))
            .filter(|job| job.state.is_over())
        {
            if let Some(look) = &mut look {
                look.finish().await;
            }
            screen.draw(&view, look.as_ref(), None);
            screen.keep();
            return over(output, job);
        }
    }
}

/// Shows it on the desktop, if that was asked for.
async fn show(desktop: &mut Option<Desktop>, view: &View, what: &What) -> Result<()> {
    let job = match what {
        What::Job { job } => job.id,
        What::FrameFailed { error, .. } => error.lease.unit.job,
        _ => return Ok(()),
    };
    match desktop {
        Some(desktop) => desktop.tell(view.jobs.get(&job), what).await,
        None => Ok(()),
    }
}

/// Returns when there is another picture.
async fn seen(look: &mut Option<Look>) {
    match look {
        Some(look) => look.changed().await,
        None => std::future::pending().await,
    }
}

/// A job that was watched alone has ended: so has the watching.
fn over(output: &Output, job: &JobSummary) -> Result<Status> {
    let text = format!(
        "job {} is {}: {} of {} frames",
        job.id,
        names::phase(job.phase),
        job.done,
        job.frames
    );
    match job.state {
        tessera_model::JobState::Done => {
            output.text(&text);
            Ok(Status::Done)
        }
        _ => Err(stop(Status::Failed, text)),
    }
}

impl View {
    async fn read(&mut self, api: &Api, only: Option<JobId>) -> Result<()> {
        let jobs = match only {
            Some(job) => vec![api.job(job).await?.summary],
            None => api.jobs(None, PAGE_MAX).await?.items,
        };
        self.jobs = jobs.into_iter().map(|job| (job.id, job)).collect();
        let workers = api.workers().await?.items;
        self.workers = workers
            .into_iter()
            .map(|worker| (worker.id, worker))
            .collect();
        Ok(())
    }

    fn all(&self) -> impl Iterator<Item = What> {
        let jobs = self.jobs.values().cloned().map(|job| What::Job { job });
        let workers = self.workers.values().cloned();
        jobs.chain(workers.map(|worker| What::Worker { worker }))
    }

    fn take(&mut self, what: What) {
        match what {
            What::Job { job } => {
                self.jobs.insert(job.id, job);
            }
            What::JobRemoved { job } => {
                self.jobs.remove(&job);
            }
            What::Worker { worker } => {
                self.workers.insert(worker.id, worker);
            }
            What::WorkerRemoved { worker } => {
                self.workers.remove(&worker);
            }
            // Bounded like the first reading: the oldest go.
            _ => {}
        }
        while self.jobs.len() > PAGE_MAX as usize {
            self.jobs.pop_first();
        }
    }

    fn worker(&self, worker: WorkerId) -> String {
        let name = self
            .workers
            .get(&worker)
            .map(|worker| printable(&worker.name));
        name.unwrap_or_else(|| format!("worker {worker}"))
    }

    fn lines(&self) -> Vec<String> {
        let mut jobs: Vec<&JobSummary> = self.jobs.values().collect();
        jobs.sort_by_key(|job| (job.state.is_over(), std::cmp::Reverse(job.id)));
        let mut table = Table::new(&["JOB", "NAME", "STATE", "", ">DONE", ">FAILED", "OWNER"]);
        for job in jobs.iter().take(JOBS_MAX) {
            table.row([
                job.id.to_string(),
                job.settings.name.clone(),
                names::phase(job.phase).to_owned(),
                // Of a still the parts tell more.
                match job.percent_of_parts().filter(|_| job.done == 0) {
                    Some(percent) => bar(percent, 100),
                    None => bar(job.done, job.frames),
                },
                format!("{}/{}", job.done, job.frames),
                job.failed.to_string(),
                job.owner.to_string(),
            ]);
        }
        let mut lines = table.lines();
        lines.push(String::new());
        let mut table = Table::new(&["WORKER", "NAME", "STATE", "RENDERS"]);
        for worker in self.workers.values().take(WORKERS_MAX) {
            let held: Vec<String> = worker
                .holds
                .iter()
                .filter(|held| held.rendering)
                .map(|held| format!("job {} frame {}", held.job, held.frame))
                .collect();
            table.row([
                worker.id.to_string(),
                worker.name.clone(),
                state(worker),
                held.join(", "),
            ]);
        }
        lines.extend(table.lines());
        lines
    }
}

/// `━━━━━━────`
fn bar(done: u32, of: u32) -> String {
    const WIDTH: u64 = 20;
    let full = (u64::from(done) * WIDTH / u64::from(of.max(1))).min(WIDTH) as usize;
    format!("{}{}", "━".repeat(full), "─".repeat(WIDTH as usize - full))
}

/// What happened, as a line, where no table is drawn.
fn say(output: &Output, screen: &Screen, view: &View, event: &Event) {
    output.line(LineKind::Event {
        event: Box::new(event.clone()),
    });
    if screen.live() || output.json() {
        return;
    }
    let line = match &event.what {
        What::Resync => return,
        What::Job { job } => {
            let before = view.jobs.get(&job.id).map(|before| before.phase);
            if before == Some(job.phase) {
                return;
            }
            format!(
                "job {} '{}' is {} ({}/{})",
                job.id,
                printable(&job.settings.name),
                names::phase(job.phase),
                job.done,
                job.frames
            )
        }
        What::JobRemoved { job } => format!("job {job} is removed"),
        What::FrameStarted {
            job, frame, worker, ..
        } => format!(
            "job {job} frame {frame} is begun by {}",
            view.worker(*worker)
        ),
        What::FrameDone { result } => format!(
            "job {} frame {} is done by {} in {:.1} s",
            result.lease.unit.job,
            result.frame,
            view.worker(result.worker),
            result.timings.render_us as f64 / 1e6
        ),
        What::FrameFailed { error, given_up } => format!(
            "job {} frame {} failed on {}: {}{}",
            error.lease.unit.job,
            error.frame,
            view.worker(error.worker),
            printable(&error.message),
            if *given_up { " (given up)" } else { "" }
        ),
        What::Worker { worker } => {
            let before = view
                .workers
                .get(&worker.id)
                .map(|before| (before.linked, before.mode));
            if before == Some((worker.linked, worker.mode)) {
                return;
            }
            format!(
                "worker {} '{}' is {}",
                worker.id,
                printable(&worker.name),
                state(worker)
            )
        }
        What::WorkerRemoved { worker } => format!("worker {worker} is removed"),
        What::Settings { .. } => "the farm's settings are other ones".to_owned(),
    };
    output.text(&line);
}

/// A table that is redrawn in place, where there is a terminal.
struct Screen {
    bar: Option<ProgressBar>,
}

impl Screen {
    fn new(output: &Output) -> Self {
        let bar = output.live().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            let bar = output.bars().add(bar);
            bar.set_style(
                ProgressStyle::with_template("{msg}").expect("the template is a constant"),
            );
            bar
        });
        Self { bar }
    }

    fn live(&self) -> bool {
        self.bar.is_some()
    }

    fn draw(&self, view: &View, look: Option<&Look>, outage: Option<&str>) {
        let Some(bar) = &self.bar else { return };
        let (height, width) = console::Term::stderr().size();
        let (height, width) = (usize::from(height), usize::from(width));
        let mut lines = view.lines();
        lines.push(String::new());
        if let Some(look) = look {
            // The last line, and one that stays free.
            lines.extend(look.lines(width, height.saturating_sub(lines.len() + 2)));
        }
        lines.push(outage.map_or_else(
            || "Ctrl-C ends the watching, nothing else.".to_owned(),
            printable,
        ));
        // A line that wraps would not be found again when the table is redrawn.
        let cut = |line: &String| console::truncate_str(line, width, "…").into_owned();
        let lines: Vec<String> = lines.iter().map(cut).collect();
        bar.set_message(lines.join("\n"));
    }

    /// Leaves the last table on the screen.
    fn keep(&self) {
        if let Some(bar) = &self.bar {
            bar.abandon();
        }
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.as_ref().filter(|bar| !bar.is_finished()) {
            bar.finish_and_clear();
        }
    }
}
