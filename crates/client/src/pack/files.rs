//! Reads every file of a scene into blocks, and notices what changes meanwhile.
//!
//! Files that stand as they did when they were read last are not read again ([`StatCache`]); the others are, on all cores. What Blender
//! said and every block then belong to one state of all files, or it is begun anew.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tessera_blender::{FileKind, Scan};
use tessera_blobs::{BlobRef, CutError, CutFile, Entry, Manifest, Origin, TreePath, cut_files};
use tessera_model::FrameSet;
use tokio::sync::mpsc;

use super::path_map::places;
use super::stat_cache::StatCache;
use super::state::{Looker, State};
use super::{PackError, PackStage, PathMap};
use crate::inputs::{FrameInputs, needed_by_all};

/// Deepest folders that are gone through for a cache.
const DEPTH_MAX: usize = 32;

/// Reports of files read that wait to be told; reading waits for whoever is told.
const REPORTS_MAX: usize = 64;

/// Fewer files are looked at by one thread alone: that takes about a millisecond, and starting threads is not free.
const PART_MIN: usize = 500;

/// What is carried from one attempt at packing to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) cache: StatCache,
    /// Nothing in the cache is believed; what is read is noted in it all the same.
    pub(super) read_all: bool,
    /// How the files stood at the last attempt.
    seen: Arc<States>,
}

impl Memory {
    pub(super) fn new(cache: StatCache, read_all: bool) -> Self {
        Self {
            cache,
            read_all,
            seen: Arc::default(),
        }
    }

    fn look(&mut self, path: &Path, state: &State) -> Option<CutFile> {
        match self.read_all {
            true => None,
            false => self.cache.look(path, state),
        }
    }
}

/// The .blend as it stood when Blender was asked about it, and when that was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) main: &'a Path,
    pub(super) state: State,
    pub(super) at: SystemTime,
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
    /// Files whose bytes were looked at.
    pub(super) files_read: u64,
    /// How all of them stood.
    pub(super) states: Arc<States>,
}

/// By the bytes of their names: thousands of paths compared part by part take longer than a look at the files.
pub(super) type States = BTreeMap<OsString, State>;

/// A file's name among [`States`]: one for all ways to write its path.
pub(super) fn name(path: &Path) -> OsString {
    let bytes = path.as_os_str().as_encoded_bytes();
    let has = |part: &[u8]| bytes.windows(part.len()).any(|found| found == part);
    let is_plain = !cfg!(windows) && !has(b"//") && !has(b"/.") && !bytes.ends_with(b"/");
    match is_plain {
        true => path.as_os_str().to_owned(),
        false => path.iter().collect::<PathBuf>().into(),
    }
}

/// Reads the .blend and all that Blender named.
pub(super) async fn read(
    asked: Asked<'_>,
    scan: &Scan,
    maps: &[PathMap],
    memory: &mut Memory,
    tell: &mut impl FnMut(PackStage),
) -> Result<Files, PackError> {
    let states = Arc::new(look_at(asked, scan).await?);
    let before = std::mem::replace(&mut memory.seen, Arc::clone(&states));
    same_since_asked(asked, scan, &states, &before)?;
    let mut progress = Reading {
        files: states.len() as u64,
        bytes: states.values().map(|state| state.bytes).sum(),
        ..Reading::default()
    };
    let (mut manifest, mut origin) = (Manifest::new(), Origin::new());
    let mut unread = Vec::new();
    for (name, state) in states.iter() {
        let path = Path::new(name);
        match memory.look(path, state) {
            Some(cut) => {
                origin.add_known(path, &cut);
                for place in tree_paths(path, maps)? {
                    manifest.insert(place, Entry::file(&cut))?;
                }
                progress.count(state);
            }
            None => unread.push((path.to_owned(), *state)),
        }
    }
    tell(progress.stage());
    let files_read = unread.len() as u64;
    let (cuts, outcome) = cut(unread, &mut origin, asked.at, &mut progress, tell).await?;
    for (path, state, cut, settled) in &cuts {
        if *settled {
            memory.cache.note(path, *state, *cut);
        }
    }
    outcome?;
    for (path, _, cut, _) in &cuts {
        for place in tree_paths(path, maps)? {
            manifest.insert(place, Entry::file(cut))?;
        }
    }
    // Beside the lists, which say nothing of the disk.
    let looking = tokio::task::spawn_blocking(move || unchanged(&states).map(|()| states));
    let root = origin.add_manifest(&manifest);
    let limited = limited(scan, maps)?;
    let of_frames = limited
        .iter()
        .filter_map(|(path, frames)| Some((path, &manifest.get(path)?.blob, frames)));
    let inputs = FrameInputs::of(of_frames);
    let needed_by_all = match limited.is_empty() {
        true => root,
        false => needed_by_all(&manifest, &limited),
    };
    let states = looking.await??;
    Ok(Files {
        inputs,
        needed_by_all,
        main_file: tree_path(asked.main)?,
        manifest,
        root,
        origin,
        files_read,
        states,
    })
}

/// How far the reading is.
#[derive(Debug, Default)]
struct Reading {
    files_done: u64,
    files: u64,
    bytes_done: u64,
    bytes: u64,
}

impl Reading {
    fn count(&mut self, state: &State) {
        self.files_done += 1;
        self.bytes_done += state.bytes;
    }

    fn stage(&self) -> PackStage {
        PackStage::Reading {
            files_done: self.files_done,
            files: self.files,
            bytes_done: self.bytes_done,
            bytes: self.bytes,
        }
    }
}

/// How all files stand.
pub(super) async fn look_at(asked: Asked<'_>, scan: &Scan) -> Result<States, PackError> {
    let needed = scan.files.iter().filter(|file| file.exists);
    let needed: Vec<_> = needed
        .map(|file| file.path.clone())
        .filter(|path| path != asked.main)
        .collect();
    let main = (name(asked.main), asked.state);
    tokio::task::spawn_blocking(move || {
        let parts = in_parts(&needed, |paths| {
            let mut states = Vec::with_capacity(paths.len());
            let mut looker = Looker::default();
            paths
                .iter()
                .try_for_each(|path| collect(path, DEPTH_MAX, &mut looker, &mut states))
                .map(|()| states)
        });
        let mut states = vec![main];
        for part in parts {
            states.extend(part?);
        }
        Ok(states.into_iter().collect())
    })
    .await?
}

/// Parts of many things at once, a thread for each core: what the disk knows of thousands of files is asked for one by one.
fn in_parts<T: Sync, R: Send>(all: &[T], each: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let size = all.len().div_ceil(cores).max(PART_MIN);
    std::thread::scope(|scope| {
        let each = &each;
        let parts: Vec<_> = all
            .chunks(size)
            .map(|part| scope.spawn(move || each(part)))
            .collect();
        parts
            .into_iter()
            .map(|part| part.join().expect("looking at files does not panic"))
            .collect()
    })
}

/// Those files that Blender itself has read to say what is needed are those that are packed. One that was saved a moment ago may
/// not be, unless it stood like that already when Blender was asked before.
fn same_since_asked(
    asked: Asked<'_>,
    scan: &Scan,
    states: &States,
    before: &States,
) -> Result<(), PackError> {
    let read_by_blender = |kind| matches!(kind, FileKind::Library | FileKind::NodesBake);
    for file in scan.files.iter().filter(|file| read_by_blender(file.kind)) {
        let name = name(&file.path);
        if let Some(state) = states.get(&name)
            && !state.settled_before(asked.at)
            && before.get(&name) != Some(state)
        {
            return Err(PackError::Changing {
                path: file.path.clone(),
            });
        }
    }
    Ok(())
}

/// A file that was read, how it stood, and whether whoever sees it stand like that again may take it for the same.
type Cut = (PathBuf, State, CutFile, bool);

/// Cuts these files and puts them into `origin`. Those that were read before something failed come as well.
async fn cut(
    unread: Vec<(PathBuf, State)>,
    origin: &mut Origin,
    began: SystemTime,
    progress: &mut Reading,
    tell: &mut impl FnMut(PackStage),
) -> Result<(Vec<Cut>, Result<(), PackError>), PackError> {
    let (report, mut reports) = mpsc::channel(REPORTS_MAX);
    let mut filling = std::mem::take(origin);
    let cutting = tokio::task::spawn_blocking(move || {
        let paths: Vec<_> = unread.iter().map(|(path, _)| path).collect();
        let (mut cuts, mut outcome) = (Vec::new(), Ok(()));
        cut_files(&paths, |at, blocks| {
            let (path, state) = &unread[at];
            let blocks = match blocks {
                Ok(blocks) => blocks,
                Err(error) => {
                    outcome = Err(vanished(path, error));
                    return ControlFlow::Break(());
                }
            };
            let settled = state.settled_before(began) && state.still_holds(path);
            cuts.push((path.clone(), *state, filling.add(blocks), settled));
            // Nobody listens any more if packing was given up.
            match report.blocking_send(*state) {
                Ok(()) => ControlFlow::Continue(()),
                Err(_) => ControlFlow::Break(()),
            }
        });
        (filling, cuts, outcome)
    });
    while let Some(state) = reports.recv().await {
        progress.count(&state);
        tell(progress.stage());
    }
    let (filled, cuts, outcome) = cutting.await?;
    *origin = filled;
    Ok((cuts, outcome))
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
pub(super) fn unchanged(states: &States) -> Result<(), PackError> {
    let all: Vec<_> = states.iter().collect();
    let changed = in_parts(&all, |part| {
        let (mut part, mut looker) = (part.iter(), Looker::default());
        part.find(|(name, state)| !state.still_holds_to(Path::new(name), &mut looker))
            .map(|(name, _)| PathBuf::from(name))
    });
    match changed.into_iter().flatten().next() {
        Some(path) => Err(PackError::Changing { path }),
        None => Ok(()),
    }
}

/// A file, or all files below a folder (a cache that is named as a whole).
fn collect(
    path: &Path,
    depth: usize,
    looker: &mut Looker,
    states: &mut Vec<(OsString, State)>,
) -> Result<(), PackError> {
    let unreadable = |source| PackError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let facts = match looker.look(path) {
        Ok(facts) => facts,
        // Blender saw it a moment ago: it is asked again, and names it with its user if it stays away.
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(PackError::Changing {
                path: path.to_owned(),
            });
        }
        Err(source) => return Err(unreadable(source)),
    };
    if !facts.is_folder {
        states.push((name(path), facts.state));
        return Ok(());
    }
    if depth == 0 {
        return Err(unreadable(io::Error::new(
            io::ErrorKind::InvalidInput,
            "its folders are nested too deeply",
        )));
    }
    for entry in fs::read_dir(path).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        collect(&path, depth - 1, looker, states)?;
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

/// A file's place in the tree.
///
/// A name that some system cannot have is refused and not changed: a scene would look for it under the old name and render without it.
fn tree_path(path: &Path) -> Result<TreePath, PackError> {
    Ok(tree_paths(path, &[])?.remove(0))
}

/// The same, and where other machines have the file.
pub(super) fn tree_paths(path: &Path, maps: &[PathMap]) -> Result<Vec<TreePath>, PackError> {
    let text = path.to_str().ok_or_else(|| PackError::Name {
        path: path.display().to_string(),
        reason: "it is not valid text (UTF-8)".into(),
    })?;
    places(text, maps).map_err(|error| PackError::Name {
        path: text.to_owned(),
        reason: error.reason.to_owned(),
    })
}
