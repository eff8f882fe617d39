//! What real Blenders render in slices is merged to what they render whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use tessera_merge::compare::files;
use tessera_merge::{
    Channel, Class, Frame, MergeOptions, Missing, SampleRange, Samples, Slice, Window, merge, read,
};

use crate::tools::{run_in_blender_3, run_in_blender_5};

/// Float rounding of the sums: what Cycles itself adds up in `f32`.
const ROUNDING: f64 = 1e-6;

const SAMPLES: u32 = 64;

fn window(text: &str) -> Window {
    let numbers: Vec<i32> = text
        .split([',', 'x'])
        .map(|number| number.parse().unwrap())
        .collect();
    let [x, y, width, height] = numbers[..] else {
        panic!("{text}")
    };
    Window {
        x,
        y,
        width: width.try_into().unwrap(),
        height: height.try_into().unwrap(),
    }
}

/// The slices in a folder, as their names say.
fn slices(folder: &Path) -> Vec<Slice> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap();
        let [samples, kept, rendered] = name.split(' ').collect::<Vec<_>>()[..] else {
            assert!(["whole", "merged"].contains(&name), "{name}");
            continue;
        };
        let (offset, count) = samples.split_once('+').unwrap();
        found.push(Slice {
            kept: Some(window(kept)),
            rendered: Some(window(rendered)),
            samples: Some(SampleRange {
                offset: offset.parse().unwrap(),
                count: count.parse().unwrap(),
            }),
            path,
        });
    }
    found
}

fn options() -> MergeOptions {
    MergeOptions {
        size: Some((72, 40)),
        samples: Some(SAMPLES),
        passes: BTreeMap::from([("glow".to_owned(), Class::Average)]),
        others: None,
        missing: Missing::Refused,
    }
}

fn merged(folder: &Path) -> PathBuf {
    let output = folder.join("merged.exr");
    let done = merge(&slices(folder), &output, &options()).unwrap();
    assert_eq!(done.samples, (u64::from(SAMPLES), u64::from(SAMPLES)));
    let left = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    assert!(
        left.into_iter()
            .all(|name| !name.to_string_lossy().starts_with('.'))
    );
    output
}

/// To the bit, in every pass.
fn identical(folder: &Path) {
    let report = files(&folder.join("whole.exr"), &merged(folder)).unwrap();
    assert!(report.identical(), "{report}");
    assert!(report.summary().passes > 40, "{report}");
}

fn floats(channel: &Channel) -> &[f32] {
    match &channel.samples {
        Samples::Float(floats) => floats,
        other => panic!("{}: {:?}", channel.name, other.sample_type()),
    }
}

/// Passes that are the same to the bit: by sample 0 alone, or ids.
fn is_exact(channel: &Channel) -> bool {
    let pass = channel.name.pass.pass.as_str();
    let is_id = pass.starts_with("Crypto") && ["r", "b"].contains(&channel.name.channel.as_str());
    let first = [
        "Depth",
        "Position",
        "IndexOB",
        "IndexMA",
        "Object Index",
        "Material Index",
    ];
    is_id || first.contains(&pass)
}

/// Two ids that cover as much of a pixel may stand in either order.
fn with_ties_in_order(frame: &Frame) -> BTreeMap<String, Vec<Vec<(u32, u32)>>> {
    let mut pixels: BTreeMap<String, Vec<Vec<(u32, u32)>>> = BTreeMap::new();
    for pass in frame
        .passes()
        .filter(|pass| pass.name.pass.starts_with("Crypto"))
    {
        let base = pass
            .name
            .pass
            .trim_end_matches(|digit: char| digit.is_ascii_digit());
        let key = format!("{}.{base}.{}", pass.name.layer, pass.name.view);
        let of = |name: &str| {
            let found = pass
                .channels
                .iter()
                .find(|channel| channel.name.channel == name);
            floats(found.unwrap())
        };
        for (id, coverage) in [(of("r"), of("g")), (of("b"), of("a"))] {
            let pixels = pixels
                .entry(key.clone())
                .or_insert_with(|| vec![Vec::new(); id.len()]);
            for (pixel, (id, coverage)) in pixels.iter_mut().zip(id.iter().zip(coverage)) {
                pixel.push((coverage.to_bits(), id.to_bits()));
            }
        }
    }
    for pixel in pixels.values_mut().flatten() {
        pixel.sort_unstable_by(|a, b| b.cmp(a));
    }
    pixels
}

/// To the rounding of floats, and to the bit what does not round.
fn equal(folder: &Path) {
    let (whole, merged) = (
        read(&folder.join("whole.exr")).unwrap(),
        read(&merged(folder)).unwrap(),
    );
    assert_eq!(whole.container, merged.container);
    assert_eq!(whole.display_window, merged.display_window);
    let (ids, merged_ids) = (with_ties_in_order(&whole), with_ties_in_order(&merged));
    for (name, pixels) in &ids {
        for (at, (a, b)) in pixels.iter().zip(&merged_ids[name]).enumerate() {
            assert_eq!(a, b, "{name}, pixel {at}");
        }
    }
    let names = |frame: &Frame| {
        frame
            .channels
            .iter()
            .map(|channel| channel.name.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&whole), names(&merged));
    for (a, b) in whole.channels.iter().zip(&merged.channels) {
        let (a_values, b_values) = (floats(a), floats(b));
        let largest = a_values
            .iter()
            .fold(1.0_f64, |most, value| most.max(f64::from(value.abs())));
        let pairs = a_values.iter().zip(b_values);
        if a.name.pass.pass.starts_with("Crypto") {
            continue;
        }
        if is_exact(a) {
            assert!(
                pairs.clone().all(|(a, b)| a.to_bits() == b.to_bits()),
                "{}",
                a.name
            );
        }
        let worst = pairs.fold(0.0_f64, |most, (a, b)| {
            most.max((f64::from(*a) - f64::from(*b)).abs())
        });
        assert!(
            worst / largest <= ROUNDING,
            "{}: {worst} of {largest}",
            a.name
        );
    }
    let samples = |frame: &Frame| frame.attributes().text("cycles.ViewLayer.samples");
    assert_eq!(samples(&whole), samples(&merged));
}

fn check(run: impl Fn(&str, &Path)) {
    let out = tempfile::tempdir().unwrap();
    run("slices.py", out.path());
    let folder = |name: &str| out.path().join(name);
    for name in ["tiles", "both", "mixed"] {
        fs::copy(folder("samples/whole.exr"), folder(name).join("whole.exr")).unwrap();
    }
    identical(&folder("tiles"));
    identical(&folder("adaptive"));
    equal(&folder("samples"));
    equal(&folder("both"));
    equal(&folder("stereo"));
    equal(&folder("mixed"));
    noise_is_what_halves_differ_by(&folder("samples"));
    so_far(&folder("both"));
    refused(&folder("adaptive"), &folder("samples"));
}

/// By the formula, worked out here from the pictures that each half of the samples merges to.
fn noise_is_what_halves_differ_by(folder: &Path) {
    let (first, second): (Vec<Slice>, Vec<Slice>) = slices(folder)
        .into_iter()
        .partition(|slice| slice.samples.unwrap().offset < SAMPLES / 2);
    let picture = |slices: &[Slice]| -> BTreeMap<String, Vec<f32>> {
        let output = folder.join("merged.exr");
        let options = MergeOptions {
            missing: Missing::Allowed,
            ..options()
        };
        merge(slices, &output, &options).unwrap();
        let frame = read(&output).unwrap();
        let combined = frame
            .channels
            .iter()
            .filter(|channel| channel.name.pass.pass == "Combined" && channel.name.channel != "A");
        let named = combined.map(|channel| (channel.name.to_string(), floats(channel).to_vec()));
        named.collect()
    };
    let (one, other) = (picture(&first), picture(&second));
    let tiles = [
        window("0,0,36x20"),
        window("36,0,36x40"),
        window("0,20,36x20"),
    ];
    let all = [first, second].concat();
    let found = tessera_merge::noise(&all, (72, 40), &tiles, SAMPLES).unwrap();
    let names: Vec<&String> = one.keys().collect();
    for (tile, found) in tiles.iter().zip(found) {
        // Three channels of each layer and view are together, in the order of their names.
        let of_picture = |names: &[&String]| -> f64 {
            let mut squares = 0.0;
            for y in tile.y as usize..tile.y as usize + tile.height {
                for x in tile.x as usize..tile.x as usize + tile.width {
                    let at = y * 72 + x;
                    let (mut apart, mut light) = (0.0, 0.0);
                    for name in names {
                        let (a, b) = (f64::from(one[*name][at]), f64::from(other[*name][at]));
                        apart += (a - b).abs() / 2.0;
                        light += (a + b) / 2.0;
                    }
                    let scale = if light < 1.0 { light.sqrt() } else { light };
                    squares += (apart / (1e-4 + scale)).powi(2);
                }
            }
            (squares / tile.area() as f64).sqrt()
        };
        let expected = names.chunks(3).map(of_picture).fold(0.0, f64::max);
        let off = (f64::from(found) - expected).abs() / expected;
        assert!(
            expected > 0.0 && off < 1e-3,
            "{tile}: {found}, not {expected}"
        );
    }
}

/// A frame in the making: what is there is right, and the rest is black.
fn so_far(folder: &Path) {
    let whole = read(&folder.join("whole.exr")).unwrap();
    let first = slices(folder)
        .into_iter()
        .find(|slice| slice.samples.unwrap().offset == 0);
    let first = first.unwrap();
    let output = folder.join("merged.exr");
    let options = MergeOptions {
        missing: Missing::Allowed,
        ..options()
    };
    let done = merge(std::slice::from_ref(&first), &output, &options).unwrap();
    assert_eq!(done.samples, (0, u64::from(first.samples.unwrap().count)));
    let merged = read(&output).unwrap();
    let kept = first.kept.unwrap();
    let depth = |frame: &Frame| {
        let found = frame
            .channels
            .iter()
            .find(|channel| channel.name.pass.pass == "Depth");
        floats(found.unwrap()).to_vec()
    };
    for (at, (a, b)) in depth(&whole).iter().zip(depth(&merged)).enumerate() {
        let (x, y) = (at % 72, at / 72);
        let left = usize::try_from(kept.x).unwrap();
        let top = usize::try_from(kept.y).unwrap();
        let is_kept =
            (left..left + kept.width).contains(&x) && (top..top + kept.height).contains(&y);
        assert_eq!(
            b.to_bits(),
            if is_kept { a.to_bits() } else { 0 },
            "{x}, {y}"
        );
    }
}

/// What cannot be merged is not, and leaves nothing.
fn refused(vectors: &Path, samples: &Path) {
    let said = |slices: &[Slice], options: &MergeOptions| {
        let output = vectors.join("refused.exr");
        let error = merge(slices, &output, options).unwrap_err().to_string();
        assert!(!output.exists());
        error
    };
    let mut halves = slices(vectors);
    halves.truncate(1);
    halves.push(halves[0].clone());
    halves[0].samples = Some(SampleRange {
        offset: 0,
        count: 32,
    });
    halves[1].samples = Some(SampleRange {
        offset: 32,
        count: 32,
    });
    let allowed = MergeOptions {
        missing: Missing::Allowed,
        ..options()
    };
    let error = said(&halves, &allowed);
    assert!(
        error.contains("Layer.Vector") && error.contains("tiles"),
        "{error}"
    );
    let error = said(&slices(samples), &MergeOptions::default());
    assert!(
        error.contains("Layer.glow") && error.contains("average"),
        "{error}"
    );
    let error = said(&[slices(samples), slices(vectors)].concat(), &options());
    assert!(error.contains("different channels"), "{error}");
    let mut one_less = slices(samples);
    one_less.pop();
    let error = said(&one_less, &options());
    assert!(error.contains("of 64 samples"), "{error}");
}

#[test]
fn slices_of_blender_3_4_are_the_frame() {
    check(run_in_blender_3);
}

#[test]
fn slices_of_blender_5_0_are_the_frame() {
    check(run_in_blender_5);
}
