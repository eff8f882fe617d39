//! What both targets do: the ways that bytes of somebody else go through the crate.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tessera_merge::compare::files;
use tessera_merge::{
    Class, Display, MergeOptions, Missing, SampleRange, Slice, Window, merge, part_previews,
    previews, read_from,
};

/// A folder in memory where there is one, and how its pictures are shown.
pub struct Place {
    folder: TempDir,
    display: Display,
}

impl Place {
    /// Made once, before the first input. That a dependency panics is caught in the crate, as in the product, so the fuzzer's own hook, which
    /// ends the process, is replaced: only what panics here is a finding.
    #[must_use]
    pub fn new() -> Self {
        std::panic::set_hook(Box::new(|panic| {
            let file = panic.location().map_or("", |location| location.file());
            if !file.contains("/registry/src/") && !file.starts_with("/rustc/") {
                eprintln!("{panic}");
                std::process::abort();
            }
        }));
        let memory = Path::new("/dev/shm");
        let folder = match memory.is_dir() {
            true => tempfile::tempdir_in(memory),
            false => tempfile::tempdir(),
        };
        let folder = folder.expect("a folder for the files");
        let display = folder.path().join("display");
        fs::write(&display, grey()).expect("room for a small file");
        let display = Display::read(&display).expect("a sound table");
        Self { folder, display }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).expect("room for what is fuzzed");
        path
    }

    /// Reads a file in each way that there is: whole, to compare it, and by rows, for a preview of it and of a part of it.
    pub fn read(&self, bytes: &[u8]) {
        if let Ok(frame) = read_from("fuzzed", Cursor::new(bytes)) {
            for pass in frame.passes() {
                assert!(!frame.pass(pass.name).is_empty());
            }
            for channel in &frame.channels {
                assert_eq!(channel.samples.len(), channel.window.area());
            }
            let _ = frame.cryptomattes();
        }
        // Other formats are decoded by other crates, which are fuzzed by those who make them.
        if !bytes.starts_with(&[0x76, 0x2f, 0x31, 0x01]) {
            return;
        }
        let path = self.file("fuzzed.exr", bytes);
        let _ = previews(&path, Some(&self.display));
        let window = |width, height| Window {
            x: 0,
            y: 0,
            width,
            height,
        };
        let part = Slice {
            path,
            rendered: Some(window(16, 12)),
            kept: Some(Window {
                x: 3,
                y: 2,
                ..window(9, 7)
            }),
            samples: None,
        };
        let _ = part_previews(&[part], (16, 12), Some(&self.display));
    }

    /// Merges as a worker does that puts a frame together, or as one who looks at what there is of it, and compares what was
    /// merged.
    pub fn merge(&self, bytes: &[u8]) {
        let Some((options, slices)) = self.slices(bytes) else {
            return;
        };
        let output = self.folder.path().join("merged.exr");
        let merged = merge(&slices, &output, &options);
        if let (Ok(merged), Some(size)) = (merged, options.size) {
            assert_eq!((merged.frame.width, merged.frame.height), size);
            let frame = tessera_merge::read(&output).expect("what was written can be read");
            assert_eq!(frame.channels.len(), merged.channels);
            fs::remove_file(&output).expect("it is there");
        }
        if let [first, second, ..] = &slices[..] {
            let report = files(&first.path, &second.path).expect("both are there");
            let _ = report.to_string();
        }
    }

    /// Flags, columns, rows and samples of a frame; then, of each file, its window, its samples, how long it is, and the file itself. All
    /// numbers in two bytes, the lower one first.
    fn slices(&self, bytes: &[u8]) -> Option<(MergeOptions, Vec<Slice>)> {
        /// More files find nothing that few do not, and take longer.
        const SLICES_MAX: usize = 6;
        let mut rest = bytes;
        let [flags, width, height, samples] = numbers(&mut rest)?;
        let options = MergeOptions {
            size: Some((width.into(), height.into())),
            samples: Some(samples.into()),
            others: Some(Class::Average),
            missing: match flags & 1 {
                1 => Missing::Allowed,
                _ => Missing::Refused,
            },
            ..MergeOptions::default()
        };
        let mut slices = Vec::new();
        while let Some([x, y, width, height, offset, count, length]) = numbers(&mut rest)
            && slices.len() < SLICES_MAX
        {
            let (file, behind) = rest.split_at(usize::from(length).min(rest.len()));
            rest = behind;
            let window = Window {
                x: x.into(),
                y: y.into(),
                width: width.into(),
                height: height.into(),
            };
            slices.push(Slice {
                path: self.file(&format!("{}.exr", slices.len()), file),
                rendered: Some(window),
                kept: None,
                samples: (flags & 2 != 0).then_some(SampleRange {
                    offset: offset.into(),
                    count: count.into(),
                }),
            });
        }
        Some((options, slices))
    }
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

fn numbers<const N: usize>(bytes: &mut &[u8]) -> Option<[u16; N]> {
    let (head, rest) = bytes.split_at_checked(2 * N)?;
    *bytes = rest;
    let mut numbers = [0; N];
    for (number, pair) in numbers.iter_mut().zip(head.as_chunks::<2>().0) {
        *number = u16::from_le_bytes(*pair);
    }
    Some(numbers)
}

/// The smallest table of a display: light as it is.
fn grey() -> Vec<u8> {
    let mut table = b"tsrdisp1".to_vec();
    table.extend(3u32.to_le_bytes());
    table.extend(2u32.to_le_bytes());
    let corners = (0..8).flat_map(|at| [at & 1, at >> 1 & 1, at >> 2].map(|bit| bit as f32));
    let numbers = [-1.0, 1.0, 0.0, 0.5, 1.0].into_iter().chain(corners);
    table.extend(numbers.flat_map(f32::to_le_bytes));
    table
}
