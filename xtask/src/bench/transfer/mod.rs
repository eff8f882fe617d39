//! How fast a project travels, against rsync through its daemon.
//!
//! Project: a .blend saved by Blender 3.4.1 that names 5,000 pictures of 2 GB in all (4,000 of 100 kB, 900 of 1 MB, 100 of 7 MB, sizes
//! varied), three quarters of them incompressible, as PNG, JPEG and packed EXR are, the rest halves. It was just written, so it lies in the page cache for both.
//! Ours: `tessera submit project.blend -f 1 -vv`, on a farm of one manager on 127.0.0.1: cut, hashed, compressed where it pays, encrypted,
//! verified, synced. The clock begins when the program says that it reads the first file (Blender has said by then which there are) and stops
//! when the command ends. Baseline: `rsync -a --fsync project/ rsync://127.0.0.1:PORT/project/`, the whole command: neither hashed on
//! disk nor encrypted, each file synced. Both use what they will of the two cores that client and server share.
//! Each is run on an empty place, then again on what is there (`unchanged`); twice, taking turns, and the better one counts.
//!
//! Edit: a scene of 60 MB saved compressed, its camera moved and saved again in one session; `tessera submit` and `rsync -a` of the
//! one file. Counted: all bodies both ways, questions, lists, answers and the job itself included; `Total bytes sent` and `received` of rsync's
//! `--stats`, since the sums of what is there come from the other end.

mod project;
mod rsync;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tessera_wire::line::{Line, LineKind};

use super::Bench;
use super::table::{Aim, Figure};
use crate::farm::Home;
use project::Project;
use rsync::Daemon;

/// Runs of each: the better one counts, since others may use the machine.
const ROUNDS: u32 = 2;

/// What the program says, at `-vv`, when it begins to read files.
const READING: &str = "packing: Reading file";

/// A way of sending, at its best.
#[derive(Debug, Clone, Copy)]
struct Best {
    first: Duration,
    unchanged: Duration,
}

impl Best {
    const NONE: Self = Self {
        first: Duration::MAX,
        unchanged: Duration::MAX,
    };

    fn take(&mut self, first: Duration, unchanged: Duration) {
        self.first = self.first.min(first);
        self.unchanged = self.unchanged.min(unchanged);
    }
}

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = bench.out.join("transfer");
    std::fs::create_dir_all(&folder)?;
    let project = Project::make(bench, &folder)?;
    println!(
        "  {} files of {} MB",
        project.files,
        project.bytes / 1_000_000
    );
    let (mut ours, mut whole, mut theirs) = (Best::NONE, Best::NONE, Best::NONE);
    let mut wire_bytes = 0;
    for round in 0..ROUNDS {
        let place = folder.join(format!("rsync-{round}"));
        let daemon = Daemon::start(&place)?;
        let first = daemon.copy(&project.folder)?;
        let again = daemon.copy(&project.folder)?;
        theirs.take(first.took, again.took);
        drop(daemon);
        std::fs::remove_dir_all(&place)?;

        let home = Home::new(&bench.tessera, &folder.join(format!("home-{round}")));
        let manager = home.manager(&[])?;
        let first = submit(&home, &project.blend)?;
        let again = submit(&home, &project.blend)?;
        ours.take(first.reading, again.reading);
        whole.take(first.whole, again.whole);
        wire_bytes = again.wire_bytes;
        drop(manager);
        std::fs::remove_dir_all(home.folder())?;
    }
    let speed = |took: Duration| project.bytes as f64 / 1e6 / took.as_secs_f64();
    let ratio = |theirs: Duration, ours: Duration| theirs.as_secs_f64() / ours.as_secs_f64();
    let mut figures = vec![
        Figure {
            name: "first transfer of a project, against rsync".into(),
            value: ratio(theirs.first, ours.first),
            unit: "×",
            aim: Aim::AtLeast(0.7),
            note: format!(
                "{:.2} s ({:.0} MB/s) against {:.2} s ({:.0} MB/s); the whole command {:.2} s",
                ours.first.as_secs_f64(),
                speed(ours.first),
                theirs.first.as_secs_f64(),
                speed(theirs.first),
                whole.first.as_secs_f64()
            ),
        },
        Figure {
            name: "unchanged transfer of it, against rsync".into(),
            value: ratio(theirs.unchanged, ours.unchanged),
            unit: "×",
            aim: Aim::AtLeast(3.0),
            note: format!(
                "{:.3} s and {wire_bytes} bytes against {:.3} s; the whole command {:.2} s",
                ours.unchanged.as_secs_f64(),
                theirs.unchanged.as_secs_f64(),
                whole.unchanged.as_secs_f64()
            ),
        },
    ];
    figures.push(edit(bench, &folder.join("edit"))?);
    Ok(figures)
}

const EDIT: &str = "
import bpy, sys
blend, before, after = sys.argv[-3:]
bpy.ops.wm.open_mainfile(filepath=blend, load_ui=False)
bpy.ops.wm.save_as_mainfile(filepath=before, compress=True, copy=True)
camera = bpy.context.scene.camera
camera.animation_data_clear()
camera.location.x += 0.25
bpy.ops.wm.save_as_mainfile(filepath=after, compress=True, copy=True)
";

fn edit(bench: &Bench, folder: &Path) -> Result<Figure> {
    let sent = folder.join("sent");
    std::fs::create_dir_all(&sent)?;
    let (blend, after) = (sent.join("scene.blend"), folder.join("after.blend"));
    let script = folder.join("edit.py");
    std::fs::write(&script, EDIT)?;
    let scenes = bench.scenes()?;
    let paths = [text(&scenes.heavy)?, text(&blend)?, text(&after)?];
    scenes.blender.script(&script, &paths)?;
    let size = std::fs::metadata(&blend)?.len();

    let home = Home::new(&bench.tessera, &folder.join("home"));
    let _manager = home.manager(&[])?;
    let daemon = Daemon::start(&folder.join("rsync"))?;
    submit(&home, &blend)?;
    daemon.copy(&sent)?;
    std::fs::rename(&after, &blend)?;
    let ours = submit(&home, &blend)?.wire_bytes;
    let theirs = daemon.copy(&sent)?.wire_bytes;
    Ok(Figure {
        name: "bytes of an edit of a compressed 60 MB file, rsync's against ours".into(),
        value: theirs as f64 / ours as f64,
        unit: "×",
        aim: Aim::AtLeast(20.0),
        note: format!("{theirs} bytes against {ours}, of {size} on disk"),
    })
}

/// What handing in a job took.
struct Submitted {
    /// From the first file read.
    reading: Duration,
    whole: Duration,
    /// Both ways.
    wire_bytes: u64,
}

fn submit(home: &Home, blend: &Path) -> Result<Submitted> {
    let mut command = home.command(&["submit", text(blend)?, "-f", "1", "--json", "-vv"]);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn().context("cannot start tessera submit")?;
    let errors = child.stderr.take().context("no standard error")?;
    let said = std::thread::spawn(move || {
        let mut reading = None;
        let mut last = String::new();
        for line in BufReader::new(errors).lines().map_while(Result::ok) {
            if reading.is_none() && line.contains(READING) {
                reading = Some(Instant::now());
            }
            last = line;
        }
        (reading, last)
    });
    let output = child.stdout.take().context("no standard output")?;
    let mut wire_bytes = None;
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let LineKind::Sending {
            sent_bytes: sent,
            received_bytes,
            ..
        } = serde_json::from_str::<Line>(&line)?.what
        {
            wire_bytes = Some(sent + received_bytes);
        }
    }
    let status = child.wait()?;
    let ended = Instant::now();
    let (reading, last) = said.join().expect("reading lines does not panic");
    if !status.success() {
        bail!("`tessera submit` failed: {last}");
    }
    Ok(Submitted {
        reading: ended - reading.context("`tessera submit -vv` did not say when it read files")?,
        whole: ended - begun,
        wire_bytes: wire_bytes.context("`tessera submit --json` did not say how much it sent")?,
    })
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is not valid Unicode")
}
