//! Everything that a .blend needs in one folder or archive, which opens in Blender wherever it is put.
//!
//! Files keep their places to each other: the folder is what lies below the deepest folder that holds them all. So relative paths hold
//! as they are, and a .blend that has no others is copied as it is. One that names files by absolute paths is saved anew by
//! Blender with relative ones. The folder or archive appears under its name when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tessera_blender::{Build, FileKind};

use super::copies::{self, Changes, Copies};
use super::hint::hint;
use super::{Closure, ClosureFile, MissingFile, PackError, PackOptions, PackStage, PathMap};

/// zstd's own default: more costs much time and gains little on textures, which are compressed already.
const ZSTD_LEVEL: i32 = 3;

/// How names of archives end that nobody would give to a folder.
const OTHER_ARCHIVES: [&str; 8] = [".7z", ".bz2", ".gz", ".rar", ".tar", ".tgz", ".xz", ".zst"];

/// Where everything is put, and in which form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BundleForm {
    /// A folder that is not there yet.
    Folder(PathBuf),
    /// A .zip.
    Zip(PathBuf),
    /// A .tar.zst.
    TarZstd(PathBuf),
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// The folder or the archive.
    pub path: PathBuf,
    /// The .blend in it: its path, or in an archive the one it has once unpacked, from where that is done.
    pub main: PathBuf,
    /// Files in it.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// .blend files that were saved anew, with relative paths or textures inside.
    pub saved_anew: Vec<PathBuf>,
    /// The Blender that saved them, which only it and newer ones open.
    pub saved_by: Build,
    /// Files that are inside of .blend files now.
    pub inside: u64,
}

impl BundleForm {
    /// As the name asks: an archive by its extension, else a folder. None if it asks for an archive that cannot be made.
    #[must_use]
    pub fn of(path: PathBuf) -> Option<Self> {
        let name = path.to_string_lossy().to_ascii_lowercase();
        if name.ends_with(".zip") {
            Some(Self::Zip(path))
        } else if name.ends_with(".tar.zst") {
            Some(Self::TarZstd(path))
        } else if OTHER_ARCHIVES.iter().any(|ending| name.ends_with(ending)) {
            None
        } else {
            Some(Self::Folder(path))
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Folder(path) | Self::Zip(path) | Self::TarZstd(path) => path,
        }
    }

    /// The one folder that an archive unpacks to.
    fn folder_inside(&self) -> String {
        let name = self.path().file_name().unwrap_or_default();
        let name = name.to_string_lossy();
        let stem = name.split('.').find(|part| !part.is_empty());
        stem.unwrap_or("scene").to_owned()
    }
}

/// A file to be put in, and its name there, with slashes.
struct Item {
    name: String,
    source: PathBuf,
}

/// Puts everything that is there into a folder or an archive; with `textures`, those that Blender can pack into the .blend files.
///
/// # Errors
/// If the target is there already, if a file changes meanwhile, and whatever Blender and the file system have to say. Nothing is left then.
pub async fn bundle(
    closure: &Closure,
    options: &PackOptions,
    form: BundleForm,
    textures: bool,
    mut tell: impl FnMut(PackStage),
) -> Result<Bundle, PackError> {
    let target = super::absolute(form.path(), &options.cwd);
    if target.symlink_metadata().is_ok() {
        return Err(PackError::Taken { path: target });
    }
    let place = target.parent().unwrap_or(Path::new("/")).to_owned();
    let there = || closure.files.iter().filter(|file| file.bytes.is_some());
    let root = common_folder(there().map(|file| file.path.as_path()));
    let blends: Vec<_> = there()
        .filter(|file| file.is_blend())
        .map(|file| file.path.clone())
        .collect();
    let changes = Changes {
        root: Some(&root),
        textures,
        maps: &options.maps,
    };
    let copies = copies::make(
        &blends,
        changes,
        &closure.build,
        &place,
        &options.log_dir,
        &mut tell,
    )
    .await?;
    let items = there()
        .filter(|file| !copies.inside.contains(&file.path))
        .map(|file| item(file, &root, &copies))
        .collect::<Result<Vec<_>, _>>()?;
    let main = item_name(&closure.file, &root)?;
    let main = match &form {
        BundleForm::Folder(_) => target.join(main),
        archive => Path::new(&archive.folder_inside()).join(main),
    };
    let (files, saved_anew) = (items.len() as u64, copies.made.iter());
    let saved_anew = saved_anew.map(|(original, _)| original.clone()).collect();
    let (states, inside) = (closure.states.clone(), copies.inside.len() as u64);
    let written = tokio::task::spawn_blocking(move || {
        let bytes = write(&form, &target, &items, || super::files::unchanged(&states))?;
        drop(copies);
        Ok::<_, PackError>((target, bytes))
    });
    let (path, bytes) = written.await??;
    Ok(Bundle {
        main,
        path,
        files,
        bytes,
        saved_anew,
        saved_by: closure.build.clone(),
        inside,
    })
}

/// Refuses a closure that lacks something; `maps` are those by which it was looked for.
///
/// # Errors
/// [`PackError::Missing`], naming all of it.
pub fn all_there(closure: &Closure, maps: &[PathMap]) -> Result<(), PackError> {
    let missing: Vec<_> = closure
        .missing()
        .map(|file| MissingFile {
            hint: hint(&file.stored, &file.path, maps),
            path: file.path.clone(),
            kind: file.kind.unwrap_or(FileKind::Other),
            used_by: file.used_by.clone(),
        })
        .collect();
    match missing.is_empty() {
        true => Ok(()),
        false => Err(PackError::Missing {
            file: closure.file.clone(),
            missing,
        }),
    }
}

/// The deepest folder that holds all of these files.
fn common_folder<'a>(mut paths: impl Iterator<Item = &'a Path>) -> PathBuf {
    let first = paths.next().and_then(Path::parent);
    let mut folder = first.unwrap_or(Path::new("/")).to_owned();
    for path in paths {
        while !path.starts_with(&folder) {
            folder.pop();
        }
    }
    folder
}

fn item(file: &ClosureFile, root: &Path, copies: &Copies) -> Result<Item, PackError> {
    Ok(Item {
        name: item_name(&file.path, root)?,
        source: copies.of(&file.path).to_owned(),
    })
}

fn item_name(path: &Path, root: &Path) -> Result<String, PackError> {
    let below = path.strip_prefix(root).unwrap_or(path);
    let text = below.to_str().ok_or_else(|| PackError::Name {
        path: path.display().to_string(),
        reason: "it is not valid text (UTF-8)".into(),
    })?;
    Ok(match std::path::MAIN_SEPARATOR {
        '/' => text.to_owned(),
        separator => text.replace(separator, "/"),
    })
}

/// Writes everything beside the target and gives it the target's name once it is whole and `still` holds. Returns the bytes put in.
fn write(
    form: &BundleForm,
    target: &Path,
    items: &[Item],
    still: impl FnOnce() -> Result<(), PackError>,
) -> Result<u64, PackError> {
    let unwritable = |source| PackError::Unwritable {
        path: target.to_owned(),
        source,
    };
    let place = target.parent().unwrap_or(Path::new("/"));
    let hidden = tempfile::Builder::new()
        .prefix(".tessera-pack-")
        .tempdir_in(place)
        .map_err(unwritable)?;
    let unfinished = hidden.path().join("unfinished");
    let bytes = match form {
        BundleForm::Folder(_) => write_folder(&unfinished, items),
        BundleForm::Zip(_) => write_zip(&unfinished, &form.folder_inside(), items),
        BundleForm::TarZstd(_) => write_tar(&unfinished, &form.folder_inside(), items),
    }?;
    still()?;
    fs::rename(&unfinished, target).map_err(unwritable)?;
    Ok(bytes)
}

/// Reading and writing are told apart: one is about the file, the other about the disk.
fn failed(item: &Item, source: io::Error) -> PackError {
    let path = item.source.clone();
    match source.kind() {
        // It was there a moment ago.
        io::ErrorKind::NotFound => PackError::Changing { path },
        io::ErrorKind::StorageFull => PackError::Unwritable { path, source },
        _ => PackError::Unreadable { path, source },
    }
}

fn write_folder(folder: &Path, items: &[Item]) -> Result<u64, PackError> {
    let mut bytes = 0;
    for item in items {
        let place = folder.join(&item.name);
        let made = place.parent().map_or(Ok(()), fs::create_dir_all);
        bytes += made
            .and_then(|()| fs::copy(&item.source, &place))
            .map_err(|source| failed(item, source))?;
    }
    Ok(bytes)
}

fn write_zip(path: &Path, inside: &str, items: &[Item]) -> Result<u64, PackError> {
    let unwritable = |source| PackError::Unwritable {
        path: path.to_owned(),
        source,
    };
    let file = File::create(path).map_err(unwritable)?;
    let mut zip = zip::ZipWriter::new(BufWriter::new(file));
    let mut bytes = 0;
    for item in items {
        let mut copy = || -> io::Result<u64> {
            let mut source = File::open(&item.source)?;
            // Room for sizes beyond 4 GiB has to be made before they are known.
            let large = source.metadata()?.len() >= u64::from(u32::MAX) / 2;
            let options = zip::write::SimpleFileOptions::default()
                .compression_method(zip::CompressionMethod::Deflated)
                .large_file(large);
            zip.start_file(format!("{inside}/{}", item.name), options)?;
            io::copy(&mut source, &mut zip)
        };
        bytes += copy().map_err(|source| failed(item, source))?;
    }
    let ended = zip.finish().map_err(io::Error::from);
    let flushed = ended.and_then(|mut file| file.flush());
    flushed.map_err(unwritable)?;
    Ok(bytes)
}

fn write_tar(path: &Path, inside: &str, items: &[Item]) -> Result<u64, PackError> {
    let unwritable = |source| PackError::Unwritable {
        path: path.to_owned(),
        source,
    };
    let file = File::create(path).map_err(unwritable)?;
    let packer = zstd::Encoder::new(BufWriter::new(file), ZSTD_LEVEL).map_err(unwritable)?;
    let mut tar = tar::Builder::new(packer);
    let mut bytes = 0;
    for item in items {
        let mut copy = || -> io::Result<u64> {
            let mut source = File::open(&item.source)?;
            let len = source.metadata()?.len();
            tar.append_file(format!("{inside}/{}", item.name), &mut source)?;
            Ok(len)
        };
        bytes += copy().map_err(|source| failed(item, source))?;
    }
    let ended = tar.into_inner().and_then(zstd::Encoder::finish);
    let flushed = ended.and_then(|mut file| file.flush());
    flushed.map_err(unwritable)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_folder_that_holds_all() {
        let check = |paths: &[&str], folder: &str| {
            let paths = paths.iter().map(Path::new);
            assert_eq!(common_folder(paths), Path::new(folder));
        };
        check(&["/a/b/c.blend"], "/a/b");
        check(&["/a/b/c.blend", "/a/b/tex/d.png"], "/a/b");
        check(&["/a/b/tex/d.png", "/a/bc/c.blend"], "/a");
        check(&["/a/b/c.blend", "/d/e.png"], "/");
    }

    #[test]
    fn forms_by_name() {
        let form = |name: &str| BundleForm::of(name.into()).unwrap();
        assert!(matches!(form("out/shot.ZIP"), BundleForm::Zip(_)));
        assert!(matches!(form("out/shot.tar.zst"), BundleForm::TarZstd(_)));
        assert!(matches!(form("out/shot.v2"), BundleForm::Folder(_)));
        assert_eq!(form("out/shot.tar.zst").folder_inside(), "shot");
        assert_eq!(form(".zip").folder_inside(), "zip");
        for name in ["shot.rar", "shot.tar.gz", "shot.TAR"] {
            assert!(BundleForm::of(name.into()).is_none(), "{name}");
        }
    }

    #[test]
    fn every_form_holds_what_was_put_in_and_appears_when_it_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        let (small, large) = (b"small".to_vec(), vec![7; 3 << 20]);
        let items = [("a.png", &small), ("deep/a.png", &large)].map(|(name, bytes)| {
            let source = dir.path().join(name.replace('/', "-"));
            fs::write(&source, bytes).unwrap();
            Item {
                name: name.to_owned(),
                source,
            }
        });
        let write = |name: &str, still: fn() -> Result<(), PackError>| {
            let target = dir.path().join(name);
            let form = BundleForm::of(target.clone()).unwrap();
            (write(&form, &target, &items, still), target)
        };
        for name in ["folder", "shot.zip", "shot.tar.zst"] {
            let changed = || Err(PackError::Changing { path: "x".into() });
            let (refused, target) = write(name, changed);
            assert!(refused.is_err() && !target.exists(), "{name}");
            let (written, _) = write(name, || Ok(()));
            assert_eq!(written.unwrap(), 5 + (3 << 20), "{name}");
        }
        assert_eq!(
            fs::read(dir.path().join("folder/deep/a.png")).unwrap(),
            large
        );

        let zip = File::open(dir.path().join("shot.zip")).unwrap();
        let mut zip = zip::ZipArchive::new(zip).unwrap();
        let mut out = Vec::new();
        io::copy(&mut zip.by_name("shot/deep/a.png").unwrap(), &mut out).unwrap();
        assert!(zip.len() == 2 && out == large);

        let tar = File::open(dir.path().join("shot.tar.zst")).unwrap();
        let mut tar = tar::Archive::new(zstd::Decoder::new(tar).unwrap());
        let mut names = Vec::new();
        for entry in tar.entries().unwrap() {
            let mut entry = entry.unwrap();
            names.push(entry.path().unwrap().display().to_string());
            let mut out = Vec::new();
            io::copy(&mut entry, &mut out).unwrap();
            assert!(out == small || out == large);
        }
        assert_eq!(names, ["shot/a.png", "shot/deep/a.png"]);
        // Nothing half done is left.
        let left = fs::read_dir(dir.path()).unwrap();
        assert_eq!(left.count(), 2 + 3);
    }
}
