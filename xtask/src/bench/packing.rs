//! What packing costs: cutting and hashing, knowing what has not changed, memory.
//!
//! - Cutting and hashing: one file of 1 GB of noise, in the system's cache, by one thread of this process; as a texture (blocks of
//!   1 MiB) and as a .blend (16 KiB). Baseline: BLAKE3 alone over the same bytes, one thread. Then eight such files of 256 MB by
//!   all cores against the same by one.
//! - An unchanged project: 10,000 textures of 100 KB, in the system's cache, packed by the client crate with the fake Blender of the
//!   tests, which takes no time to speak of; packed a second time with the record of the first. What a project without
//!   textures takes is taken off both, so that what is left is looking, reading and noting. Baseline: the first packing.
//! - Memory: ten files of 1 GB, two of them .blend, packed by this process: the peak of its resident memory (`VmHWM`, set back before).
//!
//! `--scale` makes project and files fewer.

use std::convert::Infallible;
use std::fs;
use std::io::{BufWriter, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use serde_json::json;
use tessera_blender::testing::{fake_blend, install_fake_blender};
use tessera_blender::{Build, probe};
use tessera_blobs::{Digest, cut_files, write_file};
use tessera_client::{PackOptions, Packed, pack};
use tessera_model::Overrides;

use super::Bench;
use super::table::{Aim, Figure};

const MB: u64 = 1_000_000;
const TEXTURE_BYTES: u64 = 100_000;

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let folder = bench.out.join("packing");
    fs::create_dir_all(&folder)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let blender = folder.join("blender");
    fs::create_dir_all(&blender)?;
    let build = runtime.block_on(probe(&install_fake_blender(&blender)?))?;
    let project = |name: &str, files: &[(String, u64)]| -> Result<Project> {
        Project::new(&folder.join(name), &build, files)
    };
    let mut figures = cutting(&folder.join("cut"))?;
    figures.extend(runtime.block_on(unchanged(bench, project))?);
    figures.push(runtime.block_on(memory(bench, project))?);
    fs::remove_dir_all(&folder)?;
    Ok(figures)
}

fn cutting(folder: &Path) -> Result<Vec<Figure>> {
    fs::create_dir_all(folder)?;
    let (texture, blend) = (folder.join("a.exr"), folder.join("a.blend"));
    noise(&texture, 1000 * MB)?;
    noise(&blend, 1000 * MB)?;
    let gigabytes = |bytes: u64, begin: Instant| bytes as f64 / 1e9 / begin.elapsed().as_secs_f64();
    let cut = |path: &Path| -> Result<f64> {
        let begin = Instant::now();
        write_file(path, |_| Ok::<_, Infallible>(()))?;
        Ok(gigabytes(1000 * MB, begin))
    };
    // Once, so that all of it is in the cache.
    cut(&texture)?;
    let bytes = fs::read(&texture)?;
    let begin = Instant::now();
    // Piece by piece, as it is hashed when it is cut: as a whole it would be no file's.
    for piece in bytes.chunks(1 << 20) {
        std::hint::black_box(Digest::of(piece));
    }
    let hashing = gigabytes(1000 * MB, begin);
    drop(bytes);
    let textures = cut(&texture)?;
    cut(&blend)?;
    let blends = cut(&blend)?;
    let many: Vec<_> = (0..8).map(|n| folder.join(format!("{n}.exr"))).collect();
    many.iter().try_for_each(|path| noise(path, 256 * MB))?;
    let all = 8 * 256 * MB;
    let begin = Instant::now();
    for path in &many {
        write_file(path, |_| Ok::<_, Infallible>(()))?;
    }
    let alone = gigabytes(all, begin);
    let begin = Instant::now();
    cut_files(&many, |_, blocks| {
        drop(blocks);
        ControlFlow::Continue(())
    });
    let together = gigabytes(all, begin);
    fs::remove_dir_all(folder)?;
    let figure = |name: &str, value, unit, note: String| Figure {
        name: name.into(),
        value,
        unit,
        aim: Aim::None,
        note,
    };
    let alone_note = format!("BLAKE3 alone {hashing:.2} GB/s");
    let together_note = format!("{together:.2} GB/s against {alone:.2} GB/s");
    Ok(vec![
        figure(
            "cutting and hashing textures, a core",
            textures,
            "GB/s",
            alone_note.clone(),
        ),
        figure(
            "cutting and hashing a .blend, a core",
            blends,
            "GB/s",
            alone_note,
        ),
        figure(
            "  by all cores against one",
            together / alone,
            "×",
            together_note,
        ),
    ])
}

async fn unchanged(
    bench: &Bench,
    project: impl Fn(&str, &[(String, u64)]) -> Result<Project>,
) -> Result<Vec<Figure>> {
    let count = bench.scaled(10_000);
    let textures: Vec<_> = (0..count)
        .map(|number| (format!("{number}.png"), TEXTURE_BYTES))
        .collect();
    let empty = project("empty", &[])?;
    let full = project("full", &textures)?;
    // Once, so that all files are in the cache, and the fake Blender is too.
    empty.pack(false).await?;
    full.pack(false).await?;
    let begin = Instant::now();
    empty.pack(true).await?;
    let blender = begin.elapsed().as_secs_f64();
    let begin = Instant::now();
    let first = full.pack(true).await?;
    let reading = begin.elapsed().as_secs_f64() - blender;
    let begin = Instant::now();
    let again = full.pack(true).await?;
    let knowing = begin.elapsed().as_secs_f64() - blender;
    anyhow::ensure!(
        first.files_read == u64::from(count) + 1
            && again.files_read <= 1
            && again.root == first.root,
        "{} and {} files were read",
        first.files_read,
        again.files_read
    );
    full.remove()?;
    empty.remove()?;
    Ok(vec![
        Figure {
            name: format!("an unchanged project of {count} files is known"),
            value: knowing * 1000.0,
            unit: "ms",
            aim: Aim::AtMost(500.0),
            note: format!("Blender aside, which took {:.0} ms", blender * 1000.0),
        },
        Figure {
            name: "  against packing it for the first time".into(),
            value: reading / knowing,
            unit: "×",
            aim: Aim::None,
            note: format!(
                "{:.0} ms for {} MB",
                reading * 1000.0,
                u64::from(count) * TEXTURE_BYTES / MB
            ),
        },
    ])
}

async fn memory(
    bench: &Bench,
    project: impl Fn(&str, &[(String, u64)]) -> Result<Project>,
) -> Result<Figure> {
    let count = bench.scaled(10);
    let files: Vec<_> = (0..count)
        .map(|number| {
            let kind = if number % 5 == 0 { "blend" } else { "exr" };
            (format!("{number}.{kind}"), 1000 * MB)
        })
        .collect();
    let large = project("large", &files)?;
    // "5" sets the peak back to what is resident now.
    fs::write("/proc/self/clear_refs", "5")?;
    let before = super::memory::status_mb(std::process::id(), "VmRSS")?;
    let packed = large.pack(true).await?;
    let peak = super::memory::status_mb(std::process::id(), "VmHWM")?;
    drop(packed);
    large.remove()?;
    Ok(Figure {
        name: format!("peak memory while packing {count} GB"),
        value: peak,
        unit: "MB",
        aim: Aim::AtMost(200.0),
        note: format!("the bench itself has {before:.0} MB of it"),
    })
}

/// A folder with a file for the fake Blender and all that it names.
struct Project {
    folder: PathBuf,
    build: Build,
}

impl Project {
    fn new(folder: &Path, build: &Build, files: &[(String, u64)]) -> Result<Self> {
        fs::create_dir_all(folder.join("tex"))?;
        let mut used = Vec::new();
        for (name, bytes) in files {
            let path = folder.join("tex").join(name);
            noise(&path, *bytes)?;
            used.push(json!({ "path": path }));
        }
        let scene = fake_blend(&json!({ "files": used }));
        fs::write(folder.join("scene.blend"), scene)?;
        Ok(Self {
            folder: folder.to_owned(),
            build: build.clone(),
        })
    }

    async fn pack(&self, remembering: bool) -> Result<Packed> {
        let options = PackOptions {
            maps: Vec::new(),
            file: self.folder.join("scene.blend"),
            frames: None,
            overrides: Overrides::default(),
            output: None,
            cwd: self.folder.clone(),
            builds: vec![self.build.clone()],
            log_dir: self.folder.join("logs"),
            cache_dir: remembering.then(|| self.folder.join("cache")),
            read_all: false,
            pack_textures: false,
            divide: tessera_client::Divide::Off,
            room: None,
        };
        pack(&options, |_| {})
            .await
            .with_context(|| format!("packing {}", self.folder.display()))
    }

    fn remove(self) -> Result<()> {
        Ok(fs::remove_dir_all(self.folder)?)
    }
}

/// A file of noise, another for every name; a .blend begins as one.
fn noise(path: &Path, bytes: u64) -> Result<()> {
    let name = path.as_os_str().as_encoded_bytes();
    let key = *Digest::of(name).as_bytes();
    let mut out = BufWriter::with_capacity(1 << 20, fs::File::create(path)?);
    let begin: &[u8] = match path.extension().is_some_and(|end| end == "blend") {
        true => b"BLENDER-v304",
        false => b"",
    };
    out.write_all(begin)?;
    std::io::copy(
        &mut Noise::new(key).take(bytes - begin.len() as u64),
        &mut out,
    )?;
    out.flush()?;
    Ok(())
}

/// Bytes that do not compress: a xorshift of 64 bits, multiplied.
struct Noise(u64);

impl Noise {
    fn new(key: [u8; 32]) -> Self {
        let (first, _) = key.split_first_chunk().expect("32 bytes");
        Self(u64::from_le_bytes(*first) | 1)
    }
}

impl Read for Noise {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        for part in buffer.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let bytes = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes();
            part.copy_from_slice(&bytes[..part.len()]);
        }
        Ok(buffer.len())
    }
}
