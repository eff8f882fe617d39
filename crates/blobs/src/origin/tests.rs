use std::collections::HashMap;
use std::fs;

use super::*;
use crate::missing::missing_blocks;
use crate::read::read_bytes;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new()
        .update(&seed.to_le_bytes())
        .finalize_xof()
        .fill(&mut bytes);
    bytes
}

/// Takes from `origin` what `have` lacks of `blobs`, round by round.
fn fetch(
    origin: &Origin,
    blobs: &[BlobRef],
    have: &mut HashMap<Digest, Vec<u8>>,
) -> Result<usize, OriginError> {
    let mut fetched = 0;
    loop {
        let missing = missing_blocks(
            blobs,
            |d| have.contains_key(d),
            |d| Ok::<_, Infallible>(have.get(d).cloned()),
        )
        .unwrap();
        if missing.is_empty() {
            return Ok(fetched);
        }
        let wanted: Vec<_> = missing.iter().copied().collect();
        fetched += wanted.len();
        origin.read(&wanted, |digest, bytes| {
            assert_eq!(Digest::of(bytes), digest);
            assert!(have.insert(digest, bytes.to_vec()).is_none());
            Ok::<_, Infallible>(())
        })?;
    }
}

#[test]
fn blocks_are_read_again_from_plain_and_compressed_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut plain = b"BLENDER-v500".to_vec();
    plain.extend(noise(1, 900_000));
    let texture = noise(2, 5_000_000);
    let mut origin = Origin::new();
    let mut blobs = Vec::new();
    for (name, content) in [
        ("packed.blend", zstd::bulk::compress(&plain, 3).unwrap()),
        ("texture.exr", texture.clone()),
        ("same.exr", texture.clone()),
        ("plain.blend", plain.clone()),
        ("empty", Vec::new()),
    ] {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        blobs.push(origin.add_file(&path).unwrap().blob);
    }
    blobs.push(origin.add_bytes(b"settings", Content::Other));
    let mut tree = Manifest::new();
    let cut = origin.add_file(&dir.path().join("texture.exr")).unwrap();
    tree.insert("t.exr".parse().unwrap(), crate::Entry::file(&cut))
        .unwrap();
    blobs.push(origin.add_manifest(&tree));
    let mut have = HashMap::new();
    fetch(&origin, &blobs, &mut have).unwrap();
    for (blob, expected) in blobs.iter().zip([
        &plain,
        &texture,
        &texture,
        &plain,
        &Vec::new(),
        &b"settings".to_vec(),
        &tree.to_bytes(),
    ]) {
        let read =
            read_bytes(blob, 1 << 30, |d| Ok::<_, Infallible>(have.get(d).cloned())).unwrap();
        assert!(read == *expected);
    }
    assert_eq!(fetch(&origin, &blobs, &mut have).unwrap(), 0);
    assert!(origin.contains(&blobs[0].digest));
    assert!(matches!(
        origin.read(&[Digest::of(b"?")], |_, _| Ok::<_, Infallible>(())),
        Err(OriginError::Unknown { .. })
    ));
}

#[test]
fn a_file_that_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.png");
    let mut bytes = noise(3, 3_000_000);
    fs::write(&path, &bytes).unwrap();
    let mut origin = Origin::new();
    let blob = origin.add_file(&path).unwrap().blob;
    bytes[1_500_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    assert!(
        matches!(fetch(&origin, &[blob], &mut HashMap::new()), Err(OriginError::Changed { path: named }) if named == path)
    );
    fs::write(&path, b"short").unwrap();
    assert!(matches!(
        fetch(&origin, &[blob], &mut HashMap::new()),
        Err(OriginError::Changed { .. })
    ));
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        fetch(&origin, &[blob], &mut HashMap::new()),
        Err(OriginError::Cut(CutError::Open { .. }))
    ));
}

#[test]
fn a_compressed_file_that_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.blend");
    let mut plain = b"BLENDER-v500".to_vec();
    plain.extend(noise(1, 300_000));
    fs::write(&path, zstd::bulk::compress(&plain, 3).unwrap()).unwrap();
    let mut origin = Origin::new();
    let blob = origin.add_file(&path).unwrap().blob;
    for (change, other) in [
        ("saved plain", plain.clone()),
        ("another file", b"no scene at all".to_vec()),
    ] {
        fs::write(&path, other).unwrap();
        assert!(
            matches!(
                fetch(&origin, &[blob], &mut HashMap::new()),
                Err(OriginError::Changed { .. })
            ),
            "{change}"
        );
    }
    let cut_off = zstd::bulk::compress(&plain, 3).unwrap();
    fs::write(&path, &cut_off[..cut_off.len() / 2]).unwrap();
    assert!(matches!(
        fetch(&origin, &[blob], &mut HashMap::new()),
        Err(OriginError::Cut(CutError::Truncated { .. }))
    ));
}
