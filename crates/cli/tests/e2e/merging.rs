//! `tessera merge`: one frame out of files that somebody rendered in parts.

use std::fs;
use std::path::Path;

use exr::prelude::{
    Blocks, Compression, Encoding, Image, Layer, LayerAttributes, LineOrder, SpecificChannels,
    Vec2, WritableImage,
};
use tessera_wire::line::LineKind;

use crate::world::{World, tessera_run, text};

/// A picture whose red is `red` plus the column.
fn part(path: &Path, size: (usize, usize), red: f32) {
    let colour = |at: Vec2<usize>| (red + at.x() as f32, 0.25_f32, 0.5_f32);
    let encoding = Encoding {
        compression: Compression::ZIP16,
        blocks: Blocks::ScanLines,
        line_order: LineOrder::Increasing,
    };
    let attributes = LayerAttributes::default();
    let layer = Layer::new(size, attributes, encoding, SpecificChannels::rgb(colour));
    Image::from_layer(layer).write().to_file(path).unwrap();
}

fn reds(path: &Path) -> Vec<f32> {
    let frame = tessera_merge::read(path).unwrap();
    let red = frame
        .channels
        .iter()
        .find(|channel| channel.name.channel == "R");
    match &red.unwrap().samples {
        tessera_merge::Samples::Float(floats) => floats.clone(),
        other => panic!("{:?}", other.sample_type()),
    }
}

#[test]
fn parts_become_a_frame() {
    let world = World::any();
    let home = world.fake_home("anna");
    let path = |name: &str| world.path(name);
    let file = |name: &str| text(&path(name)).to_owned();
    part(&path("a.exr"), (4, 2), 1.0);
    part(&path("b.exr"), (4, 2), 3.0);
    let frame = file("frame.exr");

    // One sample and three.
    let (a, b) = (
        format!("{}@0+1", file("a.exr")),
        format!("{}@1+3", file("b.exr")),
    );
    let lines = home.run(&["merge", &a, &b, "-o", &frame]).unwrap();
    assert_eq!(
        reds(&path("frame.exr")),
        [2.5, 3.5, 4.5, 5.5, 2.5, 3.5, 4.5, 5.5]
    );
    let told = lines.iter().any(|line| {
        matches!(
            line,
            LineKind::Merged {
                width: 4,
                height: 2,
                samples_min: 4,
                samples_max: 4,
                ..
            }
        )
    });
    assert!(told, "{lines:?}");

    // Two tiles; of the second the first column is cut away.
    let left = format!("{}@0,0,4x2", file("a.exr"));
    let right = format!("{}@3,0,4x2@4,0,3x2", file("b.exr"));
    let tiles = ["merge", &left, &right, "--size", "7x2", "-o", &frame];
    home.run(&tiles).unwrap();
    let row = [1.0, 2.0, 3.0, 4.0, 4.0, 5.0, 6.0];
    assert_eq!(reds(&path("frame.exr")), [row, row].concat());

    // One sample of the whole frame, three more of each half: the same as three of it in one file.
    part(&path("half.exr"), (4, 1), 3.0);
    let half = |at: &str| format!("{}@{at}@1+3", file("half.exr"));
    let (top, bottom) = (half("0,0,4x1"), half("0,1,4x1"));
    home.run(&["merge", &top, &a, &bottom, "--size", "4x2", "-o", &frame])
        .unwrap();
    assert_eq!(
        reds(&path("frame.exr")),
        [2.5, 3.5, 4.5, 5.5, 2.5, 3.5, 4.5, 5.5]
    );

    // What does not fit is said, and the frame that is there stays.
    let before = fs::read(path("frame.exr")).unwrap();
    let refused = |arguments: &[&str], words: &[&str]| {
        let arguments = [&["merge"], arguments, &["-o", &frame]].concat();
        tessera_run(&home, &arguments).refused(2, words);
        assert_eq!(fs::read(path("frame.exr")).unwrap(), before);
    };
    refused(&[&b], &["3 of 4 samples"]);
    refused(&[&left, "--size", "7x2"], &["8 of 14 pixels"]);
    refused(&["nothing.exr"], &["nothing.exr", "No such file"]);
    refused(&[&left, &left, "--size", "7x2"], &["same samples"]);
    refused(&[&a, &b, "--average", "glow"], &["no pass 'glow'"]);
    refused(
        &[&a, "--size", "99999999x2"],
        &["larger than Blender can render"],
    );
    let own = ["merge", &a, &b, "-o", &file("a.exr")];
    tessera_run(&home, &own).refused(2, &["a.exr is one of the files"]);
    let png = ["merge", &a, &b, "-o", &file("frame.png")];
    tessera_run(&home, &png).refused(2, &["has to end in .exr"]);
    fs::write(path("text.exr"), "no picture").unwrap();
    let arguments = ["merge", &file("text.exr"), "-o", &frame];
    tessera_run(&home, &arguments).failed(1, &["text.exr is not an EXR file"]);
    home.run(&["merge", &b, "--samples", "4", "--partial", "-o", &frame])
        .unwrap();
    assert_eq!(reds(&path("frame.exr"))[0], 3.0);
}
