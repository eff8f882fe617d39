//! A file made of what it was: whole and durable, or nothing of it.

use tessera_blobs::{
    Block, Content, Digest, Edit, EncodedBlock, Origin, Outline, delta, write_bytes,
};
use tessera_model::Role;
use tessera_wire::api::{Digests, Replaced, Trees};
use tessera_wire::blob::to_model;
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::{Api, problem_of, start};
use crate::worker::framed;

/// A scene of many small blocks.
fn scene() -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes[..12].copy_from_slice(b"BLENDER-v304");
    bytes
}

fn outline(folder: &std::path::Path, content: &[u8]) -> (Origin, Outline) {
    let path = folder.join("scene.blend");
    std::fs::write(&path, content).unwrap();
    let mut origin = Origin::new();
    origin.add_file(&path).unwrap();
    let (_, outline) = origin.outlines().remove(0);
    (origin, outline)
}

async fn apply(api: &Api, body: Vec<u8>) -> reqwest::Response {
    api.to(routes::BLOBS_EDIT, &[])
        .body(body)
        .send()
        .await
        .unwrap()
}

async fn lacks(api: &Api, outline: &Outline) -> bool {
    let trees = Trees {
        manifests: Vec::new(),
        blobs: vec![to_model(outline.blob())],
    };
    let answer: Digests = api.json(routes::BLOBS_NEEDED, &[], &trees).await;
    !answer.digests.is_empty()
}

#[tokio::test]
async fn an_edited_file_is_made_of_what_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let old = scene();
    let mut new = old.clone();
    new.splice(400_000..400_010, *b"a few bytes, and more of them");
    let (_, before) = outline(folder.path(), &old);
    let (origin, after) = outline(folder.path(), &new);
    let edit = Edit::between(&before, &after).unwrap();
    let question = Replaced {
        basis: to_model(edit.basis()),
        runs: edit
            .replaced(&before)
            .iter()
            .map(|run| (run.start, run.end))
            .collect(),
    };
    let problem = artist.problem(routes::BLOBS_SUMS, &[], &question).await;
    assert_eq!(
        problem.kind,
        ProblemKind::Conflict,
        "it is not here: {problem}"
    );

    let mut blocks = Vec::new();
    let sink = |block: Block<'_>| {
        blocks.push(EncodedBlock::encode(block.bytes()));
        Ok::<_, std::io::Error>(())
    };
    assert_eq!(
        write_bytes(&old, Content::Blend, sink).unwrap(),
        *before.blob()
    );
    let put = artist.to(routes::BLOBS_PUT, &[]).body(framed(&blocks));
    assert_eq!(put.send().await.unwrap().status(), 204);
    for runs in [vec![(0, 1 << 20)], vec![(3, 2)], vec![(0, 60); 1000]] {
        let wrong = Replaced {
            runs,
            ..question.clone()
        };
        let problem = artist.problem(routes::BLOBS_SUMS, &[], &wrong).await;
        assert_eq!(problem.kind, ProblemKind::Invalid, "{problem}");
    }
    let answer = artist
        .to(routes::BLOBS_SUMS, &[])
        .json(&question)
        .send()
        .await;
    let answer = answer.unwrap().bytes().await.unwrap();
    let mut fresh = Vec::new();
    let wanted: Vec<Digest> = edit.fresh().collect();
    let mut blocks = std::collections::HashMap::new();
    let sink = |digest, bytes: &[u8]| {
        blocks.insert(digest, bytes.to_vec());
        Ok::<_, std::io::Error>(())
    };
    origin.read(&wanted, sink).unwrap();
    wanted
        .iter()
        .for_each(|digest| fresh.extend(&blocks[digest]));
    let body = edit.encode(&delta(&answer, &fresh).unwrap());

    // Whatever is wrong with it, it is said and nothing is kept.
    let bare = zstd::bulk::decompress(&body, 1 << 20).unwrap();
    let pack = |body: &[u8]| zstd::bulk::compress(body, 1).unwrap();
    let mut lying = bare.clone();
    *lying.last_mut().unwrap() ^= 1;
    let mut another = bare.clone();
    another[3] ^= 1;
    let bomb = pack(&vec![0; 16 << 20]);
    for (wrong, kind) in [
        (Vec::new(), ProblemKind::Invalid),
        (bare.clone(), ProblemKind::Invalid),
        (pack(&bare[..bare.len() / 2]), ProblemKind::Invalid),
        (pack(&lying), ProblemKind::Invalid),
        (pack(&another), ProblemKind::Conflict),
        (bomb, ProblemKind::Invalid),
        (vec![7; 5 << 20], ProblemKind::TooLarge),
    ] {
        let problem = problem_of(apply(&artist, wrong).await).await;
        assert_eq!(problem.kind, kind, "{problem}");
        assert!(lacks(&artist, &after).await);
    }
    let viewer = farm.client("eve", Role::Viewer).await;
    assert_eq!(apply(&viewer, body.clone()).await.status(), 403);

    // Twice: the answer to the first may have been lost.
    for _ in 0..2 {
        assert_eq!(apply(&artist, body.clone()).await.status(), 204);
        assert!(!lacks(&artist, &after).await);
    }
    let bytes = answer.len() + body.len();
    assert!(bytes < 3000, "{bytes} both ways");
}
