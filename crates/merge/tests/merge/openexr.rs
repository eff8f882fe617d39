//! The EXR reader held against OpenEXR's own library, bit by bit.
//!
//! `openexr.py` writes files of every codec, layout and sample type, and what OpenEXR reads back from them. It runs in the
//! environment that `scripts/tools-venv` makes.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tempfile::TempDir;
use tessera_merge::{
    Channel, ChannelName, Container, Frame, PassName, ReadError, Samples, Window, read, read_from,
};

use crate::tools::run_script;

/// What the library behind OpenEXR says of one channel.
#[derive(Debug, Deserialize)]
struct Expected(String, String, String, (i32, i32, usize, usize));

fn files_of_openexr() -> TempDir {
    let out = tempfile::tempdir().unwrap();
    run_script("openexr.py", [OsStr::new("write"), out.path().as_os_str()]);
    out
}

fn frames_in(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut frames: Vec<_> = entries
        .filter(|path| path.with_extension("bin").exists())
        .collect();
    frames.retain(|path| path.extension().is_some_and(|extension| extension == "exr"));
    frames.sort();
    frames
}

fn bytes_of(samples: &Samples) -> Vec<u8> {
    match samples {
        Samples::Half(samples) => samples
            .iter()
            .flat_map(|sample| sample.to_bits().to_le_bytes())
            .collect(),
        Samples::Float(samples) => samples
            .iter()
            .flat_map(|sample| sample.to_bits().to_le_bytes())
            .collect(),
        Samples::Uint(samples) => samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect(),
    }
}

/// The channel that OpenEXR calls `channel` in the part called `part`, in files that have no view.
fn channel_of<'a>(frame: &'a Frame, part: &str, channel: &str) -> &'a Channel {
    let full = if channel.contains('.') {
        channel.to_owned()
    } else {
        format!("{part}.{channel}")
    };
    let (rest, channel) = full.rsplit_once('.').unwrap();
    let (layer, pass) = rest.rsplit_once('.').unwrap();
    let name = ChannelName {
        pass: PassName::new(layer, pass),
        channel: channel.to_owned(),
    };
    frame
        .channel(&name)
        .unwrap_or_else(|| panic!("{name} is missing"))
}

pub(crate) fn same_as_openexr(path: &Path) {
    let expected: Vec<Expected> =
        serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
    let samples = fs::read(path.with_extension("bin")).unwrap();
    let mut rest = samples.as_slice();
    let frame = read(path).unwrap();
    assert_eq!(frame.channels.len(), expected.len(), "{}", path.display());
    for Expected(part, name, sample_type, (x, y, width, height)) in expected {
        let channel = channel_of(&frame, &part, &name);
        let said = format!("{} {}", path.display(), channel.name);
        let found_type = match channel.samples {
            Samples::Half(_) => "float16",
            Samples::Float(_) => "float32",
            Samples::Uint(_) => "uint32",
        };
        assert_eq!(found_type, sample_type, "{said}");
        assert_eq!(
            channel.window,
            Window {
                x,
                y,
                width,
                height
            },
            "{said}"
        );
        let (here, after) =
            rest.split_at(channel.samples.len() * channel.samples.sample_type().bytes());
        rest = after;
        let found = bytes_of(&channel.samples);
        let differing = found.iter().zip(here).filter(|(a, b)| a != b).count();
        assert!(
            found == here,
            "{said}: {differing} of {} bytes differ from OpenEXR",
            here.len()
        );
    }
    assert!(rest.is_empty());
}

#[test]
fn every_codec_layout_and_type_reads_as_openexr_reads_it() {
    let folder = files_of_openexr();
    let frames = frames_in(folder.path());
    assert_eq!(
        frames.len(),
        60,
        "five lossless codecs of two kinds and five lossy ones, by lines and tiles, in one part and many"
    );
    for frame in &frames {
        same_as_openexr(frame);
    }

    let single = read(&folder.path().join("ZIP-lines-bits-single.exr")).unwrap();
    assert_eq!(single.container, Container::SinglePart);
    assert_eq!(
        single.display_window,
        Window {
            x: 0,
            y: 0,
            width: 100,
            height: 60
        }
    );
    assert_eq!(
        single.attributes().text("Scene").as_deref(),
        Some("Szene ü")
    );
    let cryptomatte = &single.cryptomattes()[0];
    assert_eq!(cryptomatte.name, "ViewLayer.CryptoObject");
    assert_eq!(cryptomatte.manifest, r#"{"Cube":"a8fce865"}"#);
    let passes: Vec<_> = single
        .passes()
        .map(|pass| (pass.name.to_string(), pass.channels.len()))
        .collect();
    let expected = [
        ("Combined", 4),
        ("Depth", 1),
        ("Normal", 1),
        ("Object Index", 1),
    ];
    assert_eq!(
        passes,
        expected.map(|(pass, channels)| (format!("ViewLayer.{pass}"), channels))
    );
    assert_eq!(single.pass(&PassName::new("ViewLayer", "Depth")).len(), 1);
    assert!(single.pass(&PassName::new("ViewLayer", "Mist")).is_empty());

    let multi = read(&folder.path().join("ZIP-lines-bits-multi.exr")).unwrap();
    assert_eq!(multi.container, Container::MultiPart);
    assert_eq!(multi.parts.len(), 3);
    assert_eq!(multi.cryptomattes(), single.cryptomattes());

    refused(folder.path());
}

fn refused(folder: &Path) {
    let error_of = |name: &str| read(&folder.join(name)).unwrap_err();
    assert!(matches!(
        error_of("unreadable-HTJ2K32.exr"),
        ReadError::Codec {
            codec: "HTJ2K32",
            ..
        }
    ));
    assert!(matches!(
        error_of("unreadable-HTJ2K256.exr"),
        ReadError::Codec {
            codec: "HTJ2K256",
            ..
        }
    ));
    assert!(matches!(
        error_of("unreadable-deep.exr"),
        ReadError::Deep { .. }
    ));
    assert!(matches!(error_of("no-such-file.exr"), ReadError::Io { .. }));
    assert!(matches!(
        error_of("ZIP-lines-bits-single.json"),
        ReadError::NotExr { .. }
    ));

    // Wherever a file is cut, it is called cut off, and nothing is read from it.
    for name in [
        "ZIP-lines-bits-single.exr",
        "PIZ-tiled-smooth-multi.exr",
        "NO-lines-bits-multi.exr",
    ] {
        let whole = fs::read(folder.join(name)).unwrap();
        for length in (1..whole.len()).step_by(97).chain([7, 8, whole.len() - 1]) {
            let cut = std::io::Cursor::new(&whole[..length]);
            let error = read_from("cut.exr", cut).unwrap_err();
            assert!(
                matches!(error, ReadError::Truncated { .. }),
                "{name} cut at {length}: {error}"
            );
        }
        let empty = read_from("empty.exr", std::io::Cursor::new(&whole[..0])).unwrap_err();
        assert!(matches!(empty, ReadError::NotExr { .. }));
    }
}
