//! Taking a job in: all of its bytes, and numbers within bounds.

use tessera_blobs::{Digest, StreamDecoder};
use tessera_model::Role;
use tessera_wire::api::{Digests, Submitted, Trees};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::start;
use crate::worker::{self, framed, job, tree};

#[tokio::test]
async fn a_job_is_taken_in_only_if_all_of_it_is_here() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let (root, own, file) = tree(&[5; 3_000_000]);
    let needed = async || {
        let trees = Trees {
            manifests: vec![root],
            blobs: Vec::new(),
        };
        let answer: Digests = artist.json(routes::BLOBS_NEEDED, &[], &trees).await;
        answer.digests
    };
    let send = async |blocks: &[tessera_blobs::EncodedBlock]| {
        let response = artist
            .to(routes::BLOBS_PUT, &[])
            .body(framed(blocks))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 204);
    };
    assert_eq!(needed().await, [Digest::from_bytes(root.digest)]);
    let problem = artist.problem(routes::SUBMIT, &[], &job(root, "1")).await;
    assert_eq!(
        (problem.kind, problem.missing.len()),
        (ProblemKind::MissingBlobs, 1)
    );
    send(&own).await;
    assert!(!needed().await.is_empty());
    let problem = artist.problem(routes::SUBMIT, &[], &job(root, "1")).await;
    assert_eq!(problem.kind, ProblemKind::MissingBlobs);
    send(&file).await;
    assert_eq!(needed().await, []);
    let _: Submitted = artist.json(routes::SUBMIT, &[], &job(root, "1")).await;

    let check = async |change: &dyn Fn(&mut tessera_wire::api::Submit), kind| {
        let mut wrong = job(root, "1");
        change(&mut wrong);
        let problem = artist.problem(routes::SUBMIT, &[], &wrong).await;
        assert_eq!(problem.kind, kind, "{problem}");
    };
    check(
        &|job| job.main_file = "home/u/other.blend".into(),
        ProblemKind::Invalid,
    )
    .await;
    check(
        &|job| job.main_file = "../etc/passwd".into(),
        ProblemKind::Invalid,
    )
    .await;
    check(&|job| job.steps.clear(), ProblemKind::Invalid).await;
    check(
        &|job| job.client_note = "x".repeat(70_000),
        ProblemKind::TooLarge,
    )
    .await;
    check(
        &|job| job.settings.comment = "x".repeat(70_000),
        ProblemKind::TooLarge,
    )
    .await;
    check(&|job| job.settings.chunk = 1_000_000, ProblemKind::Invalid).await;
    check(
        &|job| {
            job.steps[0].in_order = true;
            job.steps[0].frames = "1..60000".parse().unwrap();
        },
        ProblemKind::Invalid,
    )
    .await;
    // Cut off, and not what it says.
    let whole = framed(&own);
    for body in [whole[..whole.len() - 3].to_vec(), vec![0; 100]] {
        let response = artist
            .to(routes::BLOBS_PUT, &[])
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(
            crate::harness::problem_of(response).await.kind,
            ProblemKind::Invalid
        );
    }
    let mut lying = own.clone();
    lying[0].digest = Digest::of(b"something else");
    let response = artist
        .to(routes::BLOBS_PUT, &[])
        .body(framed(&lying))
        .send()
        .await
        .unwrap();
    assert_eq!(
        crate::harness::problem_of(response).await.kind,
        ProblemKind::Invalid
    );
}

#[tokio::test]
async fn many_blocks_go_in_and_out_as_they_were() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    // Incompressible, so that it is as large on the way.
    let mut bytes = vec![0; 9_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    let (blob, blocks) = worker::blocks_of(&bytes);
    assert!(blocks.len() > 5);
    let stored = worker::put(&artist, &bytes).await;
    assert_eq!(stored, tessera_wire::blob::to_model(&blob));
    let mut wanted: Vec<Digest> = blocks.iter().map(|block| block.digest).collect();
    wanted.insert(2, Digest::of(b"not here"));
    let response = artist
        .to(routes::BLOBS_FETCH, &[])
        .json(&Digests { digests: wanted })
        .send()
        .await
        .unwrap();
    let mut decoder = StreamDecoder::new();
    decoder.push(&response.bytes().await.unwrap());
    let mut got = std::collections::BTreeMap::new();
    while let Some(block) = decoder.next_block().unwrap() {
        got.insert(block.digest, block.decode().unwrap());
    }
    assert_eq!(decoder.finish().unwrap() as usize, blocks.len());
    let mut out = Vec::new();
    tessera_blobs::read_file(
        &blob,
        |digest| Ok::<_, std::io::Error>(got.get(digest).cloned()),
        &mut out,
    )
    .unwrap();
    assert!(out == bytes);
    let too_many = Digests {
        digests: vec![Digest::of(b""); tessera_wire::api::DIGESTS_MAX + 1],
    };
    for route in [routes::BLOBS_FETCH, routes::BLOBS_MISSING] {
        assert_eq!(
            artist.problem(route, &[], &too_many).await.kind,
            ProblemKind::TooLarge
        );
    }
    let huge = vec![b' '; 5 << 20];
    let response = artist
        .to(routes::SUBMIT, &[])
        .header("content-type", "application/json")
        .body(huge)
        .send()
        .await
        .unwrap();
    assert_eq!(
        crate::harness::problem_of(response).await.kind,
        ProblemKind::TooLarge
    );
}
