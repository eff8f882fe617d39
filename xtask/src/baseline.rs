//! Plain Blender, run as its user would: what every result is compared with and every speed measured against.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// One Blender to hold Tessera against.
#[derive(Debug, Clone)]
pub enum Baseline {
    /// An executable, called as `blender -b FILE -o OUT -s A -e B -a`.
    Executable(PathBuf),
    /// A Python that can import bpy, told to do the same by a script.
    Module(PathBuf),
}

/// What `blender -b … -a` does, for a Python that can import bpy. `render(animation=True)` is what `-a` calls.
const MODULE_SCRIPT: &str = r#"
import bpy, sys
blend, out, start, end, threads, setup = sys.argv[1:7]
bpy.ops.wm.read_factory_settings()
bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False, use_scripts=False)
scene = bpy.context.scene
scene.render.filepath = out
scene.frame_start, scene.frame_end = int(start), int(end)
if int(threads):
    scene.render.threads_mode, scene.render.threads = 'FIXED', int(threads)
exec(setup)
bpy.ops.render.render(animation=True)
"#;

/// A local render.
#[derive(Debug, Clone)]
pub struct Render<'a> {
    /// The file.
    pub blend: &'a Path,
    /// Output pattern, absolute: `/tmp/out/####`.
    pub output: String,
    /// First and last frame.
    pub frames: (i32, i32),
    /// Threads; all of the machine's if none.
    pub threads: Option<u32>,
}

impl Baseline {
    /// Blender 3.4.1 and bpy 5.0.1 as `make setup-test` installs them.
    ///
    /// # Errors
    /// If one is missing: saying what to run.
    pub fn both() -> Result<[Self; 2]> {
        Ok([Self::executable()?, Self::module()?])
    }

    /// The installed Blender.
    ///
    /// # Errors
    /// If it is missing.
    pub fn executable() -> Result<Self> {
        let path = PathBuf::from("/usr/bin/blender");
        if !path.exists() {
            bail!("no Blender at {}: run `scripts/setup test`", path.display());
        }
        Ok(Self::Executable(path))
    }

    /// The Python that can import bpy 5.0.1.
    ///
    /// # Errors
    /// If it is missing.
    pub fn module() -> Result<Self> {
        Self::module_in("bpy-5.0.1")
    }

    /// The Python that can import bpy 4.2, which Tessera does not find by itself.
    ///
    /// # Errors
    /// If it is missing.
    pub fn module_4_2() -> Result<Self> {
        Self::module_in("others/bpy-4.2.23")
    }

    fn module_in(folder: &str) -> Result<Self> {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache
            .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
            .context("neither XDG_CACHE_HOME nor HOME is set")?;
        let path = cache.join("tessera").join(folder).join("bin/python");
        if !path.exists() {
            bail!("no bpy at {}: run `scripts/setup test`", path.display());
        }
        Ok(Self::Module(path))
    }

    /// What `--blender` and `TESSERA_BLENDER` take.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Executable(path) | Self::Module(path) => path,
        }
    }

    /// A short name for messages and folders.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Executable(_) => "blender-3.4.1".into(),
            Self::Module(path) => {
                let folder = path.ancestors().nth(2).and_then(Path::file_name);
                folder.map_or_else(|| "bpy".into(), |name| name.to_string_lossy().into_owned())
            }
        }
    }

    /// The command of a local render, for the record and for running it.
    #[must_use]
    pub fn command(&self, render: &Render<'_>) -> Command {
        self.command_after(render, "")
    }

    /// The same, with Python run in the loaded file before it is rendered: what a user would change by hand.
    #[must_use]
    pub fn command_after(&self, render: &Render<'_>, setup: &str) -> Command {
        let (start, end) = (render.frames.0.to_string(), render.frames.1.to_string());
        match self {
            Self::Executable(path) => {
                let mut command = Command::new(path);
                command.args(["-b", "--factory-startup"]).arg(render.blend);
                command.args(["-o", &render.output]);
                if let Some(threads) = render.threads {
                    command.args(["-t", &threads.to_string()]);
                }
                command.args(["-s", &start, "-e", &end]);
                if !setup.is_empty() {
                    command.args(["--python-exit-code", "1", "--python-expr", setup]);
                }
                command.arg("-a");
                command
            }
            Self::Module(path) => {
                let mut command = Command::new(path);
                command
                    .args(["-c", MODULE_SCRIPT])
                    .arg(render.blend)
                    .arg(&render.output);
                let threads = render.threads.unwrap_or(0).to_string();
                command.args([&start, &end, &threads, setup]);
                command
            }
        }
    }

    /// Renders locally; the wall-clock time of the whole process.
    ///
    /// # Errors
    /// If Blender fails: with its last lines.
    pub fn render(&self, render: &Render<'_>) -> Result<Duration> {
        run(self.command(render))
    }

    /// Renders locally what [`command_after`](Self::command_after) says.
    ///
    /// # Errors
    /// If Blender or the Python fails: with its last lines.
    pub fn render_after(&self, render: &Render<'_>, setup: &str) -> Result<Duration> {
        run(self.command_after(render, setup))
    }

    /// Runs a Python script in this Blender, with arguments behind `--` for an executable.
    ///
    /// # Errors
    /// If it fails: with its last lines.
    pub fn script(&self, script: &Path, arguments: &[&str]) -> Result<Duration> {
        let mut command = Command::new(self.path());
        match self {
            Self::Executable(_) => {
                command.args([
                    "-b",
                    "--factory-startup",
                    "--python-exit-code",
                    "1",
                    "--python",
                ]);
                command.arg(script).arg("--").args(arguments);
            }
            Self::Module(_) => {
                command.arg(script).args(arguments);
            }
        }
        run(command)
    }
}

fn run(mut command: Command) -> Result<Duration> {
    let start = Instant::now();
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let time = start.elapsed();
    if !output.status.success() {
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let last: Vec<&str> = text.lines().rev().take(20).collect();
        let last: Vec<&str> = last.into_iter().rev().collect();
        bail!(
            "{command:?} failed ({}):\n{}",
            output.status,
            last.join("\n")
        );
    }
    Ok(time)
}
