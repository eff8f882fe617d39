//! What a Blender on this machine is.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::message::{Device, Hello};
use tessera_model::{BlenderVersion, BuildKind};

/// A Blender that was found, run once, and answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The program to run: Blender itself, or a Python interpreter that can `import bpy`.
    pub path: PathBuf,
    pub kind: BuildKind,
    pub version: BlenderVersion,
    /// Commit that it was built from, as Blender reports it; "Unknown" where the packager left it out.
    pub hash: String,
    /// Build date and time as Blender reports them, "2025-12-16 01:44:55"; tells packagers' builds of one commit apart.
    pub date: String,
    /// Operating system as Blender reports it: "Linux", "Darwin", "Windows".
    pub platform: String,
    /// Identifiers of the render engines it has with factory settings, e.g. `CYCLES`.
    pub engines: Vec<String>,
    /// Devices that Cycles can render on here, the CPU included.
    pub devices: Vec<Device>,
}

impl Build {
    pub(crate) fn new(path: PathBuf, hello: Hello) -> Self {
        Self {
            path,
            kind: hello.kind,
            version: hello.version,
            hash: hello.hash,
            date: hello.date,
            platform: hello.platform,
            engines: hello.engines,
            devices: hello.devices,
        }
    }

    /// Names the build itself, the same on every machine that has it: jobs are pinned to this.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{} {} {}", self.version, self.hash, self.date)
    }
}

impl From<&Build> for tessera_model::Build {
    /// What a farm calls it: the same on every machine that has it.
    fn from(build: &Build) -> Self {
        Self {
            version: build.version,
            hash: match build.hash.trim() {
                "" => "unknown".to_owned(),
                hash => hash.to_lowercase(),
            },
            kind: build.kind,
        }
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self.kind {
            BuildKind::Executable => "Blender",
            BuildKind::Module => "bpy",
        };
        write!(f, "{kind} {} ({})", self.version, self.path.display())
    }
}
