//! PNG exactly, other pictures by their pixels, other files by their bytes, and what cannot be compared at all.

use std::fs::{self, File};
use std::path::Path;

use image::{DynamicImage, ImageFormat, Rgb, RgbImage};
use png::{BitDepth, ColorType, Encoder};
use tempfile::TempDir;
use tessera_merge::compare::{CompareError, Report, files, folders, paths};

const WIDTH: u32 = 8;
const HEIGHT: u32 = 2;

fn png(path: &Path, colour: ColorType, depth: BitDepth, levels: &[u8], text: &[(&str, &str)]) {
    let mut encoder = Encoder::new(File::create(path).unwrap(), WIDTH, HEIGHT);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    if colour == ColorType::Indexed {
        encoder.set_palette(vec![10, 20, 30, 40, 50, 60]);
    }
    for (keyword, text) in text {
        encoder
            .add_text_chunk((*keyword).to_owned(), (*text).to_owned())
            .unwrap();
    }
    encoder
        .write_header()
        .unwrap()
        .write_image_data(levels)
        .unwrap();
}

/// Compares the files that `write` makes of the first and of the second thing.
fn check<T>(
    extension: &str,
    [a, b]: [T; 2],
    write: impl Fn(&Path, T),
    identical: bool,
    expected: &[&str],
) {
    let out = tempfile::tempdir().unwrap();
    let [first, second] = ["a", "b"].map(|name| out.path().join(name).with_extension(extension));
    write(&first, a);
    write(&second, b);
    let report = files(&first, &second).unwrap();
    let text = report
        .to_string()
        .replace(&format!("{}/", out.path().display()), "");
    assert_eq!((report.identical(), text), (identical, expected.join("\n")));
}

fn levels(count: usize) -> Vec<u8> {
    (0..count).map(|index| (index * 7 % 251) as u8).collect()
}

fn changed(mut levels: Vec<u8>, at: usize, by: u8) -> Vec<u8> {
    levels[at] = levels[at].wrapping_add(by);
    levels
}

#[test]
fn one_level_of_a_png_is_found_in_every_colour_type() {
    use {BitDepth::*, ColorType::*};
    let pixels = (WIDTH * HEIGHT) as usize;
    let pair = |bytes: usize, at: usize| [levels(bytes), changed(levels(bytes), at, 1)];
    let of =
        |colour, depth| move |path: &Path, levels: Vec<u8>| png(path, colour, depth, &levels, &[]);
    let said = |line: &str| {
        [
            format!("b.png\n  image: {line}"),
            "DIFFERENT: 1 of 1 file; 1 differing pixel in 1 pass compared".to_owned(),
        ]
        .join("\n")
    };

    let line = "1 differing pixel of 16, at most 1 (1 ulp), first at (1, 1) G: 196, 197";
    check(
        "png",
        pair(pixels * 3, 28),
        of(Rgb, Eight),
        false,
        &[&said(line)],
    );
    let line = "1 differing pixel of 16, at most 1 (1 ulp), first at (1, 1) A: 22, 23";
    check(
        "png",
        pair(pixels * 4, 39),
        of(Rgba, Eight),
        false,
        &[&said(line)],
    );
    let line = "1 differing pixel of 16, at most 1 (1 ulp), first at (3, 1) Y: 77, 78";
    check(
        "png",
        pair(pixels, 11),
        of(Grayscale, Eight),
        false,
        &[&said(line)],
    );
    let line = "1 differing pixel of 16, at most 1 (1 ulp), first at (3, 0) A: 49, 50";
    check(
        "png",
        pair(pixels * 2, 7),
        of(GrayscaleAlpha, Eight),
        false,
        &[&said(line)],
    );
    let line = "1 differing pixel of 16, at most 1 (1 ulp), first at (1, 0) R: 10801, 10802";
    check(
        "png",
        pair(pixels * 6, 7),
        of(Rgb, Sixteen),
        false,
        &[&said(line)],
    );
    // One step of the palette is three levels of colour, one bit of grey all levels.
    let indexed = [vec![0b0101_0101, 0], vec![0b0101_0111, 0]];
    let line = "1 differing pixel of 16, at most 30 (30 ulps), first at (6, 0) B: 30, 60";
    check(
        "png",
        indexed.clone(),
        of(Indexed, One),
        false,
        &[&said(line)],
    );
    let line = "1 differing pixel of 16, at most 255 (255 ulps), first at (6, 0) Y: 0, 255";
    check("png", indexed, of(Grayscale, One), false, &[&said(line)]);
}

#[test]
fn a_png_is_more_than_its_levels() {
    let rgb = |path: &Path, text: [(&str, &str); 2]| {
        png(path, ColorType::Rgb, BitDepth::Eight, &levels(48), &text);
    };
    let same = ["0 differing pixels in every pass: 1 file, 1 pass"];
    check(
        "png",
        [
            [("Frame", "1"), ("Date", "today")],
            [("Frame", "1"), ("Date", "tomorrow")],
        ],
        rgb,
        true,
        &same,
    );
    let other_frame = [
        "b.png",
        r#"  metadata Frame differs: "1", "2""#,
        "DIFFERENT: 1 of 1 file; 0 differing pixels in 1 pass compared",
    ];
    check(
        "png",
        [
            [("Frame", "1"), ("Date", "today")],
            [("Frame", "2"), ("Date", "today")],
        ],
        rgb,
        false,
        &other_frame,
    );

    let of_depth = |path: &Path, (depth, levels): (BitDepth, Vec<u8>)| {
        png(path, ColorType::Rgb, depth, &levels, &[])
    };
    let other_depth = [
        "b.png",
        "  format differs: PNG of 8 bits, PNG of 16 bits",
        "DIFFERENT: 1 of 1 file; 0 differing pixels in 0 passes compared",
    ];
    check(
        "png",
        [
            (BitDepth::Eight, levels(48)),
            (BitDepth::Sixteen, levels(96)),
        ],
        of_depth,
        false,
        &other_depth,
    );

    let of_colour = |path: &Path, (colour, depth, levels): (ColorType, BitDepth, Vec<u8>)| {
        png(path, colour, depth, &levels, &[])
    };
    let packed = (ColorType::Indexed, BitDepth::One, vec![0xff, 0]);
    let unpacked = [[40, 50, 60].repeat(8), [10, 20, 30].repeat(8)].concat();
    let same_colours = [
        "note: the container differs: indexed, one bits; rgb, eight bits (1 file)",
        "0 differing pixels in every pass: 1 file, 1 pass",
    ];
    check(
        "png",
        [packed, (ColorType::Rgb, BitDepth::Eight, unpacked)],
        of_colour,
        true,
        &same_colours,
    );
}

#[test]
fn what_is_broken_is_unreadable_and_not_equal() {
    let write = |path: &Path, bytes: &[u8]| fs::write(path, bytes).unwrap();
    let broken = [
        "b.exr",
        "  unreadable in a.exr: a.exr is not an EXR file",
        "DIFFERENT: 1 of 1 file; 0 differing pixels in 0 passes compared",
    ];
    check("exr", [&b"not a picture"[..]; 2], write, false, &broken);
    let out = tempfile::tempdir().unwrap();
    let whole = out.path().join("whole.png");
    png(&whole, ColorType::Rgb, BitDepth::Eight, &levels(48), &[]);
    let whole = fs::read(whole).unwrap();
    for cut in [1, 20, whole.len() - 13] {
        let cut = out.path().join(format!("{cut}.png"));
        fs::write(
            &cut,
            &whole[..cut.file_stem().unwrap().to_str().unwrap().parse().unwrap()],
        )
        .unwrap();
        assert!(
            !files(&out.path().join("whole.png"), &cut)
                .unwrap()
                .identical(),
            "{}",
            cut.display()
        );
    }
    let text = out.path().join("text.png.txt");
    fs::write(&text, "text").unwrap();
    let report = files(&out.path().join("whole.png"), &text).unwrap();
    assert!(
        !report.identical()
            && report
                .to_string()
                .contains("format differs: PNG of 8 bits, no known picture"),
        "{report}"
    );
}

#[test]
fn other_pictures_are_compared_by_their_pixels() {
    let image = |level: u8| {
        let pixel = |x, y| {
            Rgb([
                x as u8 * 9,
                y as u8 * 70,
                if (x, y) == (5, 1) { level } else { 7 },
            ])
        };
        DynamicImage::from(RgbImage::from_fn(WIDTH, HEIGHT, pixel))
    };
    let tiff =
        |path: &Path, image: DynamicImage| image.save_with_format(path, ImageFormat::Tiff).unwrap();
    let same = [
        "note: metadata is not compared in this format (1 file)",
        "0 differing pixels in every pass: 1 file, 1 pass",
    ];
    check("tif", [image(7), image(7)], tiff, true, &same);
    let differs = [
        "b.tif",
        "  image: 1 differing pixel of 16, at most 1 (1 ulp), first at (5, 1) B: 7, 8",
        "note: metadata is not compared in this format (1 file)",
        "DIFFERENT: 1 of 1 file; 1 differing pixel in 1 pass compared",
    ];
    check("tif", [image(7), image(8)], tiff, false, &differs);
}

#[test]
fn other_files_are_compared_by_their_bytes() {
    let write = |path: &Path, bytes: &[u8]| fs::write(path, bytes).unwrap();
    let same =
        ["0 differing pixels in every pass: 1 file, 0 passes (1 file compared byte by byte)"];
    check("mkv", [&b"bytes"[..], b"bytes"], write, true, &same);
    let differs = [
        "b.mkv",
        "  bytes differ after the first 3 (5 bytes, 4 bytes)",
        "DIFFERENT: 1 of 1 file; 0 differing pixels in 0 passes compared",
    ];
    check("mkv", [&b"bytes"[..], b"byto"], write, false, &differs);
}

fn two_folders() -> (TempDir, [std::path::PathBuf; 2]) {
    let out = tempfile::tempdir().unwrap();
    let both = ["a", "b"].map(|name| out.path().join(name));
    both.iter()
        .for_each(|folder| fs::create_dir(folder).unwrap());
    (out, both)
}

#[test]
fn nothing_compared_is_not_equal() {
    let (_out, [a, b]) = two_folders();
    fs::create_dir(a.join("also empty")).unwrap();
    let report: Report = folders(&a, &b).unwrap();
    assert!(!report.identical());
    assert!(
        report.to_string().starts_with("nothing was compared: "),
        "{report}"
    );
}

#[test]
fn what_cannot_be_compared_at_all_is_refused() {
    let (out, [a, b]) = two_folders();
    fs::write(a.join("0001.png"), "").unwrap();
    assert!(matches!(
        paths(&a, &out.path().join("c")),
        Err(CompareError::Path { .. })
    ));
    assert!(matches!(
        paths(&a.join("0001.png"), &b),
        Err(CompareError::FileAndFolder { .. })
    ));
    assert!(matches!(
        paths(&b, &a.join("0001.png")),
        Err(CompareError::FileAndFolder { .. })
    ));
    assert!(matches!(
        paths(&a, &b.join("../a")),
        Err(CompareError::SamePlace { .. })
    ));
}
