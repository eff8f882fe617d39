//! A frame is what `blender -b FILE -f N` makes of it: the same files, the same pixels, the same metadata.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use tessera_blender::{Build, BuildKind, Overrides, Render, Role};

use crate::pixels;
use crate::support::{Stage, builds, run_script};

const KINDS: [&str; 8] = [
    "png",
    "views",
    "stereo",
    "multiview",
    "sequencer",
    "movie",
    "border",
    "templates",
];
/// In no order; all of the file's range.
const FRAMES: [i32; 4] = [1, -2, 2, 0];

#[tokio::test]
async fn frames_are_those_of_blender_itself() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("features.py", &[]);
        // Two that between them have most of it; with `slow-tests`, all.
        let kinds = if cfg!(feature = "slow-tests") {
            KINDS.as_slice()
        } else {
            &KINDS[..2]
        };
        for kind in kinds {
            check(&build, &mut stage, kind).await;
        }
    }
}

async fn check(build: &Build, stage: &mut Stage, kind: &str) {
    let what = format!("{build}, {kind}");
    stage.open(&format!("{kind}.blend")).await.unwrap();
    let scan = stage.scan().await;
    let output = &scan.scenes[0].output;
    let mut ours = BTreeMap::new();
    for frame in FRAMES {
        let out_dir = stage.path(&format!("ours-{kind}-{frame}"));
        std::fs::create_dir(&out_dir).unwrap();
        let scene = scan.active_scene.clone();
        let render = Render {
            scene,
            frame,
            out_dir,
            name: None,
            overrides: Overrides::default(),
        };
        let log = stage.log("render");
        let rendered = stage
            .blender
            .render(&render, &log)
            .await
            .unwrap_or_else(|error| panic!("{what}: {error}"));
        let announced: Vec<String> = output
            .names
            .iter()
            .map(|output| output.name.at(frame))
            .collect();
        let made: Vec<&String> = rendered
            .files
            .iter()
            .filter(|file| !matches!(file.role, Role::Node { .. }))
            .map(|file| &file.name)
            .collect();
        assert_eq!(made, announced.iter().collect::<Vec<_>>(), "{what}");
        for file in rendered.files {
            let folder = match file.role {
                Role::Main | Role::View { .. } => &output.directory,
                Role::Node { index } => &scan.file_outputs[index as usize].directory,
            };
            ours.insert(folder.join(&file.name), file.path);
        }
    }
    let theirs = reference(build, stage, kind);
    assert_eq!(
        ours.keys().collect::<Vec<_>>(),
        theirs.iter().collect::<Vec<_>>(),
        "{what}"
    );
    let different: Vec<_> = ours
        .iter()
        .filter_map(|(name, path)| difference(name, path))
        .collect();
    assert_eq!(different, Vec::<String>::new(), "{what}");
}

/// Renders with Blender alone; returns the files that it made.
fn reference(build: &Build, stage: &Stage, kind: &str) -> Vec<PathBuf> {
    for folder in ["out", "nodes"] {
        let _ = std::fs::remove_dir_all(stage.path(folder));
    }
    run_script(build, "reference.py", &stage.path(""), &[kind]);
    if build.kind == BuildKind::Executable {
        // The range once more, in the words of the command line.
        let png: &[&str] = if kind == "movie" { &["-F", "PNG"] } else { &[] };
        let blend = stage.path(&format!("{kind}.blend"));
        let mut command = Command::new(&build.path);
        command
            .args(["-b", "--factory-startup"])
            .arg(blend)
            .args(png)
            .arg("-a");
        let output = command.output().unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    let mut files = Vec::new();
    for folder in ["out", "nodes"] {
        files_below(&stage.path(folder), &mut files);
    }
    files.sort();
    files
}

fn files_below(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files)
        } else {
            files.push(path)
        }
    }
}

/// What is not the same, in words.
pub fn difference(theirs: &Path, ours: &Path) -> Option<String> {
    let what = match theirs.extension().and_then(|extension| extension.to_str()) {
        Some("exr") => {
            let channels = pixels::difference(theirs, ours);
            let metadata = (pixels::metadata(theirs), pixels::metadata(ours));
            (!channels.is_empty() || metadata.0 != metadata.1)
                .then(|| format!("{channels:?} {metadata:?}"))
        }
        Some("png") => {
            let (theirs, ours) = (pixels::of_png(theirs), pixels::of_png(ours));
            (theirs != ours).then(|| format!("{:?} {:?}", theirs.3, ours.3))
        }
        Some("jpeg" | "jpg") => {
            (pixels::of_jpeg(theirs) != pixels::of_jpeg(ours)).then(|| "bytes".to_owned())
        }
        // These formats hold nothing that changes from run to run.
        _ => (std::fs::read(theirs).unwrap() != std::fs::read(ours).unwrap())
            .then(|| "bytes".to_owned()),
    };
    what.map(|what| format!("{}: {what}", theirs.display()))
}
