//! Asks a program whether it is a Blender, by running it once with the driver.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tessera_model::BuildKind;

use crate::build::Build;
use crate::process::{Blender, Error, Launch, LogFiles};
use tessera_model::BlenderVersion;

/// A first start reads a gigabyte from a cold disk; what takes longer is no Blender.
const PROBE_MAX: Duration = Duration::from_secs(180);

/// Why a program is not a Blender that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    #[error("{path} is not a program that can be run: {source}", path = path.display())]
    Read {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{path} is not a usable Blender: {source}", path = path.display())]
    Run { path: PathBuf, source: Box<Error> },
    #[error("{path} did not say within {} s that it is Blender", PROBE_MAX.as_secs(), path = path.display())]
    Silent { path: PathBuf },
}

/// Runs the program once and asks what it is.
pub async fn probe(path: &Path) -> Result<Build, ProbeError> {
    let at = || path.to_path_buf();
    let read = |source| ProbeError::Read { path: at(), source };
    // Not canonicalised: an interpreter of a virtual environment knows where it is by the path it is called by.
    let path = std::path::absolute(path).map_err(read)?;
    std::fs::metadata(&path).map_err(read)?;
    let logs = tempfile::tempdir().map_err(read)?;
    let guess = Build {
        kind: kind_by_name(&path),
        path: path.clone(),
        version: BlenderVersion::new(0, 0, 0),
        hash: String::new(),
        date: String::new(),
        platform: String::new(),
        engines: Vec::new(),
        devices: Vec::new(),
    };
    let run = async {
        let blender = Blender::launch(
            &guess,
            &Launch::default(),
            &LogFiles::in_dir(logs.path(), "probe"),
        )
        .await?;
        let hello = blender.hello().clone();
        blender.kill().await;
        Ok(hello)
    };
    match tokio::time::timeout(PROBE_MAX, run).await {
        Ok(Ok(hello)) => Ok(Build::new(path, hello)),
        Ok(Err(source)) => Err(ProbeError::Run {
            path,
            source: Box::new(source),
        }),
        Err(_) => Err(ProbeError::Silent { path }),
    }
}

/// A Python interpreter is called so (`python`, `python3.11`, `python.exe`); everything else is run as Blender.
fn kind_by_name(path: &Path) -> BuildKind {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().to_ascii_lowercase())
        .unwrap_or_default();
    if name.starts_with("python") {
        BuildKind::Module
    } else {
        BuildKind::Executable
    }
}
