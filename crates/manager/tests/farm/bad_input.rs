//! Uploads and file trees that nobody honest sends: refused with a reason, nothing of them kept, and the farm goes on.

use reqwest::StatusCode;
use tessera_blobs::{BlobRef, BlockEncoding, Content, Digest, EncodedBlock, write_bytes};
use tessera_model::{Blob, Role};
use tessera_wire::api::{Digests, Submitted, Trees};
use tessera_wire::blob::to_model;
use tessera_wire::problem::{Problem, ProblemKind};
use tessera_wire::routes;

use crate::harness::{Api, Farm, problem_of, start};
use crate::worker::{framed, job, scene};

const MIB: usize = 1 << 20;

async fn begin() -> (tempfile::TempDir, Farm, Api) {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let artist = farm.client("ann", Role::Artist).await;
    (folder, farm, artist)
}

async fn put(api: &Api, body: Vec<u8>) -> Result<(), Problem> {
    let response = api.to(routes::BLOBS_PUT, &[]).body(body).send().await;
    let response = response.unwrap();
    match response.status() {
        StatusCode::NO_CONTENT => Ok(()),
        _ => Err(problem_of(response).await),
    }
}

async fn lacking(api: &Api, digests: &[Digest]) -> Vec<Digest> {
    let asked = Digests {
        digests: digests.to_vec(),
    };
    let answer: Digests = api.json(routes::BLOBS_MISSING, &[], &asked).await;
    answer.digests
}

fn zstd_block(digest: Digest, bytes: Vec<u8>) -> EncodedBlock {
    EncodedBlock {
        digest,
        encoding: BlockEncoding::Zstd,
        bytes: bytes.into(),
    }
}

/// A block of zeros, larger than blocks may be, in a kilobyte; the second says nothing of its size, the third lies, the last
/// hides it behind an honest frame.
fn bombs() -> Vec<EncodedBlock> {
    let zeros = vec![0; 512 * MIB];
    let digest = Digest::of(&zeros);
    let honest = zstd::bulk::compress(&zeros, 1).unwrap();
    let silent = zstd::stream::encode_all(&zeros[..], 1).unwrap();
    let mut lying = zstd::bulk::compress(&zeros[..MIB], 1).unwrap();
    lying.extend(&silent);
    let mut behind = zstd::bulk::compress(b"small", 1).unwrap();
    behind.extend(&honest);
    [honest, silent, lying, behind]
        .map(|bytes| zstd_block(digest, bytes))
        .into()
}

#[tokio::test]
async fn bad_blocks_are_refused_and_those_before_them_kept() {
    let (_folder, farm, artist) = begin().await;
    let good = EncodedBlock::encode(b"a good block");
    let plain = EncodedBlock {
        digest: Digest::of(b"another"),
        ..good.clone()
    };
    let torn = zstd_block(Digest::of(&[7; 9000]), {
        let mut bytes = zstd::bulk::compress(&[7; 9000], 3).unwrap();
        bytes.truncate(bytes.len() - 4);
        bytes
    });
    let none = zstd_block(Digest::of(b"x"), b"no zstd at all".to_vec());
    let empty = zstd_block(Digest::of(b"x"), Vec::new());
    let bad = bombs().into_iter().chain([plain, torn, none, empty]);
    for (number, block) in bad.enumerate() {
        let fresh = EncodedBlock::encode(format!("good {number}").as_bytes());
        let problem = put(&artist, framed(&[fresh.clone(), block.clone()]))
            .await
            .unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Invalid, "{number}: {problem}");
        let named = block.digest.to_string();
        assert!(problem.title.contains(&named), "{number}: {problem}");
        let after = lacking(&artist, &[fresh.digest, block.digest]).await;
        assert_eq!(after, [block.digest], "{number}");
    }
    put(&artist, framed(&[good])).await.unwrap();
    farm.stop().await;
}

#[tokio::test]
async fn broken_streams_are_refused_and_whole_blocks_in_them_kept() {
    let (_folder, farm, artist) = begin().await;
    const BLOCK: usize = 32;
    const RECORD: usize = 32 + 1 + 4;
    const SECOND: usize = 8 + RECORD + BLOCK;
    type Spoil = fn(&mut Vec<u8>);
    let cases: &[(&str, usize, Spoil)] = &[
        ("no stream", 0, |body| *body = b"POST me".to_vec()),
        ("another version", 0, |body| body[7] = 9),
        ("nothing", 0, Vec::clear),
        ("cut off in a record", 1, |body| body.truncate(SECOND + 9)),
        ("cut off in a block", 1, |body| {
            body.truncate(SECOND + RECORD + 2)
        }),
        ("cut off between blocks", 1, |body| body.truncate(SECOND)),
        ("unknown packing", 1, |body| body[SECOND + 32] = 7),
        ("a block of 4 GB", 1, |body| {
            body[SECOND + 33..][..4].fill(0xFF)
        }),
        ("a block over the bound", 1, |body| {
            let len = (4 * MIB as u32 + 1).to_be_bytes();
            body[SECOND + 33..][..4].copy_from_slice(&len);
        }),
        ("a wrong count", 3, |body| *body.last_mut().unwrap() = 9),
        ("bytes after its end", 3, |body| body.extend(b"more")),
    ];
    for (what, kept, spoil) in cases {
        let blocks: Vec<EncodedBlock> = (0..3)
            .map(|number| {
                EncodedBlock::encode(Digest::of(format!("{what} {number}").as_bytes()).as_bytes())
            })
            .collect();
        let digests: Vec<Digest> = blocks.iter().map(|block| block.digest).collect();
        let mut body = framed(&blocks);
        spoil(&mut body);
        let problem = put(&artist, body).await.unwrap_err();
        assert_eq!(problem.kind, ProblemKind::Invalid, "{what}: {problem}");
        assert!(problem.detail.contains("again"), "{what}: {problem}");
        assert_eq!(lacking(&artist, &digests).await, digests[*kept..], "{what}");
    }
    farm.stop().await;
}

/// A serialised tree of files without bytes, with these paths as they are.
fn tree_of(paths: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"TM\x01".to_vec();
    for path in paths {
        entry(&mut bytes, path, 0, &BlobRef::empty());
    }
    bytes
}

fn entry(bytes: &mut Vec<u8>, path: &[u8], kind: u8, blob: &BlobRef) {
    number(bytes, path.len() as u64);
    bytes.extend(path);
    bytes.extend([kind, 0, 0]);
    number(bytes, blob.size);
    bytes.extend(blob.digest.as_bytes());
    number(bytes, blob.size);
    bytes.push(blob.depth);
}

fn number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Sends bytes as a file tree's own blocks.
async fn send_tree(api: &Api, bytes: &[u8]) -> Blob {
    let mut blocks = Vec::new();
    let root = write_bytes(bytes, Content::Blend, |block| {
        blocks.push(block.encode());
        Ok::<_, std::io::Error>(())
    })
    .unwrap();
    for some in blocks.chunks(1000) {
        put(api, framed(some)).await.unwrap();
    }
    to_model(&root)
}

/// Whoever asks what is lacking of it, or hands it in, is told why not.
async fn refused(api: &Api, what: &str, root: Blob) -> Problem {
    let trees = Trees {
        manifests: vec![root],
        blobs: Vec::new(),
    };
    let asked = api.problem(routes::BLOBS_NEEDED, &[], &trees).await;
    let submitted = api.problem(routes::SUBMIT, &[], &job(root, "1")).await;
    for problem in [&asked, &submitted] {
        assert_eq!(problem.kind, ProblemKind::Invalid, "{what}: {problem}");
    }
    submitted
}

#[tokio::test]
async fn trees_that_lead_elsewhere_are_refused() {
    let (_folder, farm, artist) = begin().await;
    let long_part = "x".repeat(256);
    let long_path = ["x".repeat(200).as_str(); 6].join("/");
    let deep = ["d"; 65].join("/");
    let hostile: &[&str] = &[
        "../etc/passwd",
        "a/../../b",
        "/etc/passwd",
        "//host/share",
        "C:/Windows/x",
        "c:x",
        "a\\..\\b",
        "CON",
        "a/NUL.txt",
        "com1",
        "a/LPT9.log",
        "aux.png",
        "a\0b",
        "a\nb",
        "a.",
        "a ",
        "",
        ".",
        "a//b",
        "a/",
        &long_part,
        &long_path,
        &deep,
    ];
    for path in hostile {
        let root = send_tree(&artist, &tree_of(&[path.as_bytes()])).await;
        let problem = refused(&artist, path, root).await;
        assert!(problem.title.contains("path"), "{path}: {problem}");
    }
    for (what, bytes, word) in [
        ("bytes that are no text", tree_of(&[b"a\xff"]), "UTF-8"),
        ("twice the same", tree_of(&[b"a", b"a"]), "already"),
        ("out of order", tree_of(&[b"b", b"a"]), "order"),
        ("a file as a folder", tree_of(&[b"a", b"a/b"]), "folder"),
        ("cut off", tree_of(&[b"abc"])[..20].to_vec(), "cut off"),
        (
            "another thing",
            b"PK\x03\x04 zip".to_vec(),
            "begins otherwise",
        ),
        ("a newer one", b"TM\x09".to_vec(), "version"),
        // There is no other kind than files: a link cannot even be said.
        (
            "a link",
            {
                let mut bytes = b"TM\x01".to_vec();
                entry(&mut bytes, b"link", 1, &BlobRef::empty());
                bytes
            },
            "kind",
        ),
    ] {
        let root = send_tree(&artist, &bytes).await;
        let problem = refused(&artist, what, root).await;
        assert!(problem.title.contains(word), "{what}: {problem}");
    }
    // Names that differ in case alone are two files where the sender works, and stay two.
    let both = send_tree(
        &artist,
        &tree_of(&[b"home/u/Scene.blend", b"home/u/scene.blend"]),
    )
    .await;
    let _: Submitted = artist.json(routes::SUBMIT, &[], &job(both, "1")).await;
    farm.stop().await;
}

/// A list of blocks that says of each child what it likes.
fn list(level: u8, children: &[(Digest, u64)]) -> EncodedBlock {
    let mut bytes = vec![b'T', b'L', 1, level];
    for (digest, size) in children {
        bytes.extend(digest.as_bytes());
        number(&mut bytes, *size);
    }
    EncodedBlock::encode(&bytes)
}

#[tokio::test]
async fn lists_that_lie_are_refused() {
    let (_folder, farm, artist) = begin().await;
    let data = EncodedBlock::encode(&[1; 1000]);
    let own = list(1, &[(data.digest, 1000)]);
    // A list cannot hold its own digest, so the nearest thing to a cycle is one that calls itself a child's child.
    let above = list(2, &[(own.digest, 1000)]);
    let wide: Vec<_> = (0..100_000).map(|_| (own.digest, 1000)).collect();
    let wide = list(2, &wide);
    let lists = [
        list(1, &[(data.digest, 999)]),
        list(1, &[(data.digest, 0)]),
        list(1, &[(data.digest, u64::MAX), (data.digest, 2)]),
        list(1, &[(data.digest, 5 << 20)]),
        list(2, &[(data.digest, 1000)]),
        list(1, &[]),
        EncodedBlock::encode(b"TL\x01"),
        EncodedBlock::encode(b"no list"),
    ];
    put(
        &artist,
        framed(&[data.clone(), own.clone(), above.clone(), wide.clone()]),
    )
    .await
    .unwrap();
    put(&artist, framed(&lists)).await.unwrap();
    let blob = |block: &EncodedBlock, size: u64, depth: u8| BlobRef {
        digest: block.digest,
        size,
        depth,
    };
    let mut wrong = vec![
        ("deeper than it is", blob(&above, 1000, 3)),
        ("shallower than it is", blob(&above, 1000, 1)),
        ("deeper than anything", blob(&above, 1000, 200)),
        ("larger than anything", blob(&own, u64::MAX, 1)),
        ("larger than it is", blob(&own, 1001, 1)),
        ("smaller than it is", blob(&own, 999, 1)),
        ("no bytes", blob(&own, 0, 1)),
        ("one huge block", blob(&data, 1 << 40, 0)),
        ("data as a list", blob(&data, 1000, 1)),
    ];
    wrong.extend(lists.iter().map(|list| ("a bad list", blob(list, 1000, 1))));
    for (what, blob) in wrong {
        let asked = Trees {
            manifests: Vec::new(),
            blobs: vec![to_model(&blob)],
        };
        let ok_until_read = what == "a bad list" && blob.digest == lists[0].digest;
        if !ok_until_read {
            let problem = artist.problem(routes::BLOBS_NEEDED, &[], &asked).await;
            assert_eq!(problem.kind, ProblemKind::Invalid, "{what}: {problem}");
        }
        // As a file of a tree, and as the tree itself.
        let mut tree = b"TM\x01".to_vec();
        entry(&mut tree, b"home/u/scene.blend", 0, &blob);
        let root = send_tree(&artist, &tree).await;
        let problem = artist.problem(routes::SUBMIT, &[], &job(root, "1")).await;
        assert_eq!(problem.kind, ProblemKind::Invalid, "{what}: {problem}");
        let problem = artist
            .problem(routes::SUBMIT, &[], &job(to_model(&blob), "1"))
            .await;
        assert_eq!(problem.kind, ProblemKind::Invalid, "{what}: {problem}");
    }
    // A hundred thousand times the same list is looked at once.
    let asked = Trees {
        manifests: Vec::new(),
        blobs: vec![to_model(&blob(&wide, 100_000_000, 2))],
    };
    let answer: Digests = artist.json(routes::BLOBS_NEEDED, &[], &asked).await;
    assert_eq!(answer.digests, []);
    farm.stop().await;
}

#[tokio::test]
async fn a_tree_of_more_than_a_million_files_is_refused() {
    let (_folder, farm, artist) = begin().await;
    let mut bytes = b"TM\x01".to_vec();
    for file in 0..=tessera_blobs::MAX_ENTRIES {
        entry(
            &mut bytes,
            format!("f{file:07}").as_bytes(),
            0,
            &BlobRef::empty(),
        );
    }
    let root = send_tree(&artist, &bytes).await;
    // Others are served meanwhile.
    let (problem, ()) = tokio::join!(refused(&artist, "a million and one", root), async {
        let _ = scene(&artist).await;
    });
    assert!(problem.title.contains("1000000"), "{problem}");
    // A tree as large as none is read into memory.
    let huge = Blob {
        size: 1 << 40,
        depth: 4,
        ..root
    };
    let problem = artist.problem(routes::SUBMIT, &[], &job(huge, "1")).await;
    assert_eq!(problem.kind, ProblemKind::Invalid, "{problem}");
    farm.stop().await;
}
