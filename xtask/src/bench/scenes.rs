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
        std::fs::create_dir_all(folder)?;
        let make = |script: &str, to: &Path, more: &[&str]| -> Result<()> {
            let mut arguments = vec![to.to_str().context("a folder that is not valid Unicode")?];
            arguments.extend(more);
            blender.script(Path::new(script), &arguments)?;
            Ok(())
        };
        let example = folder.join("example");
        make("examples/make_scene.py", &example, &[])?;
        let (light, heavy) = (folder.join("light.blend"), folder.join("heavy.blend"));
        make("examples/make_light.py", &light, &[])?;
        make("examples/make_light.py", &heavy, &["--heavy-mesh", "60"])?;
        Ok(Self {
            example: example.join("tesserae.blend"),
            light,
            heavy,
            blender,
        })
    }
}
