//! `cargo xtask compare A B`: the face of [`tessera_merge::compare`].

use std::path::PathBuf;
use std::process::ExitCode;

use serde_json::json;
use tessera_merge::compare::{Report, paths};

/// Compare two frames or two folders of frames exactly, pass by pass
///
/// EXR of one part or many and PNG are compared sample by sample, by their bits; JPEG, TIFF, WebP, BMP, TGA and HDR by
/// their pixels; other files byte by byte. Files of folders are matched by name. Whatever is there on one side only is a
/// difference; dates, times, hosts and paths in the metadata are not. Exit status 0 only if something was compared and
/// all of it is identical.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A frame or a folder
    a: PathBuf,
    /// The frame or folder to hold it against
    b: PathBuf,
    /// Print the whole report as one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let report = paths(&arguments.a, &arguments.b)?;
    if arguments.json {
        println!("{}", json_of(&report));
    } else {
        println!("{report}");
    }
    Ok(if report.identical() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn json_of(report: &Report) -> serde_json::Value {
    json!({ "identical": report.identical(), "summary": report.summary(), "report": report })
}
