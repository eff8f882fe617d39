//! The fake Blender behaves as the real one does, through the same code.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tessera_blender::testing::{fake_blend, install_fake_blender};
use tessera_blender::{
    Blender, Error, Launch, LogFiles, Open, Overrides, RefusalCode, Render, Rendered, ScanRequest,
    Series, probe, saved_by,
};

struct Fake {
    blender: Blender,
    dir: tempfile::TempDir,
}

async fn fake(content: &Value, launch: &Launch) -> Fake {
    let dir = tempfile::tempdir().unwrap();
    let build = probe(&install_fake_blender(dir.path()).unwrap())
        .await
        .unwrap();
    let blender = Blender::launch(&build, launch, &log(dir.path()))
        .await
        .unwrap();
    std::fs::write(dir.path().join("scene.blend"), fake_blend(content)).unwrap();
    let mut fake = Fake { blender, dir };
    let open = Open {
        path: fake.dir.path().join("scene.blend"),
        ..Open::default()
    };
    fake.blender
        .open(&open, &log(fake.dir.path()))
        .await
        .unwrap();
    fake
}

fn log(dir: &Path) -> LogFiles {
    LogFiles::in_dir(dir, "log")
}

async fn render(fake: &mut Fake, frame: i32) -> Result<Rendered, Error> {
    let out_dir = fake.dir.path().join(format!("out{frame}"));
    std::fs::create_dir_all(&out_dir).unwrap();
    let render = Render {
        scene: "Scene".into(),
        frame,
        out_dir,
        name: None,
        overrides: Overrides::default(),
    };
    fake.blender.render(&render, &log(fake.dir.path())).await
}

#[tokio::test]
async fn renders_what_it_announced() {
    let content = json!({"start": 1, "end": 2, "views": ["left", "right"], "nodes": 1, "stdout": "frame {frame}", "stderr": "oops"});
    let mut fake = fake(&content, &Launch::default()).await;
    assert_eq!(
        saved_by(&fake.dir.path().join("scene.blend")).unwrap(),
        Series::new(3, 4)
    );
    let scan = fake
        .blender
        .scan(&ScanRequest::default(), &log(fake.dir.path()))
        .await
        .unwrap();
    let rendered = render(&mut fake, 2).await.unwrap();
    let announced: Vec<String> = scan.scenes[0]
        .output
        .names
        .iter()
        .map(|output| output.name.at(2))
        .collect();
    let names: Vec<&str> = rendered
        .files
        .iter()
        .map(|file| file.name.as_str())
        .collect();
    assert_eq!(&names[..2], announced);
    assert_eq!(names[2], "Image0002.png");
    assert!(rendered.files.iter().all(|file| file.path.is_file()));
    assert_eq!(
        std::fs::read_to_string(log(fake.dir.path()).stdout).unwrap(),
        "frame 2\n"
    );
    assert_eq!(
        std::fs::read_to_string(log(fake.dir.path()).stderr).unwrap(),
        "oops"
    );
}

#[tokio::test]
async fn faults_are_told_apart() {
    let limits = Launch {
        hang_after: Duration::from_secs(1),
        memory_max_bytes: Some(300 << 20),
        ..Launch::default()
    };
    let content = json!({
        "refuse": {"1": "no"}, "crash": {"2": 11}, "exit": {"3": 7}, "hang": [4], "memory": {"5": 500_u64 << 20}, "stderr": "last words"
    });
    for frame in 1..=5 {
        let mut fake = fake(&content, &limits).await;
        let error = render(&mut fake, frame).await.unwrap_err();
        let text = error.to_string();
        match frame {
            1 => assert!(
                matches!(&error, Error::Failed { refusal, .. } if refusal.code == RefusalCode::Render),
                "{text}"
            ),
            2 => assert!(
                matches!(
                    &error,
                    Error::Crashed {
                        signal: Some(11),
                        ..
                    }
                ) && text.contains("last words"),
                "{text}"
            ),
            3 => assert!(
                matches!(&error, Error::Crashed { signal: None, .. })
                    && text.contains("exit status 7"),
                "{text}"
            ),
            4 => assert!(matches!(&error, Error::Hung { .. }), "{text}"),
            _ => assert!(matches!(&error, Error::OutOfMemory { .. }), "{text}"),
        }
        assert!(!error.blender_lives());
        let next = render(&mut fake, 6).await;
        assert!(matches!(next, Err(Error::Abandoned { .. })), "{next:?}");
    }
}

#[tokio::test]
async fn silent_work_is_no_hang_and_kill_is_told() {
    let limits = Launch {
        hang_after: Duration::from_secs(1),
        ..Launch::default()
    };
    let mut busy = fake(&json!({"burn_seconds": 2.5}), &limits).await;
    render(&mut busy, 1).await.unwrap();

    let mut hanging = fake(&json!({"hang": [1]}), &Launch::default()).await;
    let handle = hanging.blender.handle();
    let (result, ()) = tokio::join!(render(&mut hanging, 1), async {
        let running = loop {
            if let Some(running) = handle.ping().await.unwrap().running {
                break running;
            }
            tokio::task::yield_now().await;
        };
        assert_eq!((running.op.as_str(), running.frame), ("render", Some(1)));
        handle.kill();
    });
    assert!(matches!(result, Err(Error::Killed { .. })), "{result:?}");
    handle.kill();
    assert!(handle.ping().await.is_err());
}
