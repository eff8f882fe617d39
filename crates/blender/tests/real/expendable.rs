//! Whatever happens inside Blender is an ordinary error outside, and nothing of it stays.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tessera_blender::{Build, Error, Launch, LogFiles, Open, Overrides, RefusalCode};

use crate::support::{Stage, builds, run_script};

/// A Blender with a scene that misbehaves; made by the first call in a test, opened by all.
async fn unruly(build: &Build, launch: &Launch, dir: &Path) -> Stage {
    let mut stage = Stage::with(build, launch).await;
    let scene = dir.join(format!("{}/unruly.blend", build.version));
    if !scene.exists() {
        run_script(build, "unruly.py", scene.parent().unwrap(), &[]);
    }
    let open = Open {
        path: scene,
        autoexec: true,
        ..Open::default()
    };
    let log = stage.log("open");
    stage.blender.open(&open, &log).await.unwrap();
    stage
}

fn pid(raw: u32) -> Pid {
    Pid::from_raw(i32::try_from(raw).unwrap()).unwrap()
}

/// Gone, not merely dead: a zombie would still be found.
fn assert_gone(raw: u32) {
    assert_eq!(
        test_kill_process(pid(raw)),
        Err(rustix::io::Errno::SRCH),
        "process {raw} is still there"
    );
}

#[tokio::test]
async fn crashes_hangs_and_greed_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let limits = Launch {
        hang_after: Duration::from_secs(2),
        memory_max_bytes: Some(2 << 30),
        ..Launch::default()
    };
    for build in builds().await {
        for frame in [3, 4, 5, 6, 8] {
            let mut stage = unruly(&build, &limits, dir.path()).await;
            let raw = stage.blender.pid();
            let error = stage.render(frame, Overrides::default()).await.unwrap_err();
            let text = error.to_string();
            assert!(
                text.contains(&format!("render frame {frame}")),
                "{build}: {text}"
            );
            assert!(!error.blender_lives(), "{build}: {text}");
            match frame {
                3 => {
                    assert!(
                        matches!(
                            error,
                            Error::Crashed {
                                signal: Some(11),
                                ..
                            }
                        ),
                        "{build}: {text}"
                    );
                    assert!(text.contains("about to fault"), "{build}: {text}");
                }
                4 => assert!(
                    matches!(
                        error,
                        Error::Crashed {
                            signal: Some(6),
                            ..
                        }
                    ),
                    "{build}: {text}"
                ),
                5 => assert!(matches!(error, Error::Hung { .. }), "{build}: {text}"),
                6 => assert!(
                    matches!(error, Error::OutOfMemory { .. }),
                    "{build}: {text}"
                ),
                _ => assert!(
                    matches!(error, Error::Crashed { signal: None, .. }),
                    "{build}: {text}"
                ),
            }
            assert_gone(raw);
            let next = stage.render(10, Overrides::default()).await;
            assert!(
                matches!(next, Err(Error::Abandoned { .. })),
                "{build}: {next:?}"
            );
        }
    }
}

#[tokio::test]
async fn silent_work_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for build in builds().await {
        let limits = Launch {
            hang_after: Duration::from_secs(1),
            ..Launch::default()
        };
        let mut stage = unruly(&build, &limits, dir.path()).await;
        stage.render(7, Overrides::default()).await.unwrap();
    }
}

#[tokio::test]
async fn killed_from_outside_or_by_us_it_is_gone_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    for build in builds().await {
        for from_outside in [true, false] {
            let mut stage = unruly(&build, &Launch::default(), dir.path()).await;
            let (raw, handle, child_file) = (
                stage.blender.pid(),
                stage.blender.handle(),
                dir.path().join(format!("{}/child", build.version)),
            );
            let _ = std::fs::remove_file(&child_file);
            let (error, child) = tokio::join!(stage.render(9, Overrides::default()), async {
                let child: u32 = loop {
                    // It is written in the middle of the frame, and a render blocks nothing.
                    let running = handle.ping().await.unwrap().running;
                    if let Some(child) = std::fs::read_to_string(&child_file)
                        .ok()
                        .and_then(|text| text.parse().ok())
                    {
                        assert_eq!(running.unwrap().frame, Some(9));
                        break child;
                    }
                };
                if from_outside {
                    kill_process(pid(raw), Signal::KILL).unwrap()
                } else {
                    handle.kill()
                }
                child
            });
            match error.unwrap_err() {
                Error::Crashed {
                    signal: Some(9), ..
                } if from_outside => {}
                Error::Killed { .. } if !from_outside => assert_gone_soon(child).await,
                other => panic!("{build}: {other}"),
            }
            assert_gone(raw);
            // Its parent is dead, so nothing connects it to us; the next best is that it does not matter here.
            let _ = kill_process(pid(child), Signal::KILL);
        }
    }
}

/// A grandchild is reaped by the system's first process, when it gets to it.
async fn assert_gone_soon(raw: u32) {
    let state = || std::fs::read_to_string(format!("/proc/{raw}/stat")).unwrap_or_default();
    while state().contains(") S") || state().contains(") R") {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn files_that_are_no_scenes_are_refused_and_nothing_stays_open() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("simple.py", &[]);
        let whole = std::fs::read(stage.path("simple.blend")).unwrap();
        std::fs::write(stage.path("text.blend"), "no scene at all").unwrap();
        std::fs::write(stage.path("empty.blend"), "").unwrap();
        std::fs::write(stage.path("half.blend"), &whole[..whole.len() / 2]).unwrap();
        std::fs::write(stage.path("start.blend"), &whole[..20]).unwrap();
        let newer: &[u8] = b"BLENDER17-01v9900";
        std::fs::write(stage.path("newer.blend"), newer).unwrap();
        for (name, code) in [
            ("absent.blend", RefusalCode::Unreadable),
            ("text.blend", RefusalCode::NotBlend),
            ("empty.blend", RefusalCode::NotBlend),
            ("half.blend", RefusalCode::NotBlend),
            ("start.blend", RefusalCode::NotBlend),
        ] {
            stage.open("simple.blend").await.unwrap();
            let error = stage.open(name).await.unwrap_err();
            let Error::Refused { refusal, .. } = &error else {
                panic!("{build}, {name}: {error}")
            };
            assert_eq!(refusal.code, code, "{build}, {name}: {error}");
            assert!(refusal.text.contains(name), "{build}: {error}");
            let error = stage.render(1, Overrides::default()).await.unwrap_err();
            let Error::Refused { refusal, .. } = &error else {
                panic!("{build}, {name}: {error}")
            };
            assert_eq!(refusal.code, RefusalCode::NothingOpen, "{build}, {name}");
        }
        let error = stage.open("newer.blend").await.unwrap_err();
        println!("{build}: {error}");
        assert!(error.blender_lives(), "{build}: {error}");
        stage.open("simple.blend").await.unwrap();
        stage.render(1, Overrides::default()).await.unwrap();
        stage.blender.quit().await.unwrap();
    }
}

#[tokio::test]
async fn a_newer_file_is_refused_by_an_older_blender() {
    let builds = builds().await;
    let mut stage = Stage::new(&builds[0]).await;
    run_script(&builds[1], "simple.py", &stage.path(""), &[]);
    let error = stage.open("simple.blend").await.unwrap_err();
    let Error::Refused { refusal, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(refusal.code, RefusalCode::TooNew, "{error}");
    assert!(matches!(
        stage.render(1, Overrides::default()).await,
        Err(Error::Refused { .. })
    ));
}

#[tokio::test]
async fn every_byte_of_output_is_in_the_log_of_its_frame() {
    let dir = tempfile::tempdir().unwrap();
    for build in builds().await {
        let mut stage = unruly(&build, &Launch::default(), dir.path()).await;
        let mut logs = Vec::new();
        for frame in [1, 2] {
            let log = stage.log(&format!("frame-{frame}"));
            let out_dir = stage.path(&format!("out-{frame}"));
            std::fs::create_dir(&out_dir).unwrap();
            let render = tessera_blender::Render {
                scene: "Scene".into(),
                frame,
                out_dir,
                ..Default::default()
            };
            stage.blender.render(&render, &log).await.unwrap();
            logs.push(read(&log));
        }
        let noise: Vec<u8> = (0..=255).collect::<Vec<u8>>().repeat(4096);
        for (index, (stdout, stderr)) in logs.iter().enumerate() {
            let frame = index + 1;
            let expected = [
                b"<<",
                noise.repeat(3 - frame).as_slice(),
                b">>",
                format!("end {frame}").as_bytes(),
            ]
            .concat();
            assert!(
                *stderr == expected,
                "{build}: stderr of frame {frame} has {} bytes",
                stderr.len()
            );
            let begin = format!("begin {frame}\n");
            let end = format!("from C {frame}\n");
            let expected = [
                begin.as_bytes(),
                b"<<",
                &noise.repeat(frame),
                b">>",
                end.as_bytes(),
            ]
            .concat();
            // What Blender itself prints, before and after.
            let at = stdout
                .windows(begin.len())
                .position(|window| window == begin.as_bytes())
                .unwrap();
            assert!(
                stdout[at..].starts_with(&expected),
                "{build}: stdout of frame {frame} has {} bytes",
                stdout.len()
            );
            for rest in [&stdout[..at], &stdout[at + expected.len()..]] {
                let rest = std::str::from_utf8(rest).unwrap();
                let own = |line: &str| {
                    line.is_empty()
                        || ["Fra:", "Saved: ", "Time: "]
                            .iter()
                            .any(|known| line.contains(known))
                };
                assert!(rest.lines().all(own), "{build}: {rest}");
            }
            assert!(
                !stdout
                    .windows(7)
                    .any(|window| window == format!("begin {}", 3 - frame).as_bytes())
            );
        }
    }
}

fn read(log: &LogFiles) -> (Vec<u8>, Vec<u8>) {
    (
        std::fs::read(&log.stdout).unwrap(),
        std::fs::read(&log.stderr).unwrap(),
    )
}
