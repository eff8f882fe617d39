//! A frame that is rendered in parts, merged and put together is the frame that one Blender renders.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tessera_blender::{
    Assemble, Build, BuildKind, Error, Overrides, PixelWindow, RefusalCode, Render, RenderSlice,
    Rendered, RenderedSlice, Role, SampleSpan, SceneInfo,
};
use tessera_merge::{Class, MergeOptions, SampleRange, Slice, Window, class_of, merge};

use crate::exactness::difference;
use crate::pixels;
use crate::support::{Stage, builds};

/// Kinds that every Blender renders, those first that are rendered in every run of the tests; with `slow-tests` all are.
const KINDS: [&str; 7] = [
    "composited",
    "stereo",
    "everything",
    "views",
    "ranges",
    "camera",
    "panorama",
];
/// Kinds that Debian's Blender cannot render.
const DENOISED: [&str; 4] = [
    "denoised",
    "denoised_picture",
    "denoised_stereo",
    "denoised_exposed",
];

/// Kinds that are rendered in this run of the tests.
fn kinds(build: &Build) -> Vec<&'static str> {
    let (plain, denoised) = match cfg!(feature = "slow-tests") {
        true => (KINDS.len(), DENOISED.len()),
        false => (2, 2),
    };
    let denoised = match build.kind {
        BuildKind::Module => &DENOISED[..denoised],
        BuildKind::Executable => &[],
    };
    [&KINDS[..plain], denoised].concat()
}
/// In no order.
const FRAMES: [i32; 2] = [3, -2];
const SIZE: (u32, u32) = (72, 40);
/// Last bits of floats, of what Cycles itself adds up.
const ROUNDING: f64 = 1e-6;
/// What a denoiser makes of last bits: by kind the largest difference. Cycles multiplies and divides by the number of samples of
/// each pixel, and files are exposed.
const fn rounding_of(kind: &str) -> Option<f64> {
    match kind.as_bytes() {
        b"denoised" | b"denoised_stereo" => Some(1e-7),
        b"denoised_exposed" => Some(1e-5),
        _ => None,
    }
}

fn tile(columns: u32, rows: u32, at: u32) -> PixelWindow {
    let (column, row) = (at % columns, at / columns);
    let (x, y) = (SIZE.0 * column / columns, SIZE.1 * row / rows);
    PixelWindow {
        x,
        y,
        width: SIZE.0 * (column + 1) / columns - x,
        height: SIZE.1 * (row + 1) / rows - y,
    }
}

const fn window_of(window: PixelWindow) -> Window {
    Window {
        x: window.x as i32,
        y: window.y as i32,
        width: window.width as usize,
        height: window.height as usize,
    }
}

fn slice_of(rendered: &RenderedSlice) -> Slice {
    Slice {
        path: rendered.path.clone(),
        rendered: Some(window_of(rendered.rendered)),
        kept: Some(window_of(rendered.kept)),
        samples: Some(SampleRange {
            offset: rendered.samples.offset,
            count: rendered.samples.length,
        }),
    }
}

/// A file in a living Blender, and how often something was rendered of it.
struct Parts<'a> {
    stage: &'a mut Stage,
    kind: &'a str,
    scene: SceneInfo,
    overrides: Overrides,
    name: Option<String>,
    size: (u32, u32),
    count: u32,
}

impl<'a> Parts<'a> {
    async fn of(stage: &'a mut Stage, kind: &'a str) -> Self {
        stage.open(&format!("{kind}.blend")).await.unwrap();
        let scene = stage.scan().await.scenes.remove(0);
        assert_eq!(scene.resolution, [SIZE.0, SIZE.1]);
        assert_eq!(scene.full_resolution, [2 * SIZE.0, 2 * SIZE.1]);
        Self {
            stage,
            kind,
            scene,
            overrides: Overrides::default(),
            name: None,
            size: SIZE,
            count: 0,
        }
    }

    fn path(&mut self, what: &str) -> PathBuf {
        self.count += 1;
        self.stage
            .path(&format!("{}-{what}-{}", self.kind, self.count))
    }

    async fn whole(&mut self, frame: i32) -> Rendered {
        let out_dir = self.path("whole");
        std::fs::create_dir(&out_dir).unwrap();
        let render = Render {
            scene: "Scene".into(),
            frame,
            out_dir,
            name: self.name.clone(),
            overrides: self.overrides.clone(),
        };
        let log = self.stage.log("whole");
        self.stage.blender.render(&render, &log).await.unwrap()
    }

    async fn slice(
        &mut self,
        frame: i32,
        window: PixelWindow,
        samples: Option<SampleSpan>,
    ) -> Result<RenderedSlice, Error> {
        let slice = RenderSlice {
            scene: "Scene".into(),
            frame,
            out: self.path("slice").with_extension("exr"),
            overrides: self.overrides.clone(),
            window,
            samples,
        };
        let log = self.stage.log("slice");
        self.stage.blender.slice(&slice, &log).await
    }

    fn merged(&mut self, slices: &[RenderedSlice]) -> PathBuf {
        let output = self.path("merged").with_extension("exr");
        let options = MergeOptions {
            size: Some((self.size.0 as usize, self.size.1 as usize)),
            samples: Some(slices[0].samples_total),
            // As workers do.
            others: Some(Class::Average),
            ..MergeOptions::default()
        };
        let slices: Vec<Slice> = slices.iter().map(slice_of).collect();
        merge(&slices, &output, &options).unwrap();
        output
    }

    async fn assemble(&mut self, frame: i32, merged: PathBuf) -> Result<Rendered, Error> {
        let out_dir = self.path("assembled");
        std::fs::create_dir(&out_dir).unwrap();
        let assemble = Assemble {
            scene: "Scene".into(),
            frame,
            out_dir,
            name: self.name.clone(),
            overrides: self.overrides.clone(),
            merged,
        };
        let log = self.stage.log("assemble");
        self.stage.blender.assemble(&assemble, &log).await
    }
}

fn by_name(rendered: &Rendered) -> BTreeMap<(Role, String), PathBuf> {
    let files = rendered.files.iter();
    files
        .map(|file| ((file.role.clone(), file.name.clone()), file.path.clone()))
        .collect()
}

/// The largest difference of a channel, relative to the largest of its values or one.
fn worst(a: &Path, b: &Path) -> (f64, String) {
    let (a, b) = (pixels::of(a), pixels::of(b));
    assert_eq!(a.keys().collect::<Vec<_>>(), b.keys().collect::<Vec<_>>());
    let value = |bits: &u32| f64::from(f32::from_bits(*bits));
    let of = |(name, left): (&String, &Vec<u32>)| {
        let largest = left
            .iter()
            .map(|bits| value(bits).abs())
            .fold(1.0, f64::max);
        let pairs = left.iter().zip(&b[name]);
        let most = pairs
            .map(|(left, right)| (value(left) - value(right)).abs())
            .fold(0.0, f64::max);
        (most / largest, name.clone())
    };
    a.iter()
        .filter(|(name, _)| !name.contains("Crypto"))
        .map(of)
        .fold((0.0, String::new()), |most, one| {
            if one.0 > most.0 { one } else { most }
        })
}

/// The same files with the same pixels and the same metadata; with `rounding`, but for the last bits of floats.
fn same(what: &str, whole: &Rendered, assembled: &Rendered, rounding: Option<f64>) {
    let (whole, assembled) = (by_name(whole), by_name(assembled));
    assert_eq!(
        whole.keys().collect::<Vec<_>>(),
        assembled.keys().collect::<Vec<_>>(),
        "{what}"
    );
    for (name, path) in &whole {
        let ours = &assembled[name];
        let is_exr = path.extension().is_some_and(|extension| extension == "exr");
        if let Some(rounding) = rounding.filter(|_| is_exr) {
            let (most, channel) = worst(path, ours);
            eprintln!("{what}: {most:e} in {channel:?}");
            assert!(most <= rounding, "{what}: {channel} differs by {most}");
            assert_eq!(pixels::metadata(path), pixels::metadata(ours), "{what}");
        } else if let Some(text) = difference(path, ours) {
            panic!("{what}: {text}");
        }
    }
}

async fn tiled(stage: &mut Stage, build: &Build, kind: &str) {
    let mut parts = Parts::of(stage, kind).await;
    let adaptive = parts.scene.sampling.adaptive;
    assert!(parts.scene.split.tiles, "{kind}: {:?}", parts.scene.split);
    // Cycles looks once whether more samples are needed, and there are some left.
    assert_eq!(parts.scene.split.overscan, u32::from(adaptive));
    let mut wholes = Vec::new();
    for frame in FRAMES {
        wholes.push(parts.whole(frame).await);
    }
    let mut merged = Vec::new();
    let mut first = Vec::new();
    for frame in FRAMES {
        let mut slices = Vec::new();
        // The first comes last, and another frame's tile in between.
        for at in (0..12).rev() {
            slices.push(parts.slice(frame, tile(4, 3, at), None).await.unwrap());
            if at == 6 {
                parts.slice(4, tile(4, 3, at), None).await.unwrap();
            }
        }
        first.push(slices.last().unwrap().clone());
        merged.push(parts.merged(&slices));
    }
    for (at, frame) in FRAMES.into_iter().enumerate().rev() {
        let assembled = parts.assemble(frame, merged[at].clone()).await.unwrap();
        let what = format!("{build}, {kind}, frame {frame}");
        same(&what, &wholes[at], &assembled, rounding_of(kind));
        assert_eq!(wholes[at].persistent, assembled.persistent);
    }
    // What was put together leaves nothing behind in what is rendered next.
    for (at, frame) in FRAMES.into_iter().enumerate() {
        let again = parts.slice(frame, tile(4, 3, 0), None).await.unwrap();
        let changed = pixels::difference(&first[at].path, &again.path);
        assert_eq!(changed, Vec::<String>::new(), "{build}, {kind}");
        let whole = parts.whole(frame).await;
        let what = format!("{build}, {kind}, frame {frame} again");
        same(&what, &wholes[at], &whole, None);
    }
}

#[tokio::test]
async fn tiles_make_the_frame() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        let kinds = kinds(&build);
        stage.make("parts.py", &kinds);
        for kind in kinds {
            tiled(&mut stage, &build, kind).await;
        }
    }
}

#[tokio::test]
async fn ranges_of_samples_make_the_frame() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("parts.py", &["ranges", "everything"]);
        let mut parts = Parts::of(&mut stage, "ranges").await;
        assert!(parts.scene.split.samples, "{:?}", parts.scene.split);
        let whole = parts.whole(3).await;
        let mut slices = Vec::new();
        for (offset, length) in [(8, 24), (0, 1), (32, 32), (1, 7)] {
            let span = SampleSpan { offset, length };
            let slice = parts.slice(3, tile(1, 1, 0), Some(span)).await.unwrap();
            assert_eq!((slice.samples, slice.samples_total), (span, 64));
            slices.push(slice);
        }
        // Every pass that the scan takes for one that can be merged is known where it is merged.
        for name in pixels::of(&slices[0].path).keys() {
            let pass = name.rsplit('.').nth(1).unwrap();
            let known = class_of(&tessera_merge::PassName::new("", pass));
            let own = pass.starts_with("Crypto") || parts.scene.split.averaged == [pass];
            assert!(
                own || matches!(known, Some(class) if !matches!(class, Class::Whole { .. })),
                "{name}"
            );
        }
        let merged = parts.merged(&slices);
        let assembled = parts.assemble(3, merged).await.unwrap();
        same(
            &format!("{build}, ranges"),
            &whole,
            &assembled,
            Some(ROUNDING),
        );

        let beyond = SampleSpan {
            offset: 60,
            length: 5,
        };
        refused(parts.slice(3, tile(1, 1, 0), Some(beyond)).await, "60+5");
        let outside = PixelWindow {
            x: 70,
            ..tile(4, 3, 0)
        };
        refused(parts.slice(3, outside, None).await, "72x40");
        // All of it once more, after that.
        let all = parts.slice(3, tile(1, 1, 0), None).await.unwrap();
        let merged = parts.merged(&[all]);
        let assembled = parts.assemble(3, merged).await.unwrap();
        same(&format!("{build}, all samples"), &whole, &assembled, None);

        let mut parts = Parts::of(&mut stage, "everything").await;
        assert!(!parts.scene.split.samples && parts.scene.split.reasons.len() == 2);
        let some = SampleSpan {
            offset: 0,
            length: 8,
        };
        refused(parts.slice(3, tile(1, 1, 0), Some(some)).await, "Vector");

        stage.open("ranges.blend").await.unwrap();
        let scan = stage.scan().await;
        for (name, word) in [("misnamed", "Vector"), ("many samples", "256 samples")] {
            let mut scenes = scan.scenes.iter();
            let Some(scene) = scenes.find(|scene| scene.name.ends_with(name)) else {
                // Since 4.4 the pattern is that of all samples.
                assert_eq!((name, build.kind), ("many samples", BuildKind::Module));
                continue;
            };
            let split = &scene.split;
            assert!(split.tiles && !split.samples, "{split:?}");
            assert!(split.reasons[0].contains(word), "{split:?}");
        }
    }
}

/// Denoised once, when they are together: as a picture by one step of its bytes at most.
#[tokio::test]
async fn ranges_of_samples_are_denoised_together() {
    for build in builds().await {
        if build.kind != BuildKind::Module {
            // Debian builds its Blender without a denoiser.
            continue;
        }
        let mut stage = Stage::new(&build).await;
        stage.make("parts.py", &["denoised_picture"]);
        let mut parts = Parts::of(&mut stage, "denoised_picture").await;
        let whole = parts.whole(3).await;
        let mut slices = Vec::new();
        for (offset, length) in [(11, 5), (0, 8), (8, 3)] {
            let span = SampleSpan { offset, length };
            slices.push(parts.slice(3, tile(1, 1, 0), Some(span)).await.unwrap());
        }
        let merged = parts.merged(&slices);
        let assembled = parts.assemble(3, merged).await.unwrap();
        let bytes = |rendered: &Rendered| pixels::of_png(&rendered.files[0].path).2;
        let (whole, assembled) = (bytes(&whole), bytes(&assembled));
        assert_eq!(whole.len(), assembled.len());
        let mut pairs = whole.iter().zip(&assembled);
        assert!(pairs.all(|(a, b)| a.abs_diff(*b) <= 1), "{build}");
    }
}

#[tokio::test]
async fn what_the_job_changes_holds_for_parts_too() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("parts.py", &["composited"]);
        let mut parts = Parts::of(&mut stage, "composited").await;
        parts.name = Some("shot_##".into());
        parts.size = (108, 60);
        for exr in [true, false] {
            parts.overrides = Overrides {
                samples: Some(8),
                resolution_percentage: Some(75),
                exr,
                ..Overrides::default()
            };
            let whole = parts.whole(3).await;
            let mut slices = Vec::new();
            for (x, width) in [(0, 50), (50, 58)] {
                let window = PixelWindow {
                    x,
                    y: 0,
                    width,
                    height: 60,
                };
                slices.push(parts.slice(3, window, None).await.unwrap());
            }
            assert_eq!(slices[0].samples_total, 8, "{build}");
            let merged = parts.merged(&slices);
            let assembled = parts.assemble(3, merged).await.unwrap();
            same(&format!("{build}, exr: {exr}"), &whole, &assembled, None);
            let name = if exr { "shot_03.exr" } else { "shot_03.png" };
            assert_eq!(assembled.files[0].name, name, "{build}");
        }
    }
}

#[tokio::test]
async fn what_is_no_frame_of_the_scene_is_not_put_together() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("parts.py", &["composited", "stereo"]);
        let mut parts = Parts::of(&mut stage, "stereo").await;
        let other = parts.slice(1, tile(1, 1, 0), None).await.unwrap().path;
        let mut parts = Parts::of(&mut stage, "composited").await;
        let own = parts.slice(1, tile(1, 1, 0), None).await.unwrap().path;
        let part = parts.slice(1, tile(2, 1, 0), None).await.unwrap().path;
        let none = parts.path("none");
        std::fs::write(&none, b"no picture").unwrap();
        let absent = none.with_extension("not");
        for (path, words) in [(none, "no EXR"), (absent, "No such file"), (part, "37x40")] {
            match parts.assemble(1, path).await {
                Err(Error::Refused { refusal, .. }) => {
                    assert_eq!(refusal.code, RefusalCode::Unreadable, "{build}");
                    assert!(refusal.text.contains(words), "{build}: {refusal:?}");
                }
                said => panic!("{build}: {said:?}"),
            }
        }
        parts.assemble(1, own).await.unwrap();
        // That one needs a look at what the scene renders, which is begun for it, and not rendered with again.
        match parts.assemble(1, other).await {
            Err(Error::Failed { refusal, .. }) => {
                assert!(refusal.text.contains("no pass"), "{build}: {refusal:?}");
            }
            said => panic!("{build}: {said:?}"),
        }
    }
}

/// Scenes by name, and a word of why they are rendered whole.
const WHOLE: [(&str, &str); 14] = [
    ("engine", "BLENDER_WORKBENCH"),
    ("freestyle", "Freestyle"),
    ("region", "region"),
    ("time", "time limit"),
    ("guiding", "guiding"),
    ("volume", "volumes"),
    ("counted", "number of samples"),
    ("subset", "range of its samples"),
    ("strips", "sequencer"),
    ("pencil", "grease pencil"),
    ("other", "other scenes: Scene"),
    ("unused", "without what the scene renders"),
    ("catcher", "shadow catchers"),
    ("Scene", ""),
];

#[tokio::test]
async fn what_cannot_be_split_is_not_and_it_is_said_why() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("parts.py", &["whole"]);
        stage.open("whole.blend").await.unwrap();
        let scan = stage.scan().await;
        let mut seen = 0;
        for scene in scan.scenes {
            let (_, word) = WHOLE.iter().find(|(name, _)| *name == scene.name).unwrap();
            let what = format!("{build}, {}: {:?}", scene.name, scene.split);
            seen += 1;
            assert_eq!(scene.split.tiles, word.is_empty(), "{what}");
            let said = scene.split.reasons.join("; ");
            assert!(said.contains(word), "{what}");
            let slice = RenderSlice {
                scene: scene.name.clone(),
                frame: 1,
                out: stage.path("slice.exr"),
                window: tile(4, 3, 5),
                ..RenderSlice::default()
            };
            let log = stage.log("slice");
            let sliced = stage.blender.slice(&slice, &log).await;
            if word.is_empty() {
                sliced.unwrap();
            } else {
                refused(sliced, word);
            }
        }
        // Two are of what 3.4 has not.
        let absent = if build.kind == BuildKind::Module {
            0
        } else {
            2
        };
        assert_eq!(seen + absent, WHOLE.len(), "{build}");
    }
}

fn refused(said: Result<RenderedSlice, Error>, words: &str) {
    match said {
        Err(Error::Refused { refusal, .. }) => {
            assert_eq!(refusal.code, RefusalCode::Request);
            assert!(refusal.text.contains(words), "{}", refusal.text);
        }
        other => panic!("{other:?}"),
    }
}
