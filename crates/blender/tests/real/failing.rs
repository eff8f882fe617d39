//! A render that ends in an error is a failed frame, and nothing of its Blender renders another.
//!
//! With persistent data Blender calls every later frame finished and leaves it empty (3.4.1 and 5.0.1).

use std::path::PathBuf;

use tessera_blender::{Build, BuildKind, Error, Launch, Open, Overrides, RefusalCode, Rendered};

use crate::pixels;
use crate::support::{Stage, builds, run_script};

const NO_TILES: &str = "Error writing tile to file";
const NO_DENOISER: &str = "Build without OpenImageDenoiser";

async fn open(stage: &mut Stage, kind: &str) {
    let open = Open {
        path: stage.path(&format!("{kind}.blend")),
        autoexec: true,
        ..Open::default()
    };
    let log = stage.log("open");
    stage.blender.open(&open, &log).await.unwrap();
}

fn picture(rendered: &Rendered) -> PathBuf {
    assert!(rendered.persistent.on, "{:?}", rendered.persistent);
    rendered.files[0].path.clone()
}

/// Renders a frame that cannot be rendered, after which the Blender does nothing more; in its place comes another.
async fn fails(stage: &mut Stage, what: &str, frame: i32, words: &str) {
    let error = stage.render(frame, Overrides::default()).await.unwrap_err();
    println!("{what}, frame {frame}: {error}");
    let Error::Failed { refusal, .. } = &error else {
        panic!("{what}: {error}")
    };
    assert_eq!(refusal.code, RefusalCode::Render, "{what}: {error}");
    assert!(refusal.text.contains(words), "{what}: {error}");
    assert!(!error.blender_lives(), "{what}");
    let next = stage.render(frame, Overrides::default()).await;
    assert!(
        matches!(next, Err(Error::Abandoned { .. })),
        "{what}: {next:?}"
    );
    stage.replace(&Launch::default()).await;
}

/// A file that fails in frame 2 only, and there each time; the frames around it are those of Blender alone.
async fn fails_in_the_second(build: &Build, stage: &mut Stage, kind: &str, words: &str) {
    let what = format!("{build}, {kind}");
    let mut frames = Vec::new();
    open(stage, kind).await;
    frames.push((1, stage.render(1, Overrides::default()).await.unwrap()));
    for _try in 0..2 {
        fails(stage, &what, 2, words).await;
        open(stage, kind).await;
    }
    frames.push((3, stage.render(3, Overrides::default()).await.unwrap()));
    for (frame, rendered) in frames {
        run_script(
            build,
            "alone.py",
            &stage.path(""),
            &[kind, &frame.to_string()],
        );
        let alone = stage.path(&format!("{kind}-alone/{frame:04}.png"));
        let (ours, theirs) = (pixels::of_png(&picture(&rendered)), pixels::of_png(&alone));
        assert!(ours.2 == theirs.2, "{what}, frame {frame}: other pixels");
        assert!(
            ours.2.iter().any(|sample| *sample != ours.2[0]),
            "{what}, frame {frame} is empty"
        );
    }
}

#[tokio::test]
async fn a_blender_that_failed_renders_nothing_more() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("failing.py", &[]);
        for kind in ["tiles", "strip", "layer"] {
            fails_in_the_second(&build, &mut stage, kind, NO_TILES).await;
        }
    }
}

/// Debian builds Blender without a denoiser.
#[tokio::test]
async fn what_cannot_be_denoised_fails_each_time() {
    let builds = builds().await;
    let build = &builds[0];
    assert_eq!(build.kind, BuildKind::Executable);
    let mut stage = Stage::new(build).await;
    stage.make("failing.py", &[]);
    for frame in [1, 2, 3, 1] {
        open(&mut stage, "denoise").await;
        fails(&mut stage, "denoise", frame, NO_DENOISER).await;
    }
    fails_in_the_second(build, &mut stage, "denoise_two", NO_DENOISER).await;
}
