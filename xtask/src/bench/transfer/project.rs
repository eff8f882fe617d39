//! The project: many pictures that nobody looks at, and a .blend that names them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::super::Bench;

/// How many files of which size there are.
const KINDS: [(u32, u64); 3] = [(4_000, 100_000), (900, 1_000_000), (100, 7_000_000)];

const NAMING: &str = "
import bpy, sys
blend, folder, count = sys.argv[-3:]
for number in range(int(count)):
    image = bpy.data.images.new(f'{number:05}', 1, 1)
    image.source = 'FILE'
    image.filepath = f'{folder}/{number % 50:02}/{number:05}.png'
    image.use_fake_user = True
bpy.ops.wm.save_as_mainfile(filepath=blend, compress=False)
";

pub(super) struct Project {
    pub(super) folder: PathBuf,
    pub(super) blend: PathBuf,
    pub(super) files: u32,
    pub(super) bytes: u64,
}

impl Project {
    pub(super) fn make(bench: &Bench, at: &Path) -> Result<Self> {
        let folder = at.join("project");
        let mut random = Noise(0x9E37_79B9_7F4A_7C15);
        let (mut files, mut bytes) = (0, 0);
        for (count, size) in KINDS {
            for _ in 0..bench.scaled(count) {
                let path = folder.join(format!("{:02}/{files:05}.png", files % 50));
                std::fs::create_dir_all(path.parent().context("it has a folder")?)?;
                // Half to one and a half times the size.
                let len = size / 2 + random.next() % size;
                let content = random.bytes(len as usize, files % 4 == 0);
                std::fs::write(&path, content)?;
                files += 1;
                bytes += len;
            }
        }
        let (script, blend) = (at.join("name.py"), folder.join("project.blend"));
        std::fs::write(&script, NAMING)?;
        let place = folder.to_str().context("a path that is not Unicode")?;
        let count = files.to_string();
        let saved = blend.to_str().context("a path that is not Unicode")?;
        bench
            .scenes()?
            .blender
            .script(&script, &[saved, place, &count])?;
        bytes += std::fs::metadata(&blend)?.len();
        Ok(Self {
            folder,
            blend,
            files: files + 1,
            bytes,
        })
    }
}

/// Numbers without a pattern, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Bytes that do not compress, or to half.
    fn bytes(&mut self, len: usize, halves: bool) -> Vec<u8> {
        let mask = if halves {
            0x0F0F_0F0F_0F0F_0F0F
        } else {
            u64::MAX
        };
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&(self.next() & mask).to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
}
