//! Why a scene cannot be packed.

use std::io;
use std::path::PathBuf;

use tessera_blender::{FileKind, HeaderError, Series};
use tessera_blobs::{CutError, ManifestError};

use crate::output::OutputError;

/// Missing files that an error's text names; all are in the error itself.
const NAMED_MAX: usize = 8;

/// A file that is needed and not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingFile {
    /// Where it should be.
    pub path: PathBuf,
    /// What it is.
    pub kind: FileKind,
    /// Who needs it, for people: "image 'Wood' in lib.blend".
    pub used_by: Vec<String>,
    /// What may have become of it, and what to do.
    pub hint: Option<String>,
}

impl std::fmt::Display for MissingFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.path.display())?;
        if let Some(first) = self.used_by.first() {
            write!(f, " (needed by {first}")?;
            if self.used_by.len() > 1 {
                write!(f, " and {} more", self.used_by.len() - 1)?;
            }
            f.write_str(")")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, " [{hint}]")?;
        }
        Ok(())
    }
}

fn list(missing: &[MissingFile]) -> String {
    let mut text: Vec<_> = missing
        .iter()
        .take(NAMED_MAX)
        .map(ToString::to_string)
        .collect();
    if missing.len() > NAMED_MAX {
        text.push(format!("and {} more", missing.len() - NAMED_MAX));
    }
    text.join(", ")
}

/// A scene that cannot be packed. Nothing was sent.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// Its frames cannot be rendered in tiles as is asked for.
    #[error(
        "the frames of scene {scene} cannot be rendered in tiles: {because}; leave out --split"
    )]
    Tiles {
        /// The scene.
        scene: String,
        /// Why.
        because: String,
    },
    /// Samples could not be added to its frame later, as is asked for.
    #[error(
        "there can be no room for more samples in frames of scene {scene}: {because}; leave out --room-for"
    )]
    Room {
        /// The scene.
        scene: String,
        /// Why.
        because: String,
    },
    /// The .blend cannot be read.
    #[error("{} cannot be read ({source}): check the path and its permissions", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// A folder or a file cannot be written.
    #[error("{} cannot be written ({source})", path.display())]
    Unwritable {
        /// Which.
        path: PathBuf,
        /// The system's own words.
        source: io::Error,
    },
    /// Something is where a folder or an archive is to be.
    #[error("{} is there already: remove it, or choose another name", path.display())]
    Taken {
        /// What is there.
        path: PathBuf,
    },
    /// It is not a .blend, or a damaged one.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// No Blender here can open it.
    #[error(
        "{} was saved by Blender {needed}, and {have}: install Blender {needed} or newer, or name one with --blender",
        file.display()
    )]
    NoBlender {
        /// The .blend.
        file: PathBuf,
        /// The series that saved it.
        needed: Series,
        /// What there is.
        have: String,
    },
    /// Blender could not open or read it.
    #[error(transparent)]
    Blender(#[from] tessera_blender::Error),
    /// Files that it needs are missing.
    #[error("{} needs {} that {} not there: {}", file.display(), plural(missing.len()), if missing.len() == 1 { "is" } else { "are" }, list(missing))]
    Missing {
        /// The .blend.
        file: PathBuf,
        /// All of them.
        missing: Vec<MissingFile>,
    },
    /// No scene of that name.
    #[error("{} has no scene '{name}': it has {}", file.display(), quoted(scenes))]
    Scene {
        /// The .blend.
        file: PathBuf,
        /// The name given.
        name: String,
        /// Scenes it has.
        scenes: Vec<String>,
    },
    /// No engine of that name.
    #[error("Blender has no render engine '{name}': it has {}", quoted(engines))]
    Engine {
        /// The name given.
        name: String,
        /// Engines there are.
        engines: Vec<String>,
    },
    /// The scene has no camera.
    #[error("scene '{scene}' of {} has no camera: add one in Blender, or choose another scene with --scene", file.display())]
    NoCamera {
        /// The .blend.
        file: PathBuf,
        /// The scene.
        scene: String,
    },
    /// It needs an add-on.
    #[error("{} needs the add-on '{name}' (for {used_by}), which Blender on a farm does not have", file.display())]
    Addon {
        /// The .blend.
        file: PathBuf,
        /// The add-on.
        name: String,
        /// Who needs it.
        used_by: String,
    },
    /// Its frame range is none.
    #[error(
        "the frame range of scene '{scene}' cannot be rendered ({source}): give frames with -f"
    )]
    Frames {
        /// The scene.
        scene: String,
        /// What is wrong with it.
        source: tessera_model::FrameSetError,
    },
    /// A path is not text or has signs that other systems cannot have.
    #[error("{path} cannot be sent under this name ({reason}): rename it")]
    Name {
        /// The path.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Reading a file failed.
    #[error("{error}{}", because(error))]
    Cut {
        /// How.
        error: CutError,
    },
    /// The tree is impossible.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// Files keep changing.
    #[error("{} changed while it was being read: wait until it is saved and try again", path.display())]
    Changing {
        /// The file.
        path: PathBuf,
    },
    /// The output folder cannot be used.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// A thread of this program failed.
    #[error("the reading was ended from inside: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

fn plural(count: usize) -> String {
    if count == 1 {
        "a file".into()
    } else {
        format!("{count} files")
    }
}

fn quoted(names: &[String]) -> String {
    names
        .iter()
        .map(|name| format!("'{name}'"))
        .collect::<Vec<_>>()
        .join(", ")
}

/// The system's reason, which the error itself leaves to its source.
fn because(error: &CutError) -> String {
    std::error::Error::source(error)
        .map(|source| format!(" ({source})"))
        .unwrap_or_default()
}
