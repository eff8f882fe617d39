//! Server-sent events: nothing is missed without being told, and nobody watches longer than allowed.

use tessera_model::{JobState, Role};
use tessera_wire::event::{Event, What};
use tessera_wire::routes;

use crate::harness::{Events, start};
use crate::worker::{Link, deliver, submit};

async fn until(events: &mut Events, mut wanted: impl FnMut(&What) -> bool) -> (String, Vec<Event>) {
    let mut seen = Vec::new();
    loop {
        let (id, event) = events.next().await.expect("the stream ended");
        let found = wanted(&event.what);
        seen.push(event);
        if found {
            return (id, seen);
        }
    }
}

fn is_done(what: &What) -> bool {
    matches!(what, What::Job { job } if job.state == JobState::Done)
}

#[tokio::test]
async fn a_watcher_sees_every_frame_before_the_end_of_its_job() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let mut all = Events::open(&farm.client("eve", Role::Viewer).await, "", None).await;
    let other = submit(&artist, "1").await;
    let member = farm.worker("w").await;
    let api = farm.end().api(None, Some(&member.certificate()));
    let job = submit(&artist, "5..6").await;
    let mut one = Events::open(&artist, &format!("job={job}"), None).await;
    let (mut link, _) = Link::enter(&farm.end(), &member, 2, Vec::new())
        .await
        .unwrap();
    for _ in 0..3 {
        let offer = link.lease().await;
        deliver(&mut link, &api, member.identity.worker, &offer).await;
    }
    let (_, seen) = until(&mut one, is_done).await;
    assert!(
        seen.iter()
            .all(|event| !matches!(event.what, What::Worker { .. }))
    );
    let mut frames: Vec<i32> = seen
        .iter()
        .filter_map(|event| match &event.what {
            What::FrameDone { result } => {
                assert_eq!(result.lease.unit.job, job);
                Some(result.frame)
            }
            _ => None,
        })
        .collect();
    frames.sort_unstable();
    assert_eq!(frames, [5, 6]);
    let mut done = Vec::new();
    let (_, seen) = until(&mut all, |what| {
        if let What::Job { job } = what
            && job.state == JobState::Done
        {
            done.push(job.id);
        }
        done.len() == 2
    })
    .await;
    done.sort_unstable();
    assert_eq!(done, [other, job]);
    assert!(seen.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    assert!(
        seen.iter()
            .any(|event| matches!(&event.what, What::Worker { worker } if worker.linked))
    );
}

#[tokio::test]
async fn who_comes_back_goes_on_or_is_told_to_read_anew() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let mut events = Events::open(&artist, "", None).await;
    submit(&artist, "1").await;
    let (id, first) = events.next().await.unwrap();
    drop(events);
    let second = submit(&artist, "1").await;
    let mut events = Events::open(&artist, "", Some(&id)).await;
    let (_, missed) = events.next().await.unwrap();
    assert!(
        matches!(&missed.what, What::Job { job } if job.id == second),
        "{missed:?}"
    );
    let mut events = Events::open(&artist, &format!("since={}", first.seq), None).await;
    assert_eq!(events.next().await.unwrap().1, missed);
    let mut events = Events::open(&artist, "", Some("nonsense")).await;
    assert!(matches!(events.next().await.unwrap().1.what, What::Resync));

    // The manager ends: the stream ends with it, and after a restart the old place is not known.
    let token = farm.token("ann", Role::Artist, None).await.token;
    farm.stop().await;
    assert!(events.next().await.is_none());
    let farm = start(folder.path()).await;
    let artist = farm.end().api(Some(&token), None);
    let mut events = Events::open(&artist, "", Some(&id)).await;
    let (_, event) = events.next().await.unwrap();
    assert!(matches!(event.what, What::Resync));
    assert!(event.seq > first.seq);
    let jobs: tessera_wire::api::Page<tessera_wire::api::JobSummary> =
        artist.get(routes::JOBS, &[]).await;
    assert_eq!(jobs.items.len(), 2);
}
