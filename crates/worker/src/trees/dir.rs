//! Where trees lie, and the trees that slots have for themselves.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tessera_blobs::Digest;
use tokio_util::sync::CancellationToken;

/// Where trees lie: each under the digest of its manifest. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct TreesDir {
    root: Arc<PathBuf>,
}

impl TreesDir {
    pub(crate) fn new(root: PathBuf) -> Self {
        Self {
            root: Arc::new(root),
        }
    }

    pub(crate) fn of(&self, manifest: &Digest) -> PathBuf {
        self.root.join(manifest.to_string())
    }

    fn own(&self, slot: usize) -> PathBuf {
        self.root.join(format!("slot-{slot}"))
    }

    /// Makes a tree of a slot's own with the files of the shared one: what is done to it is seen by nobody else. The one before
    /// it goes. Told to stop, it ends as interrupted, after the file at hand. Blocking.
    pub(crate) fn make_own(
        &self,
        manifest: &Digest,
        slot: usize,
        writer: Writer,
        stop: &CancellationToken,
    ) -> io::Result<OwnTree> {
        self.remove_own(slot)?;
        let path = self.own(slot);
        let mut copying = Copying { stop, shares: true };
        let copied = copying.below(&self.of(manifest), &path, writer == Writer::Scripts);
        if copied.is_err() {
            // Half of it is of use to nobody, least of all on a full disk.
            let _ = self.remove_own(slot);
        }
        copied.map(|bytes| OwnTree { path, bytes })
    }

    /// Removes a slot's own tree if there is one; [`find`](Self::find) does so to those of a former run. Blocking.
    pub(crate) fn remove_own(&self, slot: usize) -> io::Result<()> {
        match fs::remove_dir_all(self.own(slot)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            done => done,
        }
    }

    /// Trees of former runs with their bytes, the one unused longest first, as far as `recent` tells (the last one used first);
    /// before these those it does not know, the one made first first. What is half there is removed. Blocking.
    pub(crate) fn find(&self, recent: &[Digest]) -> io::Result<Vec<(Digest, u64)>> {
        fs::create_dir_all(&*self.root)?;
        let mut found = Vec::new();
        for entry in fs::read_dir(&*self.root)? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let name = entry.file_name();
            match name.to_str().and_then(|name| name.parse::<Digest>().ok()) {
                Some(manifest) => {
                    let made = entry.metadata()?.modified()?;
                    let unused_longer_than = recent.iter().rev().position(|used| *used == manifest);
                    found.push((
                        unused_longer_than,
                        made,
                        manifest,
                        bytes_below(&entry.path())?,
                    ));
                }
                None => fs::remove_dir_all(entry.path())?,
            }
        }
        found.sort_unstable();
        Ok(found
            .into_iter()
            .map(|(_, _, manifest, bytes)| (manifest, bytes))
            .collect())
    }
}

/// A tree that one slot has for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OwnTree {
    pub path: PathBuf,
    /// Of its files, but for those it shares.
    pub bytes: u64,
}

/// Who writes into a tree, which decides what of it may be shared. That files are read-only is no bar: scripts can change that,
/// and to root it means nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writer {
    /// Blender's simulations, which write their caches.
    Simulation,
    /// Scripts of the file: anything anywhere.
    Scripts,
}

/// How the folders begin that simulations keep their caches in, beside the file: particles, cloth and soft bodies in the one,
/// fluids in the other, unless the file says otherwise.
const CACHE_PREFIXES: [&str; 2] = ["blendcache_", "cache_fluid"];

/// How the files end that simulations write wherever the file says; and .blend files, in which paths are made to fit the tree.
const WRITTEN_EXTENSIONS: [&str; 6] = ["bphys", "uni", "vdb", "gz", "raw", "blend"];

/// A tree being made of another one.
struct Copying<'a> {
    stop: &'a CancellationToken,
    /// Whether this file system can share a file's blocks until one of the two is written to; false once it said no.
    shares: bool,
}

impl Copying<'_> {
    /// Makes the folders of `from` under `to`, with files of its own where the file system shares blocks until they are written to;
    /// elsewhere with copies of what may be `written` to and links to all else. The bytes copied.
    fn below(&mut self, from: &Path, to: &Path, written: bool) -> io::Result<u64> {
        fs::create_dir(to)?;
        let mut bytes = 0;
        for entry in fs::read_dir(from)? {
            if self.stop.is_cancelled() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let entry = entry?;
            let name = entry.file_name();
            let (old, new) = (entry.path(), to.join(&name));
            if entry.file_type()?.is_dir() {
                let name = name.to_string_lossy();
                let cache = CACHE_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
                bytes += self.below(&old, &new, written || cache)?;
            } else {
                bytes += self.file(&old, &new, written || is_written(&old))?;
            }
        }
        Ok(bytes)
    }

    fn file(&mut self, old: &Path, new: &Path, written: bool) -> io::Result<u64> {
        let mut bytes = 0;
        self.shares = self.shares && share(old, new).is_ok();
        if !self.shares {
            // Not every file system has links.
            if !written && fs::hard_link(old, new).is_ok() {
                return Ok(0);
            }
            bytes = fs::copy(old, new)?;
        }
        if written {
            let_be_written(new)?;
        }
        Ok(bytes)
    }
}

/// Makes a file that shares the blocks of another one until either is written to. Nothing is left of it if that cannot be.
#[cfg(target_os = "linux")]
fn share(old: &Path, new: &Path) -> io::Result<()> {
    let from = File::open(old)?;
    let to = File::create_new(new)?;
    let shared = rustix::fs::ioctl_ficlone(&to, &from)
        .map_err(io::Error::from)
        .and_then(|()| to.set_permissions(from.metadata()?.permissions()));
    if shared.is_err() {
        fs::remove_file(new)?;
    }
    shared
}

#[cfg(not(target_os = "linux"))]
fn share(_old: &Path, _new: &Path) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

fn is_written(path: &Path) -> bool {
    let extension = path.extension().unwrap_or_default();
    WRITTEN_EXTENSIONS
        .iter()
        .any(|written| extension.eq_ignore_ascii_case(written))
}

fn let_be_written(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let mode = fs::metadata(path)?.permissions().mode();
    fs::set_permissions(path, fs::Permissions::from_mode(mode | 0o600))
}

fn bytes_below(dir: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        bytes += match kind.is_dir() {
            true => bytes_below(&entry.path())?,
            false => entry.metadata()?.len(),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_done_to_an_own_tree_is_not_done_to_the_shared_one() {
        let dir = tempfile::tempdir().unwrap();
        let trees = TreesDir::new(dir.path().join("trees"));
        let manifest = Digest::of(b"manifest");
        let shared = trees.of(&manifest).join("home/u");
        let files = [
            ("a.blend", true),
            ("texture.png", false),
            ("blendcache_a/0001.png", true),
            ("sim/noise/0001.VDB", true),
        ];
        for (name, _) in files {
            let path = shared.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "shared").unwrap();
        }
        let mut paths = Vec::new();
        let go_on = CancellationToken::new();
        for (slot, writer) in [(0, Writer::Simulation), (1, Writer::Scripts)] {
            let own = trees.make_own(&manifest, slot, writer, &go_on).unwrap();
            let copied = files.map(|(_, written)| written || writer == Writer::Scripts);
            let count = copied.iter().filter(|copied| **copied).count();
            assert!([0, 6 * count as u64].contains(&own.bytes), "{own:?}");
            for ((name, _), copied) in files.iter().zip(copied) {
                if copied {
                    fs::write(own.path.join("home/u").join(name), "other").unwrap();
                }
                let left = fs::read_to_string(shared.join(name)).unwrap();
                assert_eq!(left, "shared", "{name}");
            }
            paths.push(own.path);
        }
        // Made anew, it is as the shared one is.
        let own = trees
            .make_own(&manifest, 1, Writer::Simulation, &go_on)
            .unwrap();
        let text = fs::read_to_string(own.path.join("home/u/a.blend")).unwrap();
        assert_eq!(text, "shared");
        trees.remove_own(1).unwrap();
        trees.remove_own(1).unwrap();
        assert!(paths[0].exists() && !paths[1].exists());
        // One that is stopped leaves nothing.
        let stop = CancellationToken::new();
        stop.cancel();
        let stopped = trees.make_own(&manifest, 1, Writer::Scripts, &stop);
        assert_eq!(stopped.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert!(!paths[1].exists());
        // And of a former run nothing is left.
        let found: Vec<Digest> = trees
            .find(&[])
            .unwrap()
            .into_iter()
            .map(|(of, _)| of)
            .collect();
        assert_eq!(found, [manifest]);
        assert!(!paths[0].exists());
    }
    #[test]
    fn trees_of_a_former_run_are_in_the_order_of_their_use() {
        let dir = tempfile::tempdir().unwrap();
        let trees = TreesDir::new(dir.path().join("trees"));
        let made: Vec<Digest> = (0..4u8).map(|seed| Digest::of(&[seed])).collect();
        for manifest in &made {
            fs::create_dir_all(trees.of(manifest)).unwrap();
        }
        let found = trees.find(&[made[1], made[3], made[0]]).unwrap();
        let order: Vec<Digest> = found.into_iter().map(|(of, _)| of).collect();
        assert_eq!(order, [made[2], made[0], made[3], made[1]]);
    }
}
