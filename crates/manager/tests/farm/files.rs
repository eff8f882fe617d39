//! Whole files in and out, as `curl` sends them.

use reqwest::StatusCode;
use serde_json::json;
use tessera_model::{Blob, Role};
use tessera_wire::api::{Stored, Submit, Submitted};
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::{Api, problem_of, read, start};
use crate::worker::tree;

/// So many bytes of which nothing repeats.
fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

async fn send(api: &Api, bytes: &[u8]) -> Blob {
    let sent = api.to(routes::FILE_PUT, &[]).body(bytes.to_vec()).send();
    read::<Stored>(sent.await.unwrap()).await.blob
}

async fn fetch(api: &Api, blob: &Blob) -> Vec<u8> {
    let answer = api.to(routes::FILE, &[&blob.to_string()]).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.content_length(), Some(blob.size));
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn files_come_back_as_they_were_and_make_the_tree_that_blocks_make() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let large = noise(9_000_000);
    for bytes in [&b""[..], b"x", &large] {
        let blob = send(&artist, bytes).await;
        assert_eq!(blob.size, bytes.len() as u64);
        assert!(fetch(&artist, &blob).await == bytes);
    }
    let scene = b"BLENDER-v304 a scene";
    let (named, ..) = tree(scene);
    let blob = send(&artist, scene).await;
    let files = json!({"files": [{"path": "home/u/scene.blend", "blob": blob}]});
    let stored: Stored = artist.json(routes::TREE_PUT, &[], &files).await;
    assert_eq!(stored.blob, named, "one tree has one name, however it came");
    // A compressed .blend is kept as what it decompresses to.
    let packed = zstd::encode_all(&scene[..], 3).unwrap();
    assert_eq!(send(&artist, &packed).await, blob);

    let submit = json!({
        "settings": {"name": "by hand"},
        "manifest": stored.blob,
        "main_file": "home/u/scene.blend",
        "file_version": "3.4",
        "steps": [{"kind": {"render": {}}, "frames": "1..3"}],
    });
    serde_json::from_value::<Submit>(submit.clone()).unwrap();
    let _: Submitted = artist.json(routes::SUBMIT, &[], &submit).await;
}

#[tokio::test]
async fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    let viewer = farm.client("vic", Role::Viewer).await;
    let blob = send(&artist, b"here").await;
    assert_eq!(fetch(&viewer, &blob).await, b"here");
    let put = viewer.to(routes::FILE_PUT, &[]).body("x").send().await;
    let problem = problem_of(put.unwrap()).await;
    assert_eq!(problem.kind, ProblemKind::Forbidden);

    let elsewhere = Blob {
        digest: [7; 32],
        ..blob
    };
    let check = async |files: serde_json::Value, kind, words: &[&str]| {
        let files = json!({"files": files});
        let problem = artist.problem(routes::TREE_PUT, &[], &files).await;
        assert_eq!(problem.kind, kind, "{problem}");
        for word in words {
            assert!(problem.to_string().contains(word), "{problem}");
        }
    };
    let at = |path: &str| json!({"path": path, "blob": blob});
    let invalid = ProblemKind::Invalid;
    check(json!([]), invalid, &["at least one"]).await;
    check(json!([at("../up")]), invalid, &["'../up'"]).await;
    check(json!([at("/a")]), invalid, &["'/a'"]).await;
    check(json!([at("a"), at("a")]), invalid, &["a"]).await;
    check(json!([at("a"), at("a/b")]), invalid, &["a/b"]).await;
    let lacking = json!([{"path": "a", "blob": elsewhere}]);
    check(lacking, ProblemKind::MissingBlobs, &["not in the store"]).await;
    for (name, words) in [
        (elsewhere.to_string(), ["does not have", "removed"]),
        ("x".to_owned(), ["x", "digest:size:depth"]),
    ] {
        let answer = artist.to(routes::FILE, &[&name]).send().await.unwrap();
        let problem = problem_of(answer).await;
        assert_eq!(problem.kind, ProblemKind::NotFound);
        for word in words {
            assert!(problem.to_string().contains(word), "{problem}");
        }
    }
    // A .blend that ends before its end.
    let packed =
        zstd::encode_all(&[&b"BLENDER-v304"[..], &noise(1_000_000)].concat()[..], 3).unwrap();
    let half = packed[..packed.len() / 2].to_vec();
    let put = artist.to(routes::FILE_PUT, &[]).body(half).send().await;
    let problem = problem_of(put.unwrap()).await;
    assert_eq!(problem.kind, ProblemKind::Invalid);
    assert!(problem.to_string().contains("ends too early"), "{problem}");
}
