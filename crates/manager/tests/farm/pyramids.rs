//! Pyramids of frames: asked of a worker, once, when somebody looks; and parts of what it made.

use tessera_model::{Blob, FileRole, FrameFile, Role};
use tessera_wire::api::Pyramid;
use tessera_wire::link::{FromWorker, MadePyramid, ToWorker};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::{Api, problem_of, read, start};
use crate::worker::{Link, hello, put, result, submit};

/// The next question for a pyramid; what else is said is passed over.
async fn asked(link: &mut Link) -> (u64, Blob) {
    loop {
        match link.next().await.expect("the link is over") {
            ToWorker::Pyramid { request, file } => return (request, file),
            ToWorker::Mode { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn answer(link: &mut Link, made: MadePyramid) -> Blob {
    let (request, file) = asked(link).await;
    let answer = FromWorker::Pyramid { request, made };
    link.send(&answer).await.unwrap();
    file
}

async fn bytes(api: &Api, blob: &Blob, query: &str) -> Vec<u8> {
    let answer = api.to(routes::FILE, &[&blob.to_string(), query]).send();
    let answer = answer.await.unwrap();
    assert_eq!(answer.status(), 200);
    let len = answer.content_length().unwrap();
    let bytes = answer.bytes().await.unwrap().to_vec();
    assert_eq!(bytes.len() as u64, len);
    bytes
}

#[tokio::test]
async fn a_pyramid_is_made_when_it_is_asked_for_and_read_in_parts() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let viewer = farm.client("vic", Role::Viewer).await;
    let member = farm.worker("w").await;
    let worker = member.identity.worker;
    let api = farm.end().api(None, Some(&member.certificate()));
    let mut link = Link::open(&farm.end(), &member).await.unwrap();
    let mut greeting = hello(1, Vec::new());
    if let FromWorker::Hello { pyramids, .. } = &mut greeting {
        *pyramids = true;
    }
    link.send(&greeting).await.unwrap();
    let welcome = link.next().await;
    assert!(matches!(welcome, Some(ToWorker::Welcome { .. })));
    let job = submit(&artist, "1..3").await.to_string();
    let of = |frame: &str, query: &str| viewer.to(routes::PYRAMID, &[&job, frame, query]);
    let refused =
        async |frame: &str, query: &str| problem_of(of(frame, query).send().await.unwrap()).await;

    // Of two frames one has an EXR beside its picture.
    let exr = put(&api, b"light").await;
    for has_exr in [true, false] {
        let offer = link.lease().await;
        let mut done = result(&api, worker, &offer).await;
        if has_exr {
            done.files.push(FrameFile {
                role: FileRole::Node(0),
                name: "nodes/0001.EXR".into(),
                blob: exr,
            });
        }
        let posted = api.to(routes::WORKER_RESULT, &[]).json(&done).send().await;
        assert_eq!(posted.unwrap().status(), 200);
        let key = offer.key;
        link.send(&FromWorker::Finished { key }).await.unwrap();
    }
    let last = link.lease().await;
    for (frame, query, word) in [
        ("2", "", "no EXR"),
        ("1", "file=other.exr", "'other.exr'"),
        ("3", "", "not finished"),
        ("7", "", "no frame 7"),
    ] {
        let problem = refused(frame, query).await;
        assert_eq!(problem.kind, ProblemKind::NotFound);
        assert!(problem.to_string().contains(word), "{problem}");
    }

    let tiles = put(&api, b"0123456789").await;
    for (made, word) in [
        (MadePyramid::Never("it is\u{1b} deep".into()), "it is  deep"),
        (MadePyramid::NotHere("asleep".into()), "asleep"),
        (
            MadePyramid::There(Blob {
                digest: [7; 32],
                ..tiles
            }),
            "arrived",
        ),
    ] {
        let (problem, file) = tokio::join!(refused("1", ""), answer(&mut link, made));
        assert_eq!(file, exr);
        assert_eq!(problem.kind, ProblemKind::Conflict);
        assert!(problem.to_string().contains(word), "{problem}");
    }
    // Two who ask at about the same time have it made once.
    let (first, second, file) = tokio::join!(
        of("1", "").send(),
        of("1", "file=nodes/0001.EXR").send(),
        answer(&mut link, MadePyramid::There(tiles))
    );
    assert_eq!(file, exr);
    for answer in [first.unwrap(), second.unwrap()] {
        let pyramid: Pyramid = read(answer).await;
        assert_eq!(pyramid.file, "nodes/0001.EXR");
        assert_eq!(pyramid.blob, Some(tiles));
    }
    // Nobody is asked again: the link would have that question first.
    let known: Pyramid = read(of("1", "").send().await.unwrap()).await;
    assert_eq!(known.blob, Some(tiles));

    for (query, expected) in [
        ("", &b"0123456789"[..]),
        ("from=3", b"3456789"),
        ("from=3&length=4", b"3456"),
        ("length=2", b"01"),
        ("from=8&length=99", b"89"),
        ("from=10", b""),
        ("from=99&length=1", b""),
    ] {
        assert_eq!(bytes(&viewer, &tiles, query).await, expected, "{query}");
    }
    let wrong = viewer.to(routes::FILE, &[&tiles.to_string(), "from=-1"]);
    assert_eq!(wrong.send().await.unwrap().status(), 422);

    // Who says nothing of pyramids is not asked, and without a worker there is none.
    let mut done = result(&api, worker, &last).await;
    done.files[0].name = "0003.exr".into();
    let posted = api.to(routes::WORKER_RESULT, &[]).json(&done).send().await;
    assert_eq!(posted.unwrap().status(), 200);
    let (mut older, _) = Link::enter(&farm.end(), &member, 1, Vec::new())
        .await
        .unwrap();
    let problem = refused("3", "").await;
    assert_eq!(problem.kind, ProblemKind::Conflict);
    assert!(problem.to_string().contains("no worker"), "{problem}");
    older.heartbeat(&[]).await.unwrap();
}
