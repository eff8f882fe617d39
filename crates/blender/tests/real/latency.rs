//! Between two frames there is only the driver: measured, not asserted in time.

use std::time::Instant;

use tessera_blender::Overrides;

use crate::support::{Stage, builds};

#[tokio::test]
async fn the_gap_between_two_frames_is_small_against_the_frame() {
    for build in builds().await {
        let mut stage = Stage::new(&build).await;
        stage.make("simple.py", &[]);
        stage.open("simple.blend").await.unwrap();
        stage.render(1, Overrides::default()).await.unwrap();
        let (mut gaps, mut frames, mut prepare) = (Vec::new(), Vec::new(), Vec::new());
        let mut end = None;
        let begin = Instant::now();
        for round in 0..40 {
            let rendered = stage
                .render(1 + round % 5, Overrides::default())
                .await
                .unwrap();
            let timings = rendered.timings;
            if let Some(end) = end {
                gaps.push(timings.begin_seconds - end);
            }
            frames.push(timings.end_seconds - timings.begin_seconds);
            prepare.push(timings.prepare_seconds);
            end = Some(timings.end_seconds);
        }
        gaps.sort_by(f64::total_cmp);
        frames.sort_by(f64::total_cmp);
        prepare.sort_by(f64::total_cmp);
        println!(
            "{build}: gap median {:.2} ms, 99 % {:.2} ms; prepare median {:.2} ms; frame median {:.2} ms; {:?} a frame",
            gaps[gaps.len() / 2] * 1e3,
            gaps[gaps.len() * 99 / 100] * 1e3,
            prepare[prepare.len() / 2] * 1e3,
            frames[frames.len() / 2] * 1e3,
            begin.elapsed() / 40
        );
    }
}
