//! Reads every file of a scene into blocks, and notices what changes meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tessera_blender::Scan;
use tessera_blobs::{BlobRef, CutError, Entry, Manifest, Origin, TreePath};
use tessera_model::FrameSet;

use super::path_map::places;
use super::{PackError, PackStage, PathMap};
use crate::inputs::{FrameInputs, needed_by_all};

/// Deepest folders that are gone through for a cache.
const DEPTH_MAX: usize = 32;

/// How a file stood at one moment: enough to see that it was written since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct State {
    bytes: u64,
    modified: Option<SystemTime>,
}

impl State {
    pub(super) fn of(path: &Path) -> Result<Self, PackError> {
        let unreadable = |source| PackError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let facts = fs::metadata(path).map_err(unreadable)?;
        if !facts.is_file() {
            return Err(unreadable(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a file",
            )));
        }
        Ok(Self::from(&facts))
    }

    fn from(facts: &Metadata) -> Self {
        Self {
            bytes: facts.len(),
            modified: facts.modified().ok(),
        }
    }
}

/// Everything as blocks.
pub(super) struct Files {
    pub(super) manifest: Manifest,
    pub(super) root: BlobRef,
    /// The manifest of what is needed whatever frame is rendered.
    pub(super) needed_by_all: BlobRef,
    /// What single frames need besides.
    pub(super) inputs: FrameInputs,
    pub(super) origin: Origin,
    pub(super) main_file: TreePath,
}

/// Reads the .blend, which stood as `before` when Blender was asked, and all that Blender named.
pub(super) async fn read(
    main: &Path,
    before: State,
    scan: &Scan,
    maps: &[PathMap],
    tell: &mut impl FnMut(PackStage),
) -> Result<Files, PackError> {
    let mut needed: Vec<PathBuf> = scan
        .files
        .iter()
        .filter(|file| file.exists)
        .map(|file| file.path.clone())
        .collect();
    needed.retain(|path| path != main);
    let mut states = BTreeMap::from([(main.to_owned(), before)]);
    let states = tokio::task::spawn_blocking(move || {
        needed
            .iter()
            .try_for_each(|path| collect(path, DEPTH_MAX, &mut states))
            .map(|()| states)
    })
    .await??;
    let (files, bytes) = (
        states.len() as u64,
        states.values().map(|state| state.bytes).sum(),
    );
    let mut manifest = Manifest::new();
    let mut origin = Origin::new();
    let (mut files_done, mut bytes_done) = (0, 0);
    for (path, state) in &states {
        tell(PackStage::Reading {
            files_done,
            files,
            bytes_done,
            bytes,
        });
        let reading = path.clone();
        let (returned, cut) = tokio::task::spawn_blocking(move || {
            let cut = origin.add_file(&reading);
            (origin, cut)
        })
        .await?;
        origin = returned;
        let cut = cut.map_err(|error| vanished(path, error))?;
        for place in tree_paths(path, maps)? {
            manifest.insert(place, Entry::file(&cut))?;
        }
        files_done += 1;
        bytes_done += state.bytes;
    }
    tell(PackStage::Reading {
        files_done,
        files,
        bytes_done,
        bytes,
    });
    tokio::task::spawn_blocking(move || unchanged(&states)).await??;
    let root = origin.add_manifest(&manifest);
    let limited = limited(scan, maps)?;
    let of_frames = limited
        .iter()
        .filter_map(|(path, frames)| Some((path, &manifest.get(path)?.blob, frames)));
    Ok(Files {
        inputs: FrameInputs::of(of_frames),
        needed_by_all: match limited.is_empty() {
            true => root,
            false => needed_by_all(&manifest, &limited),
        },
        main_file: tree_paths(main, &[])?.remove(0),
        manifest,
        root,
        origin,
    })
}

/// The files that only some of the frames need.
fn limited(scan: &Scan, maps: &[PathMap]) -> Result<BTreeMap<TreePath, FrameSet>, PackError> {
    let files = scan.files.iter().filter(|file| file.exists);
    let mut limited = BTreeMap::new();
    for (file, frames) in files.filter_map(|file| Some((file, file.frames.as_ref()?))) {
        let places = tree_paths(&file.path, maps)?;
        limited.extend(places.into_iter().map(|place| (place, frames.clone())));
    }
    Ok(limited)
}

/// Looked at again after everything was read: what Blender said, and every block, belong to one state of all files.
fn unchanged(states: &BTreeMap<PathBuf, State>) -> Result<(), PackError> {
    match states.iter().find(|(path, state)| {
        fs::metadata(path).map(|facts| State::from(&facts)).ok() != Some(**state)
    }) {
        Some((path, _)) => Err(PackError::Changing { path: path.clone() }),
        None => Ok(()),
    }
}

/// A file, or all files below a folder (a cache that is named as a whole).
fn collect(
    path: &Path,
    depth: usize,
    states: &mut BTreeMap<PathBuf, State>,
) -> Result<(), PackError> {
    let unreadable = |source| PackError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let facts = match fs::metadata(path) {
        Ok(facts) => facts,
        // Blender saw it a moment ago: it is asked again, and names it with its user if it stays away.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(PackError::Changing {
                path: path.to_owned(),
            });
        }
        Err(source) => return Err(unreadable(source)),
    };
    if !facts.is_dir() {
        states.insert(path.to_owned(), State::from(&facts));
        return Ok(());
    }
    if depth == 0 {
        return Err(unreadable(io::Error::new(
            io::ErrorKind::InvalidInput,
            "its folders are nested too deeply",
        )));
    }
    for entry in fs::read_dir(path).map_err(unreadable)? {
        collect(&entry.map_err(unreadable)?.path(), depth - 1, states)?;
    }
    Ok(())
}

fn vanished(path: &Path, error: CutError) -> PackError {
    match error {
        CutError::Open { source, .. } if source.kind() == io::ErrorKind::NotFound => {
            PackError::Changing {
                path: path.to_owned(),
            }
        }
        error => PackError::Cut { error },
    }
}

/// A file's places in the tree: where it lies here, and where other machines have it.
///
/// A name that some system cannot have is refused and not changed: a scene would look for it under the old name and render without it.
fn tree_paths(path: &Path, maps: &[PathMap]) -> Result<Vec<TreePath>, PackError> {
    let text = path.to_str().ok_or_else(|| PackError::Name {
        path: path.display().to_string(),
        reason: "it is not valid text (UTF-8)".into(),
    })?;
    places(text, maps).map_err(|error| PackError::Name {
        path: text.to_owned(),
        reason: error.reason.to_owned(),
    })
}
