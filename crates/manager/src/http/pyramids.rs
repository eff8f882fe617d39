//! Pyramids of frames (`tessera_merge::pyramid`): made by a worker when somebody wants to look, since the manager looks into no file and most frames are
//! never looked at. What was made lies in the block store as what nobody's job names: it goes an hour after it was last asked for, and is
//! made anew then. Which file has which is in memory alone.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::State;
use tessera_model::{Blob, FrameFile, JobId};
use tessera_wire::api::Pyramid;
use tessera_wire::blob::to_store;
use tessera_wire::link::MadePyramid;
use tessera_wire::problem::ProblemKind;
use tessera_wire::query::PyramidQuery;
use tokio::sync::watch;

use super::access::Sender;
use super::app::App;
use super::blobs::{Walk, walk};
use super::extract::{Json, Path, Query};
use super::previews::places_of;
use super::problem::{Answer, failure, internal};
use super::results::plain;
use super::store::check_room;

/// Longest that an answer waits for a pyramid: less than proxies do.
const WAIT: Duration = Duration::from_secs(20);

/// Longest that one worker is waited for: the largest frames take minutes, and its network may be slow.
const MAKING_MAX: Duration = Duration::from_secs(20 * 60);

/// Most that are made at once: each is a file on its way twice.
const AT_ONCE_MAX: usize = 32;

/// Most that are remembered: those of a long day of looking, 150 bytes each.
const KNOWN_MAX: usize = 10_000;

/// Workers that are asked one after the other.
const TRIES: usize = 3;

/// Longest word of a worker.
const WORDS_MAX: usize = 1000;

/// The outcome, once there is one: the pyramid, or why there is none.
type Outcome = Option<Result<Blob, String>>;

/// Those that are known and those that are made, by their files.
#[derive(Debug, Default)]
pub(super) struct Pyramids {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<Blob, Blob>,
    /// The oldest first.
    order: VecDeque<Blob>,
    making: HashMap<Blob, watch::Receiver<Outcome>>,
}

impl Pyramids {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(|poison| poison.into_inner())
    }

    fn known(&self, file: &Blob) -> Option<Blob> {
        self.inner().known.get(file).copied()
    }
}

impl Inner {
    fn remember(&mut self, file: Blob, pyramid: Blob) {
        if self.known.insert(file, pyramid).is_none() {
            self.order.push_back(file);
        }
        if self.order.len() > KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

pub(super) async fn pyramid(
    State(app): State<Arc<App>>,
    Path((job, frame)): Path<(JobId, i32)>,
    Query(query): Query<PyramidQuery>,
    sender: Sender,
) -> Answer<Json<Pyramid>> {
    let FrameFile { name, blob, .. } = file_of(&app, job, frame, query.file.as_deref()).await?;
    let answer = |blob| Ok(Json(Pyramid { file: name, blob }));
    if let Some(pyramid) = app.pyramids.known(&blob)
        && is_whole(&app, &pyramid).await?
    {
        return answer(Some(pyramid));
    }
    check_room(&app, &sender).await?;
    let mut outcome = begin(&app, blob)?;
    let made = tokio::time::timeout(WAIT, outcome.wait_for(Option::is_some)).await;
    match made {
        Err(_) => answer(None),
        Ok(Err(ended)) => Err(internal(&ended)),
        Ok(Ok(made)) => match made.as_ref() {
            Some(Ok(pyramid)) => answer(Some(*pyramid)),
            Some(Err(why)) => Err(failure(
                ProblemKind::Conflict,
                format!("frame {frame} of job {job} cannot be shown in full: {why}"),
                "its small picture is there all the same, and `tessera fetch` brings its files",
            )),
            None => answer(None),
        },
    }
}

/// The file of a finished frame with this name, or its first EXR.
async fn file_of(app: &App, job: JobId, frame: i32, name: Option<&str>) -> Answer<FrameFile> {
    let is_exr = |file: &FrameFile| {
        let ending = file.name.rsplit_once('.').map(|(_, ending)| ending);
        ending.is_some_and(|ending| ending.eq_ignore_ascii_case("exr"))
    };
    let is_it = |file: &FrameFile| match name {
        Some(name) => file.name == name,
        None => is_exr(file),
    };
    // The newest there is: that of before, while samples are added.
    for (step, position) in places_of(app, job, frame, None).await?.into_iter().rev() {
        let result = app.state.result(job, step, position).await?;
        // Without files it was no frame yet.
        if let Some(result) = result.filter(|result| !result.files.is_empty()) {
            let mut files = result.without_sum().files.into_iter();
            return files.find(is_it).ok_or_else(|| {
                let what = name.map_or_else(|| "EXR".into(), |name| format!("file '{name}'"));
                failure(
                    ProblemKind::NotFound,
                    format!("frame {frame} of job {job} has no {what}"),
                    "only EXR can be shown in full; of other formats there is the small picture",
                )
            });
        }
    }
    Err(failure(
        ProblemKind::NotFound,
        format!("frame {frame} of job {job} is not finished"),
        "it can be shown in full once it is",
    ))
}

/// Whether all of it is here, and then for an hour more.
async fn is_whole(app: &App, blob: &Blob) -> Answer<bool> {
    let name = to_store(blob);
    walk(app, Walk::Short, move |store| {
        Ok(store.missing_of([&name])?.is_empty())
    })
    .await
}

/// Has the pyramid of a file made, or waits with whoever had.
fn begin(app: &Arc<App>, file: Blob) -> Answer<watch::Receiver<Outcome>> {
    let mut inner = app.pyramids.inner();
    if let Some(outcome) = inner.making.get(&file) {
        return Ok(outcome.clone());
    }
    if inner.making.len() >= AT_ONCE_MAX {
        return Err(failure(
            ProblemKind::TooMany,
            format!("{AT_ONCE_MAX} frames are being made ready to be shown"),
            "try again in a moment",
        ));
    }
    let (told, outcome) = watch::channel(None);
    inner.making.insert(file, outcome.clone());
    let (app, ending) = (Arc::clone(app), app.ending.clone());
    app.tasks.clone().spawn(async move {
        let made = ending.run_until_cancelled(make(&app, file)).await;
        let made = made.unwrap_or_else(|| Err("the manager ends".into()));
        let mut inner = app.pyramids.inner();
        inner.making.remove(&file);
        if let Ok(pyramid) = made {
            inner.remember(file, pyramid);
        }
        told.send_replace(Some(made));
    });
    Ok(outcome)
}

async fn make(app: &App, file: Blob) -> Result<Blob, String> {
    let makers = app.links.pyramid_makers();
    let mut why = "no worker that could make it ready is linked".to_owned();
    for worker in makers.into_iter().take(TRIES) {
        let asked = app.links.pyramid(worker, file);
        match tokio::time::timeout(MAKING_MAX, asked).await {
            Ok(Some(MadePyramid::There(pyramid))) => match is_whole(app, &pyramid).await {
                Ok(true) => return Ok(pyramid),
                Ok(false) => why = "not all of what a worker made has arrived".into(),
                Err(error) => why = error.0.to_string(),
            },
            Ok(Some(MadePyramid::Never(told))) => return Err(words(&told)),
            Ok(Some(MadePyramid::NotHere(told))) => why = words(&told),
            Ok(None) => why = "the worker that made it ready is gone".into(),
            Err(_) => why = "a worker takes too long to make it ready".into(),
        }
        tracing::debug!(%worker, "no pyramid: {why}");
    }
    Err(why)
}

/// What a worker says, for people.
fn words(told: &str) -> String {
    let short: String = told.chars().take(WORDS_MAX).collect();
    plain(&short)
}
