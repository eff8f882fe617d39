//! Cut links and killed managers: every frame is accepted exactly once, and what was in hand stays in hand.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::{Deserialize, Serialize};
use tessera_model::{LeaseKey, PairingGrant};
use tessera_wire::api::{Journal, Page, PairReply, Pairing, Verdict, WorkerStatus};
use tessera_wire::link::{FromWorker, LeaseOffer, ToWorker};
use tessera_wire::routes;
use tokio::sync::watch;

use crate::harness::{Api, End, Member, config, soon, start, start_with, worker_request};
use crate::worker::{Link, deliver, result, submit};

#[tokio::test]
async fn a_cut_link_that_is_mended_keeps_its_leases() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let admin = farm.admin();
    let member = farm.worker("w").await;
    let worker = member.identity.worker;
    let api = farm.end().api(None, Some(&member.certificate()));
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let job = submit(&admin, "1..3").await;
    let offers = [link.lease().await, link.lease().await];
    drop(link);
    let holds = offers.iter().map(|offer| offer.key).collect();
    let (mut link, welcome) = Link::enter(&farm.end(), &member, 1, holds).await.unwrap();
    assert!(matches!(welcome, ToWorker::Welcome { drop, .. } if drop.is_empty()));
    for offer in &offers {
        assert_eq!(
            deliver(&mut link, &api, worker, offer).await,
            Verdict::Accepted
        );
    }
    let last = link.lease().await;
    assert!(offers.iter().all(|offer| offer.key.unit != last.key.unit));
    deliver(&mut link, &api, worker, &last).await;
    let journal: Journal = admin.get(routes::JOURNAL, &[&job.to_string()]).await;
    assert_eq!(
        (journal.accepts, journal.repeated.len(), journal.leases),
        (3, 0, 3)
    );
}

#[tokio::test]
async fn a_late_result_of_a_lost_lease_is_used_and_the_second_one_not() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.scheduler.closed_after_ms = 0;
    let farm = start_with(config).await.unwrap();
    let admin = farm.admin();
    let (first, second) = (farm.worker("first").await, farm.worker("second").await);
    let apis = [&first, &second].map(|member| farm.end().api(None, Some(&member.certificate())));
    let (mut link, _) = Link::enter(&farm.end(), &first, 1, Vec::new())
        .await
        .unwrap();
    let job = submit(&admin, "1").await;
    let offer = link.lease().await;
    drop(link);
    let (mut link, _) = Link::enter(&farm.end(), &second, 1, Vec::new())
        .await
        .unwrap();
    let again = link.lease().await;
    assert_eq!((again.key.unit, again.key.attempt.0), (offer.key.unit, 2));
    let late = result(&apis[0], first.identity.worker, &offer).await;
    let verdict: Verdict = apis[0].json(routes::WORKER_RESULT, &[], &late).await;
    assert_eq!(verdict, Verdict::Accepted);
    let same = result(&apis[1], second.identity.worker, &again).await;
    let verdict: Verdict = apis[1].json(routes::WORKER_RESULT, &[], &same).await;
    assert_eq!(verdict, Verdict::NotNeeded);
    let journal: Journal = admin.get(routes::JOURNAL, &[&job.to_string()]).await;
    assert_eq!((journal.accepts, journal.repeated.len()), (1, 0));
}

#[tokio::test]
async fn a_manager_that_ends_and_comes_back_takes_workers_up_where_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let member = farm.worker("w").await;
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let job = submit(&farm.admin(), "1..2").await;
    let offers = [link.lease().await, link.lease().await];
    farm.stop().await;
    while link.next().await.is_some() {}

    let farm = start(folder.path()).await;
    let holds = offers.iter().map(|offer| offer.key).collect();
    let (mut link, welcome) = Link::enter(&farm.end(), &member, 1, holds).await.unwrap();
    assert!(matches!(welcome, ToWorker::Welcome { drop, .. } if drop.is_empty()));
    let api = farm.end().api(None, Some(&member.certificate()));
    for offer in &offers {
        assert_eq!(
            deliver(&mut link, &api, member.identity.worker, offer).await,
            Verdict::Accepted
        );
    }
    let journal: Journal = farm.admin().get(routes::JOURNAL, &[&job.to_string()]).await;
    assert_eq!(
        (journal.accepts, journal.repeated.len(), journal.leases),
        (2, 0, 2)
    );
}

/// Where a manager in another process is.
#[derive(Clone, Serialize, Deserialize)]
struct Elsewhere {
    url: String,
    anchor_pem: String,
    token: String,
    code: String,
}

const CHILD: &str = "TESSERA_TEST_CHILD_DATA";

/// Not a test: the manager's process of the one below, run from this same program.
#[test]
fn manager_in_a_process_of_its_own() {
    let Some(dir) = std::env::var_os(CHILD) else {
        return;
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut config = config(&Path::new(&dir).join("data"));
        config.local_file = Some(Path::new(&dir).join("local-manager.json"));
        config.scheduler.restart_grace_ms = 600_000;
        let farm = start_with(config).await.unwrap();
        let code: Pairing = farm.code(PairingGrant::Worker, false).await;
        let elsewhere = Elsewhere {
            url: farm.end().url,
            anchor_pem: farm.end().anchor_pem,
            token: farm.running.admin_token.clone(),
            code: code.code,
        };
        println!("\nREADY {}", serde_json::to_string(&elsewhere).unwrap());
        std::future::pending::<()>().await;
    });
}

struct Process {
    child: Child,
    at: Elsewhere,
}

impl Process {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "restart::manager_in_a_process_of_its_own",
                "--nocapture",
            ])
            .env(CHILD, dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let at = output
            .lines()
            .map_while(Result::ok)
            .find_map(|line| Some(serde_json::from_str(line.strip_prefix("READY ")?).unwrap()))
            .expect("the manager's process ended");
        Self { child, at }
    }

    fn end(&self) -> End {
        End {
            url: self.at.url.clone(),
            anchor_pem: self.at.anchor_pem.clone(),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // SIGKILL: nothing is said, nothing is flushed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a worker has in hand: rendered or not, until the manager said that it has it.
struct Hands {
    member: Member,
    held: BTreeMap<LeaseKey, LeaseOffer>,
}

/// Works until told to end: whatever breaks, it greets again wherever the manager is now.
async fn work(
    mut hands: Hands,
    mut at: watch::Receiver<Option<End>>,
    accepted: Arc<AtomicU32>,
    progress: watch::Sender<u32>,
) {
    loop {
        let Ok(end) = at.wait_for(Option::is_some).await.map(|end| end.clone()) else {
            return;
        };
        let end = end.expect("waited for");
        let here = session(&mut hands, &end, &accepted, &progress);
        tokio::select! {
            _ = here => {}
            changed = at.changed() => if changed.is_err() { return },
        }
        // The same manager may only have cut this link; another one is announced.
        tokio::task::yield_now().await;
    }
}

async fn session(
    hands: &mut Hands,
    end: &End,
    accepted: &AtomicU32,
    progress: &watch::Sender<u32>,
) -> Option<()> {
    let worker = hands.member.identity.worker;
    let holds = hands.held.keys().copied().collect();
    let (mut link, welcome) = Link::enter(end, &hands.member, 1, holds).await.ok()?;
    let ToWorker::Welcome { drop, .. } = welcome else {
        return None;
    };
    hands.held.retain(|key, _| !drop.contains(key));
    let api = end.api(None, Some(&hands.member.certificate()));
    loop {
        while let Some((&key, offer)) = hands.held.first_key_value() {
            let position = offer.frames[0].position;
            link.send(&FromWorker::Started { key, position })
                .await
                .ok()?;
            let verdict = report(&api, worker, offer).await?;
            if verdict == Verdict::Accepted {
                progress.send_replace(accepted.fetch_add(1, Ordering::SeqCst) + 1);
            }
            hands.held.remove(&key);
            link.send(&FromWorker::Finished { key }).await.ok()?;
        }
        match link.next().await? {
            ToWorker::Lease(offer) => {
                hands.held.insert(offer.key, *offer);
            }
            ToWorker::Recall { key } => link.send(&FromWorker::Returned { key }).await.ok()?,
            _ => {}
        }
    }
}

/// None if the manager was gone before it answered.
async fn report(api: &Api, worker: tessera_model::WorkerId, offer: &LeaseOffer) -> Option<Verdict> {
    let empty = tessera_wire::blob::to_model(&tessera_blobs::BlobRef::empty());
    let frame = offer.frames[0];
    let result = tessera_model::FrameResult {
        lease: offer.key,
        position: frame.position,
        frame: frame.frame,
        worker,
        build: offer.build.clone(),
        device: "CPU".into(),
        persistent: true,
        files: Vec::new(),
        stdout: empty,
        stderr: empty,
        timings: Default::default(),
        previews: None,
        notes: Vec::new(),
        noisy: Vec::new(),
        at: tessera_model::Timestamp(0),
    };
    let response = api
        .to(routes::WORKER_RESULT, &[])
        .json(&result)
        .send()
        .await
        .ok()?;
    response.error_for_status().ok()?.json().await.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manager_killed_in_mid_job_again_and_again_accepts_every_frame_once() {
    const FRAMES: u32 = 60;
    const WORKERS: u32 = 3;
    let folder = tempfile::tempdir().unwrap();
    let mut process = Process::start(folder.path());
    let (announce, at) = watch::channel(Some(process.end()));
    let (progress, mut progressed) = watch::channel(0);
    let accepted = Arc::new(AtomicU32::new(0));
    let mut workers = tokio::task::JoinSet::new();
    for number in 0..WORKERS {
        let key = rcgen::KeyPair::generate().unwrap();
        let request = worker_request(&process.at.code, &format!("w{number}"), &key);
        let reply: PairReply = process
            .end()
            .api(None, None)
            .json(routes::PAIR, &[], &request)
            .await;
        let PairReply::Worker(identity) = reply else {
            panic!("{reply:?}");
        };
        let hands = Hands {
            member: Member { identity, key },
            held: BTreeMap::new(),
        };
        workers.spawn(work(
            hands,
            at.clone(),
            Arc::clone(&accepted),
            progress.clone(),
        ));
    }
    let token = process.at.token.clone();
    let admin = process.end().api(Some(&token), None);
    let job = submit(&admin, &format!("1..{FRAMES}")).await.to_string();
    for kill_after in [10, 20, 30, 45] {
        soon(progressed.wait_for(|&done| done >= kill_after))
            .await
            .unwrap();
        announce.send_replace(None);
        drop(process);
        process = Process::start(folder.path());
        assert_eq!(
            process.at.token, token,
            "who waits for a killed manager keeps its credentials"
        );
        announce.send_replace(Some(process.end()));
    }
    let admin = process.end().api(Some(&token), None);
    let mut events = crate::harness::Events::open(&admin, &format!("job={job}"), None).await;
    loop {
        let detail: tessera_wire::api::JobDetail = admin.get(routes::JOB, &[&job]).await;
        if detail.summary.state == tessera_model::JobState::Done {
            break;
        }
        events.next().await.unwrap();
    }
    let journal: Journal = admin.get(routes::JOURNAL, &[&job]).await;
    assert_eq!(
        (journal.frames, journal.accepts),
        (FRAMES, u64::from(FRAMES))
    );
    assert!(journal.repeated.is_empty());
    // A killed manager may have recorded a result and not said so; that one is counted by the journal alone.
    assert!(accepted.load(Ordering::SeqCst) <= FRAMES);
    let list: Page<WorkerStatus> = admin.get(routes::WORKERS, &[]).await;
    assert_eq!(list.items.len(), WORKERS as usize);
    drop(announce);
    workers.shutdown().await;
}
