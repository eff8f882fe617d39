//! What a .blend needs, file by file, before anything is made of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::SystemTime;

use tessera_blender::{Build, ExternalFile, FileKind};
use tessera_model::FrameSet;

use super::files::{self, States};
use super::state::State;
use super::{PackError, PackOptions, PackStage, absolute, ask};

/// Everything that a .blend needs.
#[derive(Debug)]
pub struct Closure {
    /// The .blend.
    pub file: PathBuf,
    /// All files, the .blend too, by path.
    pub files: Vec<ClosureFile>,
    /// What the user should know.
    pub notes: Vec<String>,
    pub(super) build: Build,
    pub(super) states: States,
}

/// A file that a .blend needs, or the .blend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClosureFile {
    /// Where it lies.
    pub path: PathBuf,
    /// What the .blend calls it; empty: nothing names this one, but a folder that it lies in.
    pub stored: String,
    /// What it is; `None`: the .blend itself.
    pub kind: Option<FileKind>,
    /// Its size; `None`: it is not there.
    pub bytes: Option<u64>,
    /// Who needs it, for people.
    pub used_by: Vec<String>,
    /// Frames come out the same without it.
    pub optional: bool,
    /// The frames that need it; `None`: whatever frame is rendered.
    pub frames: Option<FrameSet>,
}

impl ClosureFile {
    /// Whether it should be there and is not.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.bytes.is_none() && !self.optional
    }

    /// Whether it is a .blend, which may name files itself.
    pub(super) fn is_blend(&self) -> bool {
        matches!(self.kind, None | Some(FileKind::Library))
    }
}

impl Closure {
    /// The files that are not there and should be.
    pub fn missing(&self) -> impl Iterator<Item = &ClosureFile> {
        self.files.iter().filter(|file| file.is_missing())
    }

    /// Bytes of all files.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.files.iter().filter_map(|file| file.bytes).sum()
    }
}

/// Looks what a .blend needs. Missing files are no error here.
///
/// # Errors
/// If Blender cannot read the .blend, or a file that it named cannot be looked at.
pub async fn closure(
    options: &PackOptions,
    mut tell: impl FnMut(PackStage),
) -> Result<Closure, PackError> {
    let file = absolute(&options.file, &options.cwd);
    let at = SystemTime::now();
    let state = State::of(&file)?;
    let asked = ask::ask(options, &file, &mut tell).await?;
    let main = files::Asked {
        main: &file,
        state,
        at,
    };
    let states = files::look_at(main, &asked.scan).await?;
    let named = asked.scan.files.iter();
    let named: BTreeMap<_, _> = named.map(|it| (files::name(&it.path), it)).collect();
    let mut all: Vec<_> = states
        .iter()
        .map(|(name, state)| {
            let path = PathBuf::from(name);
            entry(path, Some(state.bytes), named.get(name).copied())
        })
        .collect();
    let absent = asked.scan.files.iter().filter(|named| !named.exists);
    all.extend(absent.map(|named| entry(named.path.clone(), None, Some(named))));
    all.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(Closure {
        file,
        files: all,
        notes: asked.scan.notes,
        build: asked.build,
        states,
    })
}

/// What is not named itself lies in a folder that is, or is the .blend.
fn entry(path: PathBuf, bytes: Option<u64>, named: Option<&ExternalFile>) -> ClosureFile {
    ClosureFile {
        path,
        bytes,
        stored: named.map_or_else(String::new, |named| named.stored.clone()),
        kind: named.map(|named| named.kind),
        used_by: named.map_or_else(Vec::new, |named| named.used_by.clone()),
        optional: named.is_some_and(|named| named.optional),
        frames: named.and_then(|named| named.frames.clone()),
    }
}
