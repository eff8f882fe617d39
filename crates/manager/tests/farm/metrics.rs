//! What Prometheus and those who watch over processes are told.

use std::collections::BTreeMap;

use http::header;
use tessera_model::{FrameError, FrameErrorKind, Role};
use tessera_wire::link::{FromWorker, ToWorker};
use tessera_wire::routes::{self, Route};

use crate::harness::{Api, start};
use crate::worker::{Link, deliver, result, submit};

/// Every series with its value.
pub async fn scrape(api: &Api, route: Route) -> BTreeMap<String, f64> {
    let response = api.to(route, &[]).send().await.unwrap();
    assert_eq!(response.status(), 200);
    let media_type = response.headers()[header::CONTENT_TYPE].to_str().unwrap();
    assert!(media_type.starts_with("application/openmetrics-text"));
    let text = response.text().await.unwrap();
    assert!(text.ends_with("# EOF\n"), "{text}");
    let series = text.lines().filter(|line| !line.starts_with('#'));
    series
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn the_figures_add_up() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let viewer = farm.client("vera", Role::Viewer).await;
    let before = scrape(&viewer, routes::METRICS).await;
    assert_eq!(before["tessera_frames_total"], 0.0);
    assert_eq!(before["tessera_workers{state=\"idle\"}"], 0.0);

    let artist = farm.client("ann", Role::Artist).await;
    let member = farm.worker("w").await;
    let api = farm.end().api(None, Some(&member.certificate()));
    let worker = member.identity.worker;
    let (mut link, first) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    assert!(matches!(first, ToWorker::Welcome { .. }));
    submit(&artist, "1..5").await;
    let offer = link.lease().await;
    let render_us = result(&api, worker, &offer).await.timings.render_us;
    deliver(&mut link, &api, worker, &offer).await;
    let failed = link.lease().await;
    let error = FrameError {
        lease: failed.key,
        position: failed.frames[0].position,
        frame: failed.frames[0].frame,
        worker,
        kind: FrameErrorKind::Crash,
        message: "it died".into(),
        stdout: None,
        stderr: None,
        at: tessera_model::Timestamp(0),
    };
    let told = api.to(routes::WORKER_FAILURE, &[]).json(&error).send();
    assert!(told.await.unwrap().status().is_success());
    link.send(&FromWorker::Finished { key: failed.key })
        .await
        .unwrap();

    let after = scrape(&viewer, routes::METRICS).await;
    let value = |name: &str| after[name];
    assert_eq!(value("tessera_frames_total"), 1.0);
    assert_eq!(value("tessera_frame_failures_total{kind=\"crash\"}"), 1.0);
    let rendered = value("tessera_frame_time_seconds_total{stage=\"render\"}");
    assert!((rendered - render_us as f64 / 1e6).abs() < 1e-9);
    assert!(value("tessera_commit_seconds_count") > 0.0);
    assert_eq!(value("tessera_slots"), 1.0);
    assert_eq!(value("tessera_jobs{state=\"active\"}"), 1.0);
    assert!(value("tessera_store_used_bytes") > 0.0);
    let sum_of = |name: &str| -> f64 {
        let of_name = after.iter().filter(|(series, _)| series.starts_with(name));
        of_name.map(|(_, value)| value).sum()
    };
    assert_eq!(sum_of("tessera_workers{"), 1.0);
    assert_eq!(sum_of("tessera_job_frames{"), 5.0);
    assert_eq!(value("tessera_job_frames{state=\"done\"}"), 1.0);
    is_documented(after.keys());
}

/// Each of the series stands in docs/metrics.md.
pub fn is_documented<'a>(series: impl Iterator<Item = &'a String>) {
    let names = include_str!("../../../../docs/metrics.md");
    for series in series {
        let name = series.split('{').next().unwrap();
        let name = ["_bucket", "_count", "_sum"]
            .iter()
            .fold(name, |name, end| name.trim_end_matches(end));
        assert!(
            names.contains(&format!("`{name}`")),
            "{name} is in no document"
        );
    }
}

#[tokio::test]
async fn who_can_record_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let stranger = farm.end().api(None, None);
    let answer = stranger.to(routes::READY, &[]).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let refused = stranger.to(routes::METRICS, &[]).send().await.unwrap();
    assert_eq!(refused.status(), 401);
}
