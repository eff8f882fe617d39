//! The farms that this user is connected to, one file each, and the manager that runs on this very machine.
//!
//! `config/farms/NAME.json` and `config/local-manager.json` hold tokens and are closed to everybody else.
//! `config/farms/default` names the farm that is used when none is asked for.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::api::{Access, Credentials};
use crate::folders::Folders;
use crate::private_file::{read_private, write_private};
use crate::trust::Trust;

/// Most farms of one user that are looked at.
const FARMS_MAX: usize = 1000;

/// A farm that this user is connected to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Farm {
    /// Its name here.
    pub name: String,
    /// Addresses (`https://HOST:PORT`) of its managers.
    pub addresses: Vec<String>,
    /// Whom to believe.
    #[serde(flatten)]
    pub trust: Trust,
    /// The user's bearer token.
    pub token: String,
}

impl std::fmt::Debug for Farm {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Farm")
            .field("name", &self.name)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl Farm {
    /// How to speak to it.
    #[must_use]
    pub fn access(&self) -> Access {
        Access {
            addresses: self.addresses.clone(),
            trust: self.trust.clone(),
            credentials: Credentials::Token(self.token.clone()),
        }
    }
}

/// The manager that runs on this machine for this user, with a token of its own making.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalManager {
    /// How to speak to it.
    #[serde(flatten)]
    pub farm: Farm,
    /// Its process.
    pub pid: u32,
}

/// A farm file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FarmFileError {
    /// Reading or writing failed.
    #[error("{} cannot be {action}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// "read", "written", "removed".
        action: &'static str,
        /// The system's own words.
        source: io::Error,
    },
    /// It is not what this program writes.
    #[error("{} is damaged ({source}): remove it and connect to the farm again", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where it stops making sense.
        source: serde_json::Error,
    },
    /// There is no farm of that name.
    #[error("no farm '{name}' is connected: `tessera connect CODE` connects one")]
    Unknown {
        /// The name.
        name: String,
    },
}

pub(crate) fn write_json<T: Serialize>(path: &Path, value: &T) -> Result<(), FarmFileError> {
    let bytes = serde_json::to_vec_pretty(value)
        .expect("farm files have no maps with keys that JSON lacks");
    write_private(path, &bytes).map_err(|source| FarmFileError::Io {
        path: path.to_owned(),
        action: "written",
        source,
    })
}

pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FarmFileError> {
    let bytes = read_private(path).map_err(|source| FarmFileError::Io {
        path: path.to_owned(),
        action: "read",
        source,
    })?;
    bytes
        .map(|bytes| {
            serde_json::from_slice(&bytes).map_err(|source| FarmFileError::Damaged {
                path: path.to_owned(),
                source,
            })
        })
        .transpose()
}

fn remove(path: &Path) -> Result<bool, FarmFileError> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(FarmFileError::Io {
            path: path.to_owned(),
            action: "removed",
            source,
        }),
    }
}

fn farms_folder(folders: &Folders) -> PathBuf {
    folders.config.join("farms")
}

fn default_path(folders: &Folders) -> PathBuf {
    farms_folder(folders).join("default")
}

fn farm_path(folders: &Folders, name: &str) -> PathBuf {
    farms_folder(folders).join(format!("{}.json", file_name(name)))
}

/// A farm's name as a file name: letters, digits, `-` and `_` as they are, all else as `%XX`.
fn file_name(name: &str) -> String {
    let mut out = String::new();
    for byte in name.bytes().take(80) {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_') {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    if out.is_empty() { "%".into() } else { out }
}

/// Keeps a farm. The same farm (by its anchor) again replaces its file; another one of the same name gets a number behind it.
/// The first farm becomes the default. Returns the farm as kept.
///
/// # Errors
/// If a file cannot be read or written.
pub fn save_farm(folders: &Folders, farm: &Farm) -> Result<Farm, FarmFileError> {
    let known = farms(folders)?;
    let mut kept = farm.clone();
    if let Some(same) = known
        .iter()
        .find(|other| other.trust.anchor_pem == farm.trust.anchor_pem)
    {
        kept.name.clone_from(&same.name);
    } else {
        let mut number = 2;
        while known
            .iter()
            .any(|other| file_name(&other.name) == file_name(&kept.name))
        {
            kept.name = format!("{} {number}", farm.name);
            number += 1;
        }
    }
    write_json(&farm_path(folders, &kept.name), &kept)?;
    if default_farm(folders)?.is_none() {
        set_default_farm(folders, &kept.name)?;
    }
    Ok(kept)
}

/// All farms, by name.
///
/// # Errors
/// If one cannot be read.
pub fn farms(folders: &Folders) -> Result<Vec<Farm>, FarmFileError> {
    let folder = farms_folder(folders);
    let failed = |source| FarmFileError::Io {
        path: folder.clone(),
        action: "read",
        source,
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let mut farms = Vec::new();
    for entry in entries.take(FARMS_MAX) {
        let path = entry.map_err(failed)?.path();
        let hidden = path
            .file_name()
            .is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if !hidden
            && path
                .extension()
                .is_some_and(|extension| extension == "json")
        {
            farms.extend(read_json::<Farm>(&path)?);
        }
    }
    farms.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(farms)
}

/// Forgets a farm; false if there is none of that name.
///
/// # Errors
/// If its file cannot be removed.
pub fn remove_farm(folders: &Folders, name: &str) -> Result<bool, FarmFileError> {
    if default_farm(folders)?.is_some_and(|farm| farm.name == name) {
        remove(&default_path(folders))?;
    }
    remove(&farm_path(folders, name))
}

/// The farm that is used when none is asked for.
///
/// # Errors
/// If a file cannot be read.
pub fn default_farm(folders: &Folders) -> Result<Option<Farm>, FarmFileError> {
    let path = default_path(folders);
    let bytes = read_private(&path).map_err(|source| FarmFileError::Io {
        path,
        action: "read",
        source,
    })?;
    match bytes {
        Some(name) => read_json(&farm_path(folders, String::from_utf8_lossy(&name).trim())),
        None => Ok(None),
    }
}

/// Makes a farm the default.
///
/// # Errors
/// If there is none of that name, or the file cannot be written.
pub fn set_default_farm(folders: &Folders, name: &str) -> Result<(), FarmFileError> {
    if !farm_path(folders, name).exists() {
        return Err(FarmFileError::Unknown {
            name: name.to_owned(),
        });
    }
    let path = default_path(folders);
    write_private(&path, format!("{name}\n").as_bytes()).map_err(|source| FarmFileError::Io {
        path,
        action: "written",
        source,
    })
}

fn local_path(folders: &Folders) -> PathBuf {
    folders.config.join("local-manager.json")
}

/// Lets this user's other commands find the manager that starts here.
///
/// # Errors
/// If the file cannot be written.
pub fn write_local_manager(
    folders: &Folders,
    manager: &LocalManager,
) -> Result<PathBuf, FarmFileError> {
    let path = local_path(folders);
    write_json(&path, manager)?;
    Ok(path)
}

/// Removes the file of the manager with process `pid`; that of another one is left alone.
///
/// # Errors
/// If it cannot be read or removed.
pub fn remove_local_manager(folders: &Folders, pid: u32) -> Result<(), FarmFileError> {
    let path = local_path(folders);
    if read_json::<LocalManager>(&path)?.is_some_and(|manager| manager.pid == pid) {
        remove(&path)?;
    }
    Ok(())
}

/// The manager that runs on this machine for this user; none if its process is gone.
///
/// # Errors
/// If the file cannot be read.
pub fn local_manager(folders: &Folders) -> Result<Option<LocalManager>, FarmFileError> {
    Ok(read_json::<LocalManager>(&local_path(folders))?
        .filter(|manager| process_lives(manager.pid)))
}

#[cfg(unix)]
fn process_lives(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
    else {
        return false;
    };
    // Not being allowed to signal it means that it is there.
    !matches!(
        rustix::process::test_kill_process(pid),
        Err(rustix::io::Errno::SRCH)
    )
}

#[cfg(not(unix))]
fn process_lives(_pid: u32) -> bool {
    // Without a portable way to ask, the connection itself will tell.
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_wire::pairing::NameCheck;

    fn farm(name: &str, anchor: &str) -> Farm {
        Farm {
            name: name.into(),
            addresses: vec!["https://10.0.0.1:7373".into()],
            trust: Trust {
                anchor_pem: anchor.into(),
                name_check: NameCheck::Farm,
            },
            token: "tsr_x".into(),
        }
    }

    #[test]
    fn farms_are_kept_apart_by_anchor() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::at(home.path());
        assert_eq!(farms(&folders).unwrap(), []);
        assert_eq!(
            save_farm(&folders, &farm("Studio", "A")).unwrap().name,
            "Studio"
        );
        assert_eq!(
            save_farm(&folders, &farm("Studio", "B")).unwrap().name,
            "Studio 2"
        );
        assert_eq!(
            save_farm(&folders, &farm("renamed", "A")).unwrap().name,
            "Studio"
        );
        assert_eq!(farms(&folders).unwrap().len(), 2);
        assert_eq!(default_farm(&folders).unwrap().unwrap().name, "Studio");
        set_default_farm(&folders, "Studio 2").unwrap();
        assert_eq!(
            default_farm(&folders).unwrap().unwrap().trust.anchor_pem,
            "B"
        );
        assert!(set_default_farm(&folders, "../x").is_err());
        assert!(remove_farm(&folders, "Studio 2").unwrap());
        assert_eq!(default_farm(&folders).unwrap(), None);
    }

    #[test]
    fn hostile_names_stay_in_the_folder() {
        for name in ["../../etc/x", "", ".", "a/b", "é", &"n".repeat(500)] {
            let file = file_name(name);
            assert!(
                !file.is_empty() && !file.contains(['/', '.', '\\']) && file.len() <= 240,
                "{file}"
            );
        }
    }

    #[test]
    fn a_dead_managers_file_is_ignored() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::at(home.path());
        let mut manager = LocalManager {
            farm: farm("here", "A"),
            pid: std::process::id(),
        };
        write_local_manager(&folders, &manager).unwrap();
        assert_eq!(local_manager(&folders).unwrap(), Some(manager.clone()));
        remove_local_manager(&folders, manager.pid + 1).unwrap();
        assert!(local_manager(&folders).unwrap().is_some());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        manager.pid = child.id();
        child.wait().unwrap();
        write_local_manager(&folders, &manager).unwrap();
        assert_eq!(local_manager(&folders).unwrap(), None);
    }
}
