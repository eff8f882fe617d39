//! Reads every file of a scene into blocks, and notices what changes meanwhile.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use tessera_blender::Scan;
use tessera_blobs::{BlobRef, CutError, Entry, Manifest, Origin, TreePath};
use tokio::sync::watch;

use super::{PackError, PackStage};

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
    pub(super) origin: Origin,
    pub(super) main_file: TreePath,
}

#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    files_done: u64,
    files: u64,
    bytes_done: u64,
    bytes: u64,
}

/// Reads the .blend, which stood as `before` when Blender was asked, and all that Blender named.
pub(super) async fn read(
    main: &Path,
    before: State,
    scan: &Scan,
    tell: &mut impl FnMut(PackStage),
) -> Result<Files, PackError> {
    let main = main.to_owned();
    let needed: Vec<PathBuf> = scan
        .files
        .iter()
        .filter(|file| file.exists)
        .map(|file| file.path.clone())
        .collect();
    let (set, mut seen) = watch::channel(Progress::default());
    let mut reading = tokio::task::spawn_blocking(move || read_all(&main, before, needed, &set));
    loop {
        tokio::select! {
            outcome = &mut reading => return outcome?,
            // Closed means that the outcome is next.
            Ok(()) = seen.changed() => {
                let Progress { files_done, files, bytes_done, bytes } = *seen.borrow_and_update();
                tell(PackStage::Reading { files_done, files, bytes_done, bytes });
            }
        }
    }
}

fn read_all(
    main: &Path,
    before: State,
    needed: Vec<PathBuf>,
    progress: &watch::Sender<Progress>,
) -> Result<Files, PackError> {
    let mut states = BTreeMap::from([(main.to_owned(), before)]);
    for path in needed {
        if path != main {
            collect(&path, DEPTH_MAX, &mut states)?;
        }
    }
    let mut far = Progress {
        files: states.len() as u64,
        bytes: states.values().map(|state| state.bytes).sum(),
        ..Progress::default()
    };
    let mut manifest = Manifest::new();
    let mut origin = Origin::new();
    for (path, state) in &states {
        progress.send_replace(far);
        let cut = origin
            .add_file(path)
            .map_err(|error| vanished(path, error))?;
        manifest.insert(tree_path(path)?, Entry::file(&cut))?;
        far.files_done += 1;
        far.bytes_done += state.bytes;
    }
    // Looked at again after everything was read: what Blender said, and every block, belong to one state of all files.
    for (path, state) in &states {
        if fs::metadata(path).map(|facts| State::from(&facts)).ok() != Some(*state) {
            return Err(PackError::Changing { path: path.clone() });
        }
    }
    progress.send_replace(far);
    let root = origin.add_manifest(&manifest);
    Ok(Files {
        main_file: tree_path(main)?,
        manifest,
        root,
        origin,
    })
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

/// A file's place in the tree: its absolute path without the leading `/`.
///
/// A name that some system cannot have is refused and not changed: a scene would look for it under the old name and render without it.
fn tree_path(path: &Path) -> Result<TreePath, PackError> {
    let text = path.to_str().ok_or_else(|| PackError::Name {
        path: path.display().to_string(),
        reason: "it is not valid text (UTF-8)".into(),
    })?;
    TreePath::new(text.trim_start_matches('/')).map_err(|error| PackError::Name {
        path: text.to_owned(),
        reason: error.reason.to_owned(),
    })
}
