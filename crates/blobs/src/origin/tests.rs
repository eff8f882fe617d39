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
        Err(OriginError::Changed { .. })
    ));
    fs::create_dir(&path).unwrap();
    assert!(matches!(
        fetch(&origin, &[blob], &mut HashMap::new()),
        Err(OriginError::Changed { .. })
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
        Err(OriginError::Changed { .. })
    ));
}

/// Files of one block, of many, compressed, two of the same content, and none at all.
fn files(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut scene = b"BLENDER-v500".to_vec();
    scene.extend(noise(1, 900_000));
    let texture = noise(2, 5_000_000);
    [
        (
            "packed.blend",
            zstd::bulk::compress(&scene, 3).unwrap(),
            scene,
        ),
        ("texture.exr", texture.clone(), texture.clone()),
        ("same.exr", texture.clone(), texture),
        ("small.png", noise(3, 5_000), noise(3, 5_000)),
        ("empty", Vec::new(), Vec::new()),
    ]
    .into_iter()
    .map(|(name, stored, plain)| {
        let path = dir.join(name);
        fs::write(&path, stored).unwrap();
        (path, plain)
    })
    .collect()
}

fn known(cuts: &[(PathBuf, CutFile)]) -> Origin {
    let mut origin = Origin::new();
    for (path, cut) in cuts {
        origin.add_known(path, cut);
    }
    origin
}

fn cut_all(files: &[(PathBuf, Vec<u8>)]) -> Vec<(PathBuf, CutFile)> {
    let mut origin = Origin::new();
    let cut = |(path, _): &(PathBuf, Vec<u8>)| (path.clone(), origin.add_file(path).unwrap());
    files.iter().map(cut).collect()
}

#[test]
fn known_files_are_read_when_their_blocks_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let files = files(dir.path());
    let cuts = cut_all(&files);
    let roots: Vec<_> = cuts.iter().map(|(_, cut)| cut.blob).collect();
    let mut have = HashMap::new();
    let origin = known(&cuts);
    fetch(&origin, &roots, &mut have).unwrap();
    for (blob, (_, plain)) in roots.iter().zip(&files) {
        let read =
            read_bytes(blob, 1 << 30, |d| Ok::<_, Infallible>(have.get(d).cloned())).unwrap();
        assert!(read == *plain);
    }
    // From a transfer that was cut: all lists are there and some data is not.
    let data: Vec<_> = have
        .iter()
        .filter(|(_, bytes)| !bytes.starts_with(b"TL"))
        .map(|(digest, _)| *digest)
        .collect();
    for digest in data.iter().step_by(2) {
        have.remove(digest);
    }
    let again = fetch(&known(&cuts), &roots, &mut have).unwrap();
    assert_eq!(again, data.len().div_ceil(2));
    // What all are said to have is all there: nothing is read, so nothing needs to be there.
    let origin = known(&cuts);
    drop(dir);
    assert_eq!(fetch(&origin, &roots, &mut have).unwrap(), 0);
}

#[test]
fn a_wrong_word_about_a_file_is_noticed_and_nothing_of_it_is_sent() {
    for changed in ["packed.blend", "texture.exr", "small.png"] {
        let dir = tempfile::tempdir().unwrap();
        let files = files(dir.path());
        let cuts = cut_all(&files);
        let at = dir.path().join(changed);
        let mut bytes = fs::read(&at).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(&at, bytes).unwrap();
        fs::remove_file(dir.path().join("same.exr")).unwrap();
        let roots: Vec<_> = cuts.iter().map(|(_, cut)| cut.blob).collect();
        let outcome = fetch(&known(&cuts), &roots, &mut HashMap::new());
        assert!(
            matches!(&outcome, Err(OriginError::Changed { path }) if *path == at),
            "{changed}: {outcome:?}"
        );
    }
}
