//! Copies of the .blend files of a scene, made by Blender: with paths that hold in another place, or with textures inside.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tessera_blender::{Blender, Build, CopyFile, Launch, LogFiles};

use super::path_map::rules;
use super::{PackError, PackStage, PathMap};

/// How the folders of copies begin.
const PREFIX: &str = ".tessera-copies-";

/// A folder of copies that is older was left by a command that was killed: none sends for so long.
const STALE_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// What is to be changed in the copies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Changes<'a> {
    /// Paths that lead below this folder become relative.
    pub(super) root: Option<&'a Path>,
    /// Textures are put inside.
    pub(super) textures: bool,
    /// Paths of other machines become those of this one first.
    pub(super) maps: &'a [PathMap],
}

/// The copies, gone with this.
#[derive(Debug)]
pub(super) struct Copies {
    _folder: TempDir,
    /// Each file that had to be changed, and its copy.
    pub(super) made: Vec<(PathBuf, PathBuf)>,
    /// Files that are inside of copies, and that nothing names any more.
    pub(super) inside: BTreeSet<PathBuf>,
}

impl Copies {
    /// Where the bytes are that stand for a file.
    pub(super) fn of<'a>(&'a self, path: &'a Path) -> &'a Path {
        let made = self.made.iter().find(|(original, _)| original == path);
        made.map_or(path, |(_, copy)| copy)
    }
}

/// Makes copies of `blends` in a folder of their own below `place`, of those that have to be changed.
pub(super) async fn make(
    blends: &[PathBuf],
    changes: Changes<'_>,
    build: &Build,
    place: &Path,
    log_dir: &Path,
    tell: &mut impl FnMut(PackStage),
) -> Result<Copies, PackError> {
    let unwritable = |source| PackError::Unwritable {
        path: place.to_owned(),
        source,
    };
    std::fs::create_dir_all(place).map_err(unwritable)?;
    sweep(place);
    let folder = tempfile::Builder::new()
        .prefix(PREFIX)
        .tempdir_in(place)
        .map_err(unwritable)?;
    let log = LogFiles::in_dir(log_dir, "copy");
    let mut blender = Blender::launch(build, &Launch::default(), &log).await?;
    let (mut made, mut packed, mut external) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    for (number, source) in blends.iter().enumerate() {
        tell(PackStage::Copying {
            blend: number + 1,
            blends: blends.len(),
        });
        // Named as the file is, since Blender shows it, in a folder of its own, since names may be equal.
        let name = source.file_name().unwrap_or(source.as_os_str());
        let destination = folder.path().join(number.to_string()).join(name);
        let copy = CopyFile {
            source: source.clone(),
            destination: destination.clone(),
            root: changes.root.map(Path::to_owned),
            textures: changes.textures,
            remap: rules(changes.maps),
        };
        let copied = blender.copy(&copy, &log).await?;
        if copied.saved {
            made.push((source.clone(), destination));
        }
        packed.extend(copied.packed);
        external.extend(copied.external);
    }
    if let Err(error) = blender.quit().await {
        tracing::debug!(%error, "Blender did not end by itself after copying files");
    }
    Ok(Copies {
        _folder: folder,
        made,
        inside: packed.difference(&external).cloned().collect(),
    })
}

/// Removes what was left long ago. What cannot be removed is left alone.
fn sweep(place: &Path) {
    for entry in std::fs::read_dir(place).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let made = entry.metadata().and_then(|facts| facts.modified());
        let age = made.ok().and_then(|at| at.elapsed().ok());
        if age.is_some_and(|age| age > STALE_AFTER) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}
