//! Every Blender found here: what it is, and whether it really renders.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tessera_blender::{Blender, Build, BuildKind, Launch, LogFiles, Open, Render};
use tokio::process::Command;

use super::Report;
use crate::context::Context;
use crate::exit::one_line;
use crate::units::show_duration;

/// How long Blender may take to start and save its default scene. Slow disks with a cold cache take half a minute.
const SAVING: Duration = Duration::from_secs(120);

/// Saves Blender's default scene, made small, to the path that is the last argument.
const SAVE_DEFAULT_SCENE: &str = "\
import bpy, sys
bpy.ops.wm.read_factory_settings()
render = bpy.context.scene.render
render.engine = 'CYCLES'
render.resolution_x = render.resolution_y = 16
render.resolution_percentage = 100
bpy.context.scene.cycles.samples = 1
# Some builds come without a denoiser.
bpy.context.scene.cycles.use_denoising = False
bpy.ops.wm.save_as_mainfile(filepath=sys.argv[-1])
";

pub(super) async fn check(context: &Context, report: &mut Report<'_>) {
    let found = tessera_blender::find(&context.blender_search()).await;
    for broken in &found.broken {
        report.broken(
            "Blender",
            format!("{} cannot be used: {}", broken.path.display(), broken.reason),
            "mend or remove it, or take it out of the settings (`tessera config` says where it is named)",
        );
    }
    if found.builds.is_empty() {
        report.broken(
            "Blender",
            "none found",
            "install it (apt-get install blender, or from https://www.blender.org/download/), or say where it is: \
             TESSERA_BLENDER=/path/to/blender, or a Python that has bpy (pip install bpy)",
        );
    }
    for build in &found.builds {
        let name = match build.kind {
            BuildKind::Executable => format!("Blender {}", build.version),
            BuildKind::Module => format!("Blender {} (bpy module)", build.version),
        };
        let devices: Vec<&str> = build
            .devices
            .iter()
            .map(|device| device.name.as_str())
            .collect();
        let began = Instant::now();
        match try_render(build).await {
            Ok(()) => report.good(
                &name,
                format!(
                    "{}, renders ({}); {}",
                    build.path.display(),
                    show_duration(began.elapsed()),
                    devices.join(", ")
                ),
            ),
            Err(error) => report.broken(
                &name,
                format!(
                    "{} does not render: {}",
                    build.path.display(),
                    one_line(&error)
                ),
                "try it by hand with a small file; if it is broken, install it again",
            ),
        }
    }
}

/// Renders a default scene of 16 × 16 pixels, the way a worker does.
async fn try_render(build: &Build) -> Result<()> {
    let folder = tempfile::tempdir().context("cannot make a folder for temporary files")?;
    let file = folder.path().join("default.blend");
    save_default_scene(build, &file).await?;
    let out_dir = folder.path().join("out");
    std::fs::create_dir(&out_dir)?;
    let log = LogFiles::in_dir(folder.path(), "doctor");
    let mut blender = Blender::launch(build, &Launch::default(), &log).await?;
    let open = Open {
        path: file,
        ..Open::default()
    };
    let opened = blender.open(&open, &log).await?;
    let render = Render {
        scene: opened.active_scene,
        frame: 1,
        out_dir,
        ..Render::default()
    };
    let rendered = blender.render(&render, &log).await?;
    let Some(picture) = rendered.files.first() else {
        bail!("it left no picture");
    };
    let size = std::fs::metadata(&picture.path)
        .context("its picture is not where it said")?
        .len();
    if size == 0 {
        bail!("its picture is empty");
    }
    blender.quit().await?;
    Ok(())
}

async fn save_default_scene(build: &Build, file: &Path) -> Result<()> {
    let mut command = Command::new(&build.path);
    match build.kind {
        BuildKind::Executable => command
            .args(["--background", "--factory-startup", "--python-expr"])
            .arg(SAVE_DEFAULT_SCENE)
            .arg("--"),
        BuildKind::Module => command.arg("-c").arg(SAVE_DEFAULT_SCENE),
    };
    command
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let output = tokio::time::timeout(SAVING, command.output())
        .await
        .with_context(|| {
            format!(
                "it did not save its default scene within {}",
                show_duration(SAVING)
            )
        })?
        .context("it cannot be started")?;
    if !file.exists() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said
            .lines()
            .rev()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it said nothing");
        bail!("it cannot save its default scene: {last}");
    }
    Ok(())
}
