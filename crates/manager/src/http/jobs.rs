//! Jobs: how they stand, what was delivered, and what their owners do to them.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use tessera_model::{FrameError, FrameResult, Job, JobEdit, JobId, JobState, Step, StepIndex};
use tessera_scheduler::{Input, JobCommand};
use tessera_state::{ErrorSeq, MAX_RESULTS_PER_READ, StepAccepts};
use tessera_wire::api::{
    Fetched, FrameStatus, JobAction, JobDetail, JobSummary, Journal, Page, Phase,
};
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::{JobsQuery, PageQuery, name_holds};
use tessera_wire::why::Why;

use super::access::Client;
use super::app::App;
use super::extract::{Json, Path, Query, page, page_limit};
use super::problem::{Answer, applied, failure, no_job};
use super::receivers::check_named;
use super::submit::check_settings;
use crate::views::{self, phase};

/// A place in the frames of all steps of a job: the step in the upper half, the position in the lower.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    step: u16,
    position: u32,
}

impl Cursor {
    fn from_query(from: Option<u64>) -> Self {
        let from = from.unwrap_or(0);
        Self {
            step: u16::try_from(from >> 32).unwrap_or(u16::MAX),
            position: u32::try_from(from & u64::from(u32::MAX)).unwrap_or(u32::MAX),
        }
    }

    fn to_query(self) -> u64 {
        u64::from(self.step) << 32 | u64::from(self.position)
    }
}

/// Where a result stands in its job.
fn place_of(result: &FrameResult) -> u64 {
    let cursor = Cursor {
        step: result.lease.unit.step.0,
        position: result.position,
    };
    cursor.to_query()
}

pub(super) async fn list(
    State(app): State<Arc<App>>,
    Query(query): Query<JobsQuery>,
) -> Answer<Json<Page<JobSummary>>> {
    let limit = page_limit(query.limit) as usize;
    let after = query.after;
    let mut items: Vec<JobSummary> = app
        .engine
        .read(move |scheduler, now| {
            let views = scheduler.jobs_where(now, after, limit + 1, |job, state, rendering| {
                wanted(&query, job, phase(state, rendering))
            });
            views.iter().map(views::job_summary).collect()
        })
        .await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| last.id.0);
    Ok(Json(Page { items, next }))
}

/// Whether every filter of a query fits a job.
fn wanted(query: &JobsQuery, job: &Job, phase: Phase) -> bool {
    let settings = &job.settings;
    let fits =
        |filter: &Option<String>, has: &dyn Fn(&String) -> bool| filter.as_ref().is_none_or(has);
    query.state.is_none_or(|state| state.fits(phase))
        && query.owner.as_ref().is_none_or(|owner| *owner == job.owner)
        && fits(&query.category, &|category| *category == settings.category)
        && fits(&query.tag, &|tag| settings.tags.contains(tag))
        && fits(&query.search, &|text| name_holds(&settings.name, text))
}

async fn detail(app: &App, job: JobId) -> Answer<Json<JobDetail>> {
    app.engine
        .read(move |scheduler, now| scheduler.job(now, job).map(views::job_detail))
        .await?
        .map(Json)
        .ok_or_else(|| no_job(job))
}

pub(super) async fn one(
    State(app): State<Arc<App>>,
    Path(job): Path<JobId>,
) -> Answer<Json<JobDetail>> {
    detail(&app, job).await
}

pub(super) async fn why(State(app): State<Arc<App>>, Path(job): Path<JobId>) -> Answer<Json<Why>> {
    app.engine
        .read(move |scheduler, now| scheduler.why_job(now, job))
        .await?
        .map(|why| Json(views::why(&why)))
        .ok_or_else(|| no_job(job))
}

async fn command(app: &App, client: &Client, job: JobId, command: JobCommand) -> Answer<()> {
    client.may_change_job(app, job).await?;
    tracing::info!(%job, user = %client.user.name, ?command, "job changed");
    applied(app.engine.input(Input::Job(job, command)).await?)
}

pub(super) async fn edit(
    State(app): State<Arc<App>>,
    client: Client,
    Path(job): Path<JobId>,
    Json(edit): Json<JobEdit>,
) -> Answer<Json<JobDetail>> {
    check_settings(&edit, edit.chunk, 0)?;
    check_named(&app, edit.notify.as_deref().unwrap_or_default())?;
    if edit.samples.is_some() {
        check_sums(&app, job).await?;
    }
    command(&app, &client, job, JobCommand::Edit(edit)).await?;
    detail(&app, job).await
}

/// Refuses to add samples to frames of a job that is done if what they were put together of was not kept.
async fn check_sums(app: &App, job: JobId) -> Answer<()> {
    let assembled = app.engine.read(move |scheduler, now| {
        let view = scheduler.job(now, job)?;
        let [.., slices, last] = &view.job.steps[..] else {
            return None;
        };
        slices.divided()?.grows_to?;
        let index = StepIndex(view.job.steps.len() as u16 - 1);
        (view.state == JobState::Done).then(|| (index, last.positions()))
    });
    let Some((step, positions)) = assembled.await? else {
        return Ok(());
    };
    let mut from = 0;
    while from < positions {
        let read = app.state.results(job, step, from..positions).await?;
        if let Some(result) = read.iter().find(|result| result.sum().is_none()) {
            return Err(failure(
                ProblemKind::Conflict,
                format!(
                    "frame {} of job {job} was put together by a worker of an older version, which did not keep what samples are added to",
                    result.frame
                ),
                "submit the job again with more samples",
            ));
        }
        let Some(last) = read.last() else {
            break;
        };
        from = last.position + 1;
    }
    Ok(())
}

pub(super) async fn act(
    State(app): State<Arc<App>>,
    client: Client,
    Path(job): Path<JobId>,
    Json(action): Json<JobAction>,
) -> Answer<Json<JobDetail>> {
    let wanted = match action {
        JobAction::Pause => JobCommand::Pause,
        JobAction::Resume => JobCommand::Resume,
        JobAction::Cancel => JobCommand::Cancel,
        JobAction::Retry => JobCommand::Retry,
    };
    command(&app, &client, job, wanted).await?;
    detail(&app, job).await
}

/// Whoever may fetch may say that it is done.
pub(super) async fn fetched(
    State(app): State<Arc<App>>,
    client: Client,
    Path(job): Path<JobId>,
    Json(Fetched { frames, step }): Json<Fetched>,
) -> Answer<Json<JobDetail>> {
    tracing::info!(%job, user = %client.user.name, frames, "the job's frames were fetched");
    let command = JobCommand::Fetched { frames, step };
    applied(app.engine.input(Input::Job(job, command)).await?)?;
    detail(&app, job).await
}

pub(super) async fn remove(
    State(app): State<Arc<App>>,
    client: Client,
    Path(job): Path<JobId>,
) -> Answer<StatusCode> {
    command(&app, &client, job, JobCommand::Remove).await?;
    app.keeper.job_removed();
    Ok(StatusCode::NO_CONTENT)
}

/// What is shown of a step's frames.
enum Shown {
    /// They are those that are waited for.
    Frames,
    /// Nobody sees parts of frames, nor frames that are made anew.
    Nothing,
    /// Of frames that would have been made anew, had the job not ended before, all but these.
    AllBut(BTreeSet<i32>),
}

async fn steps(app: &App, job: JobId) -> Answer<Vec<Shown>> {
    app.engine
        .read(move |scheduler, now| {
            let view = scheduler.job(now, job)?;
            let steps = view.job.steps.iter().zip(0..);
            let shown = |(step, index): (&Step, u16)| match step {
                step if step.makes_frames() => Shown::Frames,
                step if step.makes_parts() || !view.state.is_over() => Shown::Nothing,
                _ => {
                    let later = view.job.steps.iter().zip(0..).skip(usize::from(index) + 1);
                    let later = later.filter(|(step, _)| !step.makes_parts());
                    let frames = later.flat_map(|(step, later)| {
                        let positions = step.positions() as usize;
                        scheduler.frames(job, StepIndex(later), 0, positions)
                    });
                    let anew = frames.filter(|frame| frame.done);
                    Shown::AllBut(anew.map(|frame| frame.frame).collect())
                }
            };
            Some(steps.map(shown).collect())
        })
        .await?
        .ok_or_else(|| no_job(job))
}

pub(super) async fn frames(
    State(app): State<Arc<App>>,
    Path(job): Path<JobId>,
    Query(paging): Query<PageQuery>,
) -> Answer<Json<Page<FrameStatus>>> {
    let steps = steps(&app, job).await?;
    let mut at = Cursor::from_query(paging.from);
    let wanted = page_limit(paging.limit) as usize + 1;
    let items: Vec<FrameStatus> = app
        .engine
        .read(move |scheduler, _| {
            let mut items = Vec::new();
            while let Some(shown) = steps.get(usize::from(at.step))
                && items.len() < wanted
            {
                if matches!(shown, Shown::Frames) {
                    let room = wanted - items.len();
                    let views = scheduler.frames(job, StepIndex(at.step), at.position, room);
                    items.extend(views.iter().map(views::frame_status));
                }
                at = Cursor {
                    step: at.step + 1,
                    position: 0,
                };
            }
            items
        })
        .await?;
    let place = |frame: &FrameStatus| {
        let cursor = Cursor {
            step: frame.step,
            position: frame.position,
        };
        cursor.to_query()
    };
    Ok(Json(page(items, page_limit(paging.limit), place)))
}

pub(super) async fn results(
    State(app): State<Arc<App>>,
    Path(job): Path<JobId>,
    Query(paging): Query<PageQuery>,
) -> Answer<Json<Page<FrameResult>>> {
    let steps = steps(&app, job).await?;
    let mut at = Cursor::from_query(paging.from);
    let wanted = page_limit(paging.limit) + 1;
    const { assert!(tessera_wire::api::PAGE_MAX < MAX_RESULTS_PER_READ) };
    let mut items: Vec<FrameResult> = Vec::new();
    while let Some(shown) = steps.get(usize::from(at.step))
        && items.len() < wanted as usize
    {
        if !matches!(shown, Shown::Nothing) {
            let read = app
                .state
                .results(job, StepIndex(at.step), at.position..u32::MAX)
                .await?;
            let room = wanted as usize - items.len();
            let is_shown = |result: &FrameResult| match shown {
                // Without files it was no frame yet.
                Shown::AllBut(anew) => !anew.contains(&result.frame) && !result.files.is_empty(),
                Shown::Frames | Shown::Nothing => true,
            };
            let read = read.into_iter().filter(is_shown);
            items.extend(read.take(room).map(FrameResult::without_sum));
        }
        at = Cursor {
            step: at.step + 1,
            position: 0,
        };
    }
    Ok(Json(page(items, page_limit(paging.limit), place_of)))
}

/// What is rendered of a divided frame.
pub(super) async fn parts(
    State(app): State<Arc<App>>,
    Path((job, frame)): Path<(JobId, i32)>,
    Query(paging): Query<PageQuery>,
) -> Answer<Json<Page<FrameResult>>> {
    let found = app.engine.read(move |scheduler, _| {
        let steps = &scheduler.job_ref(job)?.steps;
        let divided = steps.iter().zip(0..).filter_map(|(step, index)| {
            step.divided()?;
            let positions = step.positions_of(frame)?;
            // Samples that are in a frame already are not rendered now.
            let is_now = !step.replaced;
            Some((StepIndex(index), positions, is_now))
        });
        Some(divided.collect::<Vec<_>>())
    });
    let divided = found.await?.ok_or_else(|| no_job(job))?;
    if divided.is_empty() {
        return Err(failure(
            ProblemKind::NotFound,
            format!("job {job} has no frame {frame} that is divided among workers"),
            "its frames are in `frames`",
        ));
    }
    let from = Cursor::from_query(paging.from);
    let limit = page_limit(paging.limit);
    let wanted = limit as usize + 1;
    let mut items = Vec::new();
    for (step, positions, _) in divided.into_iter().filter(|(.., is_now)| *is_now) {
        if step.0 < from.step || items.len() >= wanted {
            continue;
        }
        let first = if step.0 == from.step {
            from.position
        } else {
            0
        };
        let first = first.clamp(positions.start, positions.end);
        let read = app.state.results(job, step, first..positions.end).await?;
        items.extend(read.into_iter().take(wanted - items.len()));
    }
    Ok(Json(page(items, limit, place_of)))
}

pub(super) async fn errors(
    State(app): State<Arc<App>>,
    Path(job): Path<JobId>,
    Query(paging): Query<PageQuery>,
) -> Answer<Json<Page<FrameError>>> {
    steps(&app, job).await?;
    let before = paging
        .from
        .map(|from| ErrorSeq(i64::try_from(from).unwrap_or(i64::MAX)));
    // A page that is full may be followed by an empty one: better than a read of one more than the record gives at once.
    let limit = page_limit(paging.limit);
    let entries = app.state.errors(job, before, limit).await?;
    let next = entries
        .last()
        .filter(|_| entries.len() == limit as usize)
        .map(|last| last.seq.0.unsigned_abs());
    let items = entries.into_iter().map(|entry| entry.error).collect();
    Ok(Json(Page { items, next }))
}

pub(super) async fn journal(
    State(app): State<Arc<App>>,
    Path(job): Path<JobId>,
) -> Answer<Json<Journal>> {
    let steps = app
        .engine
        .read(move |scheduler, _| scheduler.job_ref(job).map(|job| job.steps.clone()))
        .await?
        .ok_or_else(|| no_job(job))?;
    let accepts = app.state.accepts(job).await?.ok_or_else(|| no_job(job))?;
    let repeated = accepts
        .steps
        .iter()
        .zip(&steps)
        .flat_map(|(accepts, step)| {
            accepts
                .repeated
                .keys()
                .filter_map(|&position| step.frame_at(position))
        })
        .collect();
    // What is made anew before it was there is not waited for.
    let expected = |(step, accepts): (&Step, &StepAccepts)| match step.replaced {
        true => accepts.accepted.count(),
        false => step.positions(),
    };
    Ok(Json(Journal {
        frames: steps.iter().zip(&accepts.steps).map(expected).sum(),
        accepts: accepts.total(),
        repeated,
        leases: accepts.leases,
        failures: accepts.failures,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_a_page_says_where_the_next_begins() {
        for (step, position) in [(0, 0), (0, 7), (3, 0), (u16::MAX, u32::MAX)] {
            let cursor = Cursor { step, position };
            assert_eq!(Cursor::from_query(Some(cursor.to_query())), cursor);
        }
        assert_eq!(Cursor::from_query(Some(u64::MAX)).step, u16::MAX);
        let check = |count: u64, next| {
            let page = page((0..count).collect(), 3, |&item| item);
            assert_eq!(page.items.len() as u64, count.min(3));
            assert_eq!(page.next, next);
        };
        check(0, None);
        check(3, None);
        check(4, Some(3));
    }
}
