//! `tessera.toml`, read strictly: a key that nobody reads is a mistake, and the line it stands in is named.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use super::key::Key;
use super::origin::Raw;

/// Largest file that is read, in bytes. Settings are a page of text; anything else is not them.
const FILE_MAX: u64 = 1 << 20;

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct ConfigFile {
    /// Where it is, or would be.
    pub(crate) path: PathBuf,
    /// Values by the name of their key, with their line.
    values: BTreeMap<&'static str, (Raw, usize)>,
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigFileError {
    /// Not readable.
    #[error("cannot read the settings file {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not a settings file at all.
    #[error("the settings file {} is larger than a settings file can be: is it the right file?", path.display())]
    Large {
        /// The file.
        path: PathBuf,
    },
    /// Not TOML.
    #[error("{}:{line}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What the parser says.
        message: String,
    },
    /// A key that is none.
    #[error("{}:{line}: there is no setting '{key}'{}", path.display(), near.map(|near| format!(": did you mean '{near}'?")).unwrap_or_else(|| ": `tessera config` lists them all".into()))]
    Unknown {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// As written.
        key: String,
        /// What was probably meant.
        near: Option<&'static str>,
    },
    /// A secret in a file that is not kept secret.
    #[error("{}:{line}: '{key}' is a secret and not read from this file: set {variable} instead", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key.
        key: &'static str,
        /// Where it can be set.
        variable: &'static str,
    },
    /// A value of a sort no setting has.
    #[error("{}:{line}: '{key}' cannot be a {sort}", path.display())]
    Sort {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// The key.
        key: String,
        /// TOML's name of what is there.
        sort: &'static str,
    },
}

fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())]
        .iter()
        .filter(|&&byte| byte == b'\n')
        .count()
        + 1
}

/// A value's text, if it is one of the sorts a setting can have.
fn raw(value: &DeValue<'_>) -> Option<Raw> {
    let single = |value: &DeValue<'_>| match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.as_str().to_owned()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        _ => None,
    };
    match value {
        DeValue::Array(items) => items
            .iter()
            .map(|item| single(item.get_ref()))
            .collect::<Option<_>>()
            .map(Raw::Many),
        other => single(other).map(Raw::One),
    }
}

impl ConfigFile {
    /// Reads the file; one that is not there says nothing.
    ///
    /// # Errors
    /// If it is there and not a settings file.
    pub(crate) fn read(path: &Path) -> Result<Self, ConfigFileError> {
        let refuse = |source| ConfigFileError::Read {
            path: path.to_owned(),
            source,
        };
        match std::fs::metadata(path) {
            Ok(facts) if facts.len() > FILE_MAX => Err(ConfigFileError::Large {
                path: path.to_owned(),
            }),
            Ok(_) => Self::parse(path, &std::fs::read_to_string(path).map_err(refuse)?),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self {
                path: path.to_owned(),
                ..Self::default()
            }),
            Err(error) => Err(refuse(error)),
        }
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Self, ConfigFileError> {
        let table = DeTable::parse(text).map_err(|error| ConfigFileError::Syntax {
            path: path.to_owned(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            message: error.message().replace('\n', ", "),
        })?;
        let mut file = Self {
            path: path.to_owned(),
            values: BTreeMap::new(),
        };
        for (key, value) in table.get_ref() {
            let line = line_of(text, key.span().start);
            match value.get_ref() {
                DeValue::Table(section) if Key::named(key.get_ref()).is_none() => {
                    for (inner, value) in section {
                        let line = line_of(text, inner.span().start);
                        let name = format!("{}.{}", key.get_ref(), inner.get_ref());
                        file.insert(&name, value.get_ref(), line)?;
                    }
                }
                value => file.insert(key.get_ref(), value, line)?,
            }
        }
        Ok(file)
    }

    fn insert(
        &mut self,
        name: &str,
        value: &DeValue<'_>,
        line: usize,
    ) -> Result<(), ConfigFileError> {
        let path = || self.path.clone();
        let key = Key::named(name).ok_or_else(|| ConfigFileError::Unknown {
            path: path(),
            line,
            key: name.to_owned(),
            near: Key::near(name),
        })?;
        if key.secret {
            return Err(ConfigFileError::Secret {
                path: path(),
                line,
                key: key.name,
                variable: key.variable,
            });
        }
        let raw = raw(value).ok_or_else(|| ConfigFileError::Sort {
            path: path(),
            line,
            key: name.to_owned(),
            sort: value.type_str(),
        })?;
        self.values.insert(key.name, (raw, line));
        Ok(())
    }

    /// The value of a key and its line.
    pub(super) fn get(&self, key: &Key) -> Option<(&Raw, usize)> {
        self.values.get(key.name).map(|(raw, line)| (raw, *line))
    }
}
