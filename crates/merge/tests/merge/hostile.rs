//! Broken bytes are an error and nothing else: no panic, no absurd allocation, no hang.

use std::fs;
use std::io::Cursor;

use exr::prelude::{
    AnyChannel, AnyChannels, Encoding, FlatSamples, Image, Layer, LayerAttributes, SmallVec,
    WritableImage, f16,
};
use tessera_merge::{MergeError, MergeOptions, Missing, Slice, Window, merge, read_from};

use crate::tools::run_script;

/// Numbers that look random and are the same in every run: xorshift64, Marsaglia 2003.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[test]
fn damaged_files_are_errors() {
    const DAMAGES_PER_FILE: usize = 300;
    const HEADER_BYTES: usize = 1200;
    let out = tempfile::tempdir().unwrap();
    run_script("openexr.py", ["write".as_ref(), out.path().as_os_str()]);
    let mut numbers = Numbers(0x07e5_5e7a);
    for codec in ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "DWAA"] {
        for layout in ["lines-smooth-single", "tiled-smooth-multi"] {
            let whole = fs::read(out.path().join(format!("{codec}-{layout}.exr"))).unwrap();
            for _ in 0..DAMAGES_PER_FILE {
                let mut damaged = whole.clone();
                for _ in 0..1 + numbers.below(3) {
                    // Half of the damage hits the header, where a byte means most.
                    let end = if numbers.below(2) == 0 {
                        HEADER_BYTES
                    } else {
                        damaged.len()
                    };
                    let at = numbers.below(end);
                    damaged[at] = [0, 1, 0x7f, 0x80, 0xff, damaged[at] ^ 1][numbers.below(6)];
                }
                let _either = read_from("damaged.exr", Cursor::new(damaged));
            }
        }
    }
}

/// The shortest file of many parts: it ends where the first would begin.
#[test]
fn a_file_without_parts_is_an_error() {
    const BYTES: &[u8] = &[0x76, 0x2f, 0x31, 0x01, 2, 0x10, 0, 0, 0];
    let error = read_from("empty.exr", Cursor::new(BYTES)).unwrap_err();
    assert!(error.to_string().contains("empty.exr"), "{error}");
    let out = tempfile::tempdir().unwrap();
    let slice = Slice {
        path: out.path().join("empty.exr"),
        rendered: None,
        kept: None,
        samples: None,
    };
    fs::write(&slice.path, BYTES).unwrap();
    let merged = out.path().join("merged.exr");
    let error = merge(&[slice], &merged, &MergeOptions::default()).unwrap_err();
    assert!(error.to_string().contains("empty.exr"), "{error}");
    assert!(!merged.exists());
}

/// A small file whose channels would take more memory than there is, were each as wide as the frame.
#[test]
fn more_channels_than_anybody_renders_are_refused() {
    let channels: SmallVec<_> = (0..2000)
        .map(|at| AnyChannel::new(&*format!("A.Mist.{at}"), FlatSamples::F16(vec![f16::ONE])))
        .collect();
    let out = tempfile::tempdir().unwrap();
    let path = out.path().join("small.exr");
    let layer = Layer::new(
        (1, 1),
        LayerAttributes::default(),
        Encoding::UNCOMPRESSED,
        AnyChannels::sort(channels),
    );
    Image::from_layer(layer).write().to_file(&path).unwrap();
    let slice = Slice {
        path,
        rendered: Some(Window {
            x: 0,
            y: 0,
            width: 1,
            height: 1,
        }),
        kept: None,
        samples: None,
    };
    let options = |width| MergeOptions {
        size: Some((width, 16)),
        missing: Missing::Allowed,
        ..MergeOptions::default()
    };
    let (slices, merged) = ([slice], out.path().join("merged.exr"));
    let made = merge(&slices, &merged, &options(65_536));
    assert!(
        matches!(made, Err(MergeError::TooManyChannels { .. })),
        "{made:?}"
    );
    assert_eq!(
        merge(&slices, &merged, &options(64)).unwrap().channels,
        2000
    );
}
