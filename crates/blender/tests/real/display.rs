//! What is shown of a frame's light without Blender is what Blender shows.

use std::path::Path;

use image::{Rgb, RgbImage};
use tessera_blender::{Overrides, Rendered};
use tessera_merge::{Display, PassName, Samples, previews, read};

use crate::support::{Stage, builds};

/// Most of 255 levels that the table may be off, in 99 of 100 values of colours that no scene has so many of.
const TABLE_MAX: u8 = 3;
/// What JPEG takes off strong colours beside each other, in the mean.
const JPEG_MAX: f64 = 3.0;

fn decoded(rendered: &Rendered) -> RgbImage {
    let bytes = std::fs::read(&rendered.files[0].path).unwrap();
    image::load_from_memory(&bytes).unwrap().into_rgb8()
}

/// The light of an EXR, shown.
fn shown_by(display: &Display, light: &Path, (width, height): (u32, u32)) -> RgbImage {
    let frame = read(light).unwrap();
    let channel = |name: &str| {
        let mut pass = frame.pass(&PassName::new("ViewLayer", "Combined")).iter();
        let channel = pass.find(|channel| channel.name.channel == name);
        match &channel.unwrap().samples {
            Samples::Float(samples) => samples.clone(),
            other => panic!("{:?}", other.sample_type()),
        }
    };
    let [red, green, blue] = ["R", "G", "B"].map(channel);
    RgbImage::from_fn(width, height, |x, y| {
        let at = (y * width + x) as usize;
        let shown = display.show([red[at], green[at], blue[at]]);
        Rgb(shown.map(|value| (value * 255.0).round() as u8))
    })
}

/// Mean difference of two pictures' levels, and the one that 99 of 100 do not pass.
fn difference(a: &RgbImage, b: &RgbImage) -> (f64, u8) {
    assert_eq!(a.dimensions(), b.dimensions());
    let mut levels: Vec<u8> = a
        .iter()
        .zip(b.iter())
        .map(|(a, b)| a.abs_diff(*b))
        .collect();
    levels.sort_unstable();
    let sum: u64 = levels.iter().map(|level| u64::from(*level)).sum();
    let most = levels[levels.len() * 99 / 100];
    (sum as f64 / levels.len() as f64, most)
}

#[tokio::test]
async fn a_preview_of_light_is_what_blender_shows() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("display.py", &[]);
        for kind in ["standard", "film", "graded"] {
            stage.open(&format!("{kind}.blend")).await.unwrap();
            let shown = stage.render(1, Overrides::default()).await.unwrap();
            assert_eq!(shown.display, None, "{build}: {kind}");
            let shown = decoded(&shown);
            let exr = Overrides {
                exr: true,
                ..Overrides::default()
            };
            let light = stage.render(1, exr.clone()).await.unwrap();
            let path = light.display.unwrap();
            let display = Display::read(&path).unwrap();
            let table = shown_by(&display, &light.files[0].path, shown.dimensions());
            let (mean, most) = difference(&shown, &table);
            println!("{build}: {kind}: {mean:.3} levels in the mean, {most} in 99 of 100");
            assert!(most <= TABLE_MAX, "{build}: {kind}: {mean} {most}");
            let made = previews(&light.files[0].path, Some(&display)).unwrap();
            let made = image::load_from_memory(&made.preview).unwrap().into_rgb8();
            let (mean, _) = difference(&shown, &made);
            assert!(mean < JPEG_MAX, "{build}: {kind}: {mean}");
            // It is made once, and nothing of the scene is another for it.
            let again = stage.render(2, exr).await.unwrap();
            assert_eq!(again.display, Some(path), "{build}: {kind}");
            let after = stage.render(1, Overrides::default()).await.unwrap();
            assert_eq!(decoded(&after), shown, "{build}: {kind}");
        }
    }
}
