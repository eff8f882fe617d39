//! Looks for Blenders on this machine, and remembers what it found.
//!
//! Asking a Blender what it is takes seconds, and its answer changes only with the program: answers are kept on disk by path,
//! size and time of change.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::build::Build;
use crate::probe::{ProbeError, probe};

/// Environment variable with Blenders to use, parted as in PATH.
const PATHS_VARIABLE: &str = "TESSERA_BLENDER";
/// Changes whenever [`Build`] does or the driver asks differently; an older cache is not read.
const CACHE_VERSION: u32 = 1;
/// Entries looked at in a folder named by the user: /opt with a few hundred programs, but not a whole file server.
const FOLDER_MAX_ENTRIES: usize = 1000;

/// Where to look.
#[derive(Clone, Debug)]
pub struct Search {
    /// Programs, or folders that hold them: an unpacked Blender, a folder of several, a Python environment.
    pub paths: Vec<PathBuf>,
    /// Also look where Blenders usually are: `TESSERA_BLENDER`, PATH, /opt, the user's folders.
    pub usual_places: bool,
    /// File in which answers are kept; `None`: ask each time.
    pub cache: Option<PathBuf>,
}

impl Default for Search {
    fn default() -> Self {
        Self {
            paths: Vec::new(),
            usual_places: true,
            cache: None,
        }
    }
}

/// What a search came upon.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In the order of the search; each program once.
    pub builds: Vec<Build>,
    pub broken: Vec<Broken>,
}

/// A path that should be a Blender and is not usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    pub path: PathBuf,
    /// A sentence for the user.
    pub reason: String,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Cache {
    version: u32,
    entries: BTreeMap<PathBuf, Entry>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Entry {
    size_bytes: u64,
    modified_nanoseconds: u128,
    build: Build,
}

/// Finds Blenders and asks each what it is.
pub async fn find(search: &Search) -> Found {
    let mut found = Found::default();
    let candidates = candidates(search, &mut found.broken);
    let mut cache = search.cache.as_deref().map(read_cache).unwrap_or_default();
    let mut changed = false;
    let mut asked = Vec::new();
    for path in candidates {
        let stamp = stamp(&path);
        let known = cache
            .entries
            .get(&path)
            .filter(|entry| Some((entry.size_bytes, entry.modified_nanoseconds)) == stamp);
        let answer = known.map(|entry| Ok(entry.build.clone()));
        asked.push((path, stamp, answer));
    }
    ask(&mut asked).await;
    for (path, stamp, answer) in asked {
        // A task that is gone has panicked, and said so.
        let Some(answer) = answer else { continue };
        match answer {
            Ok(build) => {
                if let Some((size_bytes, modified_nanoseconds)) = stamp {
                    let entry = Entry {
                        size_bytes,
                        modified_nanoseconds,
                        build: build.clone(),
                    };
                    changed |= cache.entries.get(&path) != Some(&entry);
                    cache.entries.insert(path, entry);
                }
                found.builds.push(build);
            }
            Err(error) => found.broken.push(Broken {
                path,
                reason: error.to_string(),
            }),
        }
    }
    if let Some(file) = search.cache.as_deref().filter(|_| changed) {
        write_cache(file, &cache);
    }
    found
}

/// A program, what its file is like, and what it says that it is.
type Asked = (
    PathBuf,
    Option<(u64, u128)>,
    Option<Result<Build, ProbeError>>,
);

/// Asks all that have not answered, several at once: each takes a second, of one processor.
async fn ask(asked: &mut [Asked]) {
    let at_once = std::thread::available_parallelism().map_or(1, usize::from);
    let mut waiting = Vec::new();
    for (index, (path, _, answer)) in asked.iter().enumerate().rev() {
        if answer.is_none() {
            waiting.push((index, path.clone()));
        }
    }
    let mut asking = JoinSet::new();
    loop {
        while asking.len() < at_once
            && let Some((index, path)) = waiting.pop()
        {
            asking.spawn(async move { (index, probe(&path).await) });
        }
        match asking.join_next().await {
            Some(Ok((index, answer))) => asked[index].2 = Some(answer),
            Some(Err(panic)) => tracing::error!("a Blender could not be asked: {panic}"),
            None => return,
        }
    }
}

/// Programs to ask, in order, each once. What the user named and is not there goes to `broken`.
fn candidates(search: &Search, broken: &mut Vec<Broken>) -> Vec<PathBuf> {
    let mut named = search.paths.clone();
    let mut usual = Vec::new();
    if search.usual_places {
        named.extend(
            std::env::var_os(PATHS_VARIABLE)
                .iter()
                .flat_map(std::env::split_paths),
        );
        usual.extend(
            std::env::var_os("PATH")
                .iter()
                .flat_map(std::env::split_paths)
                .map(|dir| dir.join(PROGRAM)),
        );
        usual.extend(
            usual_folders()
                .iter()
                .flat_map(|folder| programs_in(folder)),
        );
    }
    let mut candidates = Vec::new();
    for path in named
        .into_iter()
        .filter(|path| !path.as_os_str().is_empty())
    {
        let programs = if path.is_dir() {
            programs_in(&path)
        } else {
            vec![path.clone()]
        };
        if programs.is_empty() {
            let reason = format!(
                "{} holds neither Blender nor a Python that can import bpy",
                path.display()
            );
            broken.push(Broken { path, reason });
        }
        candidates.extend(programs);
    }
    candidates.extend(usual.into_iter().filter(|path| path.is_file()));
    let mut seen = BTreeSet::new();
    candidates.retain(|path| seen.insert(identity(path)));
    candidates
}

/// The same program by another way is the same: /bin may be /usr/bin. Interpreters of virtual environments
/// are links to one interpreter and still differ, so only their folder is resolved.
fn identity(path: &Path) -> PathBuf {
    let is_python = path
        .file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with("python"));
    let resolved = match (is_python, path.parent(), path.file_name()) {
        (true, Some(folder), Some(name)) => folder.canonicalize().map(|folder| folder.join(name)),
        _ => path.canonicalize(),
    };
    resolved.unwrap_or_else(|_| path.to_path_buf())
}

const PROGRAM: &str = if cfg!(windows) {
    "blender.exe"
} else {
    "blender"
};

fn usual_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = if cfg!(target_os = "macos") {
        vec!["/Applications".into()]
    } else if cfg!(windows) {
        vec![r"C:\Program Files\Blender Foundation".into()]
    } else {
        ["/opt", "/usr/local", "/snap/blender/current"]
            .map(PathBuf::from)
            .into()
    };
    if let Some(home) = std::env::home_dir() {
        folders.extend(
            ["", ".local", ".local/opt", "Applications", "blender"].map(|folder| home.join(folder)),
        );
        // Where `make setup` puts the wheels, each in an environment of its own.
        let ours = home.join(".cache/tessera");
        let mut environments: Vec<PathBuf> = entries(&ours)
            .filter(|path| name_starts(path, "bpy-"))
            .collect();
        environments.sort();
        folders.extend(environments);
    }
    folders
}

/// Blenders in a folder, or in folders of it called blender-something.
fn programs_in(folder: &Path) -> Vec<PathBuf> {
    let mut programs = program_of(folder);
    let mut inner: Vec<PathBuf> = entries(folder).filter(|path| path.is_dir()).collect();
    inner.sort();
    programs.extend(inner.iter().flat_map(|folder| program_of(folder)));
    programs
}

/// The Blender that a folder itself is: unpacked, an app bundle, an installation prefix, or a Python environment with bpy.
fn program_of(folder: &Path) -> Vec<PathBuf> {
    let mut programs: Vec<PathBuf> = ["", "bin", "Contents/MacOS", "Blender.app/Contents/MacOS"]
        .iter()
        .flat_map(|inner| [PROGRAM, "Blender"].map(|name| folder.join(inner).join(name)))
        .filter(|path| path.is_file())
        .collect();
    let python = folder.join(if cfg!(windows) {
        r"Scripts\python.exe"
    } else {
        "bin/python"
    });
    let holds_bpy = || {
        let libraries = [folder.join("lib"), folder.join("Lib")];
        libraries
            .iter()
            .flat_map(|lib| entries(lib).chain([lib.clone()]))
            .any(|lib| lib.join("site-packages/bpy").is_dir())
    };
    if python.is_file() && holds_bpy() {
        programs.push(python);
    }
    programs
}

fn entries(folder: &Path) -> impl Iterator<Item = PathBuf> {
    std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .take(FOLDER_MAX_ENTRIES)
        .map(|entry| entry.path())
}

fn name_starts(path: &Path, start: &str) -> bool {
    path.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(start))
}

fn stamp(path: &Path) -> Option<(u64, u128)> {
    let metadata = std::fs::metadata(path).ok()?;
    // An interpreter says nothing of the wheel beside it: installing another bpy changes the folder.
    let lib = path
        .parent()
        .and_then(Path::parent)
        .map(|prefix| prefix.join("lib"));
    let inner = lib
        .iter()
        .flat_map(|lib| entries(lib))
        .map(|lib| lib.join("site-packages"));
    let modified = inner
        .filter_map(|folder| std::fs::metadata(folder).ok())
        .chain([metadata.clone()])
        .filter_map(|metadata| metadata.modified().ok()?.duration_since(UNIX_EPOCH).ok())
        .max()?;
    Some((metadata.len(), modified.as_nanos()))
}

fn read_cache(file: &Path) -> Cache {
    let read = std::fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice::<Cache>(&bytes).ok());
    read.filter(|cache| cache.version == CACHE_VERSION)
        .unwrap_or_default()
}

fn write_cache(file: &Path, cache: &Cache) {
    let cache = Cache {
        version: CACHE_VERSION,
        entries: cache.entries.clone(),
    };
    let write = || -> std::io::Result<()> {
        let folder = file.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder)?;
        let mut temporary = tempfile::NamedTempFile::new_in(folder)?;
        serde_json::to_writer(&mut temporary, &cache)?;
        temporary.persist(file)?;
        Ok(())
    };
    if let Err(error) = write() {
        tracing::warn!(file = %file.display(), %error, "cannot remember which Blenders are here; they are asked again next time");
    }
}
