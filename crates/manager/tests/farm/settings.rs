//! The settings of a running farm: changed in part, kept over restarts, told to who watches; and what is asked why.

use serde_json::{Value, json};
use tessera_model::{FarmSettings, Role};
use tessera_wire::event::What;
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;
use tessera_wire::why::Why;

use crate::harness::{Api, Events, config, start, start_with};
use crate::worker::{job, scene, submit};

async fn settings(api: &Api) -> FarmSettings {
    api.get(routes::SETTINGS, &[]).await
}

async fn change(api: &Api, patch: Value) -> FarmSettings {
    api.json(routes::SETTINGS_EDIT, &[], &patch).await
}

#[tokio::test]
async fn what_was_set_stays_set() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let admin = farm.admin();
    let artist = farm.client("ann", Role::Artist).await;
    let mut events = Events::open(&artist, "", None).await;
    let before = settings(&artist).await;
    assert_eq!(
        before.queued_per_slot, 1,
        "what the manager was started with"
    );

    let patch =
        json!({"cap_percent": 50, "users": {"ann": {"slots_max": 3}}, "resources": {"nuke": 1}});
    let changed = change(&admin, patch).await;
    assert_eq!((changed.cap_percent, changed.queued_per_slot), (50, 1));
    let told = loop {
        if let What::Settings { settings } = events.next().await.unwrap().1.what {
            break settings;
        }
    };
    assert_eq!(*told, changed);

    let refused = |patch: Value| {
        let admin = &admin;
        async move { admin.problem(routes::SETTINGS_EDIT, &[], &patch).await }
    };
    for (patch, word) in [
        (
            json!({"cap_percent": 101, "sample_ms": 500}),
            "1 to 100, not 101",
        ),
        (json!({"cap": 1}), "cap_percent"),
        (json!({"users": {"ann": {"slots": 3}}}), "slots_max"),
    ] {
        let problem = refused(patch).await;
        assert_eq!(problem.kind, ProblemKind::Invalid);
        assert!(problem.title.contains(word), "{problem}");
    }
    assert_eq!(
        settings(&admin).await,
        changed,
        "a refused change changes nothing"
    );
    let problem = artist
        .problem(routes::SETTINGS_EDIT, &[], &json!({"cap_percent": 9}))
        .await;
    assert_eq!(problem.kind, ProblemKind::Forbidden);

    // A manager that is started otherwise goes on with what was set.
    farm.stop().await;
    let mut other = config(folder.path());
    other.scheduler.cap_percent = 10;
    other.scheduler.queued_per_slot = 7;
    let farm = start_with(other).await.unwrap();
    let admin = farm.admin();
    assert_eq!(settings(&admin).await, changed);
    let back = json!({"cap_percent": null, "users": {"ann": null}, "resources": null, "queued_per_slot": 1});
    let mut wanted = before;
    wanted.cap_percent = FarmSettings::default().cap_percent;
    assert_eq!(change(&admin, back).await, wanted);
}

#[tokio::test]
async fn changes_at_the_same_moment_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let admins: Vec<Api> = (0..16).map(|_| farm.admin()).collect();
    let changes = admins.iter().enumerate().map(async |(at, admin)| {
        change(admin, json!({"resources": {format!("r{at}"): at}})).await;
    });
    futures_util::future::join_all(changes).await;
    let kept = settings(&farm.admin()).await.resources;
    assert_eq!(kept.len(), 16, "{kept:?}");
}

#[tokio::test]
async fn whoever_asks_why_is_answered() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let id = submit(&artist, "1..3").await.to_string();
    let why: Why = artist.get(routes::JOB_WHY, &[&id]).await;
    assert!(!why.text.is_empty() && !why.reasons.is_empty(), "{why:?}");
    assert!(why.text.contains(&why.reasons[0].text), "{why:?}");
    let member = farm.worker("w").await;
    let worker = member.identity.worker.to_string();
    let _: Why = artist.get(routes::WORKER_WHY, &[&worker]).await;
    for (route, id) in [(routes::JOB_WHY, "99"), (routes::WORKER_WHY, "99")] {
        let problem = artist.problem(route, &[id], &()).await;
        assert_eq!(problem.kind, ProblemKind::NotFound);
        assert!(problem.title.contains("99"), "{problem}");
    }
}

/// How frames lie in units is not for who submits to say: a layout of theirs could have holes, or nothing in it.
#[tokio::test]
async fn a_layout_that_came_with_a_job_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let submit = job(scene(&artist).await, "1..3");
    let mut hostile = serde_json::to_value(&submit).unwrap();
    hostile["steps"][0]["chunking"] = json!([]);
    let submitted: Value = artist.json(routes::SUBMIT, &[], &hostile).await;
    let id = submitted["job"].to_string();
    let detail: Value = artist.get(routes::JOB, &[&id]).await;
    assert!(detail["steps"][0]["chunking"].is_null(), "{detail}");
    let problem = artist
        .problem(routes::JOB_EDIT, &[&id], &json!({"chunk": 50_001}))
        .await;
    assert_eq!(problem.kind, ProblemKind::Invalid);
    let problem = artist
        .problem(
            routes::JOB_EDIT,
            &[&id],
            &json!({"comment": "x".repeat(70_000)}),
        )
        .await;
    assert_eq!(problem.kind, ProblemKind::TooLarge);
}
