//! A copy of a .blend that finds its files elsewhere.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Remap;

/// Makes a copy of a .blend, opened with its windows and without its scripts. Nothing is open afterwards.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyFile {
    /// The .blend, where it lies among its files.
    pub source: PathBuf,
    /// Where the copy is saved; folders are made.
    pub destination: PathBuf,
    /// Paths that lead below this folder are made relative to the .blend, so that they hold wherever the folder is put.
    pub root: Option<PathBuf>,
    /// Images and whatever else Blender can pack are put into the copy. Not those of libraries, which are files of their own.
    pub textures: bool,
    /// Paths of other machines, and where their files lie here: these become paths of this one first.
    pub remap: Vec<Remap>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// There is a copy; else nothing had to be changed, and the file itself is as good.
    pub saved: bool,
    /// How many paths were made relative.
    pub repointed: u32,
    /// Files that are in the copy now.
    pub packed: Vec<PathBuf>,
    /// If some are: files that the copy still names, folders of caches aside.
    pub external: Vec<PathBuf>,
}
