use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write;

use proptest::prelude::*;

use super::*;
use crate::missing::missing_blocks;
use crate::read::read_file;
use crate::stream::StreamEncoder;

type Blocks = HashMap<Digest, Vec<u8>>;

/// Bytes that do not compress, the same for the same seed.
fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

fn keep(blocks: &mut Blocks) -> impl FnMut(Block<'_>) -> Result<(), Infallible> {
    |block| {
        assert_eq!(Digest::of(block.bytes()), block.digest());
        assert!(block.bytes().len() <= MAX_BLOCK_BYTES);
        blocks.insert(block.digest(), block.bytes().to_vec());
        Ok(())
    }
}

fn join(blob: &BlobRef, blocks: &Blocks) -> Vec<u8> {
    let mut bytes = Vec::new();
    read_file(
        blob,
        |digest| Ok::<_, Infallible>(blocks.get(digest).cloned()),
        &mut bytes,
    )
    .unwrap();
    bytes
}

fn blend(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = b"BLENDER-v304".to_vec();
    bytes.extend(noise(seed, len));
    bytes
}

fn zstd_frames(bytes: &[u8], frame_len: usize) -> Vec<u8> {
    // As Blender writes: independent frames, then the seek table in a skippable frame.
    let mut packed: Vec<u8> = bytes
        .chunks(frame_len)
        .flat_map(|part| zstd::bulk::compress(part, 3).unwrap())
        .collect();
    packed.extend(b"\x5E\x2A\x4D\x18\x09\x00\x00\x00\x00\x00\x00\x00\x00\xB1\xEA\x92\x8F");
    packed
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn cut_all(bytes: &[u8]) -> (CutFile, Blocks) {
    let mut blocks = Blocks::new();
    let cut = write_stream(Path::new("a file"), bytes, keep(&mut blocks)).unwrap();
    (cut, blocks)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Noise, runs and repetitions in any mixture, of either content, come back as they were.
    #[test]
    fn cut_and_joined_is_the_same(
        parts in prop::collection::vec((any::<u64>(), 0usize..200_000, 0u8..3), 0..6),
        as_blend in any::<bool>(),
    ) {
        let mut bytes = if as_blend { b"BLENDER".to_vec() } else { Vec::new() };
        for (seed, len, kind) in parts {
            match kind {
                0 => bytes.extend(noise(seed, len)),
                1 => bytes.extend(std::iter::repeat_n(seed as u8, len)),
                _ => bytes.extend(noise(seed, 300).into_iter().cycle().take(len)),
            }
        }
        let (cut, blocks) = cut_all(&bytes);
        prop_assert_eq!(cut.blob.size, bytes.len() as u64);
        prop_assert_eq!(cut.content, if as_blend { Content::Blend } else { Content::Other });
        prop_assert_eq!(join(&cut.blob, &blocks), bytes);
    }
}

#[test]
fn a_blend_is_cut_the_same_however_it_is_compressed() {
    let plain = blend(1, 700_000);
    let (raw, _) = cut_all(&plain);
    assert_eq!(
        (raw.content, raw.encoding, raw.original_size),
        (Content::Blend, FileEncoding::Raw, plain.len() as u64)
    );
    for (packed, encoding) in [
        (zstd_frames(&plain, 1 << 18), FileEncoding::Zstd),
        (zstd_frames(&plain, 100), FileEncoding::Zstd),
        (
            zstd::stream::encode_all(&plain[..], 1).unwrap(),
            FileEncoding::Zstd,
        ),
        (gzip(&plain), FileEncoding::Gzip),
    ] {
        let (cut, blocks) = cut_all(&packed);
        assert_eq!(
            cut,
            CutFile {
                blob: raw.blob,
                content: Content::Blend,
                encoding,
                original_size: packed.len() as u64
            }
        );
        assert_eq!(join(&cut.blob, &blocks), plain);
    }
}

#[test]
fn what_is_no_blend_is_left_as_it_lies() {
    for bytes in [
        zstd_frames(&noise(1, 5000), 1000),
        gzip(b"some text"),
        gzip(b""),
        b"\x28\xB5\x2F\xFDnot a frame at all, but long enough to be seen as broken".to_vec(),
        b"BLEND".to_vec(),
        b"\x1F\x8B".to_vec(),
        noise(2, 3_000_000),
    ] {
        let (cut, blocks) = cut_all(&bytes);
        assert_eq!(
            (cut.content, cut.encoding),
            (Content::Other, FileEncoding::Raw)
        );
        assert_eq!(join(&cut.blob, &blocks), bytes);
    }
}

#[test]
fn an_empty_file_needs_no_block() {
    let (cut, blocks) = cut_all(b"");
    assert_eq!(cut.blob, BlobRef::empty());
    assert!(blocks.is_empty());
    assert_eq!(join(&cut.blob, &blocks), b"");
}

#[test]
fn a_small_file_is_its_block() {
    let (cut, blocks) = cut_all(b"hello");
    assert_eq!(
        cut.blob,
        BlobRef {
            digest: Digest::of(b"hello"),
            size: 5,
            depth: 0
        }
    );
    assert_eq!(blocks.len(), 1);
}

#[test]
fn a_cut_off_compressed_blend_is_refused_by_name() {
    let plain = blend(3, 60_000);
    for packed in [zstd::bulk::compress(&plain, 3).unwrap(), gzip(&plain)] {
        for len in (19..packed.len()).step_by(97).chain([packed.len() - 1]) {
            let error = write_stream(Path::new("/shots/a.blend"), &packed[..len], |_| {
                Ok::<_, Infallible>(())
            })
            .unwrap_err();
            assert!(
                matches!(error, CutError::Truncated { .. }),
                "at {len}: {error}"
            );
            assert!(error.to_string().contains("/shots/a.blend"));
        }
    }
}

#[test]
fn a_damaged_compressed_blend_is_refused_by_name() {
    let plain = blend(3, 600_000);
    let good = zstd_frames(&plain, 1 << 18);
    let second_frame = zstd::bulk::compress(&plain[..1 << 18], 3).unwrap().len();
    let mut broken_frame = good.clone();
    broken_frame[second_frame..second_frame + 8].fill(0xFF);
    let mut garbage_behind = good;
    garbage_behind.extend(b"garbage");
    let mut broken_gzip = gzip(&plain);
    let end = broken_gzip.len();
    broken_gzip[end - 8..end - 4].fill(0);
    for (bad, expected) in [
        (broken_frame, FileEncoding::Zstd),
        (garbage_behind, FileEncoding::Zstd),
        (broken_gzip, FileEncoding::Gzip),
    ] {
        let error = write_stream(Path::new("/shots/a.blend"), &bad[..], |_| {
            Ok::<_, Infallible>(())
        })
        .unwrap_err();
        assert!(
            matches!(error, CutError::Damaged { encoding, .. } if encoding == expected),
            "{error}"
        );
        assert!(error.to_string().contains("/shots/a.blend"));
    }
}

#[test]
fn a_bomb_is_refused() {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.write_all(b"BLENDER-v304").unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1100 {
        encoder.write_all(&zeros).unwrap();
    }
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 200_000);
    let mut largest = 0;
    let error = write_stream(Path::new("bomb.blend"), &bomb[..], |block| {
        largest = largest.max(block.bytes().len());
        Ok::<_, Infallible>(())
    })
    .unwrap_err();
    assert!(
        matches!(error, CutError::Bomb { .. }) && error.to_string().contains("bomb.blend"),
        "{error}"
    );
    assert!(largest <= 64 << 10);
}

#[test]
fn only_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let absent = dir.path().join("absent.png");
    let sink = |_: Block<'_>| Ok::<_, Infallible>(());
    assert!(
        matches!(write_file(&absent, sink), Err(CutError::Open { path, .. }) if path == absent)
    );
    assert!(
        matches!(write_file(dir.path(), sink), Err(CutError::NotAFile { path }) if path == dir.path())
    );
    let file = dir.path().join("a.png");
    fs::write(&file, b"x").unwrap();
    let error = write_file(&file, |_| Err(io::Error::other("sink is full"))).unwrap_err();
    assert!(
        matches!(&error, CutError::Sink { source, .. } if source.to_string() == "sink is full")
    );
}

/// All bytes that travel when the receiver has `have` and is to have `blob`: each round asks for what it knows to be missing, and
/// the answer is one stream of blocks. Requests are counted too: they carry a digest per block.
fn sent_bytes(blob: &BlobRef, have: &Blocks, sender: &Blocks) -> usize {
    let mut receiver = have.clone();
    let mut sent = blob.to_string().len();
    loop {
        let missing = missing_blocks(
            [blob],
            |digest| receiver.contains_key(digest),
            |digest| Ok::<_, Infallible>(receiver.get(digest).cloned()),
        )
        .unwrap();
        if missing.is_empty() {
            assert_eq!(join(blob, &receiver), join(blob, sender));
            return sent;
        }
        let mut stream = StreamEncoder::new();
        sent += stream.header().len();
        for digest in missing.iter() {
            sent += Digest::LEN;
            let block = EncodedBlock::encode(&sender[digest]);
            sent += stream
                .block(&block)
                .iter()
                .map(|part| part.len())
                .sum::<usize>();
            receiver.insert(*digest, sender[digest].clone());
        }
        sent += stream.end().len();
    }
}

/// Bytes as in a scene: arrays of vertices that wander, indices that count up, between headers with addresses.
fn scene(len: usize) -> Vec<u8> {
    let mut bytes = b"BLENDER-v304".to_vec();
    let mut random = blake3::Hasher::new().update(b"scene").finalize_xof();
    let mut draw = || {
        let mut drawn = [0; 4];
        random.fill(&mut drawn);
        u32::from_le_bytes(drawn)
    };
    let mut place = 0.0_f32;
    while bytes.len() < len {
        bytes.extend(b"DATA");
        bytes.extend(
            0x7F00_0000_0000_u64
                .wrapping_add(u64::from(draw()) << 4)
                .to_le_bytes(),
        );
        for number in 0..4096_u32 {
            place += (draw() % 2001) as f32 * 1e-5 - 0.01;
            bytes.extend(place.to_le_bytes());
            bytes.extend(number.to_le_bytes());
        }
    }
    bytes.truncate(len);
    bytes
}

/// Bytes sent for an edit of 4 KiB at each of some places of a 60 MB file.
fn sent_for_edits(before: &[u8]) -> Vec<usize> {
    const EDIT: usize = 4 << 10;
    let len = before.len();
    let (_, known) = cut_all(before);
    let mut places: Vec<_> = (0..10).map(|n| len / 10 * n + 7919 * n).collect();
    places.extend([12, len - EDIT]);
    places
        .into_iter()
        .map(|place| {
            let mut after = before.to_vec();
            let place = place.max(12);
            after[place..place + EDIT].copy_from_slice(&noise(place as u64, EDIT));
            let (cut, blocks) = cut_all(&after);
            assert!(cut.blob.depth >= 2);
            sent_bytes(&cut.blob, &known, &blocks)
        })
        .collect()
}

/// A moved camera in a 60 MB file, as hard as it can be: the edit is a whole 4 KiB of noise.
#[test]
fn a_small_edit_of_a_large_scene_sends_at_most_a_thousandth() {
    const LEN: usize = 60_000_000;
    let sent = sent_for_edits(&scene(LEN));
    let worst = *sent.iter().max().unwrap();
    println!(
        "60 MB like a scene, 4 KiB edited at {} places: {} bytes sent in the mean, {worst} at most",
        sent.len(),
        sent.iter().sum::<usize>() / sent.len()
    );
    assert!(worst <= LEN / 1000, "{worst} bytes");
}

/// The same where nothing compresses: a thousandth in the mean still, and never far from it.
#[test]
fn a_small_edit_of_noise_sends_a_thousandth_in_the_mean() {
    const LEN: usize = 60_000_000;
    let sent = sent_for_edits(&blend(7, LEN));
    let (mean, worst) = (
        sent.iter().sum::<usize>() / sent.len(),
        *sent.iter().max().unwrap(),
    );
    println!(
        "60 MB of noise, 4 KiB edited at {} places: {mean} bytes sent in the mean, {worst} at most",
        sent.len()
    );
    assert!(
        mean <= LEN / 1000 && worst <= LEN / 500,
        "{mean} bytes in the mean, {worst} at most"
    );
}

/// Bytes put in or taken out shift all that follow; the cuts shift with them.
#[test]
fn an_insertion_or_removal_sends_little() {
    const LEN: usize = 20_000_000;
    let before = blend(8, LEN);
    let (_, known) = cut_all(&before);
    for place in [100_000, LEN / 2, LEN - 50_000] {
        let mut longer = before.clone();
        longer.splice(place..place, noise(9, 777));
        let mut shorter = before.clone();
        shorter.drain(place..place + 3333);
        for after in [longer, shorter] {
            let (cut, blocks) = cut_all(&after);
            let sent = sent_bytes(&cut.blob, &known, &blocks);
            assert!(sent <= 150_000, "{sent} bytes at {place}");
        }
    }
}

/// The cuts are part of what is stored: other ones would send every known file again.
#[test]
fn the_cuts_stay() {
    let (fine, _) = cut_all(&blend(11, 3_000_000));
    let (coarse, _) = cut_all(&noise(12, 9_000_000));
    assert_eq!(
        [fine.blob.to_string(), coarse.blob.to_string()],
        [
            "ead92a6279d8640cdceeb975913d2d0b55b561193e445d9706eaddf0fe331d6a:3000012:2",
            "ea3a7ccd4e4da28325aca298eabebd0f7d00235fd2f7e4c0f40fcc30d1bdffb8:9000000:1"
        ]
    );
}
