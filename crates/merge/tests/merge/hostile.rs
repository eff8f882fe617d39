//! Broken bytes are an error and nothing else: no panic, no absurd allocation, no hang.
//!
//! DWA is not among the codecs: its decoder in the exr crate (1.74.2) believes the lengths inside the compressed data, so
//! damaged DWA can ask for more memory than there is. Tessera itself never writes it.

use std::fs;
use std::io::Cursor;

use tessera_merge::read_from;

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
    for codec in ["NO", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44"] {
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
