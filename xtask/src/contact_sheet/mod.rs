//! `cargo xtask contact-sheet DIR OUT.png`: all frames of a folder on one picture, to be looked at.

mod digits;
mod frames;
mod sheet;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};

/// Lay all frames of a folder out on one picture, with their numbers
///
/// Takes PNG frames, and the Combined pass of EXR frames with the sRGB transfer function: about what a viewer without
/// Blender's view transform shows, brighter highlights cut off.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder with the frames
    folder: PathBuf,
    /// The PNG to write
    out: PathBuf,
    /// How many frames side by side; by default about as wide as high, on a 16:9 picture
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    columns: Option<u32>,
    /// Width of each frame in pixels
    #[arg(long, default_value_t = 320, value_parser = clap::value_parser!(u32).range(16..=4096))]
    width: u32,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let frames = frames::in_folder(&arguments.folder, arguments.width)?;
    ensure!(
        !frames.is_empty(),
        "{} holds no PNG and no EXR frame",
        arguments.folder.display()
    );
    let sheet = sheet::laid_out(&frames, arguments.columns);
    sheet
        .save(&arguments.out)
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    println!("{} frames on {}", frames.len(), arguments.out.display());
    Ok(ExitCode::SUCCESS)
}
