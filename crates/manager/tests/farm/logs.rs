//! Blender's own words: of finished frames from the store, of running ones from the worker.

use data_encoding::BASE64;
use tessera_model::{JobId, Role};
use tessera_wire::link::{FromWorker, LogStream, ToWorker};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::{Api, problem_of, start};
use crate::worker::{Link, deliver, failure, put, submit};

/// Bytes and whether they are all.
async fn log(api: &Api, job: JobId, frame: &str, query: &str) -> (String, bool) {
    let response = api
        .to(routes::LOG, &[&job.to_string(), frame, query])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
    let complete = response.headers()["tessera-log-complete"] == "true";
    (response.text().await.unwrap(), complete)
}

#[tokio::test]
async fn a_log_is_read_while_it_is_written_and_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let member = farm.worker("w").await;
    let worker = member.identity.worker;
    let api = farm.end().api(None, Some(&member.certificate()));
    let (mut link, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let job = submit(&artist, "-3..-2").await;
    let (first, second) = (link.lease().await, link.lease().await);
    assert_eq!(
        log(&artist, job, "-3", "from=0").await,
        (String::new(), false)
    );

    link.send(&FromWorker::Started {
        key: first.key,
        position: 0,
    })
    .await
    .unwrap();
    // The engine has heard it once a later question is answered.
    link.heartbeat(&[(first.key, Some(0)), (second.key, None)])
        .await
        .unwrap();
    while !rendering(&artist, job).await {}
    let asking = tokio::spawn({
        let artist = artist.clone();
        async move { log(&artist, job, "-3", "stream=stderr&from=6").await }
    });
    let question = link.next().await.unwrap();
    let ToWorker::Log {
        request,
        key,
        position,
        stream,
        from,
    } = question
    else {
        panic!("{question:?}");
    };
    assert_eq!(
        (key, position, stream, from),
        (first.key, 0, LogStream::Stderr, 6)
    );
    let answer = FromWorker::Log {
        request,
        bytes: BASE64.encode(b"words"),
        ended: false,
    };
    link.send(&answer).await.unwrap();
    assert_eq!(asking.await.unwrap(), ("words".into(), false));
    // An answer that nobody waits for any more, and one to a question never asked, harm nobody.
    link.send(&answer).await.unwrap();

    deliver(&mut link, &api, worker, &first).await;
    assert_eq!(
        log(&artist, job, "-3", "stream=stdout").await,
        ("Fra:-3 Mem:1M\nSaved\n".into(), true)
    );
    assert_eq!(
        log(&artist, job, "-3", "from=14").await,
        ("Saved\n".into(), true)
    );
    assert_eq!(
        log(&artist, job, "-3", "from=1000").await,
        (String::new(), true)
    );
    assert_eq!(
        log(&artist, job, "-3", "stream=stderr").await,
        (String::new(), true)
    );

    let words = put(&api, b"it broke\n").await;
    let error = failure(worker, &second, words);
    let _: tessera_wire::api::Verdict = api.json(routes::WORKER_FAILURE, &[], &error).await;
    let (text, _) = log(&artist, job, "-2", "").await;
    assert_eq!(text, "it broke\n");

    let refused = async |frame: &str, query: &str| {
        let response = artist
            .to(routes::LOG, &[&job.to_string(), frame, query])
            .send()
            .await
            .unwrap();
        problem_of(response).await.kind
    };
    assert_eq!(refused("7", "").await, ProblemKind::NotFound);
    assert_eq!(refused("x", "").await, ProblemKind::NotFound);
    assert_eq!(refused("-3", "stream=both").await, ProblemKind::Invalid);
}

async fn rendering(api: &Api, job: JobId) -> bool {
    let page: tessera_wire::api::Page<tessera_wire::api::FrameStatus> =
        api.get(routes::FRAMES, &[&job.to_string()]).await;
    page.items[0].phase == tessera_wire::api::FramePhase::Rendering
}
