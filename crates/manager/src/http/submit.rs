//! A new job: taken in only if every byte it names is here and every number it brings has a bound.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::sync::Arc;

use axum::extract::State;
use serde::Serialize;
use tessera_blobs::{Manifest, Store, TreePath};
use tessera_model::MAX_FRAMES;
use tessera_scheduler::{Input, NewJob, Outcome};
use tessera_wire::api::{Submit, Submitted};
use tessera_wire::blob::to_store;
use tessera_wire::problem::ProblemKind;

use super::access::Client;
use super::app::App;
use super::blobs::{StoreWalk, Walk, read_manifest, walk};
use super::extract::Json;
use super::problem::{Answer, Failure, failure, internal, missing, unexpected};
use super::receivers::check_named;

/// Of fewer files than these, another thread would cost more than it saves.
const PART_MIN: usize = 500;

/// Largest note of a client. It is kept with the job in memory.
const NOTE_MAX_BYTES: usize = 64 * 1024;

/// Most steps of a job.
const STEPS_MAX: usize = 64;

/// Largest settings and steps as JSON, lists of frames aside: names, tags and comments are kept in memory and shown in lists.
const SETTINGS_MAX_BYTES: usize = 64 * 1024;

/// Most frames that one lease can carry: 60 bytes each stay below the link's largest message.
const LEASE_FRAMES_MAX: u32 = 50_000;

const _: () = assert!(LEASE_FRAMES_MAX as usize * 60 < tessera_wire::link::MESSAGE_MAX);

pub(super) async fn submit(
    State(app): State<Arc<App>>,
    client: Client,
    Json(mut submit): Json<Submit>,
) -> Answer<Json<Submitted>> {
    check_bounds(&submit)?;
    check_named(&app, &submit.settings.notify)?;
    let main_file = TreePath::new(&submit.main_file).map_err(|error| {
        invalid(format!(
            "'{}' is not a path in a file tree: {error}",
            submit.main_file
        ))
    })?;
    for step in &mut submit.steps {
        // How frames lie in units is the scheduler's to say.
        step.chunking = None;
    }
    let manifest = submit.manifest;
    let _intake = app.keeper.intake();
    walk(&app, Walk::Long, move |store| {
        check_tree(store, &manifest, &main_file)
    })
    .await?;
    let job = NewJob {
        owner: client.user.name.clone(),
        settings: submit.settings,
        manifest: submit.manifest,
        main_file: submit.main_file,
        file_version: submit.file_version,
        steps: submit.steps,
        client_note: submit.client_note,
    };
    match app.engine.input(Input::Submit(Box::new(job))).await? {
        Outcome::Submitted(job, build) => {
            tracing::info!(%job, user = %client.user.name, "job submitted");
            app.keeper.recorded(&client.user.name, &manifest);
            Ok(Json(Submitted { job, build }))
        }
        Outcome::Refused(refusal) => Err(refusal.into()),
        other => Err(unexpected(&other)),
    }
}

fn invalid(title: String) -> Failure {
    failure(ProblemKind::Invalid, title, "")
}

fn check_bounds(submit: &Submit) -> Answer<()> {
    if submit.client_note.len() > NOTE_MAX_BYTES {
        return Err(failure(
            ProblemKind::TooLarge,
            format!("the job's note is larger than {} KiB", NOTE_MAX_BYTES >> 10),
            "",
        ));
    }
    let kinds: usize = submit
        .steps
        .iter()
        .map(|step| serde_json::to_vec(&step.kind).map_or(0, |kind| kind.len()))
        .sum();
    check_settings(&submit.settings, Some(submit.settings.chunk), kinds)?;
    if submit.steps.is_empty() || submit.steps.len() > STEPS_MAX {
        return Err(invalid(format!(
            "a job has 1 to {STEPS_MAX} steps, not {}",
            submit.steps.len()
        )));
    }
    let frames: u64 = submit
        .steps
        .iter()
        .map(|step| u64::from(step.positions()))
        .sum();
    if frames > u64::from(MAX_FRAMES) {
        return Err(invalid(format!(
            "the job has more than {MAX_FRAMES} frames: split it into several jobs"
        )));
    }
    if let Some(step) = submit
        .steps
        .iter()
        .find(|step| step.in_order && step.frames.len() > LEASE_FRAMES_MAX)
    {
        return Err(invalid(format!(
            "{} frames depend on each other, and one worker is given at most {LEASE_FRAMES_MAX}: bake the simulation, or split the job",
            step.frames.len()
        )));
    }
    Ok(())
}

/// Whether what a user says of a job, at first or later, has its bounds. `more` bytes come with it.
pub(super) fn check_settings<T: Serialize>(
    settings: &T,
    chunk: Option<u32>,
    more: usize,
) -> Answer<()> {
    let bytes = serde_json::to_vec(settings).map_err(|error| internal(&error))?;
    if bytes.len() + more > SETTINGS_MAX_BYTES {
        return Err(failure(
            ProblemKind::TooLarge,
            format!(
                "the job's settings are larger than {} KiB",
                SETTINGS_MAX_BYTES >> 10
            ),
            "shorten its comment or tags",
        ));
    }
    if chunk.is_some_and(|chunk| chunk > LEASE_FRAMES_MAX) {
        return Err(invalid(format!(
            "a chunk has at most {LEASE_FRAMES_MAX} frames"
        )));
    }
    Ok(())
}

/// Whether the manifest and all it names are in the store, and the .blend is in it.
fn check_tree(store: &Store, manifest: &tessera_model::Blob, main_file: &TreePath) -> Answer<()> {
    let root = to_store(manifest);
    complete(store, [&root])?;
    let tree = read_manifest(store, &root)?;
    if tree.get(main_file).is_none() {
        return Err(invalid(format!("'{main_file}' is not in the file tree")));
    }
    complete_tree(store, &tree)?;
    // Some of it may be another's, who was not told yet that it is on the disk.
    Ok(store.sync()?)
}

/// Whether every file of a tree is whole in the store. The lists of all of them are read, on all cores.
pub(super) fn complete_tree(store: &Store, tree: &Manifest) -> StoreWalk<()> {
    let blobs: Vec<_> = tree.blobs().collect();
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let size = blobs.len().div_ceil(cores).max(PART_MIN);
    let looked: Vec<_> = std::thread::scope(|scope| {
        let parts: Vec<_> = blobs
            .chunks(size)
            .map(|part| scope.spawn(move || store.missing_of(part.iter().copied())))
            .collect();
        parts
            .into_iter()
            .map(|part| part.join().expect("looking into the store does not panic"))
            .collect()
    });
    let mut lacking = BTreeSet::new();
    for found in looked {
        lacking.extend(found?.iter().map(ToString::to_string));
    }
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(missing(lacking.into_iter().collect())),
    }
}

/// Whether these blobs are whole in the store.
pub(super) fn complete<'a>(
    store: &Store,
    blobs: impl IntoIterator<Item = &'a tessera_blobs::BlobRef>,
) -> StoreWalk<()> {
    let lacking = store.missing_of(blobs)?;
    if lacking.is_empty() {
        return Ok(());
    }
    Err(missing(lacking.iter().map(ToString::to_string).collect()))
}
