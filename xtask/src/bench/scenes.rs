//! The scenes that are measured, made anew by Blender 3.4.1 for every run.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::baseline::Baseline;

/// The scenes and the Blender that made them.
pub(super) struct Scenes {
    pub blender: Baseline,
    /// `examples/make_scene.py`: 24 frames of about a second on one thread.
    pub example: PathBuf,
    /// `examples/make_light.py`: 60 subdivided objects, 160×90, 4 samples, only the camera moves; 500 frames.
    pub light: PathBuf,
    /// `examples/make_light.py --heavy-mesh 60`: about 60 MB, saved raw.
    pub heavy: PathBuf,
}

impl Scenes {
    pub(super) fn make(folder: &Path) -> Result<Self> {
        let blender = Baseline::executable()?;
        let make = |script: &str, to: &str, more: &[&str]| -> Result<PathBuf> {
            let to = folder.join(to);
            std::fs::create_dir_all(&to)?;
            let mut arguments = vec![to.to_str().context("a folder that is not valid Unicode")?];
            arguments.extend(more);
            blender.script(Path::new(script), &arguments)?;
            Ok(to)
        };
        Ok(Self {
            example: make("examples/make_scene.py", "example", &[])?.join("tesserae.blend"),
            light: make("examples/make_light.py", "light", &[])?.join("light.blend"),
            heavy: make("examples/make_light.py", "heavy", &["--heavy-mesh", "60"])?
                .join("light.blend"),
            blender,
        })
    }
}
