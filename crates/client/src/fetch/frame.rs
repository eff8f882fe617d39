//! Writes the files of one frame: all under hidden names first, then all into their places.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use tessera_blobs::{ReadError, read_file};
use tessera_model::{FileRole, FrameFile, FrameResult};
use tessera_wire::blob::to_store;

use super::blocks::{Blocks, Outline, Wanting};
use super::{FetchError, Fetched, FetchedFile};
use crate::output::OutputPlan;
use crate::place::{PlaceError, Temporary, destination};
use crate::sources::Sources;

/// Blocking. `outlines` are those of the result's files, in their order.
pub(super) fn write_frame(
    plan: &OutputPlan,
    sources: &Sources,
    result: &FrameResult,
    outlines: Vec<Outline>,
    mut wanting: Wanting,
) -> Result<Fetched, FetchError> {
    let frame = result.frame;
    let mut ready = Vec::new();
    for (file, outline) in result.files.iter().zip(outlines) {
        let place = place_of(plan, sources, result, file)?;
        ready.push((write(frame, &place, outline, &mut wanting)?, place, file));
    }
    // Nothing more is wanted from the network.
    drop(wanting);
    let mut files: Vec<FetchedFile> = Vec::new();
    let mut warnings = Vec::new();
    // Files of nodes first: Blender writes the frame's own after them, so of two with one name it is the frame's that stays.
    for (temporary, place, file) in ready.into_iter().rev() {
        let before = files.len();
        files.retain(|other| other.path != place);
        if files.len() < before {
            warnings.push(format!(
                "frame {frame} has two files named {}: one took the other's place, as with Blender",
                place.display()
            ));
        }
        temporary
            .rename(&place)
            .map_err(|source| write_error(frame, &place, source))?;
        files.push(FetchedFile {
            path: place,
            blob: to_store(&file.blob),
            role: file.role.clone(),
        });
    }
    files.reverse();
    Ok(Fetched {
        step: result.lease.unit.step,
        position: result.position,
        frame,
        build: result.build.clone(),
        files,
        warnings,
    })
}

/// Where a file belongs, whatever its worker says: the frame's own get the planned name, those of nodes must have one that their
/// node can give, and none takes the place of a file that the job was made of.
fn place_of(
    plan: &OutputPlan,
    sources: &Sources,
    result: &FrameResult,
    file: &FrameFile,
) -> Result<PathBuf, FetchError> {
    let frame = result.frame;
    let refused = |reason: String| FetchError::Name {
        frame,
        worker: result.worker,
        name: file.name.escape_debug().to_string(),
        reason,
    };
    let (folder, name) = match &file.role {
        FileRole::Main => (plan.directory.clone(), own_name(plan, None, file, frame)),
        FileRole::View(view) => {
            let name = own_name(plan, Some(view), file, frame);
            (plan.directory.clone(), name)
        }
        FileRole::Node(index) => {
            let known = plan.node_makes(*index, frame, &file.name);
            let name = known.then(|| file.name.clone());
            (plan.node_directory(*index), name)
        }
        FileRole::Slice { .. } => (plan.directory.clone(), None),
    };
    let name = name.ok_or_else(|| refused("the scene makes no such file".into()))?;
    let place = destination(&folder, &name).map_err(|error| match error {
        PlaceError::Io { path, source } => write_error(frame, &path, source),
        bad @ (PlaceError::Name { .. } | PlaceError::Link { .. }) => refused(bad.to_string()),
    })?;
    if sources.has(&place) {
        return Err(refused(format!(
            "it would take the place of {}, which the job was made of",
            place.display()
        )));
    }
    Ok(place)
}

/// The name the plan gives to a view's file, or to the only one; a plan without names leaves it to the worker.
fn own_name(
    plan: &OutputPlan,
    view: Option<&String>,
    file: &FrameFile,
    frame: i32,
) -> Option<String> {
    if plan.names.is_empty() {
        return Some(file.name.clone());
    }
    let found = plan.names.iter().find(|name| name.view.as_ref() == view);
    let only = || {
        plan.names
            .first()
            .filter(|_| view.is_none() && plan.names.len() == 1)
    };
    found.or_else(only).map(|name| name.name.at(frame))
}

/// Blocking. A file as it is, for whoever needs it for a while.
pub(super) fn write_file(
    frame: i32,
    place: &Path,
    outline: Outline,
    mut wanting: Wanting,
) -> Result<(), FetchError> {
    let mut file = File::create(place).map_err(|source| write_error(frame, place, source))?;
    fill(frame, place, outline, &mut wanting, &mut file)
}

fn fill(
    frame: i32,
    place: &Path,
    outline: Outline,
    wanting: &mut Wanting,
    file: &mut File,
) -> Result<(), FetchError> {
    let blob = outline.blob;
    let mut blocks = Blocks::new(wanting, outline);
    match read_file(&blob, |digest| blocks.get(digest), file) {
        Ok(()) => Ok(()),
        Err(ReadError::Write { source }) => Err(write_error(frame, place, source)),
        Err(ReadError::Missing { .. }) => Err(FetchError::Gone { frame }),
        Err(other) => Err(FetchError::result(frame, other)),
    }
}

fn write(
    frame: i32,
    place: &Path,
    outline: Outline,
    wanting: &mut Wanting,
) -> Result<Temporary, FetchError> {
    let folder = place.parent().unwrap_or(Path::new("/"));
    let (mut file, temporary) =
        Temporary::new(folder).map_err(|source| write_error(frame, folder, source))?;
    fill(frame, place, outline, wanting, &mut file)?;
    file.sync_all()
        .map_err(|source| write_error(frame, place, source))?;
    Ok(temporary)
}

pub(super) fn write_error(frame: i32, path: &Path, source: io::Error) -> FetchError {
    if matches!(
        source.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    ) {
        return FetchError::Full {
            folder: path.parent().unwrap_or(path).to_owned(),
        };
    }
    FetchError::NotWritable {
        frame,
        path: path.to_owned(),
        source,
    }
}
