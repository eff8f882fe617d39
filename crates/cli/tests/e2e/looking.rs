//! Frames looked at in full, in a real browser: what is shown there is held against the files that the farm delivered.
//!
//! What is done in the browser stands in `web/tests/viewer.ts`; here are the frames, and what their pixels are.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tessera_merge::{Frame, Samples, read};
use tessera_model::{JobId, JobState};
use tessera_wire::line::LineKind;

use crate::ended::run;
use crate::site::{Site, until};
use crate::world::{World, files_in, in_crate, on_both, tessera, text};

on_both!(every_pass_is_seen_as_it_is);

fn sample(samples: &Samples, at: usize) -> f32 {
    match samples {
        Samples::Half(samples) => samples[at].to_f32(),
        Samples::Float(samples) => samples[at],
        Samples::Uint(samples) => samples[at] as f32,
    }
}

/// A pixel and what every pass has there.
fn pixel(frame: &Frame, x: usize, y: usize) -> Value {
    let mut passes = BTreeMap::<String, BTreeMap<String, f32>>::new();
    for channel in &frame.channels {
        let value = sample(&channel.samples, y * channel.window.width + x);
        // What is no number is none in JSON either.
        if value.is_finite() {
            let pass = passes.entry(channel.name.pass.to_string()).or_default();
            pass.insert(channel.name.channel.clone(), value);
        }
    }
    json!({"x": x, "y": y, "passes": passes})
}

/// The pixel that an object covers most of, by the first rank of Cryptomatte and its manifest.
fn of_object(frame: &Frame, name: &str) -> Value {
    let cryptomattes = frame.cryptomattes();
    let objects = cryptomattes
        .iter()
        .find(|one| one.name == "ViewLayer.CryptoObject");
    let manifest: BTreeMap<String, String> =
        serde_json::from_str(&objects.unwrap().manifest).unwrap();
    let id = u32::from_str_radix(&manifest[name], 16).unwrap();
    let of = |channel: &str| {
        let mut channels = frame.channels.iter();
        let found = channels.find(|one| {
            let pass = &one.name.pass;
            pass.layer == "ViewLayer"
                && pass.pass == "CryptoObject00"
                && one.name.channel.eq_ignore_ascii_case(channel)
        });
        match found.map(|one| (&one.samples, one.window.width)) {
            Some((Samples::Float(samples), width)) => (samples, width),
            other => panic!("{other:?}"),
        }
    };
    let ((ids, width), (covers, _)) = (of("r"), of("g"));
    let own = (0..ids.len()).filter(|at| ids[*at].to_bits() == id);
    let most = own.max_by(|a, b| covers[*a].total_cmp(&covers[*b]));
    let at = most.unwrap_or_else(|| panic!("{name} is not seen"));
    assert!(covers[at] == 1.0, "{name} covers no pixel");
    let mut pixel = pixel(frame, at % width, at / width);
    pixel["name"] = json!(name);
    pixel
}

/// The files of a job, by their frames in order.
fn frames(site: &Site, job: JobId, folder: &Path) -> Vec<Frame> {
    let job = job.to_string();
    site.boss.run(&["fetch", &job, "-o", text(folder)]).unwrap();
    let read = |name| read(&folder.join(name)).unwrap();
    files_in(folder).into_iter().map(read).collect()
}

fn every_pass_is_seen_as_it_is(world: &World) {
    let site = Site::with_workers(world, &["anna"]);
    let layers = site.submit(&world.scene("layers"), &["-f", "1..2", "--name", "Layers"]);
    let still = site.submit(
        &world.scene("still"),
        &[
            "-f",
            "1..2",
            "--split",
            "off",
            "--samples",
            "4",
            "--name",
            "Still",
        ],
    );
    let plain = site.submit(&world.scene("plain"), &["-f", "1", "--name", "Plain"]);
    until(&site.boss, "all is rendered", async |api| {
        for job in [layers, still, plain] {
            let state = api.job(job).await.unwrap().summary.state;
            if state != JobState::Done {
                return None;
            }
        }
        Some(())
    });
    let [first, second] = &frames(&site, layers, &world.path("layers-out"))[..] else {
        panic!("two frames")
    };
    let [large, _] = &frames(&site, still, &world.path("still-out"))[..] else {
        panic!("two frames")
    };
    let mut web = site.boss.start(&["web", "--no-browser"]).unwrap();
    let url = web.wait(|line| match line {
        LineKind::Web { url } => Some(url.clone()),
        _ => None,
    });
    let monkey = of_object(first, "Suzanne");
    let place = |of: &Value, axis: &str| of[axis].as_u64().unwrap() as usize;
    let (x, y) = (place(&monkey, "x"), place(&monkey, "y"));
    let farm = json!({
        "url": url.unwrap(),
        "tessera": text(tessera()),
        "home": text(site.boss.folder()),
        "layers": {
            "job": layers,
            "size": [first.display_window.width, first.display_window.height],
            "objects": [monkey, of_object(first, "Sphere")],
            "later": pixel(second, x, y),
        },
        "still": {
            "job": still,
            "size": [large.display_window.width, large.display_window.height],
            // In the first tile and in the second.
            "pixels": [pixel(large, 3, 5), pixel(large, 150, 90), pixel(large, 300, 170)],
        },
        "plain": plain,
    });
    let web = in_crate("../../web");
    let told = run(Command::new(web.join("node_modules/.bin/vite-node"))
        .arg("tests/viewer.ts")
        .current_dir(&web)
        .env("FARM", farm.to_string()))
    .done();
    println!("{}", told.text());
}
