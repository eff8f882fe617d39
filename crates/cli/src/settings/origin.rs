//! Where a value came from, and the choice between the places it can come from.

use std::fmt;
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use tessera_client::PathMap;
use tessera_model::UserName;
use tessera_wire::subnet::{Subnet, SubnetError};
use tessera_worker::{Hours, HoursError, PeerListen};

use super::Listed;
use super::file::ConfigFile;
use super::key::{KEYS, Key};
use crate::flags::OrNone;
use crate::units::{Bytes, Rate, parse_duration, show_duration};

/// A value and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it came from.
    pub(crate) origin: Origin,
}

/// Places a value can come from, the first one wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The command line.
    Flag,
    /// This environment variable.
    Variable(&'static str),
    /// This line of the settings file.
    File(PathBuf, usize),
    /// Nothing set it.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag => f.write_str("command line"),
            Self::Variable(name) => f.write_str(name),
            Self::File(path, line) => write!(f, "{}:{line}", path.display()),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A value as text, before anyone knows what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Raw {
    /// One.
    One(String),
    /// A list.
    Many(Vec<String>),
}

/// A variable or an entry of the file that can not be read as what it sets.
#[derive(Debug, thiserror::Error)]
#[error("{origin}: the setting '{key}' cannot be used: {reason}")]
pub(crate) struct SettingError {
    /// Where it stands.
    pub(crate) origin: Origin,
    /// What it sets.
    pub(crate) key: &'static str,
    /// What is wrong with it.
    pub(crate) reason: String,
}

/// What a setting can be: read from text and shown as text.
pub(super) trait Value: Sized {
    fn read(text: &str) -> Result<Self, String>;
    fn show(&self) -> String;
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }
    fn show(&self) -> String {
        self.clone()
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        match text.strip_prefix("~/").zip(std::env::home_dir()) {
            Some((rest, home)) => Ok(home.join(rest)),
            None => Ok(Self::from(text)),
        }
    }
    fn show(&self) -> String {
        self.display().to_string()
    }
}

impl Value for u32 {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().parse() {
            Ok(number) if number > 0 => Ok(number),
            _ => Err(format!("'{text}' is not a whole number from 1 on")),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// Niceness.
impl Value for u8 {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().parse() {
            Ok(number) if number <= 19 => Ok(number),
            _ => Err(format!("'{text}' is not a whole number from 0 to 19")),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for bool {
    fn read(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err(format!("'{text}' is neither true nor false")),
        }
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Subnet {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: SubnetError| error.to_string())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Bytes {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Rate {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl<T: FromStr<Err: fmt::Display> + fmt::Display> Value for OrNone<T> {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PathMap {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        parse_duration(text)
    }
    fn show(&self) -> String {
        show_duration(*self)
    }
}

impl Value for Hours {
    fn read(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: HoursError| error.to_string())
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for PeerListen {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

impl Value for UserName {
    fn read(text: &str) -> Result<Self, String> {
        text.parse()
    }
    fn show(&self) -> String {
        self.to_string()
    }
}

/// The account's name in the system's own list.
fn account_of(uid: u32) -> Option<UserName> {
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        (number == uid).then(|| name.parse().ok())?
    })
}

/// Everything that is not the command line, and the list of what was chosen.
pub(crate) struct Sources<'a> {
    environment: &'a dyn Fn(&str) -> Option<String>,
    file: ConfigFile,
    listing: Vec<Listed>,
}

impl<'a> Sources<'a> {
    /// From the environment, as a function so that tests own theirs, and the file.
    pub(crate) fn new(environment: &'a dyn Fn(&str) -> Option<String>, file: ConfigFile) -> Self {
        Self {
            environment,
            file,
            listing: Vec::new(),
        }
    }

    /// What was chosen, in the order of [`KEYS`].
    pub(super) fn into_listing(mut self) -> Vec<Listed> {
        let place = |listed: &Listed| KEYS.iter().position(|key| key.name == listed.key.name);
        self.listing.sort_by_key(place);
        self.listing
    }

    /// The name the operating system knows the user by. Services run without the variables of a login.
    pub(super) fn os_user(&self) -> UserName {
        ["USER", "LOGNAME", "USERNAME"]
            .iter()
            .find_map(|name| (self.environment)(name)?.parse().ok())
            .or_else(|| account_of(std::fs::metadata("/proc/self").ok()?.uid()))
            .unwrap_or_else(|| "user".parse().expect("a plain word is a user name"))
    }

    fn key(name: &'static str) -> &'static Key {
        Key::named(name).expect("every setting that is resolved is in the list of keys")
    }

    /// What the environment, else the file says. An empty variable counts as not set, as everywhere in a shell.
    fn raw(&self, key: &'static Key) -> Option<(Raw, Origin)> {
        if let Some(text) = (self.environment)(key.variable).filter(|text| !text.is_empty()) {
            let raw = match key.separator {
                Some(separator) => Raw::Many(text.split(separator).map(str::to_owned).collect()),
                None => Raw::One(text),
            };
            return Some((raw, Origin::Variable(key.variable)));
        }
        let (raw, line) = self.file.get(key)?;
        Some((raw.clone(), Origin::File(self.file.path.clone(), line)))
    }

    fn note(&mut self, key: &'static Key, value: Option<String>, origin: &Origin) {
        let hidden = |text: String| {
            if key.secret {
                "(not shown)".to_owned()
            } else {
                text
            }
        };
        self.listing.push(Listed {
            key,
            value: value.map(hidden),
            origin: origin.clone(),
        });
    }

    /// A setting that may be absent.
    pub(super) fn optional<T: Value>(
        &mut self,
        name: &'static str,
        flag: Option<T>,
    ) -> Result<Setting<Option<T>>, SettingError> {
        let key = Self::key(name);
        let setting = match (flag, self.raw(key)) {
            (Some(value), _) => Setting {
                value: Some(value),
                origin: Origin::Flag,
            },
            (None, None) => Setting {
                value: None,
                origin: Origin::Default,
            },
            (None, Some((raw, origin))) => {
                let read = match raw {
                    Raw::One(text) => T::read(&text),
                    Raw::Many(_) => Err("it is one value, not a list".into()),
                };
                match read {
                    Ok(value) => Setting {
                        value: Some(value),
                        origin,
                    },
                    Err(reason) => {
                        return Err(SettingError {
                            origin,
                            key: key.name,
                            reason,
                        });
                    }
                }
            }
        };
        self.note(key, setting.value.as_ref().map(T::show), &setting.origin);
        Ok(setting)
    }

    /// A setting that has a default.
    pub(super) fn required<T: Value>(
        &mut self,
        name: &'static str,
        flag: Option<T>,
        default: T,
    ) -> Result<Setting<T>, SettingError> {
        let Setting { value, origin } = self.optional(name, flag)?;
        let value = value.unwrap_or(default);
        if let Some(listed) = self.listing.last_mut().filter(|l| l.value.is_none()) {
            listed.value = Some(value.show());
        }
        Ok(Setting { value, origin })
    }

    /// A number from 1 on with a default.
    pub(super) fn number(
        &mut self,
        name: &'static str,
        flag: Option<NonZeroU32>,
        default: u32,
    ) -> Result<Setting<u32>, SettingError> {
        self.required(name, flag.map(u32::from), default)
    }

    /// A number from 1 on that may be absent.
    pub(super) fn optional_number(
        &mut self,
        name: &'static str,
        flag: Option<u32>,
    ) -> Result<Setting<Option<u32>>, SettingError> {
        self.optional(name, flag)
    }

    /// A list, empty unless set.
    pub(super) fn list<T: Value>(
        &mut self,
        name: &'static str,
        flag: Option<Vec<T>>,
    ) -> Result<Setting<Vec<T>>, SettingError> {
        let key = Self::key(name);
        let setting = match (flag, self.raw(key)) {
            (Some(value), _) => Setting {
                value,
                origin: Origin::Flag,
            },
            (None, None) => Setting {
                value: Vec::new(),
                origin: Origin::Default,
            },
            (None, Some((raw, origin))) => {
                let texts = match raw {
                    Raw::One(text) => vec![text],
                    Raw::Many(texts) => texts,
                };
                let read = texts
                    .iter()
                    .filter(|text| !text.is_empty())
                    .map(|text| T::read(text))
                    .collect::<Result<_, _>>();
                match read {
                    Ok(value) => Setting { value, origin },
                    Err(reason) => {
                        return Err(SettingError {
                            origin,
                            key: key.name,
                            reason,
                        });
                    }
                }
            }
        };
        let shown = setting.value.iter().map(T::show).collect::<Vec<_>>();
        let shown =
            (!shown.is_empty()).then(|| shown.join(&key.separator.unwrap_or(' ').to_string()));
        self.note(key, shown, &setting.origin);
        Ok(setting)
    }
}
