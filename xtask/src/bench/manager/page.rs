//! What a browser makes of the page of a job with ten thousand frames.
//!
//! The shipped manager and `tessera web`, and Chromium without a window (`TESSERA_CHROMIUM`, or `/usr/bin/chromium`), which draws by processor, all on the same
//! cores. A hundred workers that take a second for each frame render the job: each frame is events when it is begun and when it is done, and has a thumbnail
//! (the same JPEG of 256×144 pixels each time). After a thousand frames the page is opened five times, each in a context that has nothing of it: the clock runs
//! from the navigation until the wall shows all frames and a click on one of them shows that frame beside it. Then its tiles are made large enough for pictures, what is being rendered is kept in sight,
//! and for ten seconds the times between its animation frames are taken, and events and requests (pictures and the chosen frame's log) are counted (`web/tests/pace.ts`). Last, how large all is that
//! the manager holds of the page, each file compressed by gzip.

use std::io::Cursor;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use tessera_wire::line::LineKind;

use super::crowd::{Crowd, pair};
use super::jobs::submit;
use super::process::open_many_files;
use super::scene::Scene;
use super::{Bench, figure};
use crate::bench::table::{Aim, Figure};
use crate::farm::Home;

const FRAMES: u32 = 10_000;

const WORKERS: u32 = 100;

const FRAME_TAKES: Duration = Duration::from_secs(1);

/// Done before the page is opened.
const DONE_BEFORE: u64 = 1_000;

/// What the script says.
#[derive(Deserialize)]
struct Paced {
    /// From the navigation to a page that can be used, the median of all times it was opened.
    usable_ms: f64,
    usable_longest_ms: f64,
    /// Between animation frames.
    frame_median_ms: f64,
    frame_p99_ms: f64,
    frame_longest_ms: f64,
    events_per_s: f64,
    requests_per_s: f64,
    gzip_bytes: f64,
}

pub(in crate::bench) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    open_many_files()?;
    let home = Home::new(&bench.tessera, &bench.out.join("page"));
    let runtime = tokio::runtime::Runtime::new()?;
    let scene = Arc::new(Scene::with_thumbnails(&thumbnail()?)?);
    let manager = home.manager(&[])?;
    let paced = runtime.block_on(async {
        let api = home.api()?;
        scene.send(&api).await?;
        let farms = pair(&manager.link().parse()?, WORKERS).await?;
        let mut crowd = Crowd::link(&farms, &scene, FRAME_TAKES).await?;
        submit(&api, 1, FRAMES, &scene).await?;
        crowd.run_up(DONE_BEFORE).await?;
        let looked = home.clone();
        let paced = tokio::task::spawn_blocking(move || look(&looked)).await??;
        crowd.check()?;
        if crowd.done() >= u64::from(FRAMES) {
            bail!("the job ended before the time was over");
        }
        crowd.disperse().await;
        anyhow::Ok(paced)
    })?;
    Ok(vec![
        figure(
            "page: a job of 10,000 frames can be used, median",
            paced.usable_ms,
            "ms",
            Aim::AtMost(1_000.0),
            format!(
                "opened five times, nothing cached; the longest {:.0} ms",
                paced.usable_longest_ms
            ),
        ),
        figure(
            "page: between two of its animation frames, median",
            paced.frame_median_ms,
            "ms",
            Aim::AtMost(17.0),
            format!(
                "99 of 100 {:.1} ms, the longest {:.0} ms; {:.0} events and {:.0} requests a second",
                paced.frame_p99_ms,
                paced.frame_longest_ms,
                paced.events_per_s,
                paced.requests_per_s
            ),
        ),
        figure(
            "page: all of it, by gzip",
            paced.gzip_bytes / 1e3,
            "kB",
            Aim::AtMost(250.0),
            "every script, style and document that the page is made of".into(),
        ),
    ])
}

/// Opens the page and tells how it went. Blocking.
fn look(home: &Home) -> Result<Paced> {
    let mut web = home.start(&["web", "--no-browser"])?;
    let url = web.wait(|line| match line {
        LineKind::Web { url } => Some(url.clone()),
        _ => None,
    })?;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../web");
    let output = Command::new(folder.join("node_modules/.bin/vite-node"))
        .args(["tests/pace.ts", &url, "#/jobs/1"])
        .current_dir(&folder)
        .output()
        .context("cannot run vite-node: `make setup-test` and `make bench` bring what it needs")?;
    if !output.status.success() {
        bail!(
            "the browser's part failed: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "not understood: {}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

fn thumbnail() -> Result<Vec<u8>> {
    let picture = image::RgbImage::from_fn(256, 144, |x, y| {
        let noise = (x * 7919 + y * 104_729) % 31;
        image::Rgb([x as u8, (y + noise) as u8, 255 - (x / 2) as u8])
    });
    let mut jpeg = Cursor::new(Vec::new());
    picture.write_to(&mut jpeg, image::ImageFormat::Jpeg)?;
    Ok(jpeg.into_inner())
}
