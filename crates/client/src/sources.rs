//! The user's own files that a job was made of: nothing that comes back from a farm takes the place of one of them.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use tessera_blobs::{BoxError, Digest, Manifest, ManifestError, missing_blocks, read_file};
use tessera_model::Blob;
use tessera_wire::blob::to_store;

use crate::api::{Api, ApiError};

/// Blocks of a manifest asked for at once.
const ASK_BLOCKS: usize = 64;

/// Questions for one manifest: it has few levels of lists.
const ROUNDS_MAX: usize = 16;

/// Largest manifest that is read, as large as any is read at all.
const MANIFEST_MAX_BYTES: u64 = 256 << 20;

/// Which files a job was made of cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SourcesError {
    /// The manager could not be reached, or said no.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// It is no manifest, or a part of it is gone.
    #[error(
        "the farm's list of the job's files cannot be read ({reason}), so nothing is written that could take their place: submit the job again"
    )]
    Unreadable {
        /// What is wrong with it.
        reason: String,
    },
}

/// Files that no frame replaces, on the machine they were packed on.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    paths: HashSet<PathBuf>,
}

impl Sources {
    /// The files of a manifest. Blocking: links on the way to them are followed, so that a file is known by any of its paths.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        let paths = manifest.iter();
        let paths = paths.map(|(path, _)| Path::new("/").join(path.as_str()));
        Self::default().and(paths)
    }

    /// With other files too.
    #[must_use]
    pub(crate) fn and(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        for path in paths {
            self.paths.extend([real(&path), path]);
        }
        self
    }

    /// The files of a job on a farm.
    ///
    /// # Errors
    /// See [`SourcesError`].
    pub async fn of_job(api: &Api, manifest: &Blob) -> Result<Self, SourcesError> {
        let unreadable = |reason: String| SourcesError::Unreadable { reason };
        let root = to_store(manifest);
        if root.size > MANIFEST_MAX_BYTES {
            return Err(unreadable(format!("it has {} bytes", root.size)));
        }
        let mut got: HashMap<Digest, Vec<u8>> = HashMap::new();
        for _ in 0..ROUNDS_MAX {
            let have = |digest: &Digest| got.contains_key(digest);
            let read = |digest: &Digest| Ok::<_, BoxError>(got.get(digest).cloned());
            let missing = missing_blocks([&root], have, read)
                .map_err(|error| unreadable(error.to_string()))?;
            let digests: Vec<_> = missing.iter().copied().collect();
            if digests.is_empty() {
                break;
            }
            for piece in digests.chunks(ASK_BLOCKS) {
                let mut coming = api.fetch_blocks(piece).await?;
                while let Some(block) = coming.next().await? {
                    let bytes = block
                        .decode()
                        .map_err(|error| unreadable(error.to_string()))?;
                    got.insert(block.digest, bytes);
                }
            }
        }
        let parse = move || -> Result<Self, ManifestError> {
            let mut bytes = Vec::new();
            read_file(
                &root,
                |digest| Ok::<_, BoxError>(got.get(digest).cloned()),
                &mut bytes,
            )?;
            Ok(Self::of(&Manifest::from_bytes(&bytes)?))
        };
        let parsed = tokio::task::spawn_blocking(parse).await;
        match parsed {
            Ok(sources) => sources.map_err(|error| unreadable(error.to_string())),
            Err(panic) => Err(unreadable(panic.to_string())),
        }
    }

    /// Whether a file that is put here would take the place of one of them.
    #[must_use]
    pub fn has(&self, place: &Path) -> bool {
        !self.paths.is_empty() && (self.paths.contains(place) || self.paths.contains(&real(place)))
    }
}

/// A path with the links in its folders followed. Not one in the place of the file itself: that is replaced, not followed.
fn real(path: &Path) -> PathBuf {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return path.to_owned();
    };
    folder
        .canonicalize()
        .map_or_else(|_| path.to_owned(), |folder| folder.join(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_blobs::{BlobRef, Entry, EntryKind, FileEncoding, TreePath};

    #[test]
    fn a_source_is_known_by_any_path() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().canonicalize().unwrap().join("p");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(&folder, dir.path().join("link")).unwrap();
        let mut manifest = Manifest::new();
        let file = folder.join("scene.blend");
        let inside = file.strip_prefix("/").unwrap().to_str().unwrap();
        let entry = Entry {
            kind: EntryKind::File,
            blob: BlobRef::empty(),
            original_size: 0,
            encoding: FileEncoding::Raw,
            executable: false,
        };
        manifest
            .insert(TreePath::new(inside).unwrap(), entry)
            .unwrap();
        let sources = Sources::of(&manifest);
        assert!(sources.has(&file) && sources.has(&dir.path().join("link/scene.blend")));
        assert!(!sources.has(&folder.join("scene.png")));
        assert!(!Sources::default().has(&file));
    }
}
