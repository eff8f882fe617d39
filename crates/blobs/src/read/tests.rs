use std::collections::HashMap;
use std::convert::Infallible;

use super::*;
use crate::content::Content;
use crate::cut::write_bytes;
use crate::list::write_leb128;
use crate::missing::missing_blocks;

#[derive(Default)]
struct Blocks(HashMap<Digest, Vec<u8>>);

impl Blocks {
    fn cut(&mut self, bytes: &[u8]) -> BlobRef {
        let Ok(blob) = write_bytes(bytes, Content::Blend, |block| {
            self.0.insert(block.digest(), block.bytes().to_vec());
            Ok::<_, Infallible>(())
        });
        blob
    }

    fn put(&mut self, bytes: Vec<u8>) -> Digest {
        let digest = Digest::of(&bytes);
        self.0.insert(digest, bytes);
        digest
    }

    /// A list as an attacker may write one.
    fn put_list(&mut self, level: u8, children: &[(Digest, u64)]) -> Digest {
        let mut bytes = vec![b'T', b'L', 1, level];
        for (digest, size) in children {
            bytes.extend_from_slice(digest.as_bytes());
            write_leb128(&mut bytes, *size);
        }
        self.put(bytes)
    }

    fn get(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.0.get(digest).cloned())
    }

    fn read(&self, blob: &BlobRef) -> Result<Vec<u8>, ReadError> {
        read_bytes(blob, 1 << 30, |digest| self.get(digest))
    }
}

fn sample() -> Vec<u8> {
    let mut bytes = vec![0; 3_000_000];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

#[test]
fn any_range_is_that_part_and_reads_no_more_than_it_must() {
    let bytes = sample();
    let mut blocks = Blocks::default();
    let blob = blocks.cut(&bytes);
    assert!(blob.depth >= 2);
    for (start, end) in [
        (0, 0),
        (0, 1),
        (5, 5),
        (0, 3_000_000),
        (1_234_567, 1_234_568),
        (100, 200_000),
        (2_999_999, 3_000_000),
        (3_000_000, 3_000_000),
    ] {
        let mut out = Vec::new();
        let mut fetched = 0;
        let source = |digest: &Digest| {
            fetched += 1;
            blocks.get(digest)
        };
        read_range(&blob, start..end, source, &mut out).unwrap();
        assert!(out == bytes[start as usize..end as usize], "{start}..{end}");
        assert!(
            fetched <= 4 + 2 * (end - start) as usize / 4096 + usize::from(blob.depth),
            "{fetched} blocks for {start}..{end}"
        );
    }
    for (start, end) in [(0, 3_000_001), (3_000_001, 3_000_001), (u64::MAX, u64::MAX)] {
        assert!(matches!(
            read_range(&blob, start..end, |d| blocks.get(d), &mut Vec::new()),
            Err(ReadError::Range { .. })
        ));
    }
    #[expect(clippy::reversed_empty_ranges, reason = "what is refused")]
    let reversed = read_range(&blob, 2..1, |d| blocks.get(d), &mut Vec::new());
    assert!(matches!(reversed, Err(ReadError::Range { .. })));
}

#[test]
fn each_block_that_is_gone_is_named() {
    let mut blocks = Blocks::default();
    let blob = blocks.cut(&sample());
    let all: Vec<_> = blocks.0.keys().copied().collect();
    for digest in all.into_iter().step_by(11).chain([blob.digest]) {
        let bytes = blocks.0.remove(&digest).unwrap();
        assert!(
            matches!(blocks.read(&blob), Err(ReadError::Missing { digest: missing }) if missing == digest)
        );
        let missing =
            missing_blocks([&blob], |d| blocks.0.contains_key(d), |d| blocks.get(d)).unwrap();
        assert_eq!(missing.iter().copied().collect::<Vec<_>>(), [digest]);
        blocks.put(bytes);
    }
}

#[test]
fn a_receiver_resolves_level_by_level() {
    let mut sender = Blocks::default();
    let blob = sender.cut(&sample());
    let mut receiver = Blocks::default();
    let mut rounds = 0;
    loop {
        let missing = missing_blocks(
            [&blob, &blob],
            |d| receiver.0.contains_key(d),
            |d| receiver.get(d),
        )
        .unwrap();
        if missing.is_empty() {
            break;
        }
        rounds += 1;
        assert!(missing.lists.is_empty() || missing.data.is_empty());
        for digest in missing.iter() {
            assert!(
                receiver
                    .0
                    .insert(*digest, sender.0[digest].clone())
                    .is_none(),
                "asked for twice"
            );
        }
    }
    assert_eq!(rounds, u32::from(blob.depth) + 1);
    assert_eq!(receiver.0.len(), sender.0.len());
}

#[test]
fn lists_that_lie_are_refused() {
    let mut blocks = Blocks::default();
    let ten = blocks.put(vec![1; 10]);
    let cases = [
        (
            "a block shorter than promised",
            blocks.put_list(1, &[(ten, 11)]),
            11,
            1,
        ),
        (
            "a block longer than promised",
            blocks.put_list(1, &[(ten, 9)]),
            9,
            1,
        ),
        (
            "entries less than the file",
            blocks.put_list(1, &[(ten, 10)]),
            20,
            1,
        ),
        (
            "entries more than the file",
            blocks.put_list(1, &[(ten, 10), (ten, 10)]),
            10,
            1,
        ),
        (
            "an empty entry",
            blocks.put_list(1, &[(ten, 10), (ten, 0)]),
            10,
            1,
        ),
        (
            "sizes that overflow",
            blocks.put_list(1, &[(ten, u64::MAX), (ten, 11)]),
            10,
            1,
        ),
        (
            "a huge block",
            blocks.put_list(1, &[(ten, 5 << 20)]),
            5 << 20,
            1,
        ),
        (
            "a list of another level",
            blocks.put_list(2, &[(ten, 10)]),
            10,
            1,
        ),
        ("data in place of a list", ten, 10, 1),
        ("deeper than any file", ten, 10, 9),
        ("larger than any file", ten, u64::MAX, 8),
        ("one block larger than blocks are", ten, 5 << 20, 0),
        ("an empty file by another name", ten, 0, 0),
    ];
    for (what, digest, size, depth) in cases {
        let blob = BlobRef {
            digest,
            size,
            depth,
        };
        let mut out = Vec::new();
        assert!(
            read_file(&blob, |d| blocks.get(d), &mut out).is_err(),
            "{what}"
        );
        assert!(
            out.len() as u64 <= size,
            "{what}: wrote {} bytes",
            out.len()
        );
    }
}

/// Eight levels of lists that each name the next a thousand times: 10^24 visits if each were followed.
#[test]
fn lists_that_multiply_cost_a_receiver_only_their_own_bytes() {
    let mut blocks = Blocks::default();
    let (mut node, mut size, mut depth) = (Digest::of(b"absent"), 1, 0);
    for level in 1..=4 {
        node = blocks.put_list(level, &[(node, size); 1000]);
        size *= 1000;
        depth = level;
    }
    let blob = BlobRef {
        digest: node,
        size,
        depth,
    };
    let mut reads = 0;
    let source = |digest: &Digest| {
        reads += 1;
        blocks.get(digest)
    };
    let missing = missing_blocks([&blob], |d| blocks.0.contains_key(d), source).unwrap();
    assert_eq!(missing.data, [Digest::of(b"absent")]);
    assert_eq!(reads, 4);
}

#[test]
fn errors_of_source_and_writer_are_passed_on() {
    let mut blocks = Blocks::default();
    let blob = blocks.cut(b"hello");
    let failing = |_: &Digest| Err::<Option<Vec<u8>>, _>(io::Error::other("no route"));
    assert!(
        matches!(read_bytes(&blob, 10, failing), Err(ReadError::Source { source, .. }) if source.to_string() == "no route")
    );
    assert!(matches!(
        read_bytes(&blob, 4, |d| blocks.get(d)),
        Err(ReadError::TooLarge { .. })
    ));
    let mut short: &mut [u8] = &mut [0; 3];
    assert!(matches!(
        read_file(&blob, |d| blocks.get(d), &mut short),
        Err(ReadError::Write { .. })
    ));
    assert_eq!(blocks.read(&BlobRef::empty()).unwrap(), b"");
}
