//! What the scan lists for some frames is enough for them: with nothing but those files, in another place, they come out the same.

use std::path::PathBuf;

use tempfile::TempDir;
use tessera_blender::{Build, Open, Overrides, Remap, Render, Scan, ScanRequest, Series};
use tessera_model::FrameSet;
use tokio::sync::OnceCell;

use crate::pixels;
use crate::support::{Stage, builds, run_script};

#[tokio::test]
async fn images_of_a_sequence() {
    on_both(
        "image_cyclic",
        &[2, 11],
        &names("seq/f_", 4, &[3, 4, 5, 6], ".png"),
    )
    .await;
    // Before its first frame it shows nothing.
    on_both(
        "image_late",
        &[1, 7],
        &names("seq/f_", 4, &[2, 3, 4], ".png"),
    )
    .await;
    on_both(
        "image_sequence",
        &[3, 4],
        &names("seq/f_", 4, &[2, 3, 4, 5], ".png"),
    )
    .await;
    on_both(
        "image_sequence",
        &[2, 9],
        &names("seq/f_", 4, &[1, 2, 3, 8, 9, 10], ".png"),
    )
    .await;
}

#[tokio::test]
async fn views_of_an_image() {
    on_both(
        "views",
        &[1],
        &["eyes/wall_L.png".into(), "eyes/wall_R.png".into()],
    )
    .await;
}

#[tokio::test]
async fn tiles_of_an_image() {
    on_both(
        "udim",
        &[1],
        &names("tiles/skin.", 4, &[1001, 1002], ".png"),
    )
    .await;
}

#[tokio::test]
async fn pictures_of_a_clip() {
    on_both(
        "clip",
        &[5, 9],
        &names("clip/c_", 3, &[2, 3, 4, 5, 7, 8, 9], ".png"),
    )
    .await;
}

#[tokio::test]
async fn pictures_of_a_strip() {
    on_both("strip", &[8], &names("cut/s_", 3, &[5, 6], ".png")).await;
    on_both(
        "strip",
        &[4, 11],
        &names("cut/s_", 3, &[1, 2, 3, 6], ".png"),
    )
    .await;
    let of_both_eyes = |number| ["L", "R"].map(|eye| format!("cut/s_{number:03}_{eye}.png"));
    on_both(
        "strip_views",
        &[1, 2],
        &[1, 2, 3].map(of_both_eyes).concat(),
    )
    .await;
}

#[tokio::test]
async fn volumes_of_a_sequence() {
    let all = [1, 2, 3, 4, 5, 6, 7, 8];
    let cases: [(&str, &[i32], &[i32]); 6] = [
        ("volume_clip", &[1, 5], &[2, 4, 5]),
        ("volume_extend", &[1, 7], &[2, 5]),
        ("volume_repeat", &[6], &[2, 3, 5]),
        ("volume_ping_pong", &[8, -1], &[2, 3, 4, 5]),
        ("volume_animated", &[4], &all),
        ("volume_remapped", &[4], &all),
    ];
    for (kind, frames, listed) in cases {
        on_both(kind, frames, &names("vdb/smoke_", 3, listed, ".vdb")).await;
    }
}

#[tokio::test]
async fn steps_of_baked_cloth() {
    let cloth = |steps: &[i32]| names("blendcache_main/436C6F7468_", 6, steps, "_00.bphys");
    on_both("cloth_baked", &[3, 7], &cloth(&[2, 3, 4, 6, 7, 8])).await;
    // After the last one nothing moves any more.
    on_both("cloth_baked", &[3, 10], &cloth(&[2, 3, 4, 8])).await;
    // Blender counts the frames of an external one by the files that are there: it travels whole.
    let external = names("moved/Sheet_", 6, &[1, 2, 3, 4, 5, 6, 7, 8], "_00.bphys");
    on_both("cloth_external", &[3, 7], &external).await;
    on_both("cloth_blurred", &[5], &cloth(&[2, 3, 4, 5, 6, 7, 8])).await;
}

#[tokio::test]
async fn steps_of_baked_particles() {
    for build in builds().await {
        let dust = |steps: &[i32]| {
            // Blender 3.4 tells of births and deaths in every step.
            let told: &[i32] = if build.version.series() < Series::new(5, 0) {
                &[]
            } else {
                &[0]
            };
            names(
                "blendcache_main/456D6974746572_",
                6,
                &[told, steps].concat(),
                "_00.bphys",
            )
        };
        check(
            &build,
            "particles_baked",
            &[4, 8],
            &dust(&[3, 4, 5, 7, 8, 9]),
        )
        .await;
        check(&build, "particles_in_steps", &[3, 4], &dust(&[1, 5])).await;
        check(&build, "particles_in_steps", &[7], &dust(&[5, 7, 9])).await;
    }
}

#[tokio::test]
async fn what_may_show_any_frame_travels_whole() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        // A script only if it may run.
        let cases = [
            ("image_animated", false, 10),
            ("image_in_a_scene_strip", false, 10),
            ("image_under_a_moving_shutter", false, 10),
            ("fluid", false, 6),
            ("image_with_a_script", true, 10),
            ("image_with_a_script", false, 3),
        ];
        for (kind, autoexec, files) in cases {
            stage.make("travelling.py", &[kind]);
            let open = Open {
                path: stage.path("main.blend"),
                autoexec,
                ..Open::default()
            };
            let log = stage.log("open");
            stage.blender.open(&open, &log).await.unwrap();
            let scan = scan(&mut stage, &[4]).await;
            assert_eq!(
                scan.files.len(),
                files,
                "{build}, {kind}: {:#?}",
                scan.files
            );
        }
    }
}

#[tokio::test]
async fn caches_of_what_is_half_baked() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("travelling.py", &["half_baked"]);
        stage.open("main.blend").await.unwrap();
        let scan = scan(&mut stage, &[3]).await;
        assert!(scan.files.len() >= 8, "{build}: {:#?}", scan.files);
        assert!(
            scan.files.iter().all(|file| file.frames.is_none()),
            "{build}"
        );
    }
}

#[tokio::test]
async fn pictures_of_a_baked_ocean() {
    on_both(
        "ocean",
        &[3, 9],
        &names("sea/disp_", 4, &[2, 3, 4, 6], ".exr"),
    )
    .await;
}

#[tokio::test]
async fn steps_of_baked_nodes() {
    let newest = newest().await;
    let mut listed = names("drifted/blobs/", 5, &[1, 4, 5, 6, 8, 9, 10], "_00000.blob");
    // The first step is what a bake of one state for all frames is.
    listed.extend(names(
        "drifted/meta/",
        5,
        &[1, 4, 5, 6, 8, 9, 10],
        "_00000.json",
    ));
    check(&newest, "nodes_bake", &[5, 9], &listed).await;
}

#[tokio::test]
async fn files_of_a_sequence_of_scenes() {
    let listed = names("usd/cube_", 3, &[1, 2, 3, 4, 5, 6, 7], ".usdc");
    let newest = newest().await;
    // Beyond the last file there is nothing to show.
    check(&newest, "usd_sequence", &[9], &listed[..1]).await;
    check(
        &newest,
        "usd_sequence",
        &[2, 6],
        &[&listed[..3], &listed[4..]].concat(),
    )
    .await;
    check(
        &newest,
        "usd_sequence",
        &[4],
        &[&listed[..1], &listed[2..5]].concat(),
    )
    .await;
}

/// The Blender that makes and renders what 3.4 as Debian builds it cannot.
async fn newest() -> Build {
    builds().await.remove(1)
}

/// Volumes take a Blender some time to make, and are the same for all.
static VOLUMES: OnceCell<TempDir> = OnceCell::const_new();

async fn volumes() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    run_script(&newest().await, "volumes.py", dir.path(), &[]);
    dir
}

fn names(begin: &str, digits: usize, numbers: &[i32], end: &str) -> Vec<String> {
    let name = |number: &i32| format!("{begin}{number:0digits$}{end}");
    numbers.iter().map(name).collect()
}

async fn on_both(kind: &str, frames: &[i32], expected: &[String]) {
    for build in builds().await {
        check(&build, kind, frames, expected).await;
    }
}

async fn scan(stage: &mut Stage, frames: &[i32]) -> Scan {
    let request = ScanRequest {
        frames: Some(FrameSet::of(frames.iter().copied()).unwrap()),
        output: None,
    };
    let log = stage.log("scan");
    stage.blender.scan(&request, &log).await.unwrap()
}

async fn check(build: &Build, kind: &str, frames: &[i32], expected: &[String]) {
    let what = format!("{build}, {kind}");
    let mut stage = Stage::new(build).await;
    let origin = stage.path("origin");
    std::fs::create_dir(&origin).unwrap();
    if kind.starts_with("volume") {
        std::fs::create_dir(origin.join("vdb")).unwrap();
        let made = VOLUMES.get_or_init(volumes).await.path().join("vdb");
        for entry in std::fs::read_dir(made).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), origin.join("vdb").join(entry.file_name())).unwrap();
        }
    }
    run_script(build, "travelling.py", &origin, &[kind]);

    stage.open("origin/main.blend").await.unwrap();
    let scan = scan(&mut stage, frames).await;
    let listed: Vec<_> = scan.files.iter().map(|file| file.path.clone()).collect();
    let names: Vec<_> = listed
        .iter()
        .map(|path| path.strip_prefix(&origin).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(names, expected, "{what}");
    assert!(
        scan.files.iter().all(|file| file.exists),
        "{what}: {:#?}",
        scan.files
    );
    let before = render_all(&mut stage, frames, "before").await;
    for pair in before.windows(2) {
        let same = pixels::difference(&pair[0], &pair[1]).is_empty();
        assert!(!same, "{what}: the files are not seen");
    }

    let root = stage.path("root");
    for path in listed.into_iter().chain([origin.join("main.blend")]) {
        let mirrored = root.join(path.strip_prefix("/").unwrap());
        std::fs::create_dir_all(mirrored.parent().unwrap()).unwrap();
        std::fs::copy(&path, mirrored).unwrap();
    }
    std::fs::rename(&origin, stage.path("away")).unwrap();
    let open = Open {
        path: root
            .join(origin.strip_prefix("/").unwrap())
            .join("main.blend"),
        remap: vec![Remap {
            from: "/".into(),
            to: root,
        }],
        ..Open::default()
    };
    let log = stage.log("open-elsewhere");
    stage.blender.open(&open, &log).await.unwrap();
    let after = render_all(&mut stage, frames, "after").await;
    for ((before, after), frame) in before.iter().zip(&after).zip(frames) {
        let different = pixels::difference(before, after);
        assert_eq!(different, Vec::<String>::new(), "{what}, frame {frame}");
    }
}

async fn render_all(stage: &mut Stage, frames: &[i32], name: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for &frame in frames {
        let out_dir = stage.path(&format!("{name}-{frame}"));
        std::fs::create_dir(&out_dir).unwrap();
        let overrides = Overrides {
            exr: true,
            ..Overrides::default()
        };
        let render = Render {
            scene: "Scene".into(),
            frame,
            out_dir,
            name: None,
            overrides,
        };
        let log = stage.log("render");
        let rendered = stage.blender.render(&render, &log).await.unwrap();
        files.push(rendered.files[0].path.clone());
    }
    files
}
