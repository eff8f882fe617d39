//! What a job changes of the file's settings, and that it changes nothing else and nothing for long.

use std::path::PathBuf;

use tessera_blender::{DeviceKind, DeviceRequest, Overrides, Render, Rendered};

use crate::pixels;
use crate::support::{Stage, builds};

async fn render(
    stage: &mut Stage,
    what: &str,
    name: Option<&str>,
    overrides: Overrides,
) -> (Rendered, PathBuf) {
    let out_dir = stage.path(what);
    std::fs::create_dir(&out_dir).unwrap();
    let render = Render {
        scene: "Scene".into(),
        frame: 3,
        out_dir,
        name: name.map(str::to_owned),
        overrides,
    };
    let log = stage.log(what);
    let rendered = stage
        .blender
        .render(&render, &log)
        .await
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    let path = rendered.files[0].path.clone();
    (rendered, path)
}

#[tokio::test]
async fn overrides_hold_for_their_frame_only() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("simple.py", &[]);
        stage.open("simple.blend").await.unwrap();
        let (plain, before) = render(&mut stage, "before", None, Overrides::default()).await;
        assert_eq!(plain.files[0].name, "shot_003.png", "{build}");
        assert_eq!(plain.device.kind, DeviceKind::Cpu);
        assert!(
            plain.threads > 0 && plain.peak_memory_bytes > 50 << 20,
            "{build}: {plain:?}"
        );
        let timings = plain.timings;
        let parts = [
            timings.prepare_seconds,
            timings.render_seconds,
            timings.write_seconds,
        ];
        assert!(parts.iter().all(|part| *part > 0.0), "{build}: {timings:?}");
        assert!(
            parts.iter().sum::<f64>() <= timings.end_seconds - timings.begin_seconds,
            "{build}: {timings:?}"
        );

        let overrides = Overrides {
            samples: Some(1),
            resolution_percentage: Some(50),
            device: Some(DeviceRequest::Cpu),
            exr: true,
            ..Overrides::default()
        };
        let (changed, exr) = render(&mut stage, "exr", Some("other_##"), overrides).await;
        assert_eq!(changed.files[0].name, "other_03.exr", "{build}");
        let channels = pixels::of(&exr);
        let names: Vec<&str> = channels.keys().map(String::as_str).collect();
        for name in [
            "ViewLayer.Combined.R",
            "ViewLayer.Depth.Z",
            "ViewLayer.Normal.X",
        ] {
            assert!(names.contains(&name), "{build}: {names:?}");
        }
        assert!(
            channels.values().all(|bits| bits.len() == 48 * 27),
            "{build}"
        );
        // Not rounded to halves.
        assert!(
            channels["ViewLayer.Combined.R"]
                .iter()
                .any(|bits| bits & 0x1fff != 0),
            "{build}"
        );

        let (_, after) = render(&mut stage, "after", None, Overrides::default()).await;
        assert_eq!(after.file_name(), before.file_name());
        assert_eq!(pixels::of_png(&before), pixels::of_png(&after), "{build}");
        let scan = stage.scan().await;
        let output = &scan.scenes[0].output;
        assert_eq!(
            (output.path.as_str(), output.format.as_str()),
            ("//out/shot_###", "PNG"),
            "{build}"
        );
        assert_eq!(output.exr_names[0].name.at(3), "shot_003.exr", "{build}");
        assert_eq!(
            (
                scan.scenes[0].sampling.samples,
                scan.scenes[0].resolution_percentage
            ),
            (2, 100),
            "{build}"
        );
    }
}
