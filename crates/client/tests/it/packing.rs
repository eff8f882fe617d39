//! Scenes read by real Blenders: what is found, what is refused before anything is sent, what changes meanwhile.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use tessera_blender::{BuildKind, Series};
use tessera_blobs::{Content, write_bytes};
use tessera_client::{
    Ask, Fetched, FetchedFile, Folders, Ledger, PackError, PackOptions, PackStage, Packed, pack,
    submit_packed,
};
use tessera_model::{FileRole, FrameSet, JobSettings, StepIndex};

use crate::support::{Scene, TestFarm, builds};

async fn packed(options: &PackOptions) -> Packed {
    pack(options, |_| {})
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", options.file.display()))
}

async fn refused(options: &PackOptions) -> PackError {
    pack(options, |_| {})
        .await
        .err()
        .unwrap_or_else(|| panic!("{} was packed", options.file.display()))
}

fn tree(packed: &Packed) -> Vec<String> {
    packed
        .manifest
        .iter()
        .map(|(path, _)| path.to_string())
        .collect()
}

/// Contents of the tree, as a worker would lay it out.
fn contents(packed: &Packed) -> BTreeMap<String, Vec<u8>> {
    let plain = |blob: &tessera_blobs::BlobRef| {
        let mut out = Vec::new();
        let source = |digest: &tessera_blobs::Digest| {
            let mut found = None;
            packed.origin.read(&[*digest], |_, bytes| {
                found = Some(bytes.to_vec());
                Ok::<_, tessera_blobs::BoxError>(())
            })?;
            Ok::<_, tessera_blobs::OriginError>(found)
        };
        tessera_blobs::read_file(blob, source, &mut out).unwrap();
        out
    };
    packed
        .manifest
        .iter()
        .map(|(path, entry)| (path.to_string(), plain(&entry.blob)))
        .collect()
}

#[tokio::test]
async fn nested_libraries_and_equal_names() {
    for build in builds().await {
        let scene = Scene::make(&build, "libraries.py");
        let options = scene.options("proj/main.blend");
        let mut stages = Vec::new();
        let packed = pack(&options, |stage| stages.push(stage)).await.unwrap();
        let expected = [
            "libs/a.png",
            "libs/deep/a.png",
            "libs/deep/deep.blend",
            "libs/mid.blend",
            "proj/main.blend",
        ];
        assert_eq!(tree(&packed), expected.map(|name| scene.in_tree(name)));
        assert_eq!(packed.main_file.as_str(), scene.in_tree("proj/main.blend"));
        assert_eq!(
            (packed.files, packed.frames().to_string().as_str()),
            (5, "1..3")
        );
        let contents = contents(&packed);
        for name in ["libs/a.png", "libs/deep/a.png"] {
            assert!(contents[&scene.in_tree(name)] == std::fs::read(scene.path(name)).unwrap());
        }
        assert!(
            contents[&scene.in_tree("libs/a.png")] != contents[&scene.in_tree("libs/deep/a.png")]
        );
        assert!(matches!(stages[0], PackStage::Starting { .. }));
        assert!(
            matches!(stages.last(), Some(PackStage::Reading { files_done, files: 5, .. }) if *files_done >= 4),
            "{:?}",
            stages.last()
        );
        // The same bytes again are the same manifest, hence the same ledger.
        let again = self::packed(&options).await;
        assert_eq!((again.root, again.key()), (packed.root, packed.key()));

        std::fs::remove_file(scene.path("libs/deep/a.png")).unwrap();
        let error = refused(&options).await;
        let text = error.to_string();
        assert!(
            text.contains("libs/deep/a.png") && text.contains("image 'a.png' in deep.blend"),
            "{text}"
        );
        std::fs::remove_file(scene.path("libs/deep/deep.blend")).unwrap();
        let PackError::Missing { missing, .. } = refused(&options).await else {
            panic!("a library was not missed")
        };
        assert!(
            missing
                .iter()
                .any(|file| file.path.ends_with("libs/deep/deep.blend")),
            "{missing:?}"
        );
    }
}

#[tokio::test]
async fn scenes_say_what_they_are() {
    for build in builds().await {
        let scene = Scene::make(&build, "kinds.py");
        let plain = packed(&scene.options("plain.blend")).await;
        assert_eq!(
            (plain.scene.as_str(), plain.frames().to_string().as_str()),
            ("Shot", "2..10x4")
        );
        assert!(
            !plain.steps[0].in_order && plain.warnings.is_empty(),
            "{:?}",
            plain.warnings
        );
        assert_eq!(
            plain.output.expected(6),
            [scene.path("render/shot_006.png")]
        );
        assert!(plain.output.overwrite && !plain.output.placeholder);
        assert_eq!(plain.file_version, build.version.series());

        // -o: a folder takes the file's own names, a pattern gives others, EXR changes the extension.
        let mut options = scene.options("plain.blend");
        options.output = Some("out".into());
        assert_eq!(
            packed(&options).await.output.expected(6),
            [scene.path("out/shot_006.png")]
        );
        options.output = Some("out/f_#####".into());
        let patterned = packed(&options).await;
        assert_eq!(
            patterned.output.expected(6),
            [scene.path("out/f_00006.png")]
        );
        options.overrides.exr = true;
        let exr = packed(&options).await;
        assert_eq!(exr.output.expected(6), [scene.path("out/f_00006.exr")]);
        assert_ne!(exr.key(), patterned.key());
        options.output = Some("//x/##".into());
        options.frames = Some("5".parse().unwrap());
        let single = packed(&options).await;
        assert_eq!(
            (single.frames().len(), single.output.expected(5)),
            (1, vec![scene.path("x/05.exr")])
        );

        let mut options = scene.options("plain.blend");
        options.overrides.scene = Some("Nobody".into());
        let error = refused(&options).await.to_string();
        assert!(
            error.contains("no scene 'Nobody'") && error.contains("'Empty', 'Shot'"),
            "{error}"
        );
        options.overrides.scene = Some("Empty".into());
        assert!(
            matches!(refused(&options).await, PackError::NoCamera { scene, .. } if scene == "Empty")
        );
        options.overrides.scene = None;
        options.overrides.engine = Some("povray".into());
        let error = refused(&options).await.to_string();
        assert!(
            error.contains("'povray'") && error.contains("CYCLES"),
            "{error}"
        );
        options.overrides.engine = Some("workbench".into());
        let workbench = packed(&options).await;
        let overrides = workbench.steps[0].overrides();
        assert_eq!(overrides.engine.as_deref(), Some("BLENDER_WORKBENCH"));

        let cloth = packed(&scene.options("cloth.blend")).await;
        assert!(cloth.steps[0].in_order);
        assert!(
            cloth
                .warnings
                .iter()
                .any(|warning| warning.contains("in order") && warning.contains("Cloth")),
            "{:?}",
            cloth.warnings
        );
        let movie = packed(&scene.options("movie.blend")).await;
        assert!(
            movie
                .warnings
                .iter()
                .any(|warning| warning.contains("PNG frames")),
            "{:?}",
            movie.warnings
        );
        assert!(
            movie.output.expected(1)[0]
                .to_str()
                .unwrap()
                .ends_with(".png")
        );
        let mut driven = scene.options("driven.blend");
        let without = packed(&driven).await;
        assert!(
            without
                .warnings
                .iter()
                .any(|warning| warning.contains("'Driven'") && warning.contains("--scripts")),
            "{:?}",
            without.warnings
        );
        driven.overrides.autoexec = true;
        assert!(packed(&driven).await.warnings.is_empty());
    }
}

#[tokio::test]
async fn bad_files_are_named() {
    let builds = builds().await;
    let scene = Scene::make(&builds[0], "kinds.py");
    let absent = refused(&scene.options("absent.blend")).await.to_string();
    assert!(
        absent.contains("absent.blend") && absent.contains("check the path"),
        "{absent}"
    );
    assert!(matches!(
        refused(&scene.options("render")).await,
        PackError::Unreadable { .. }
    ));
    std::fs::write(scene.path("text.blend"), "not a scene at all").unwrap();
    assert!(matches!(
        refused(&scene.options("text.blend")).await,
        PackError::Header(_)
    ));
    let whole = std::fs::read(scene.path("plain.blend")).unwrap();
    std::fs::write(scene.path("cut.blend"), &whole[..whole.len() / 2]).unwrap();
    let cut = refused(&scene.options("cut.blend")).await.to_string();
    println!("{cut}");
    // A file saved by 5.0 is nothing for 3.4, nor for no Blender at all.
    let newer = Scene::make(&builds[1], "kinds.py");
    let mut options = newer.options("plain.blend");
    options.builds = vec![builds[0].clone()];
    let error = refused(&options).await;
    assert!(matches!(error, PackError::NoBlender { needed, .. } if needed == Series::new(5, 0)));
    assert!(
        error.to_string().contains("install Blender 5.0 or newer")
            && error.to_string().contains("only Blender 3.4"),
        "{error}"
    );
    options.builds.clear();
    assert!(
        refused(&options)
            .await
            .to_string()
            .contains("no Blender on this computer")
    );
    // An older file may be read by a newer Blender.
    let mut options = scene.options("plain.blend");
    options.builds = vec![builds[1].clone()];
    assert_eq!(packed(&options).await.file_version, Series::new(3, 4));
    std::fs::rename(scene.path("plain.blend"), scene.path("a:b.blend")).unwrap();
    let error = refused(&scene.options("a:b.blend")).await.to_string();
    assert!(error.contains("rename it"), "{error}");
}

fn once_at_reading(path: PathBuf, mut change: impl FnMut(&Path)) -> impl FnMut(PackStage) {
    let mut changes = 0;
    move |stage| {
        if matches!(stage, PackStage::Reading { .. }) && changes == 0 {
            changes += 1;
            change(&path);
        }
    }
}

#[tokio::test]
async fn what_changes_while_it_is_read_is_read_again() {
    let build = builds()
        .await
        .into_iter()
        .find(|build| build.kind == BuildKind::Executable)
        .unwrap();
    let scene = Scene::make(&build, "libraries.py");
    let options = scene.options("proj/main.blend");
    let texture = scene.path("libs/a.png");
    let new = std::fs::read(scene.path("libs/deep/a.png")).unwrap();
    let write = |path: &Path| std::fs::write(path, [&new[..], b"changed"].concat()).unwrap();
    let packed = pack(&options, once_at_reading(texture.clone(), write))
        .await
        .unwrap();
    assert!(contents(&packed)[&scene.in_tree("libs/a.png")].ends_with(b"changed"));

    // Somebody who saves all the time is told so.
    let mut number = 0;
    let restless = |stage| {
        if matches!(stage, PackStage::Scanning) {
            number += 1;
            std::fs::write(
                scene.path("proj/main.blend.tmp"),
                [
                    &std::fs::read(scene.path("proj/main.blend")).unwrap()[..],
                    &[0],
                ]
                .concat(),
            )
            .unwrap();
            std::fs::rename(
                scene.path("proj/main.blend.tmp"),
                scene.path("proj/main.blend"),
            )
            .unwrap();
        }
    };
    let error = pack(&options, restless).await.unwrap_err();
    assert!(
        matches!(&error, PackError::Changing { path } if path.ends_with("main.blend")),
        "{error}"
    );
    assert_eq!(number, 3);

    // A file that vanishes is named with its user.
    let remove = |path: &Path| std::fs::remove_file(path).unwrap();
    let mut options = scene.options("proj/main.blend");
    options.file = scene.path("proj/main.blend");
    let error = pack(
        &options,
        once_at_reading(scene.path("libs/deep/a.png"), remove),
    )
    .await
    .unwrap_err();
    assert!(
        matches!(error, PackError::Missing { .. }) && error.to_string().contains("in deep.blend"),
        "{error}"
    );
}

#[tokio::test]
async fn more_frames_of_a_sequence_are_the_same_render() {
    for build in builds().await {
        let scene = Scene::make_of(&build, "travelling.py", &["image_sequence"]);
        let folders = Folders::at(&scene.path("home"));
        let mut options = scene.options("main.blend");
        options.frames = Some("1..3".parse().unwrap());
        let few = packed(&options).await;
        let mut ledger = Ledger::open(&folders, &few.key(), few.inputs.clone()).unwrap();
        for frame in 1..=3 {
            ledger.record(&in_place(&scene, frame)).unwrap();
        }
        let travels = |packed: &Packed, number: i32| {
            let name = scene.in_tree(&format!("seq/f_{number:04}.png"));
            tree(packed).contains(&name)
        };
        assert_eq!([4, 5].map(|number| travels(&few, number)), [true, false]);

        let all: FrameSet = "1..6".parse().unwrap();
        options.frames = Some(all.clone());
        let more = packed(&options).await;
        assert!(travels(&more, 7) && !travels(&more, 8));
        assert_eq!(more.key(), few.key());
        assert_ne!(more.root, few.root);
        let ledger = Ledger::open(&folders, &more.key(), more.inputs).unwrap();
        assert_eq!(ledger.present(&all), [1, 2, 3]);

        // A picture that frames 2 and 3 look at is painted over: those are others, and frame 1 is not.
        let other = std::fs::read(scene.path("seq/f_0009.png")).unwrap();
        std::fs::write(scene.path("seq/f_0003.png"), other).unwrap();
        let changed = packed(&options).await;
        assert_eq!(changed.key(), few.key());
        let ledger = Ledger::open(&folders, &changed.key(), changed.inputs).unwrap();
        assert_eq!(ledger.present(&all), [1]);

        // And only what is asked for travels, not what lies between.
        options.frames = Some("1,9".parse().unwrap());
        let apart = packed(&options).await;
        let listed = (1..=10).filter(|&number| travels(&apart, number));
        assert_eq!(listed.collect::<Vec<_>>(), [1, 2, 8, 9, 10]);
    }
}

/// A frame as if it had been rendered and fetched.
fn in_place(scene: &Scene, frame: i32) -> Fetched {
    let path = scene.path(&format!("{frame}.png"));
    std::fs::write(&path, "rendered").unwrap();
    let Ok(blob) = write_bytes(b"rendered", Content::Other, |_| Ok::<_, Infallible>(()));
    let role = FileRole::Main;
    Fetched {
        step: StepIndex(0),
        position: 0,
        frame,
        build: (&scene.build).into(),
        files: vec![FetchedFile { path, blob, role }],
        warnings: Vec::new(),
    }
}

#[tokio::test]
async fn what_was_submitted_is_what_renders() {
    let build = builds().await.remove(0);
    let scene = Scene::make(&build, "libraries.py");
    let farm = TestFarm::start().await;
    let mut packed = packed(&scene.options("proj/main.blend")).await;
    let before = packed.root;
    // Saved again after it was packed, before it was sent: the whole of the new state is sent, and nothing of the old.
    let texture = scene.path("libs/a.png");
    std::fs::write(
        &texture,
        std::fs::read(scene.path("libs/deep/a.png")).unwrap(),
    )
    .unwrap();
    let settings = JobSettings::named("shot");
    let (submitted, sent) = submit_packed(
        &farm.api(),
        &mut packed,
        Ask::First,
        settings.clone(),
        |_| {},
    )
    .await
    .unwrap();
    assert_ne!(packed.root, before);
    assert!(sent.blocks > 0 && sent.sent_bytes > 0);
    let detail = farm.api().job(submitted.job).await.unwrap();
    assert_eq!(detail.manifest, tessera_wire::blob::to_model(&packed.root));
    assert_eq!(
        tessera_client::OutputPlan::from_note(&detail.client_note).unwrap(),
        packed.output
    );
    // And a second job of the same sends nothing but questions.
    let (_, again) = submit_packed(&farm.api(), &mut packed, Ask::First, settings, |_| {})
        .await
        .unwrap();
    assert_eq!((again.blocks, again.raw_bytes), (0, 0));
}
