//! The credentials that a running manager leaves for this user's own commands on this machine.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use tessera_wire::pairing::NameCheck;

use crate::ManagerError;
use crate::data_dir::{make_private_folder, write_private};

/// A connection file with the manager's process beside it. Readable by this user alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalFile {
    /// The farm's name.
    pub name: String,
    /// `https://host:port`, loopback first.
    pub addresses: Vec<String>,
    /// What to trust.
    pub anchor_pem: String,
    /// How names are checked.
    pub name_check: NameCheck,
    /// An administrator's token.
    pub token: String,
    /// The manager's process: the file of one that is gone means nothing.
    pub pid: u32,
}

impl std::fmt::Debug for LocalFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "LocalFile({}, pid {}, token withheld)",
            self.name, self.pid
        )
    }
}

/// The file as it is there; none if it is missing or makes no sense, since it only ever saves typing.
pub(crate) fn read(path: &Path) -> Option<LocalFile> {
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

/// Puts the file there, whole.
pub(crate) fn write(path: &Path, file: &LocalFile) -> Result<(), ManagerError> {
    let failed = |source| ManagerError::file("write", path, source);
    if let Some(folder) = path.parent() {
        make_private_folder(folder).map_err(failed)?;
    }
    let json = serde_json::to_vec_pretty(file).expect("plain data is always JSON");
    write_private(path, &json).map_err(failed)
}

/// Takes it away, if it is still ours: another manager may have put its own there.
pub(crate) fn remove(path: &Path, token: &str) {
    if read(path).is_some_and(|file| file.token != token) {
        return;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!("cannot remove '{}': {error}", path.display());
        }
        _ => {}
    }
}
