use proptest::prelude::*;

use super::*;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

fn entry(content: &[u8]) -> Entry {
    let blob = if content.is_empty() {
        BlobRef::empty()
    } else {
        BlobRef {
            digest: Digest::of(content),
            size: content.len() as u64,
            depth: 0,
        }
    };
    Entry {
        kind: EntryKind::File,
        blob,
        original_size: blob.size,
        encoding: FileEncoding::Raw,
        executable: false,
    }
}

fn manifest(paths: &[&str]) -> Manifest {
    let mut manifest = Manifest::new();
    for text in paths {
        manifest.insert(path(text), entry(text.as_bytes())).unwrap();
    }
    manifest
}

proptest! {
    #[test]
    fn any_tree_round_trips_whatever_the_order(mut files in prop::collection::btree_map("[a-z]{1,8}(/[a-zA-Zü ]{0,6}[a-z]){0,3}\\.png", (any::<u64>(), 0u64..1 << 40, 0u8..3, any::<bool>()), 0..40)) {
        // "a.png" and "a.png/b.png" cannot both be; with every name ending in .png and folders without, they never are.
        let mut forward = Manifest::new();
        let mut backward = Manifest::new();
        let entries: Vec<_> = std::mem::take(&mut files).into_iter().map(|(text, (seed, size, encoding, executable))| {
            let blob = if size == 0 { BlobRef::empty() } else { BlobRef { digest: Digest::of(&seed.to_le_bytes()), size, depth: 3 } };
            (TreePath::escaped(&text).unwrap(), Entry { kind: EntryKind::File, blob, original_size: seed, encoding: FileEncoding::from_code(encoding).unwrap(), executable })
        }).collect();
        for (path, entry) in &entries {
            forward.insert(path.clone(), *entry).unwrap();
        }
        for (path, entry) in entries.iter().rev() {
            backward.insert(path.clone(), *entry).unwrap();
        }
        prop_assert_eq!(forward.to_bytes(), backward.to_bytes());
        prop_assert_eq!(&Manifest::from_bytes(&forward.to_bytes()).unwrap(), &forward);
        prop_assert_eq!(forward.blob_ref(), backward.blob_ref());
    }

    #[test]
    fn any_bytes_are_refused_or_canonical(bytes in prop::collection::vec(any::<u8>(), 0..200), changed in any::<prop::sample::Index>()) {
        let _ = Manifest::from_bytes(&bytes);
        let good = manifest(&["a/b.png", "scene.blend"]).to_bytes();
        let mut bad = good.clone();
        let at = changed.index(bad.len());
        bad[at] ^= bytes.first().copied().unwrap_or(1).max(1);
        if let Ok(read) = Manifest::from_bytes(&bad) {
            prop_assert_eq!(read.to_bytes(), bad, "one tree, one form");
        }
    }
}

#[test]
fn it_is_stored_and_read_as_blocks() {
    let texts: Vec<_> = (0..5000).map(|n| format!("tex/{n:05}.png")).collect();
    let mut tree = manifest(&texts.iter().map(String::as_str).collect::<Vec<_>>());
    let mut blocks = HashMap::new();
    let mut keep = |tree: &Manifest| {
        let mut fresh = 0;
        let blob = tree
            .write(|block| {
                fresh += if blocks
                    .insert(block.digest(), block.bytes().to_vec())
                    .is_none()
                {
                    block.bytes().len()
                } else {
                    0
                };
                Ok::<_, Infallible>(())
            })
            .unwrap();
        (blob, fresh)
    };
    let (blob, _) = keep(&tree);
    assert_eq!(blob, tree.blob_ref());
    tree.entries
        .insert(path("tex/02500.png"), entry(b"another"));
    let (changed, fresh) = keep(&tree);
    assert!(
        changed != blob && fresh < 100_000,
        "one of 5000 files changed: {fresh} bytes"
    );
    let read = Manifest::read(&changed, |digest| {
        Ok::<_, Infallible>(blocks.get(digest).cloned())
    })
    .unwrap();
    assert_eq!(read, tree);
    assert!(matches!(
        Manifest::read(&changed, |_| Ok::<_, Infallible>(None)),
        Err(ManifestError::Read(ReadError::Missing { .. }))
    ));
}

#[test]
fn a_path_is_one_thing() {
    let mut tree = manifest(&["a/b", "c", "d.x"]);
    let mut refuse = |text: &str| tree.insert(path(text), entry(b"x")).unwrap_err();
    assert!(matches!(refuse("a/b"), ManifestError::Duplicate { .. }));
    assert!(
        matches!(refuse("a"), ManifestError::FileAsFolder { other, .. } if other == path("a/b"))
    );
    assert!(
        matches!(refuse("a/b/c/d"), ManifestError::FileAsFolder { other, .. } if other == path("a/b"))
    );
    assert!(
        matches!(refuse("c/e"), ManifestError::FileAsFolder { other, .. } if other == path("c"))
    );
    tree.insert(path("d"), entry(b"x")).unwrap();
    tree.insert(path("a/b.c"), entry(b"x")).unwrap();
    assert_eq!(tree.len(), 5);
}

#[test]
fn names_that_windows_holds_equal_are_told() {
    assert_eq!(manifest(&["a/b", "a/c", "A.png"]).case_collisions(), []);
    assert_eq!(
        manifest(&["Wood.png", "wood.png"]).case_collisions(),
        [(path("Wood.png"), path("wood.png"))]
    );
    assert_eq!(
        manifest(&["Tex/a.png", "tex/b.png"]).case_collisions(),
        [(path("Tex/a.png"), path("tex/b.png"))]
    );
    assert_eq!(manifest(&["Ü", "ü"]).case_collisions().len(), 1);
}

#[test]
fn hostile_serialisations_are_refused() {
    let good = manifest(&["a", "b/c"]).to_bytes();
    for len in 0..good.len() {
        // Cutting exactly behind a file leaves a good, shorter tree: the blob's size and digest tell those apart.
        let whole = [3, 3 + (good.len() - 3 - 2) / 2].contains(&len);
        assert_eq!(
            Manifest::from_bytes(&good[..len]).is_ok(),
            whole,
            "cut at {len}"
        );
    }
    let with_path = |text: &[u8]| {
        let mut bytes = b"TM\x01".to_vec();
        write_leb128(&mut bytes, text.len() as u64);
        bytes.extend_from_slice(text);
        bytes.extend_from_slice(&good[5..][..3]);
        bytes.push(1);
        bytes.extend_from_slice(Digest::of(b"a").as_bytes());
        bytes.extend_from_slice(&[1, 0]);
        bytes
    };
    assert!(Manifest::from_bytes(&with_path(b"fine")).is_ok());
    for bad in [
        &b"../up"[..],
        b"/abs",
        b"a//b",
        b"a\\b",
        b"C:",
        b"NUL",
        b"",
        b"a\0",
        b"\xFF\xFE",
        &[b'x'; 2000],
    ] {
        assert!(Manifest::from_bytes(&with_path(bad)).is_err(), "{bad:?}");
    }
    let check = |what: &str, at: usize, value: u8, expected: fn(&ManifestError) -> bool| {
        let mut bad = with_path(b"a");
        bad[at] = value;
        let error = Manifest::from_bytes(&bad).unwrap_err();
        assert!(expected(&error), "{what}: {error}");
    };
    check("version", 2, 2, |e| {
        matches!(e, ManifestError::Version { found: 2 })
    });
    check("kind", 5, 1, |e| e.to_string().contains("kind"));
    check("flags", 6, 2, |e| e.to_string().contains("property"));
    check("encoding", 7, 9, |e| e.to_string().contains("compressed"));
    check("depth", 8 + 1 + 32 + 1, 99, |e| {
        matches!(e, ManifestError::Read(ReadError::BadRef { .. }))
    });
    let mut twice = good.clone();
    twice.extend_from_slice(&good[3..]);
    assert!(Manifest::from_bytes(&twice).is_err(), "out of order");
    let mut double = with_path(b"a");
    double.extend_from_slice(&with_path(b"a")[3..]);
    assert!(matches!(
        Manifest::from_bytes(&double),
        Err(ManifestError::Duplicate { .. })
    ));
    let mut nested = with_path(b"a");
    nested.extend_from_slice(&with_path(b"a/b")[3..]);
    assert!(matches!(
        Manifest::from_bytes(&nested),
        Err(ManifestError::FileAsFolder { .. })
    ));
    let mut long = b"TM\x01".to_vec();
    write_leb128(&mut long, u64::MAX);
    assert!(
        Manifest::from_bytes(&long).is_err(),
        "a length beyond memory"
    );
}

#[test]
fn a_tree_has_an_end() {
    let mut tree = Manifest::new();
    for number in 0..MAX_ENTRIES {
        // Straight into the map: the bound is what is tested, not a million look-ups for folders.
        tree.entries.insert(path(&format!("{number}")), entry(b"x"));
    }
    assert!(matches!(
        tree.insert(path("more"), entry(b"x")),
        Err(ManifestError::TooMany)
    ));
}

/// Version 1, byte for byte: manifests stored by one release are read by every later one.
#[test]
fn the_format_stays() {
    let mut tree = Manifest::new();
    let blob = BlobRef {
        digest: Digest::from_bytes([9; 32]),
        size: 300,
        depth: 1,
    };
    tree.insert(
        path("s/a.blend"),
        Entry {
            kind: EntryKind::File,
            blob,
            original_size: 200,
            encoding: FileEncoding::Zstd,
            executable: true,
        },
    )
    .unwrap();
    let mut expected = b"TM\x01\x09s/a.blend\x00\x01\x01\xC8\x01".to_vec();
    expected.extend([9; 32]);
    expected.extend(b"\xAC\x02\x01");
    assert_eq!(tree.to_bytes(), expected);
    assert_eq!(Manifest::new().to_bytes(), b"TM\x01");
}
