//! A Blender does not outlive the program that started it, not even in the middle of a frame.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tessera_blender::{Blender, Launch, LogFiles, Open, Overrides, Render};

use crate::support::{Stage, builds};

const DIR_VARIABLE: &str = "TESSERA_TEST_ORPHAN_DIR";

/// What the test below starts as a program of its own: it renders a frame that never ends.
#[tokio::test]
async fn renders_until_it_is_killed() {
    let Some(dir) = std::env::var_os(DIR_VARIABLE).map(PathBuf::from) else {
        return;
    };
    let index: usize = std::fs::read_to_string(dir.join("build"))
        .unwrap()
        .parse()
        .unwrap();
    let build = &builds().await[index];
    let mut blender = Blender::launch(build, &Launch::default(), &LogFiles::in_dir(&dir, "launch"))
        .await
        .unwrap();
    let open = Open {
        path: dir.join("unruly.blend"),
        autoexec: true,
        ..Open::default()
    };
    blender
        .open(&open, &LogFiles::in_dir(&dir, "open"))
        .await
        .unwrap();
    println!("\nBLENDER {}", blender.pid());
    let out_dir = dir.join("out");
    std::fs::create_dir(&out_dir).unwrap();
    let render = Render {
        scene: "Scene".into(),
        frame: 10,
        out_dir,
        name: None,
        overrides: Overrides::default(),
    };
    blender
        .render(&render, &LogFiles::in_dir(&dir, "render"))
        .await
        .unwrap();
}

#[tokio::test]
async fn it_ends_with_its_parent() {
    for (index, build) in builds().await.iter().enumerate() {
        let stage = Stage::new(build).await;
        stage.make("unruly.py", &[]);
        std::fs::write(stage.path("build"), index.to_string()).unwrap();
        let mut parent = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "orphans::renders_until_it_is_killed",
                "--nocapture",
            ])
            .env(DIR_VARIABLE, stage.path(""))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(parent.stdout.take().unwrap()).lines();
        let pid: u32 = lines
            .find_map(|line| line.unwrap().strip_prefix("BLENDER ")?.parse().ok())
            .unwrap();
        while !stage.path("burning").exists() {
            tokio::task::yield_now().await;
        }
        parent.kill().unwrap();
        parent.wait().unwrap();
        // Until it is gone, or only waits for the system to take note.
        while is_alive(pid) {
            tokio::task::yield_now().await;
        }
    }
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat"))
        .unwrap_or_default();
    stat.rsplit(')')
        .next()
        .and_then(|rest| rest.trim_start().chars().next())
        .is_some_and(|state| state != 'Z')
}
