//! What real Blenders write: one part in 3.4, many in 5.0, both in the same normal form.

use std::fs;
use std::path::Path;

use tessera_merge::compare::{Report, folders};
use tessera_merge::{Container, Frame, PassName, read};

use crate::openexr::same_as_openexr;
use crate::pyramid::holds_the_frame;
use crate::tools::{run_in_blender_3, run_in_blender_5, run_script};

fn twice_the_same(out: &Path) {
    let report = folders(&out.join("first"), &out.join("second")).unwrap();
    assert!(report.identical(), "{report}");
    assert_eq!(report.summary().files, 3);
    for name in ["first/half.exr", "first/stereo.exr"] {
        let file = out.join(name);
        run_script("openexr.py", ["describe".as_ref(), file.as_os_str()]);
    }
}

fn channels_of_pass(frame: &Frame, pass: &PassName) -> String {
    frame
        .pass(pass)
        .iter()
        .map(|channel| channel.name.channel.as_str())
        .collect()
}

fn blenders_passes(frame: &Frame, diffuse: &str) {
    let expected = [
        ("Combined", "ABGR"),
        ("Depth", "Z"),
        ("Vector", "WXYZ"),
        (diffuse, "BGR"),
        ("CryptoObject02", "abgr"),
    ];
    for (pass, channels) in expected {
        assert_eq!(
            channels_of_pass(frame, &PassName::new("ViewLayer", pass)),
            channels,
            "{pass}"
        );
    }
    assert_eq!(
        channels_of_pass(frame, &PassName::new("Second.Layer", "Combined")),
        "ABGR"
    );
    assert_eq!(frame.attributes().text("Frame").as_deref(), Some("001"));
    let [cryptomatte] = &frame.cryptomattes()[..] else {
        panic!("one Cryptomatte layer")
    };
    assert_eq!(cryptomatte.name, "ViewLayer.CryptoObject");
    assert!(
        cryptomatte.manifest.contains("\"Cube\""),
        "{}",
        cryptomatte.manifest
    );
}

fn views_of_combined(frame: &Frame) -> Vec<&str> {
    let combined = frame
        .passes()
        .filter(|pass| pass.name.pass == "Combined" && pass.name.layer == "ViewLayer");
    combined.map(|pass| pass.name.view.as_str()).collect()
}

#[test]
fn blender_3_4_writes_one_part_and_renders_the_same_twice() {
    let out = tempfile::tempdir().unwrap();
    run_in_blender_3("render.py", out.path());
    twice_the_same(out.path());
    let frame = read(&out.path().join("first/half.exr")).unwrap();
    assert_eq!(frame.container, Container::SinglePart);
    blenders_passes(&frame, "DiffCol");
    let stereo = read(&out.path().join("first/stereo.exr")).unwrap();
    assert_eq!(views_of_combined(&stereo), ["left", "right"]);
    same_as_openexr(&out.path().join("first/half.exr"));
    for name in ["first/half.exr", "first/stereo.exr"] {
        holds_the_frame(&out.path().join(name));
    }
}

#[test]
fn blender_5_0_writes_many_parts_that_equal_its_single_part() {
    let out = tempfile::tempdir().unwrap();
    run_in_blender_5("render.py", out.path());
    twice_the_same(out.path());
    let frame = read(&out.path().join("first/half.exr")).unwrap();
    assert_eq!(frame.container, Container::MultiPart);
    blenders_passes(&frame, "Diffuse Color");
    let stereo = read(&out.path().join("first/stereo.exr")).unwrap();
    assert_eq!(views_of_combined(&stereo), ["left", "right"]);
    same_as_openexr(&out.path().join("first/half.exr"));
    for name in ["first/half.exr", "first/stereo.exr"] {
        holds_the_frame(&out.path().join(name));
    }

    // The same frames in one part have the same channels, and the report says that only the container differs.
    for name in [
        "still.png",
        "half.json",
        "half.bin",
        "stereo.json",
        "stereo.bin",
    ] {
        fs::remove_file(out.path().join("first").join(name)).unwrap();
    }
    let report: Report =
        folders(&out.path().join("first"), &out.path().join("interleaved")).unwrap();
    assert!(report.identical(), "{report}");
    assert!(
        report
            .to_string()
            .contains("note: the container differs: multi-part of 10"),
        "{report}"
    );
}
