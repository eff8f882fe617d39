//! The jobs of the farm: those that were rendered long ago, put into the record as the manager would have, and those to come.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::StreamExt as _;
use tessera_client::Api;
use tessera_model::{
    Attempt, Change, FrameSet, Job, JobId, JobSettings, JobState, LeaseKey, Overrides, Step,
    StepIndex, StepKind, Timestamp, UnitId, WorkerId,
};
use tessera_state::State;
use tessera_wire::api::Submit;
use tessera_wire::link::FrameToRender;

use super::scene::{MAIN_FILE, Scene, build};

/// Of a job that is done, and of one to come.
pub(super) const FRAMES_DONE: u32 = 1_000;
pub(super) const FRAMES_TO_COME: u32 = 5_000;

/// Changes that are recorded at once.
const RECORDED_AT_ONCE: usize = 1_000;

const SUBMITTED_AT_ONCE: usize = 16;

fn steps(frames: u32) -> Vec<Step> {
    let frames: FrameSet = format!("1..{frames}").parse().expect("a range");
    vec![Step {
        kind: StepKind::Render(Overrides::default()),
        frames,
        in_order: false,
        by_frame: false,
        beside: false,
        split: None,
        tiles: Vec::new(),
        chunking: None,
        replaced: false,
    }]
}

fn settings(number: u32) -> JobSettings {
    let mut settings = JobSettings::named(format!("shot {number}"));
    settings.category = ["film", "advert", "stills", "tests"][number as usize % 4].into();
    settings.priority = [10, 50, 100, 200][number as usize / 4 % 4];
    settings
}

/// Records so many jobs of so many frames, each with its result, and says how long that took.
pub(super) async fn record_done(
    folder: &Path,
    jobs: u32,
    frames: u32,
    scene: &Scene,
) -> Result<Duration> {
    let begun = Instant::now();
    let state = State::open(folder).await?;
    let term = state.begin_term().await?;
    let mut changes = Vec::new();
    for number in 1..=jobs {
        let id = JobId(u64::from(number));
        let job = Job {
            id,
            owner: "bench".parse().expect("a user's name"),
            settings: settings(number),
            manifest: scene.manifest,
            main_file: MAIN_FILE.into(),
            file_version: "4.2".parse().expect("a series"),
            build: Some(build()),
            steps: steps(frames),
            client_note: String::new(),
            submitted_at: Timestamp(0),
        };
        let done = (0..frames).map(|position| {
            let unit = UnitId {
                job: id,
                step: StepIndex(0),
                index: position,
            };
            let lease = LeaseKey {
                unit,
                attempt: Attempt(1),
            };
            let frame = FrameToRender {
                position,
                frame: position as i32 + 1,
                wanted: true,
            };
            Change::FrameDone(Box::new(scene.result(WorkerId(1), lease, frame)))
        });
        changes.push(Change::JobAdded(job));
        changes.extend(done);
        // Never over for so long that the manager removes it.
        changes.push(Change::JobState(id, JobState::Done, Timestamp(i64::MAX)));
        if changes.len() >= RECORDED_AT_ONCE || number == jobs {
            state.commit(term, &changes).await?;
            changes.clear();
        }
    }
    state.close().await;
    Ok(begun.elapsed())
}

/// Submits so many jobs of so many frames, some at once: with thousands of reports before each in line, one alone takes a while.
pub(super) async fn submit(api: &Api, jobs: u32, frames: u32, scene: &Scene) -> Result<()> {
    let submitted = futures_util::stream::iter(0..jobs).map(|number| {
        let job = Submit {
            settings: settings(number),
            manifest: scene.manifest,
            main_file: MAIN_FILE.into(),
            file_version: "4.2".parse().expect("a series"),
            steps: steps(frames),
            client_note: String::new(),
        };
        async move { api.submit(&job).await }
    });
    let mut submitted = submitted.buffer_unordered(SUBMITTED_AT_ONCE);
    while let Some(submitted) = submitted.next().await {
        submitted?;
    }
    Ok(())
}
