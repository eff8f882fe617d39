//! The three folders of a user: what was chosen, what must not be lost, what can be made again.

use std::path::{Path, PathBuf};

/// A user's folders. They need not exist; whoever writes makes them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folders {
    /// Settings and farms.
    pub config: PathBuf,
    /// Ledgers, private farms, a worker's and a manager's data.
    pub data: PathBuf,
    /// What can be made again.
    pub cache: PathBuf,
}

/// There is no place for a user's files.
#[derive(Debug, thiserror::Error)]
#[error(
    "no folder for Tessera's files: {reason}. Set HOME, or TESSERA_HOME to a folder of your choice"
)]
pub struct FolderError {
    reason: String,
}

impl Folders {
    /// All three below one folder, as `TESSERA_HOME` asks.
    #[must_use]
    pub fn at(home: &Path) -> Self {
        Self {
            config: home.join("config"),
            data: home.join("data"),
            cache: home.join("cache"),
        }
    }

    /// `TESSERA_HOME`, else the XDG folders, else their defaults below the home folder.
    ///
    /// # Errors
    /// If the environment names no absolute folder.
    pub fn from_env() -> Result<Self, FolderError> {
        Self::from(|name| {
            std::env::var_os(name)
                .filter(|value| !value.is_empty())
                .map(PathBuf::from)
        })
    }

    fn from(var: impl Fn(&str) -> Option<PathBuf>) -> Result<Self, FolderError> {
        if let Some(home) = var("TESSERA_HOME") {
            if !home.is_absolute() {
                return Err(FolderError {
                    reason: format!("TESSERA_HOME ({}) is not an absolute path", home.display()),
                });
            }
            return Ok(Self::at(&home));
        }
        let home = var("HOME")
            .or_else(|| var("USERPROFILE"))
            .or_else(std::env::home_dir);
        let folder = |name: &str, default: &str| {
            // The XDG specification: relative paths are to be ignored.
            if let Some(path) = var(name).filter(|path| path.is_absolute()) {
                return Ok(path.join("tessera"));
            }
            let home = home.as_ref().filter(|home| home.is_absolute());
            home.map(|home| home.join(default).join("tessera"))
                .ok_or_else(|| FolderError {
                    reason: format!("neither {name} nor HOME names one"),
                })
        };
        Ok(Self {
            config: folder("XDG_CONFIG_HOME", ".config")?,
            data: folder("XDG_DATA_HOME", ".local/share")?,
            cache: folder("XDG_CACHE_HOME", ".cache")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(environment: &[(&str, &str)], config: Option<&str>) {
        let folders = Folders::from(|name| {
            environment
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| value.into())
        });
        assert_eq!(
            folders.ok().map(|folders| folders.config),
            config.map(PathBuf::from),
            "{environment:?}"
        );
    }

    #[test]
    fn order_of_choice() {
        check(
            &[
                ("TESSERA_HOME", "/t"),
                ("XDG_CONFIG_HOME", "/x"),
                ("HOME", "/h"),
            ],
            Some("/t/config"),
        );
        check(
            &[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")],
            Some("/x/tessera"),
        );
        check(
            &[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")],
            Some("/h/.config/tessera"),
        );
        check(&[("TESSERA_HOME", "t"), ("HOME", "/h")], None);
    }
}
