//! Everything that a file needs is found and named.

use std::collections::BTreeMap;

use tessera_blender::{
    DeviceRequest, Error, ExternalFile, FileKind, Overrides, RefusalCode, Render,
};

use crate::support::{Stage, builds};

#[tokio::test]
async fn every_kind_of_file_is_found() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("dependencies.py", &[]);
        stage.open("all.blend").await.unwrap();
        let scan = stage.scan().await;
        let files: BTreeMap<String, &ExternalFile> = scan
            .files
            .iter()
            .map(|file| {
                (
                    file.path
                        .strip_prefix(stage.path(""))
                        .unwrap()
                        .to_str()
                        .unwrap()
                        .to_owned(),
                    file,
                )
            })
            .collect();

        // Path, kind, there, may be absent, first user.
        let expected = [
            ("tex/wood.png", FileKind::Image, true, false, "image 'Wood'"),
            (
                "other/wood.png",
                FileKind::Image,
                true,
                false,
                "image 'OtherWood'",
            ),
            (
                "tex/gone.png",
                FileKind::Image,
                false,
                false,
                "image 'Gone'",
            ),
            (
                "tex/unused.png",
                FileKind::Image,
                true,
                true,
                "image 'unused.png'",
            ),
            ("seq/f_0002.png", FileKind::Sequence, true, false, ""),
            (
                "seq/f_0003.png",
                FileKind::Sequence,
                true,
                false,
                "image 'Seq'",
            ),
            (
                "seq/f_0004.png",
                FileKind::Sequence,
                false,
                false,
                "image 'Seq'",
            ),
            (
                "seq/f_0005.png",
                FileKind::Sequence,
                true,
                false,
                "image 'Seq'",
            ),
            ("seq/f_0006.png", FileKind::Sequence, true, true, ""),
            (
                "udim/skin.1001.png",
                FileKind::Udim,
                true,
                false,
                "image 'Skin'",
            ),
            (
                "udim/skin.1002.png",
                FileKind::Udim,
                true,
                false,
                "image 'Skin'",
            ),
            (
                "udim/skin.1011.png",
                FileKind::Udim,
                true,
                false,
                "image 'Skin'",
            ),
            (
                "light/spot.ies",
                FileKind::Ies,
                true,
                false,
                "node 'IES Texture' of material 'M'",
            ),
            (
                "osl/missing.osl",
                FileKind::Osl,
                false,
                false,
                "node 'Script' of material 'M'",
            ),
            (
                "mov/clip.mp4",
                FileKind::Movie,
                true,
                false,
                "image 'Movie'",
            ),
            (
                "vdb/smoke.vdb",
                FileKind::Volume,
                true,
                false,
                "volume 'Volume'",
            ),
            (
                "noise.wav",
                FileKind::Sound,
                true,
                true,
                "sound 'noise.wav'",
            ),
            ("note.txt", FileKind::Text, true, true, "text 'note.txt'"),
            (
                "abc/plane.abc",
                FileKind::SceneCache,
                true,
                false,
                "cache file 'plane.abc'",
            ),
            (
                "cache/missing.pc2",
                FileKind::MeshCache,
                false,
                false,
                "modifier 'Points' of object 'Plane'",
            ),
            (
                "blendcache_all/cloth_000001_00.bphys",
                FileKind::PointCache,
                true,
                false,
                "the file",
            ),
        ];
        for (path, kind, exists, optional, user) in expected {
            let Some(file) = files.get(path) else {
                panic!("{build}: {path} is not among {:?}", files.keys())
            };
            assert_eq!(
                (file.kind, file.exists, file.optional),
                (kind, exists, optional),
                "{build}: {file:?}"
            );
            assert!(
                user.is_empty() || file.used_by[0] == user,
                "{build}: {file:?}"
            );
        }
        assert!(
            files.keys().any(|path| path.starts_with("fonts/font.")),
            "{build}: no font in {:?}",
            files.keys()
        );
        for path in [
            "tex/packed.png",
            "seq/f_0009.png",
            "seq/f_0010.png",
            "all.blend",
        ] {
            assert!(
                !files.contains_key(path),
                "{build}: {path} is not needed: {:?}",
                files.get(path)
            );
        }
        let stored: Vec<&str> = ["tex/wood.png", "osl/missing.osl"]
            .map(|path| files[path].stored.as_str())
            .into();
        assert_eq!(stored, ["//tex/wood.png", "//osl/missing.osl"]);
    }
}

#[tokio::test]
async fn what_only_blender_knows_of_is_missed() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("unlisted.py", &[]);
        stage.open("main.blend").await.unwrap();
        let scan = stage.scan().await;
        let needed = scan.files.iter().filter(|file| !file.optional);
        let needed: Vec<_> = needed.map(|file| (&file.path, file.exists)).collect();
        let detail = stage.path("detail.btx");
        assert_eq!(needed, [(&detail, false)], "{build}: {:#?}", scan.files);
        let silent = stage.path("noise.wav");
        assert!(
            scan.files
                .iter()
                .all(|file| [&detail, &silent].contains(&&file.path)),
            "{build}: {:#?}",
            scan.files
        );
    }
}

#[tokio::test]
async fn what_no_worker_can_find_is_told() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("within.py", &[]);
        stage.open("main.blend").await.unwrap();
        let scan = stage.scan().await;
        let note = |outer: &str, inner: &str| {
            let (outer, inner) = (stage.path(outer), stage.path(inner));
            format!(
                "{} names {} by an absolute path, where no worker finds it: name it by a relative one",
                outer.display(),
                inner.display()
            )
        };
        let mut expected = vec![note("own.osl", "colours.h")];
        if stage.path("main.usda").exists() {
            expected.push(note("main.usda", "layer.usda"));
        }
        let mut notes = scan.notes.clone();
        notes.sort_by_key(|note| note.contains("main.usda"));
        assert_eq!(notes, expected, "{build}");
        for inner in ["colours.h", "layer.usda"].map(|name| stage.path(name)) {
            let listed = scan.files.iter().any(|file| file.path == inner);
            assert_eq!(listed, inner.exists(), "{build}: {}", inner.display());
        }
    }
}

#[tokio::test]
async fn what_a_file_cannot_do_without_is_told() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("facts.py", &[]);
        stage.open("facts.blend").await.unwrap();
        let scan = stage.scan().await;
        let mut scripts: Vec<(&str, &str)> = scan
            .scripts
            .iter()
            .map(|script| (script.datablock.as_str(), script.text.as_str()))
            .collect();
        scripts.sort_unstable();
        let expected = [
            (
                "nodes of material 'M'",
                "driver of nodes[\"Principled BSDF\"].inputs",
            ),
            ("object 'Cube'", "driver of location: len(bpy.data.objects)"),
            ("text 'ui.py'", "registers itself when the file is opened"),
        ];
        assert_eq!(scripts.len(), expected.len(), "{build}: {scripts:?}");
        for (script, expected) in scripts.iter().zip(expected) {
            assert!(
                script.0 == expected.0 && script.1.starts_with(expected.1),
                "{build}: {scripts:?}"
            );
        }
        let addons: Vec<(&str, bool)> = scan
            .addons
            .iter()
            .map(|addon| (addon.name.as_str(), addon.present))
            .collect();
        assert_eq!(
            addons,
            [("FOREIGN", false), ("Foreign Node", false)],
            "{build}: {:?}",
            scan.addons
        );

        let [other, scene] = scan.scenes.as_slice() else {
            panic!("{build}: {:?}", scan.scenes)
        };
        assert_eq!(
            (scene.name.as_str(), scene.engine.as_str()),
            ("Scene", "CYCLES"),
            "{build}"
        );
        assert_eq!(
            (other.name.as_str(), other.engine.as_str()),
            ("Other", "FOREIGN"),
            "{build}"
        );
        assert_eq!(
            (other.frames.start, other.frames.end, other.frames.step),
            (10, 20, 5),
            "{build}"
        );
        assert_eq!(other.resolution, [50, 25], "{build}");

        // Not by another engine without a word.
        let out_dir = stage.path("out");
        std::fs::create_dir(&out_dir).unwrap();
        let mut render = Render {
            scene: "Other".into(),
            frame: 10,
            out_dir,
            ..Render::default()
        };
        for (engine, camera, code) in [
            (None, None, RefusalCode::Engine),
            (Some("NONE"), None, RefusalCode::Engine),
            (Some("CYCLES"), Some("Nobody"), RefusalCode::Camera),
        ] {
            render.overrides.engine = engine.map(str::to_owned);
            render.overrides.camera = camera.map(str::to_owned);
            let log = stage.log("render");
            let error = stage.blender.render(&render, &log).await.unwrap_err();
            assert!(
                matches!(&error, Error::Refused { refusal, .. } if refusal.code == code),
                "{build}: {error}"
            );
        }
        render.overrides = Overrides {
            device: Some(DeviceRequest::Metal),
            ..Overrides::default()
        };
        render.scene = "Scene".into();
        let log = stage.log("render");
        let error = stage.blender.render(&render, &log).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { refusal, .. } if refusal.code == RefusalCode::Device),
            "{build}: {error}"
        );
        render.scene = "Nothing".into();
        let error = stage.blender.render(&render, &log).await.unwrap_err();
        assert!(
            matches!(&error, Error::Refused { refusal, .. } if refusal.code == RefusalCode::Scene),
            "{build}: {error}"
        );
        // This one Blender finds out itself.
        render.scene = "Other".into();
        render.overrides = Overrides {
            engine: Some("CYCLES".to_owned()),
            ..Overrides::default()
        };
        let error = stage.blender.render(&render, &log).await.unwrap_err();
        assert!(
            matches!(&error, Error::Failed { refusal, .. } if refusal.code == RefusalCode::Camera),
            "{build}: {error}"
        );
    }
}
