//! A full disk: nothing is half-recorded, the manager lives on, and goes on once there is room. On a small tmpfs.

use std::path::Path;
use std::process::Command;

use tessera_model::Role;
use tessera_wire::api::{Health, JobSummary, Journal, Page, Submitted, Verdict};
use tessera_wire::link::ToWorker;
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::start;
use crate::worker::{AGAIN, Link, job, put, result, scene};

/// A small file system of its own, gone with this value.
struct SmallDisk {
    folder: tempfile::TempDir,
}

impl SmallDisk {
    /// None, and the reason printed, where this user may not mount.
    fn new() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tessera-test"])
            .arg(folder.path())
            .output();
        match mount {
            Ok(output) if output.status.success() => Some(Self { folder }),
            other => {
                eprintln!("skipped: cannot mount a small tmpfs: {other:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn fill(&self) {
        use std::io::Write;
        let mut file = std::fs::File::create(self.path().join("filler")).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
    }

    fn make_room(&self) {
        std::fs::remove_file(self.path().join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

#[tokio::test]
async fn the_manager_outlives_a_full_disk_and_loses_nothing() {
    let Some(disk) = SmallDisk::new() else {
        return;
    };
    let farm = start(&disk.path().join("data")).await;
    let artist = farm.client("ann", Role::Artist).await;
    let member = farm.worker("w").await;
    let worker = member.identity.worker;
    let api = farm.end().api(None, Some(&member.certificate()));
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let manifest = scene(&artist).await;
    let submitted: Submitted = artist
        .json(routes::SUBMIT, &[], &job(manifest, "1..3"))
        .await;
    let offers = [link.lease().await, link.lease().await];
    let report = result(&api, worker, &offers[0]).await;
    disk.fill();

    // Until the last free page is gone some may still succeed.
    let refused = loop {
        let response = artist
            .to(routes::SUBMIT, &[])
            .json(&job(manifest, "1..500"))
            .send()
            .await
            .unwrap();
        if !response.status().is_success() {
            break crate::harness::problem_of(response).await;
        }
    };
    assert_eq!((refused.kind, refused.status), (ProblemKind::DiskFull, 507));
    let not_ready = api.problem(routes::READY, &[], &()).await;
    assert_eq!(not_ready.kind, ProblemKind::NotActive, "{not_ready}");
    let problem = api.problem(routes::WORKER_RESULT, &[], &report).await;
    assert_eq!(problem.kind, ProblemKind::DiskFull);
    let before: Page<JobSummary> = artist.get(routes::JOBS, &[]).await;
    assert_eq!(before.items.last().unwrap().done, 0);

    disk.make_room();
    // The worker does what workers do: it tries again until it is answered.
    let verdict: Verdict = loop {
        let response = api
            .to(routes::WORKER_RESULT, &[])
            .json(&report)
            .send()
            .await
            .unwrap();
        match response.status().is_success() {
            true => break crate::harness::read(response).await,
            false => tokio::time::sleep(AGAIN).await,
        }
    };
    assert_eq!(verdict, Verdict::Accepted);
    // Its link stayed, and it gets what it lacks.
    let mut got = vec![offers[1].key];
    while got.len() < 2 {
        match link.next().await.expect("the link is over") {
            ToWorker::Lease(offer) if offer.key.unit.job == submitted.job => got.push(offer.key),
            ToWorker::Cancel { key } => assert_ne!(key, offers[1].key),
            _ => {}
        }
    }
    assert!(got.iter().all(|key| key.unit != offers[0].key.unit));
    let _ = put(&api, b"room again").await;
    let _: Health = api.get(routes::READY, &[]).await;
    let journal: Journal = artist
        .get(routes::JOURNAL, &[&submitted.job.to_string()])
        .await;
    assert_eq!((journal.accepts, journal.repeated.len()), (1, 0));
    farm.stop().await;
}
