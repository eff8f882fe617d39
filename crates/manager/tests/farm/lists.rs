//! Lists: what of them is asked for, page by page; and what is said of a filter that means nothing.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::json;
use tessera_model::Role;
use tessera_wire::api::{
    CertificateInfo, JobAction, JobDetail, JobSummary, Page, TokenInfo, WorkerAction, WorkerStatus,
};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes::{self, Route};

use crate::harness::{Api, problem_of, start};
use crate::worker::{Link, job, scene};

/// Numbers of the jobs that fit, oldest first, however small the pages.
async fn fitting(api: &Api, query: &str) -> Vec<u64> {
    let mut jobs = Vec::new();
    let mut after = String::new();
    loop {
        let query = format!("limit=1&{query}{after}");
        let page: Page<JobSummary> = api.get(routes::JOBS, &[&query]).await;
        jobs.extend(page.items.iter().map(|job| job.id.0));
        match page.next {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    jobs.reverse();
    jobs
}

async fn refused(api: &Api, route: Route, query: &str, words: &[&str]) {
    let answer = api.to(route, &[query]).send().await.unwrap();
    let problem = problem_of(answer).await;
    assert_eq!(problem.kind, ProblemKind::Invalid, "{query}");
    for word in words {
        assert!(problem.to_string().contains(word), "{query}: {problem}");
    }
}

#[tokio::test]
async fn jobs_are_found_by_all_that_is_asked_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let users = [
        farm.client("ann", Role::Artist).await,
        farm.client("ben", Role::Artist).await,
    ];
    let ann = &users[0];
    let manifest = scene(ann).await;
    for (user, name, category, tags) in [
        (0, "Shot 010", "film", &["gpu", "night"][..]),
        (1, "Shot 020", "film", &[]),
        (0, "Größe & Co", "default", &["gpu"]),
        (1, "turntable", "default", &[]),
    ] {
        let mut wanted = job(manifest, "1..2");
        wanted.settings.name = name.into();
        wanted.settings.category = category.into();
        wanted.settings.tags = tags.iter().map(|&tag| tag.into()).collect();
        let _: serde_json::Value = users[user].json(routes::SUBMIT, &[], &wanted).await;
    }
    let act = async |user: &Api, job: &str, action: JobAction| {
        let _: JobDetail = user.json(routes::JOB_ACT, &[job], &action).await;
    };
    act(&users[1], "2", JobAction::Pause).await;
    act(&users[0], "3", JobAction::Cancel).await;
    for (query, jobs) in [
        ("", &[1, 2, 3, 4][..]),
        ("state=active", &[1, 4]),
        ("state=waiting", &[1, 4]),
        ("state=rendering", &[]),
        ("state=paused", &[2]),
        ("state=cancelled", &[3]),
        ("state=over", &[3]),
        ("state=done", &[]),
        ("owner=ann", &[1, 3]),
        ("owner=nobody", &[]),
        ("category=film", &[1, 2]),
        ("tag=gpu", &[1, 3]),
        ("tag=gp", &[]),
        ("search=shot", &[1, 2]),
        ("search=GR%C3%96SSE", &[]),
        ("search=gr%C3%B6%C3%9Fe+%26", &[3]),
        ("owner=ann&tag=gpu&state=active", &[1]),
        ("category=film&search=020&owner=ann", &[]),
    ] {
        assert_eq!(fitting(ann, query).await, jobs, "{query}");
    }
    // One that is being rendered is.
    let member = farm.worker("w").await;
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let offer = link.lease().await;
    link.heartbeat(&[(offer.key, Some(0))]).await.unwrap();
    let begun = offer.key.unit.job.0;
    let mut events = crate::harness::Events::open(ann, "since=0", None).await;
    while fitting(ann, "state=rendering").await != [begun] {
        events.next().await.unwrap();
    }
    assert!(!fitting(ann, "state=waiting").await.contains(&begun));

    refused(
        ann,
        routes::JOBS,
        "state=ready",
        &["state", "ready", "rendering"],
    )
    .await;
    refused(
        ann,
        routes::JOBS,
        "status=done",
        &["status", "state", "openapi.json"],
    )
    .await;
    refused(ann, routes::JOBS, "owner=", &["owner", "1 to 64"]).await;
    refused(ann, routes::JOBS, "limit=many", &["limit", "invalid digit"]).await;
    refused(ann, routes::EVENTS, "jobs=1", &["jobs", "since"]).await;
}

#[tokio::test]
async fn workers_tokens_and_certificates_come_in_pages_too() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let admin = farm.admin();
    let mut members = Vec::new();
    for name in ["Anna", "ben", "banana"] {
        members.push(farm.worker(name).await);
    }
    let (_link, _) = Link::enter(&farm.end(), &members[1], 1, Vec::new())
        .await
        .unwrap();
    let _: WorkerStatus = admin
        .json(routes::WORKER_ACT, &["3"], &WorkerAction::Pause)
        .await;
    let names = async |query: &str| {
        let mut names = Vec::new();
        let mut from = String::new();
        loop {
            let query = format!("limit=1&{query}{from}");
            let page: Page<WorkerStatus> = admin.get(routes::WORKERS, &[&query]).await;
            names.extend(page.items.into_iter().map(|worker| worker.name));
            match page.next {
                Some(next) => from = format!("&from={next}"),
                None => return names,
            }
        }
    };
    for (query, fitting) in [
        ("", &["Anna", "ben", "banana"][..]),
        ("search=an", &["Anna", "banana"]),
        ("mode=paused", &["banana"]),
        ("mode=active", &["Anna", "ben"]),
        ("linked=true", &["ben"]),
        ("linked=false&mode=active", &["Anna"]),
        ("linked=true&search=x", &[]),
    ] {
        assert_eq!(names(query).await, fitting, "{query}");
    }
    refused(
        &admin,
        routes::WORKERS,
        "mode=asleep",
        &["mode", "asleep", "draining"],
    )
    .await;
    refused(&admin, routes::WORKERS, "linked=yes", &["linked"]).await;
    refused(&admin, routes::WORKERS, "tag=gpu", &["tag", "search"]).await;

    for user in ["x", "y", "z"] {
        farm.token(user, Role::Viewer, None).await;
    }
    let first: Page<TokenInfo> = admin.get(routes::TOKENS, &["limit=2"]).await;
    let rest: Page<TokenInfo> = admin
        .get(
            routes::TOKENS,
            &[&format!("limit=2&from={}", first.next.unwrap())],
        )
        .await;
    let users = first.items.iter().chain(&rest.items);
    let users: Vec<&str> = users.map(|token| token.user.as_str()).collect();
    assert_eq!((users, rest.next), (vec!["x", "y", "z"], None));
    let page: Page<CertificateInfo> = admin.get(routes::CERTIFICATES, &["limit=2&from=2"]).await;
    assert_eq!((page.items.len(), page.next), (1, None));
    let beyond: Page<TokenInfo> = admin.get(routes::TOKENS, &["from=99"]).await;
    assert_eq!((beyond.items.len(), beyond.next), (0, None));
}

#[tokio::test]
async fn a_token_that_has_ended_is_told_so_and_shown_so() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let day_s = Duration::from_secs(24 * 3600).as_secs();
    let good = farm.token("ann", Role::Artist, Some(30 * day_s)).await;
    let late = farm.token("ben", Role::Artist, Some(0)).await;
    assert_eq!(
        good.info.expires_at.unwrap().0 - good.info.created_at.0,
        30 * 1000 * i64::try_from(day_s).unwrap()
    );
    let as_token = |token: &str| farm.end().api(Some(token), None);
    let answer = as_token(&good.token).to(routes::FARM, &[]).send().await;
    assert_eq!(answer.unwrap().status(), StatusCode::OK);
    let answer = as_token(&late.token).to(routes::FARM, &[]).send().await;
    let problem = problem_of(answer.unwrap()).await;
    assert_eq!(problem.kind, ProblemKind::Unauthorized);
    for word in ["ben", "ended on 20", "UTC", "token create"] {
        assert!(problem.to_string().contains(word), "{problem}");
    }
    // Who has no token of the farm learns nothing.
    let answer = as_token(&late.token[1..])
        .to(routes::FARM, &[])
        .send()
        .await;
    let problem = problem_of(answer.unwrap()).await;
    assert!(!problem.to_string().contains("ben"), "{problem}");
    let list: Page<TokenInfo> = farm.admin().get(routes::TOKENS, &[]).await;
    assert!(list.items.iter().all(|token| token.expires_at.is_some()));
}

#[tokio::test]
async fn each_role_does_what_it_may() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let [viewer, artist, other, admin] = [
        farm.client("vic", Role::Viewer).await,
        farm.client("ann", Role::Artist).await,
        farm.client("ben", Role::Artist).await,
        farm.client("ada", Role::Admin).await,
    ];
    let manifest = scene(&artist).await;
    let submit = job(manifest, "1");
    let id = &artist
        .json::<serde_json::Value>(routes::SUBMIT, &[], &submit)
        .await["job"];
    let id = id.to_string();
    let pause = json!({"action": "pause"});
    let resume = json!({"action": "resume"});
    let _: JobDetail = viewer.get(routes::JOB, &[&id]).await;
    for (api, kind) in [(&viewer, "viewer"), (&other, "another artist")] {
        let problem = api.problem(routes::JOB_ACT, &[&id], &pause).await;
        assert_eq!(problem.kind, ProblemKind::Forbidden, "{kind}");
    }
    let problem = viewer.problem(routes::SUBMIT, &[], &submit).await;
    assert_eq!(problem.kind, ProblemKind::Forbidden);
    let _: JobDetail = artist.json(routes::JOB_ACT, &[&id], &pause).await;
    let _: JobDetail = admin.json(routes::JOB_ACT, &[&id], &resume).await;
    let patch = json!({"cap_percent": 50});
    for api in [&viewer, &artist] {
        let problem = api.problem(routes::SETTINGS_EDIT, &[], &patch).await;
        assert_eq!(problem.kind, ProblemKind::Forbidden);
    }
    let _: serde_json::Value = admin.json(routes::SETTINGS_EDIT, &[], &patch).await;
}
