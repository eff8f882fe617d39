//! Every kind of difference is found and named. The faults are planted by OpenEXR's own library.

use std::path::Path;

use tessera_merge::compare::folders;

use crate::tools::run_script;

/// The whole of what a person is told, with the root folder taken out.
fn said(root: &Path, other: &str) -> (bool, String) {
    let report = folders(&root.join("good"), &root.join(other)).unwrap();
    let text = report
        .to_string()
        .replace(&format!("{}/", root.display()), "");
    (report.identical(), text)
}

fn differs(root: &Path, other: &str, expected: &[&str]) {
    let (identical, text) = said(root, other);
    assert!(!identical, "{other}");
    assert_eq!(text, expected.join("\n"), "{other}");
}

fn identical(root: &Path, other: &str, expected: &[&str]) {
    assert_eq!(said(root, other), (true, expected.join("\n")), "{other}");
}

#[test]
fn every_planted_fault_is_found_and_named() {
    let out = tempfile::tempdir().unwrap();
    run_script("faults.py", [out.path()]);
    let root = out.path();
    differs(
        root,
        "one_ulp",
        &[
            "0001.exr",
            "  ViewLayer.Depth: 1 differing pixel of 144, at most 5.960e-8 (1 ulp), first at (11, 7) Z: 0.5130036, 0.51300365",
            "DIFFERENT: 1 of 2 files; 1 differing pixel in 6 passes compared",
        ],
    );
    differs(
        root,
        "one_half_ulp",
        &[
            "0001.exr",
            "  ViewLayer.Combined: 1 differing pixel of 144, at most 4.883e-4 (1 ulp), first at (15, 0) G: 0.7578125, 0.7573242",
            "DIFFERENT: 1 of 2 files; 1 differing pixel in 6 passes compared",
        ],
    );
    differs(
        root,
        "nan_payload",
        &[
            "0001.exr",
            "  ViewLayer.Depth: 1 differing pixel of 144, 1 sample infinite or NaN, first at (3, 2) Z: NaN 0x7fc00000, NaN 0x7fc00005",
            "DIFFERENT: 1 of 2 files; 1 differing pixel in 6 passes compared",
        ],
    );
    differs(
        root,
        "negative_zero",
        &[
            "0001.exr",
            "  ViewLayer.Depth: 1 differing pixel of 144, at most 0 (1 ulp), first at (5, 4) Z: 0.0, -0.0",
            "DIFFERENT: 1 of 2 files; 1 differing pixel in 6 passes compared",
        ],
    );
    differs(
        root,
        "one_index",
        &[
            "0001.exr",
            "  ViewLayer.Object Index: 1 differing pixel of 144, at most 3 (3 ulps), first at (0, 8) X: 6, 9",
            "DIFFERENT: 1 of 2 files; 1 differing pixel in 6 passes compared",
        ],
    );
    differs(
        root,
        "missing_pass",
        &[
            "0001.exr",
            "  ViewLayer.Object Index: pass missing in missing_pass",
            "DIFFERENT: 1 of 2 files; 0 differing pixels in 5 passes compared",
        ],
    );
    differs(
        root,
        "missing_channel",
        &[
            "0001.exr",
            "  ViewLayer.Combined.A: channel missing in missing_channel",
            "DIFFERENT: 1 of 2 files; 0 differing pixels in 6 passes compared",
        ],
    );
    differs(
        root,
        "channel_too_many",
        &[
            "0001.exr",
            "  ViewLayer.Depth.W: channel missing in good",
            "DIFFERENT: 1 of 2 files; 0 differing pixels in 6 passes compared",
        ],
    );
    differs(
        root,
        "shifted_data_window",
        &[
            "0001.exr",
            "  ViewLayer.Combined: data window differs: 16×9 at (0, 0), 16×9 at (1, 0)",
            "  ViewLayer.Depth: data window differs: 16×9 at (0, 0), 16×9 at (1, 0)",
            "  ViewLayer.Object Index: data window differs: 16×9 at (0, 0), 16×9 at (1, 0)",
            "DIFFERENT: 1 of 2 files; 0 differing pixels in 3 passes compared",
        ],
    );
    differs(
        root,
        "other_size",
        &[
            "0001.exr",
            "  display window differs: 16×9 at (0, 0), 16×8 at (0, 0)",
            "  ViewLayer.Combined: data window differs: 16×9 at (0, 0), 16×8 at (0, 0)",
            "  ViewLayer.Depth: data window differs: 16×9 at (0, 0), 16×8 at (0, 0)",
            "  ViewLayer.Object Index: data window differs: 16×9 at (0, 0), 16×8 at (0, 0)",
            "DIFFERENT: 1 of 2 files; 0 differing pixels in 3 passes compared",
        ],
    );
    differs(
        root,
        "other_type",
        &[
            "0001.exr",
            "  ViewLayer.Depth.Z: sample type differs: float, half",
            "DIFFERENT: 1 of 2 files; 0 differing pixels in 5 passes compared",
        ],
    );
    differs(
        root,
        "other_manifest",
        &[
            "0001.exr",
            r#"  metadata cryptomatte/542cafa/manifest differs: "{\"Cube\":\"a8fce865\"}", "{\"Cone\":\"a8fce865\"}""#,
            "DIFFERENT: 1 of 2 files; 0 differing pixels in 6 passes compared",
        ],
    );
    differs(
        root,
        "missing_file",
        &[
            "sub/0002.exr",
            "  file missing in missing_file",
            "DIFFERENT: 1 of 2 files; 0 differing pixels in 3 passes compared",
        ],
    );
    differs(
        root,
        "truncated",
        &[
            "0001.exr",
            "  unreadable in truncated: 0001.exr is cut off: it ends before all of its pixels; write it again",
            "DIFFERENT: 1 of 2 files; 0 differing pixels in 3 passes compared",
        ],
    );
    differs(
        root,
        "empty",
        &[
            "0001.exr",
            "  file missing in empty",
            "sub/0002.exr",
            "  file missing in empty",
            "DIFFERENT: 2 of 2 files; 0 differing pixels in 0 passes compared",
        ],
    );
    identical(
        root,
        "other_container",
        &[
            "note: the container differs: one part, zip block compression; multi-part of 3, piz compression (1 file)",
            "0 differing pixels in every pass: 2 files, 6 passes",
        ],
    );
    identical(
        root,
        "other_rendering",
        &["0 differing pixels in every pass: 2 files, 6 passes"],
    );
}
