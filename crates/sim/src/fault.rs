//! The kinds of trouble there are. What each does stands in a file of its own in `faults`.

use std::fmt;
use std::str::FromStr;

/// One kind of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// A worker's process dies, and comes back or not.
    Crash,
    /// A machine stands still for a while: nothing it has is lost, nothing is heard of it.
    Hang,
    /// Links break, or carry nothing for a while.
    Partition,
    /// Messages take long.
    SlowLink,
    /// Reports come twice, or their answer gets lost.
    Duplicate,
    /// The wall clock is wrong, and jumps.
    Clock,
    /// The manager dies and comes back from its record.
    Restart,
    /// Nothing can be recorded for a while.
    DiskFull,
    /// Frames that no Blender survives.
    Poison,
    /// Frames that take the whole worker with them.
    Lethal,
    /// Frames that fail now and then.
    Flaky,
    /// A worker on which a job always fails.
    BadWorker,
    /// A worker's disk is full.
    WorkerDisk,
    /// People who change their minds.
    Users,
    /// Machines that join late.
    Late,
}

/// All kinds, in the order of their numbers.
pub const ALL: [Fault; 15] = [
    Fault::Crash,
    Fault::Hang,
    Fault::Partition,
    Fault::SlowLink,
    Fault::Duplicate,
    Fault::Clock,
    Fault::Restart,
    Fault::DiskFull,
    Fault::Poison,
    Fault::Lethal,
    Fault::Flaky,
    Fault::BadWorker,
    Fault::WorkerDisk,
    Fault::Users,
    Fault::Late,
];

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Crash => "crash",
            Self::Hang => "hang",
            Self::Partition => "partition",
            Self::SlowLink => "slow-link",
            Self::Duplicate => "duplicate",
            Self::Clock => "clock",
            Self::Restart => "restart",
            Self::DiskFull => "disk-full",
            Self::Poison => "poison",
            Self::Lethal => "lethal",
            Self::Flaky => "flaky",
            Self::BadWorker => "bad-worker",
            Self::WorkerDisk => "worker-disk",
            Self::Users => "users",
            Self::Late => "late",
        })
    }
}

/// A set of kinds. Written `all`, `none`, or their names with commas between.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults(u32);

impl Faults {
    /// Every kind.
    #[must_use]
    pub fn all() -> Self {
        ALL.into_iter().fold(Self::none(), Self::with)
    }

    /// No trouble at all.
    #[must_use]
    pub const fn none() -> Self {
        Self(0)
    }

    /// Whether a kind is in it.
    #[must_use]
    pub fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u32) != 0
    }

    /// With this kind.
    #[must_use]
    pub fn with(self, fault: Fault) -> Self {
        Self(self.0 | 1 << fault as u32)
    }

    /// Without this kind.
    #[must_use]
    pub fn without(self, fault: Fault) -> Self {
        Self(self.0 & !(1 << fault as u32))
    }

    /// The kinds in it.
    pub fn iter(self) -> impl Iterator<Item = Fault> {
        ALL.into_iter().filter(move |&fault| self.has(fault))
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::all() {
            return f.write_str("all");
        }
        if *self == Self::none() {
            return f.write_str("none");
        }
        let names: Vec<String> = self.iter().map(|fault| fault.to_string()).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Faults {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self::all()),
            "none" => return Ok(Self::none()),
            _ => {}
        }
        text.split(',').try_fold(Self::none(), |set, name| {
            let fault = ALL.into_iter().find(|fault| fault.to_string() == name);
            fault.map(|fault| set.with(fault)).ok_or_else(|| {
                format!(
                    "'{name}' is not a kind of fault: all, none, or some of {}",
                    ALL.map(|fault| fault.to_string()).join(",")
                )
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_read_back() {
        for set in [
            Faults::all(),
            Faults::none(),
            Faults::none().with(Fault::Crash).with(Fault::Late),
            Faults::all().without(Fault::Clock),
        ] {
            assert_eq!(set.to_string().parse(), Ok(set));
        }
        assert!("crash,fire".parse::<Faults>().is_err());
    }
}
