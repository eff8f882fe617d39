//! The farm's folder: its name, its keys. The record and the blobs beside them have their own crates.
//!
//! ```text
//! farm.json        name and number of the farm
//! ca.pem ca.key    its certificate authority
//! server.pem .key  the server's certificate, unless the owner gave one
//! record.sqlite3   the durable record
//! blobs/           the block store
//! ```
//! Everything in it is for the manager's user alone.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::ManagerError;
use crate::identity::secret;

/// What the farm is called, for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FarmFile {
    /// Of this file's form.
    version: u32,
    /// For people.
    pub(crate) name: String,
    /// Random, so that two farms of one name can be told apart.
    pub(crate) id: String,
}

const FARM_FILE_VERSION: u32 = 1;

/// Longest name of a farm in characters: it goes into certificates and a TXT record of 255 bytes.
const NAME_MAX: usize = 48;

/// The folder.
#[derive(Debug, Clone)]
pub(crate) struct DataDir {
    root: PathBuf,
}

impl DataDir {
    /// Makes the folder if it is missing.
    pub(crate) fn open(root: &Path) -> Result<Self, ManagerError> {
        make_private_folder(root)
            .map_err(|source| ManagerError::file("make the folder", root, source))?;
        Ok(Self {
            root: root.to_owned(),
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// A file's text; none if there is no such file.
    pub(crate) fn read(&self, name: &str) -> Result<Option<String>, ManagerError> {
        let path = self.path(name);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(ManagerError::file("read", path, error)),
        }
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<(), ManagerError> {
        let path = self.path(name);
        write_private(&path, text.as_bytes())
            .map_err(|source| ManagerError::file("write", path, source))
    }

    /// The farm's name and number; made at the first start.
    pub(crate) fn farm(&self, wished: Option<&str>) -> Result<FarmFile, ManagerError> {
        const NAME: &str = "farm.json";
        if let Some(text) = self.read(NAME)? {
            let farm: FarmFile =
                serde_json::from_str(&text).map_err(|error| ManagerError::Damaged {
                    path: self.path(NAME),
                    what: error.to_string(),
                })?;
            if farm.version != FARM_FILE_VERSION {
                return Err(ManagerError::Damaged {
                    path: self.path(NAME),
                    what: format!("version {} is not known here", farm.version),
                });
            }
            return Ok(farm);
        }
        let farm = FarmFile {
            version: FARM_FILE_VERSION,
            name: farm_name(wished),
            id: secret::random_hex::<8>()?,
        };
        let text = serde_json::to_string_pretty(&farm).expect("a plain struct is always JSON");
        self.write(NAME, &text)?;
        Ok(farm)
    }
}

/// The wished name, or the host's, without what does not belong into a name.
fn farm_name(wished: Option<&str>) -> String {
    let name = wished.map_or_else(crate::addresses::host_name, ToOwned::to_owned);
    let name: String = name
        .trim()
        .chars()
        .filter(|sign| !sign.is_control())
        .take(NAME_MAX)
        .collect();
    if name.is_empty() { "farm".into() } else { name }
}

/// A folder only its owner can look into. One that exists is left as it is.
pub(crate) fn make_private_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// A file only its owner can read, whole or not at all: written beside its place, synced, renamed.
pub(crate) fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    let beside = PathBuf::from(beside);
    let write = || {
        // A leftover of a killed process of the same number must not lend the new file its mode.
        match fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        #[cfg(unix)]
        if let Some(folder) = path.parent() {
            fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&beside);
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_stays_and_nobody_else_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let dir = DataDir::open(&folder.path().join("a/b")).unwrap();
        let farm = dir.farm(Some(" My\u{7} farm ")).unwrap();
        assert_eq!(farm.name, "My farm");
        assert_eq!(dir.farm(Some("other")).unwrap(), farm);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(dir.root()), 0o700);
            assert_eq!(mode(&dir.path("farm.json")), 0o600);
        }
        dir.write("farm.json", "{").unwrap();
        assert!(matches!(dir.farm(None), Err(ManagerError::Damaged { .. })));
        assert_eq!(fs::read_dir(dir.root()).unwrap().count(), 1);
    }
}
