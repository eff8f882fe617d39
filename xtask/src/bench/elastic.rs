//! Farm-wide adaptive sampling against that of one Blender: how near both are to the truth, and what they take for it.
//!
//! Scene: `examples/make_still.py`, 192×108, at most 1,024 samples, noise threshold 0.01; bpy 5.0.1. Command: `tessera render still.blend -f 1
//! --elastic -o OUT`, a manager and two workers. Baseline: the same file rendered by bpy with its own adaptive sampling. Truth: the
//! same without it, with 4,096 samples of another seed. Five seeds of each. An error is the root mean square of what the channels of
//! Combined differ by on a screen (gamma 2.2); samples are the mean of all pixels: Blender's by its pass that counts them,
//! Tessera's by the steps of its job.

use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use tessera_merge::{Channel, Frame, Samples, read};
use tessera_model::{JobId, Split, Step};

use super::Bench;
use super::table::{Aim, Figure};
use crate::baseline::{Baseline, Render};
use crate::farm::Home;

const SEEDS: u32 = 5;
const MOST: f64 = 1024.0;

/// Python that is run before Blender's own renders: samples are counted.
const COUNTING: &str = "import bpy; scene = bpy.context.scene; \
    scene.view_layers[0].cycles.pass_debug_sample_count = True";

/// Before that of the truth.
const TRUTH: &str = "import bpy; scene = bpy.context.scene; \
    scene.cycles.use_adaptive_sampling, scene.cycles.samples, scene.cycles.seed = False, 4096, 1000";

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let blender = Baseline::module()?;
    let folder = bench.out.join("elastic");
    std::fs::create_dir_all(&folder)?;
    let place = folder.to_str().context("not Unicode")?;
    let seeds: Vec<String> = (0..SEEDS).map(|seed| seed.to_string()).collect();
    let made: Vec<&str> = [place]
        .into_iter()
        .chain(seeds.iter().map(String::as_str))
        .collect();
    blender.script(Path::new("examples/make_still.py"), &made)?;
    let blend = |seed: u32| folder.join(format!("still-{seed}.blend"));
    let local = |seed: u32, name: &str, setup: &str| -> Result<Frame> {
        let render = Render {
            blend: &blend(seed),
            output: format!("{place}/{name}_####"),
            frames: (1, 1),
            threads: None,
        };
        blender.render_after(&render, setup)?;
        Ok(read(&folder.join(format!("{name}_0001.exr")))?)
    };
    let truth = local(0, "truth", TRUTH)?;
    let home = Home::new(&bench.tessera, &folder.join("home"));
    let path = blender.path().to_str().context("not Unicode")?;
    let home = home.with("TESSERA_BLENDER", path);
    let manager = home.manager(&[])?;
    let mut workers = Vec::new();
    for number in 0..2 {
        let worker = Home::new(&bench.tessera, &folder.join(format!("worker-{number}")));
        let join = ["--join", manager.link(), "--blender", path];
        workers.push(worker.worker(&[&join[..], &["--threads", "1"]].concat())?);
    }
    let (mut errors, mut samples) = ([0.0; 2], [0.0; 2]);
    for seed in 0..SEEDS {
        let theirs = local(seed, &format!("local-{seed}"), COUNTING)?;
        errors[0] += apart(&theirs, &truth)?;
        samples[0] += counted(&theirs)?;
        let out = folder.join(format!("farm-{seed}"));
        let done = super::scaling::render(&home, &blend(seed), "1", &out, &["--elastic"])?;
        let ours = read(&out.join("still_0001.exr"))?;
        errors[1] += apart(&ours, &truth)?;
        samples[1] += given(&home, done.job)?;
    }
    let mean = |sum: f64| sum / f64::from(SEEDS);
    Ok(vec![
        Figure {
            name: "error of farm-wide adaptive sampling against Blender's own".into(),
            value: errors[1] / errors[0],
            unit: "×",
            aim: Aim::AtMost(1.05),
            note: format!("{:.5} against {:.5}", mean(errors[1]), mean(errors[0])),
        },
        Figure {
            name: "samples of farm-wide adaptive sampling against Blender's own".into(),
            value: samples[1] / samples[0],
            unit: "×",
            aim: Aim::AtMost(1.3),
            note: format!(
                "{:.1} against {:.1} a pixel, of {MOST} at most",
                mean(samples[1]),
                mean(samples[0])
            ),
        },
    ])
}

/// The samples of a pixel that Blender took, in the mean.
fn counted(frame: &Frame) -> Result<f64> {
    let mut channels = frame.channels.iter();
    let counts = channels.find(|channel| channel.name.pass.pass == "Debug Sample Count");
    let values = values(counts.context("samples were not counted")?)?;
    Ok(MOST * values.iter().map(|&value| f64::from(value)).sum::<f64>() / values.len() as f64)
}

/// Those that the workers took.
fn given(home: &Home, job: JobId) -> Result<f64> {
    let api = home.api()?;
    let detail = tokio::runtime::Runtime::new()?.block_on(api.job(job))?;
    let splits: Vec<_> = detail.steps.iter().filter_map(Step::divided).collect();
    ensure!(splits.len() > 1, "no samples were added: {splits:?}");
    let tiles = f64::from(splits[0].tile_count());
    let of = |split: &&Split| f64::from(split.places()) * f64::from(split.ranged()) / tiles;
    Ok(splits.iter().map(of).sum())
}

fn apart(ours: &Frame, theirs: &Frame) -> Result<f64> {
    let (ours, theirs) = (seen(ours)?, seen(theirs)?);
    ensure!(ours.len() == theirs.len(), "the frames have two sizes");
    let squares = ours.iter().zip(&theirs).map(|(a, b)| (a - b).powi(2));
    Ok((squares.sum::<f64>() / ours.len() as f64).sqrt())
}

/// The colours of a frame on a screen.
fn seen(frame: &Frame) -> Result<Vec<f64>> {
    let mut seen = Vec::new();
    for channel in &frame.channels {
        if channel.name.pass.pass == "Combined" && channel.name.channel != "A" {
            let shown = |&value: &f32| f64::from(value).clamp(0.0, 1.0).powf(1.0 / 2.2);
            seen.extend(values(channel)?.iter().map(shown));
        }
    }
    Ok(seen)
}

fn values(channel: &Channel) -> Result<&[f32]> {
    match &channel.samples {
        Samples::Float(values) => Ok(values),
        _ => bail!("{} is rounded", channel.name),
    }
}
