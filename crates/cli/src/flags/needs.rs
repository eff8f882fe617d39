//! What a job asks of the machines that render it and of the farm's order of things: the same words for `render`, `submit`
//! and `job edit`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use clap::Args;
use tessera_model::{JobId, SeriesRange, check_name};

use crate::units::Bytes;

/// A value that can be taken back: `none`, or nothing at all, in its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrNone<T>(pub(crate) Option<T>);

impl<T: FromStr<Err: fmt::Display>> FromStr for OrNone<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.is_empty() || text.eq_ignore_ascii_case("none") {
            return Ok(Self(None));
        }
        text.parse()
            .map(|value| Self(Some(value)))
            .map_err(|error: T::Err| error.to_string())
    }
}

impl<T: fmt::Display> fmt::Display for OrNone<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// An operating system, as workers call theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Os(pub(crate) &'static str);

impl FromStr for Os {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        ["linux", "macos", "windows"]
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(text))
            .map(Self)
            .ok_or_else(|| format!("'{text}' is not a system: linux, macos or windows"))
    }
}

impl fmt::Display for Os {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Logical processors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cores(pub(crate) NonZeroU32);

impl FromStr for Cores {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        super::at_least_one(text).map(Self)
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a worker must have.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NeedFlags {
    /// Only workers of these names: anna;ben (none for any)
    #[arg(
        long,
        help_heading = "Workers",
        value_delimiter = ';',
        value_name = "NAME;NAME"
    )]
    pub(crate) workers: Option<Vec<String>>,
    /// Only workers with so much memory: 32GB
    #[arg(long, help_heading = "Workers", value_name = "BYTES")]
    pub(crate) memory: Option<OrNone<Bytes>>,
    /// Only workers with so many logical processors
    #[arg(long, help_heading = "Workers", value_name = "N")]
    pub(crate) cores: Option<OrNone<Cores>>,
    /// Only workers with a GPU whose name has this in it: "rtx 4090"
    #[arg(long, help_heading = "Workers", value_name = "NAME")]
    pub(crate) gpu: Option<OrNone<String>>,
    /// Only workers with so much memory of a GPU, of the one named by --gpu if one is: 12GB
    #[arg(long, help_heading = "Workers", value_name = "BYTES")]
    pub(crate) gpu_memory: Option<OrNone<Bytes>>,
    /// Only workers under this system: linux, macos or windows
    #[arg(long, help_heading = "Workers", value_name = "SYSTEM")]
    pub(crate) os: Option<OrNone<Os>>,
    /// Only these versions of Blender: 4.2, 4.2..5.0, 4.2.. or ..4.5
    #[arg(long, help_heading = "Workers", value_name = "FROM..TO")]
    pub(crate) blender_version: Option<OrNone<SeriesRange>>,
}

/// How a job stands to other jobs.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct OrderFlags {
    /// Counted resources of the farm that each frame takes one of while it renders: nuke;renderman (or none)
    #[arg(long, help_heading = "Job", value_delimiter = ';', value_name = "A;B")]
    pub(crate) resources: Option<Vec<String>>,
    /// Begin when these jobs are done: 3;4 (or none)
    #[arg(
        long,
        help_heading = "Job",
        value_delimiter = ';',
        value_name = "JOB;JOB"
    )]
    pub(crate) after: Option<Vec<OrNone<JobId>>>,
    /// Begin each frame when these jobs' frame of the same number is done
    #[arg(
        long,
        help_heading = "Job",
        value_delimiter = ';',
        value_name = "JOB;JOB"
    )]
    pub(crate) after_frames: Option<Vec<OrNone<JobId>>>,
}

/// Jobs that were named, none of them if that was said.
pub(crate) fn jobs(named: &[OrNone<JobId>]) -> impl Iterator<Item = JobId> {
    named.iter().filter_map(|job| job.0)
}

/// Names that were given, each once: none of them if nothing was between the separators, or `none` alone.
pub(crate) fn given_names(names: &[String]) -> Vec<String> {
    let mut given: Vec<String> = Vec::new();
    for name in names.iter().map(|name| name.trim()) {
        if !name.is_empty() && !given.iter().any(|known| known == name) {
            given.push(name.to_owned());
        }
    }
    match given.as_slice() {
        [none] if none.eq_ignore_ascii_case("none") => Vec::new(),
        _ => given,
    }
}

/// The same of names that people make up for the farm.
pub(crate) fn new_names(names: &[String]) -> Result<Vec<String>, String> {
    let given = given_names(names);
    given.iter().try_for_each(|name| check_name(name))?;
    Ok(given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn none_takes_a_value_back() {
        for nothing in ["none", " NONE ", ""] {
            assert_eq!(nothing.parse(), Ok(OrNone::<Bytes>(None)));
        }
        assert_eq!("32GB".parse(), Ok(OrNone(Some(Bytes(32_000_000_000)))));
        assert_eq!("Linux".parse(), Ok(OrNone(Some(Os("linux")))));
        let said = |text: &str| text.parse::<OrNone<Os>>().unwrap_err();
        assert!(said("beos").contains("linux, macos or windows"));
        assert!("0".parse::<OrNone<Cores>>().is_err());
        let range = "5.0..4.2".parse::<OrNone<SeriesRange>>().unwrap_err();
        assert!(range.contains("4.2..5.0"), "{range}");
        assert_eq!(
            given_names(&["a".into(), " ".into(), "b ".into()]),
            ["a", "b"]
        );
        let names = |text: &str| {
            let names: Vec<String> = text.split(';').map(str::to_owned).collect();
            new_names(&names)
        };
        assert_eq!(names("a; a;b;a").unwrap(), ["a", "b"]);
        assert_eq!(names("None").unwrap(), [""; 0]);
        assert_eq!(names("none;a").unwrap(), ["none", "a"]);
        assert!(names("a;b,c").unwrap_err().contains("'b,c'"));
    }
}
