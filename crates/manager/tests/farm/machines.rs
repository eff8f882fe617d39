//! How workers' machines are, and what their owners note: shown to whoever asks.

use tessera_model::Role;
use tessera_wire::api::{Utilisation, WorkerAction, WorkerStatus};
use tessera_wire::event::What;
use tessera_wire::link::{FromWorker, GPU_NAME_MAX, GPUS_MAX, GpuLoad, Machine};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::{Api, Events, start};
use crate::metrics::{is_documented, scrape};
use crate::worker::{AGAIN, Link, facts, submit};

fn machine() -> Machine {
    Machine {
        cpu: 0.25,
        memory_bytes: 3 << 30,
        memory_total_bytes: Some(8 << 30),
        blenders_bytes: Some(2 << 30),
        disk_free_bytes: 5 << 30,
        disk_total_bytes: Some(50 << 30),
        gpus: vec![
            GpuLoad {
                name: "NVIDIA H200".into(),
                busy: Some(0.5),
                memory_bytes: 1 << 30,
                memory_total_bytes: 141 << 30,
                celsius: Some(61),
            },
            GpuLoad {
                name: "a \"part\"".into(),
                memory_total_bytes: 18 << 30,
                ..GpuLoad::default()
            },
        ],
    }
}

fn alive(machine: Option<Machine>) -> FromWorker {
    let holds = Vec::new();
    FromWorker::Heartbeat { holds, machine }
}

/// Says something that shows in an event, and gives the worker as that event has it, and how many events came before.
async fn next_told(link: &mut Link, events: &mut Events, tag: &str) -> (WorkerStatus, usize) {
    let mut facts = facts(1);
    facts.tags = vec![tag.into()];
    link.send(&FromWorker::Facts { facts }).await.unwrap();
    for others in 0.. {
        let (_, event) = events.next().await.unwrap();
        match event.what {
            What::Worker { worker } if worker.facts.as_ref().unwrap().tags == [tag] => {
                return (worker, others);
            }
            _ => {}
        }
    }
    unreachable!("it is counted for ever")
}

#[tokio::test]
async fn a_machine_is_shown_while_its_worker_is_there_and_makes_no_events() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let viewer = farm.client("vera", Role::Viewer).await;
    let member = farm.worker("w").await;
    let id = member.identity.worker.to_string();
    let show = async || -> WorkerStatus { viewer.get(routes::WORKER, &[&id]).await };
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    assert_eq!(show().await.machine, None);
    let mut events = Events::open(&viewer, "", None).await;

    // One that tells nothing of it, and one of before more was measured.
    link.send(&alive(None)).await.unwrap();
    // Of those before, some may tell that it came.
    let (seen, _) = next_told(&mut link, &mut events, "none").await;
    assert_eq!(seen.machine, None);
    let old = r#"{"type":"heartbeat","holds":[],"machine":{"cpu":0.5,"memory_bytes":7,"disk_free_bytes":9}}"#;
    link.say(old.to_owned()).await.unwrap();
    let (seen, others) = next_told(&mut link, &mut events, "old").await;
    assert_eq!(others, 0, "a sign of life makes no event");
    let told = Machine {
        cpu: 0.5,
        memory_bytes: 7,
        disk_free_bytes: 9,
        ..Machine::default()
    };
    assert_eq!(seen.machine, Some(told));

    for _ in 0..3 {
        link.send(&alive(Some(machine()))).await.unwrap();
    }
    let (seen, others) = next_told(&mut link, &mut events, "new").await;
    assert_eq!(others, 0, "a sign of life makes no event");
    assert_eq!(seen.machine, Some(machine()));
    assert_eq!(show().await.machine, Some(machine()));

    drop(link);
    let away = loop {
        let worker = show().await;
        if !worker.linked {
            break worker;
        }
        tokio::time::sleep(AGAIN).await;
    };
    assert_eq!(away.machine, None);
    let nobody = farm.admin().to(routes::WORKER, &["77"]).send().await;
    assert_eq!(nobody.unwrap().status(), 404);
}

#[tokio::test]
async fn each_machine_has_figures() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let viewer = farm.client("vera", Role::Viewer).await;
    let (first, second) = (farm.worker("first").await, farm.worker("second").await);
    let (mut link, _) = Link::enter(&farm.end(), &first, 3, Vec::new())
        .await
        .unwrap();
    let (_silent, _) = Link::enter(&farm.end(), &second, 1, Vec::new())
        .await
        .unwrap();
    let mut events = Events::open(&viewer, "", None).await;
    link.send(&alive(Some(machine()))).await.unwrap();
    next_told(&mut link, &mut events, "new").await;

    let figures = scrape(&viewer, routes::WORKERS_METRICS).await;
    let of = |name: &str, more: &str| figures[&format!("tessera_worker_{name}{{{more}}}")];
    let first = |name: &str| of(name, "worker=\"first\"");
    assert!((first("cpu_ratio") - 0.25).abs() < 1e-6);
    assert_eq!(first("memory_used_bytes"), f64::from(3u32 << 30));
    assert_eq!(first("memory_bytes"), 8.0 * f64::from(1u32 << 30));
    assert_eq!(first("blenders_memory_bytes"), f64::from(2u32 << 30));
    assert_eq!(first("disk_free_bytes"), 5.0 * f64::from(1u32 << 30));
    assert_eq!(first("disk_bytes"), 50.0 * f64::from(1u32 << 30));
    assert_eq!(of("slots", "worker=\"second\""), 1.0);
    assert_eq!(of("slots_busy", "worker=\"second\""), 0.0);
    let gpu = "worker=\"first\",gpu=\"0\",name=\"NVIDIA H200\"";
    assert_eq!(of("gpu_busy_ratio", gpu), 0.5);
    assert_eq!(of("gpu_memory_used_bytes", gpu), f64::from(1u32 << 30));
    assert_eq!(of("gpu_temperature_celsius", gpu), 61.0);
    let part = "worker=\"first\",gpu=\"1\",name=\"a \\\"part\\\"\"";
    assert_eq!(of("gpu_memory_bytes", part), 18.0 * f64::from(1u32 << 30));
    let of_second = figures.keys().filter(|series| series.contains("second"));
    assert_eq!(of_second.count(), 2, "what is not told is not there");
    let of_part = figures.keys().filter(|series| series.contains("part"));
    assert_eq!(of_part.count(), 2);
    is_documented(figures.keys());
    let stranger = farm.end().api(None, None);
    let refused = stranger.to(routes::WORKERS_METRICS, &[]).send().await;
    assert_eq!(refused.unwrap().status(), 401);
}

#[tokio::test]
async fn the_farm_says_how_much_of_it_is_in_use() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let viewer = farm.client("vera", Role::Viewer).await;
    let (first, second) = (farm.worker("first").await, farm.worker("second").await);
    let (mut link, _) = Link::enter(&farm.end(), &first, 3, Vec::new())
        .await
        .unwrap();
    submit(&farm.admin(), "1").await;
    let offer = link.lease().await;
    let mut events = Events::open(&viewer, "since=0", None).await;
    link.heartbeat(&[(offer.key, Some(0))]).await.unwrap();
    let (_idle, _) = Link::enter(&farm.end(), &second, 1, Vec::new())
        .await
        .unwrap();
    loop {
        let told: Utilisation = viewer.get(routes::UTILISATION, &[]).await;
        assert!(told.samples.is_sorted_by_key(|sample| sample.at));
        let now = told.samples.last().unwrap();
        assert!(now.busy <= now.slots && now.slots <= 4, "{now:?}");
        if (now.busy, now.slots) == (1, 4) {
            break;
        }
        events.next().await.unwrap();
    }
}

#[tokio::test]
async fn a_machine_that_cannot_be_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let member = farm.worker("w").await;
    let check = async |change: &dyn Fn(&mut Machine)| {
        let mut wrong = machine();
        change(&mut wrong);
        let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
            .await
            .unwrap();
        link.send(&alive(Some(wrong))).await.unwrap();
        assert_eq!(link.next().await, None);
    };
    check(&|machine| machine.cpu = 1.5).await;
    check(&|machine| machine.cpu = -0.5).await;
    check(&|machine| machine.gpus[0].busy = Some(1e30)).await;
    check(&|machine| machine.gpus[1].name = "x".repeat(GPU_NAME_MAX + 1)).await;
    check(&|machine| machine.gpus = vec![GpuLoad::default(); GPUS_MAX + 1]).await;
}

#[tokio::test]
async fn a_note_is_kept_with_its_worker() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let member = farm.worker("w").await;
    let id = member.identity.worker.to_string();
    let note = |text: &str| WorkerAction::Note { text: text.into() };
    let admin = farm.admin();
    for wrong in ["x".repeat(501), "two\nlines".into(), "a\u{1b}[2Jb".into()] {
        let wrong = note(&wrong);
        let problem = admin.problem(routes::WORKER_ACT, &[&id], &wrong).await;
        assert_eq!(problem.kind, ProblemKind::Invalid, "{problem}");
        assert!(problem.to_string().contains("one line"), "{problem}");
    }
    let said: WorkerStatus = admin
        .json(routes::WORKER_ACT, &[&id], &note(" under the stairs "))
        .await;
    assert_eq!(said.note, "under the stairs");
    farm.stop().await;

    let farm = start(folder.path()).await;
    let show = async |api: &Api| -> WorkerStatus { api.get(routes::WORKER, &[&id]).await };
    let viewer = farm.client("vera", Role::Viewer).await;
    assert_eq!(show(&viewer).await.note, "under the stairs");
    let mine = note("mine");
    let refused = viewer.problem(routes::WORKER_ACT, &[&id], &mine).await;
    assert_eq!(refused.kind, ProblemKind::Forbidden);
    let _: WorkerStatus = farm
        .admin()
        .json(routes::WORKER_ACT, &[&id], &note(""))
        .await;
    assert_eq!(show(&viewer).await.note, "");
}
