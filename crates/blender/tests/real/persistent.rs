//! Data kept between frames changes no bit of them, in any order; where it would, it is off.

use std::collections::BTreeMap;
use std::path::PathBuf;

use tessera_blender::{Build, Overrides, Render, Scan, Series};

use crate::pixels;
use crate::support::{Stage, builds};

/// Kinds whose frames depend on their order.
const ORDERED: [&str; 5] = [
    "particles",
    "cloth",
    "soft_body",
    "rigid_body",
    "dynamic_paint",
];
/// Other kinds for which data is not kept.
const FRESH: [&str; 1] = ["particle_hair"];
/// Kinds for which data is not kept before 4.2, because geometry is made anew for each frame and vectors or blur look at it.
const FRESH_BEFORE_4_2: [&str; 8] = [
    "curve",
    "generated_with_blur",
    "generated_with_vectors",
    "geometry_instances",
    "geometry_nodes",
    "metaball",
    "simulation_zone",
    "text",
];
/// One of each fate, for every run of the tests; with `slow-tests`, all kinds.
const SOME: [&str; 7] = [
    "camera",
    "armature",
    "generated_with_vectors",
    "generated_without_motion",
    "particle_hair",
    "particles",
    "compositor",
];

#[tokio::test]
async fn kept_data_changes_no_bit() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make(
            "kinds.py",
            if cfg!(feature = "slow-tests") {
                &[]
            } else {
                &SOME
            },
        );
        let mut kinds: Vec<String> = std::fs::read_dir(stage.path(""))
            .unwrap()
            .filter_map(|entry| {
                Some(
                    entry
                        .unwrap()
                        .file_name()
                        .to_str()?
                        .strip_suffix(".blend")?
                        .to_owned(),
                )
            })
            .collect();
        kinds.sort();
        assert!(kinds.len() >= SOME.len());
        let mut wrong = Vec::new();
        for kind in &kinds {
            wrong.extend(check(&build, &mut stage, kind).await);
        }
        assert_eq!(wrong, Vec::<String>::new(), "{build}");
    }
}

/// What is not as it should be.
async fn check(build: &Build, stage: &mut Stage, kind: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    stage.open(&format!("{kind}.blend")).await.unwrap();
    let scan: Scan = stage.scan().await;
    let simulates = kind == "simulation_zone" && build.version.major >= 4;
    let ordered = ORDERED.contains(&kind) || simulates;
    let stale = build.version.series() < Series::new(4, 2) && FRESH_BEFORE_4_2.contains(&kind);
    let fresh = ordered || stale || FRESH.contains(&kind);
    if scan.scenes[0].order_dependent.is_empty() == ordered {
        wrong.push(format!(
            "{kind}: order dependent: {:?}",
            scan.scenes[0].order_dependent
        ));
    }
    if scan.scenes[0].no_persistent_data.is_empty() == fresh {
        wrong.push(format!(
            "{kind}: no persistent data: {:?}",
            scan.scenes[0].no_persistent_data
        ));
    }
    let expected = frames(stage, kind, [1, 2, 3], Keep::Never).await;
    let keep = if fresh { Keep::Not } else { Keep::Yes };
    let orders: &[[i32; 3]] = if ordered {
        &[[1, 2, 3]]
    } else {
        &[[1, 2, 3], [3, 1, 2]]
    };
    for order in orders {
        for (frame, path) in frames(stage, kind, *order, keep).await {
            let difference = pixels::difference(&expected[&frame], &path);
            if !difference.is_empty() {
                wrong.push(format!(
                    "{kind}: frame {frame} in {order:?}: {difference:?}"
                ));
            }
        }
    }
    wrong
}

/// Whether data is kept.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Keep {
    Yes,
    /// Because the driver found a reason.
    Not,
    /// Because it is told so.
    Never,
}

async fn frames(
    stage: &mut Stage,
    kind: &str,
    order: [i32; 3],
    keep: Keep,
) -> BTreeMap<i32, PathBuf> {
    stage.open(&format!("{kind}.blend")).await.unwrap();
    let mut made = BTreeMap::new();
    for frame in order {
        let out_dir = stage.path(&format!("{kind}-{keep:?}-{}-{frame}", order[0]));
        std::fs::create_dir(&out_dir).unwrap();
        let overrides = Overrides {
            exr: true,
            no_persistent_data: keep == Keep::Never,
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
        let rendered = stage
            .blender
            .render(&render, &log)
            .await
            .unwrap_or_else(|error| panic!("{kind}: {error}"));
        assert_eq!(
            rendered.persistent.on,
            keep == Keep::Yes,
            "{kind}: {:?}",
            rendered.persistent
        );
        assert_eq!(
            rendered.persistent.on,
            rendered.persistent.reasons.is_empty(),
            "{kind}"
        );
        made.insert(frame, rendered.files[0].path.clone());
    }
    made
}
