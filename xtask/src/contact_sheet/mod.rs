//! `cargo xtask contact-sheet DIR OUT.png`: all frames of a folder on one picture, to be looked at.

mod digits;
mod frames;
mod sheet;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};

/// Width of a frame on the picture, in pixels.
const DEFAULT_WIDTH: u32 = 320;

/// Lay all frames of a folder out on one picture, with their numbers
///
/// Takes PNG frames, and the Combined pass of EXR frames with the sRGB transfer function: about what a viewer without
/// Blender's view transform shows, brighter highlights cut off.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder with the frames
    folder: PathBuf,
    /// The PNG to write
    out: PathBuf,
    /// How many frames side by side; by default about as wide as high, on a 16:9 picture
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    columns: Option<u32>,
    /// Width of each frame in pixels
    #[arg(long, default_value_t = DEFAULT_WIDTH, value_parser = clap::value_parser!(u32).range(16..=4096))]
    width: u32,
}

/// Runs the command.
///
/// # Errors
/// If the folder holds no frame, or one can not be read, or the picture can not be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let count = write(
        &arguments.folder,
        &arguments.out,
        arguments.columns,
        arguments.width,
    )?;
    println!("{count} frames on {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Lays all frames of `folder` out on the picture `out`, in the usual size.
///
/// # Errors
/// As [`run`].
pub fn make(folder: &Path, out: &Path) -> anyhow::Result<()> {
    write(folder, out, None, DEFAULT_WIDTH).map(|_| ())
}

fn write(folder: &Path, out: &Path, columns: Option<u32>, width: u32) -> anyhow::Result<usize> {
    let frames = frames::in_folder(folder, width)?;
    ensure!(
        !frames.is_empty(),
        "{} holds no PNG and no EXR frame",
        folder.display()
    );
    let sheet = sheet::laid_out(&frames, columns);
    sheet
        .save(out)
        .with_context(|| format!("cannot write {}", out.display()))?;
    Ok(frames.len())
}
