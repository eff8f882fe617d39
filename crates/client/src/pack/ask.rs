//! Asks Blender what a file uses and makes.

use std::path::Path;

use super::path_map::rules;
use super::{PackError, PackOptions, PackStage};
use crate::output::OutputChoice;
use tessera_blender::{
    Blender, Build, Launch, LogFiles, Open, Scan, ScanRequest, choose, saved_by,
};

/// What Blender said.
pub(super) struct Asked {
    pub(super) scan: Scan,
    pub(super) build: Build,
    pub(super) output: OutputChoice,
}

pub(super) async fn ask(
    options: &PackOptions,
    file: &Path,
    tell: &mut impl FnMut(PackStage),
) -> Result<Asked, PackError> {
    let path = file.to_owned();
    let needed = tokio::task::spawn_blocking(move || saved_by(&path)).await??;
    let build = choose(needed, &options.builds).ok_or_else(|| PackError::NoBlender {
        file: file.to_owned(),
        needed,
        have: have(&options.builds),
    })?;
    let output = OutputChoice::read(
        options.output.as_deref(),
        &options.cwd,
        file.parent().unwrap_or(Path::new("/")),
    )?;
    std::fs::create_dir_all(&options.log_dir).map_err(|source| PackError::Unwritable {
        path: options.log_dir.clone(),
        source,
    })?;
    let log = |stem| LogFiles::in_dir(&options.log_dir, stem);

    tell(PackStage::Starting {
        build: build.clone(),
    });
    let mut blender = Blender::launch(build, &Launch::default(), &log("start")).await?;
    tell(PackStage::Opening);
    let open = Open {
        path: file.to_owned(),
        autoexec: options.overrides.autoexec,
        remap: rules(&options.maps),
        read_only: true,
        ..Open::default()
    };
    blender.open(&open, &log("open")).await?;
    tell(PackStage::Scanning);
    let request = ScanRequest {
        frames: options.frames.clone(),
        output: output.for_blender(),
    };
    let scan = blender.scan(&request, &log("scan")).await?;
    // It may clean up after itself while files are read here; its end changes nothing any more.
    tokio::spawn(async move {
        if let Err(error) = blender.quit().await {
            tracing::debug!(%error, "Blender did not end by itself after reading a file");
        }
    });
    Ok(Asked {
        scan,
        build: build.clone(),
        output,
    })
}

fn have(builds: &[Build]) -> String {
    if builds.is_empty() {
        return "there is no Blender on this computer to read it with".into();
    }
    let list: Vec<_> = builds.iter().map(ToString::to_string).collect();
    format!("this computer has only {}", list.join(", "))
}
