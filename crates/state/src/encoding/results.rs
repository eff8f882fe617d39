//! Results, packed: one row holds those of up to [`FRAMES_PER_PAGE`](crate::FRAMES_PER_PAGE) frames.
//!
//! The bytes are one version byte, the CRC-32 of the rest in little-endian order, then the page in `postcard`, a compact
//! format with a fixed specification. A frame of two files is about 190 bytes on disk, of which 96 are digests,
//! against 900 as JSON; a million of them are 186 MB, and previews add 80 bytes to each. What is the same for many frames (build, device, the blob of an empty
//! stderr) is written once a page. General compression would gain little more, since digests do not compress. A result
//! not packed yet is a page of one, in the same bytes.
//!
//! The checksum is there because SQLite has none: in JSON a flipped bit mostly shows, in a digest it never would.
//!
//! The types here mirror the model's on purpose: the model may change its shape, what is on disk may not.

use std::collections::HashMap;
use std::hash::Hash;

use serde::{Deserialize, Serialize};
use tessera_model::{
    Attempt, BlenderVersion, Blob, Build, BuildKind, FileRole, FrameFile, FrameResult, JobId,
    LeaseKey, Previews, ResultTimings, Slice, StepIndex, Timestamp, UnitId, Window, WorkerId,
};

use super::Unreadable;

/// Written. 1, which has no notes, and 2, which has no previews, are read as well.
const VERSION: u8 = 3;

/// Bytes before the page: version and checksum.
const HEADER: usize = 5;

#[derive(Serialize, Deserialize)]
struct PageV1 {
    builds: Vec<BuildV1>,
    devices: Vec<String>,
    blobs: Vec<BlobV1>,
    frames: Vec<FrameV1>,
}

#[derive(Serialize, Deserialize)]
struct PageV2 {
    builds: Vec<BuildV1>,
    devices: Vec<String>,
    blobs: Vec<BlobV1>,
    notes: Vec<String>,
    frames: Vec<FrameV2>,
}

#[derive(Serialize, Deserialize)]
struct PageV3 {
    builds: Vec<BuildV1>,
    devices: Vec<String>,
    blobs: Vec<BlobV1>,
    notes: Vec<String>,
    frames: Vec<FrameV3>,
}

impl From<PageV2> for PageV3 {
    fn from(page: PageV2) -> Self {
        let frame = |second| FrameV3 {
            second,
            previews: None,
        };
        Self {
            builds: page.builds,
            devices: page.devices,
            blobs: page.blobs,
            notes: page.notes,
            frames: page.frames.into_iter().map(frame).collect(),
        }
    }
}

impl From<PageV1> for PageV2 {
    fn from(page: PageV1) -> Self {
        let frame = |first| FrameV2 {
            first,
            notes: Vec::new(),
        };
        Self {
            builds: page.builds,
            devices: page.devices,
            blobs: page.blobs,
            notes: Vec::new(),
            frames: page.frames.into_iter().map(frame).collect(),
        }
    }
}

/// `notes` are places in the page's list.
#[derive(Serialize, Deserialize)]
struct FrameV2 {
    first: FrameV1,
    notes: Vec<u32>,
}

/// `previews` are places in the page's list of blobs: the thumbnail's, the preview's.
#[derive(Serialize, Deserialize)]
struct FrameV3 {
    second: FrameV2,
    previews: Option<(u32, u32)>,
}

#[derive(Serialize, Deserialize)]
struct BuildV1 {
    version: (u16, u16, u16),
    hash: String,
    module: bool,
}

#[derive(Serialize, Deserialize)]
struct BlobV1 {
    digest: [u8; 32],
    size: u64,
    depth: u8,
}

/// `build`, `device` and the blobs are places in the page's lists.
#[derive(Serialize, Deserialize)]
struct FrameV1 {
    position: u32,
    frame: i32,
    unit: u32,
    attempt: u32,
    worker: u32,
    build: u32,
    device: u32,
    persistent: bool,
    files: Vec<FileV1>,
    stdout: u32,
    stderr: u32,
    timings_us: [u64; 6],
    at_ms: i64,
}

#[derive(Serialize, Deserialize)]
struct FileV1 {
    role: RoleV1,
    name: String,
    blob: u32,
}

#[derive(Serialize, Deserialize)]
enum RoleV1 {
    Main,
    View(String),
    Node(u32),
    /// Kept and rendered windows (column, row, columns, rows); first sample and the one after the last.
    Slice([u32; 4], [u32; 4], Option<(u32, u32)>),
}

/// A list in which each value stands once.
struct Distinct<T> {
    values: Vec<T>,
    places: HashMap<T, u32>,
}

impl<T: Clone + Eq + Hash> Distinct<T> {
    fn new() -> Self {
        Self {
            values: Vec::new(),
            places: HashMap::new(),
        }
    }

    fn place(&mut self, value: &T) -> u32 {
        if let Some(&place) = self.places.get(value) {
            return place;
        }
        let place = self.values.len() as u32;
        self.values.push(value.clone());
        self.places.insert(value.clone(), place);
        place
    }
}

/// The lists of a page in the making.
struct Lists {
    builds: Distinct<Build>,
    devices: Distinct<String>,
    blobs: Distinct<Blob>,
    notes: Distinct<String>,
}

/// The bytes of `results`, all of one step.
pub(crate) fn encode_results<'a>(results: impl IntoIterator<Item = &'a FrameResult>) -> Vec<u8> {
    let mut lists = Lists {
        builds: Distinct::new(),
        devices: Distinct::new(),
        blobs: Distinct::new(),
        notes: Distinct::new(),
    };
    let frames = results
        .into_iter()
        .map(|result| FrameV3 {
            second: FrameV2 {
                first: write_frame(result, &mut lists),
                notes: result
                    .notes
                    .iter()
                    .map(|note| lists.notes.place(note))
                    .collect(),
            },
            previews: result.previews.map(|previews| {
                let Previews { thumbnail, preview } = previews;
                (lists.blobs.place(&thumbnail), lists.blobs.place(&preview))
            }),
        })
        .collect();
    let page = PageV3 {
        builds: lists.builds.values.into_iter().map(write_build).collect(),
        devices: lists.devices.values,
        blobs: lists.blobs.values.into_iter().map(write_blob).collect(),
        notes: lists.notes.values,
        frames,
    };
    let room_for_checksum = vec![VERSION, 0, 0, 0, 0];
    let mut bytes = postcard::to_extend(&page, room_for_checksum)
        .expect("a growing buffer takes every plain value");
    let checksum = crc32fast::hash(&bytes[HEADER..]);
    bytes[1..HEADER].copy_from_slice(&checksum.to_le_bytes());
    bytes
}

fn write_frame(result: &FrameResult, lists: &mut Lists) -> FrameV1 {
    let timings = result.timings;
    FrameV1 {
        position: result.position,
        frame: result.frame,
        unit: result.lease.unit.index,
        attempt: result.lease.attempt.0,
        worker: result.worker.0,
        build: lists.builds.place(&result.build),
        device: lists.devices.place(&result.device),
        persistent: result.persistent,
        files: result
            .files
            .iter()
            .map(|file| FileV1 {
                role: write_role(&file.role),
                name: file.name.clone(),
                blob: lists.blobs.place(&file.blob),
            })
            .collect(),
        stdout: lists.blobs.place(&result.stdout),
        stderr: lists.blobs.place(&result.stderr),
        timings_us: [
            timings.transfer_us,
            timings.load_us,
            timings.sync_us,
            timings.render_us,
            timings.write_us,
            timings.idle_us,
        ],
        at_ms: result.at.0,
    }
}

fn write_build(build: Build) -> BuildV1 {
    let BlenderVersion {
        major,
        minor,
        patch,
    } = build.version;
    BuildV1 {
        version: (major, minor, patch),
        hash: build.hash,
        module: build.kind == BuildKind::Module,
    }
}

fn write_blob(blob: Blob) -> BlobV1 {
    BlobV1 {
        digest: blob.digest,
        size: blob.size,
        depth: blob.depth,
    }
}

fn write_role(role: &FileRole) -> RoleV1 {
    match role {
        FileRole::Main => RoleV1::Main,
        FileRole::View(name) => RoleV1::View(name.clone()),
        FileRole::Node(node) => RoleV1::Node(*node),
        FileRole::Slice { slice, rendered } => RoleV1::Slice(
            write_window(slice.window),
            write_window(*rendered),
            slice
                .samples
                .as_ref()
                .map(|samples| (samples.start, samples.end)),
        ),
    }
}

/// The results of `bytes`, of step `step` of job `job`, in the order they were written.
pub(crate) fn decode_results(
    job: JobId,
    step: StepIndex,
    bytes: &[u8],
) -> Result<Vec<FrameResult>, Unreadable> {
    read(job, step, bytes).map_err(|why| Unreadable {
        what: format!("results of job {job}, step {}", step.0),
        why,
    })
}

fn read(job: JobId, step: StepIndex, bytes: &[u8]) -> Result<Vec<FrameResult>, String> {
    let page = unwrap(bytes)?;
    let builds: Vec<Build> = page.builds.into_iter().map(read_build).collect();
    let blobs: Vec<Blob> = page
        .blobs
        .into_iter()
        .map(|blob| Blob {
            digest: blob.digest,
            size: blob.size,
            depth: blob.depth,
        })
        .collect();
    let blob = |place| listed(&blobs, place).copied();
    page.frames
        .into_iter()
        .map(
            |FrameV3 {
                 second:
                     FrameV2 {
                         first: frame,
                         notes,
                     },
                 previews,
             }| {
                Ok(FrameResult {
                    lease: LeaseKey {
                        unit: UnitId {
                            job,
                            step,
                            index: frame.unit,
                        },
                        attempt: Attempt(frame.attempt),
                    },
                    position: frame.position,
                    frame: frame.frame,
                    worker: WorkerId(frame.worker),
                    build: listed(&builds, frame.build)?.clone(),
                    device: listed(&page.devices, frame.device)?.clone(),
                    persistent: frame.persistent,
                    files: frame
                        .files
                        .into_iter()
                        .map(|file| {
                            Ok(FrameFile {
                                role: read_role(file.role),
                                name: file.name,
                                blob: blob(file.blob)?,
                            })
                        })
                        .collect::<Result<_, String>>()?,
                    stdout: blob(frame.stdout)?,
                    stderr: blob(frame.stderr)?,
                    timings: read_timings(frame.timings_us),
                    previews: previews
                        .map(|(thumbnail, preview)| {
                            Ok::<_, String>(Previews {
                                thumbnail: blob(thumbnail)?,
                                preview: blob(preview)?,
                            })
                        })
                        .transpose()?,
                    notes: notes
                        .into_iter()
                        .map(|place| listed(&page.notes, place).cloned())
                        .collect::<Result<_, String>>()?,
                    // What followed from it is in the steps of its job.
                    noisy: Vec::new(),
                    at: Timestamp(frame.at_ms),
                })
            },
        )
        .collect()
}

fn unwrap(bytes: &[u8]) -> Result<PageV3, String> {
    let (&version, rest) = bytes.split_first().ok_or("they are empty")?;
    if !(1..=VERSION).contains(&version) {
        return Err(format!("their encoding has the unknown version {version}"));
    }
    let (checksum, rest) = rest.split_first_chunk().ok_or("they are cut off")?;
    if crc32fast::hash(rest) != u32::from_le_bytes(*checksum) {
        return Err("their checksum does not fit".into());
    }
    let page_and_rest = match version {
        1 => postcard::take_from_bytes::<PageV1>(rest)
            .map(|(page, rest)| (PageV2::from(page).into(), rest)),
        2 => postcard::take_from_bytes::<PageV2>(rest).map(|(page, rest)| (page.into(), rest)),
        _ => postcard::take_from_bytes(rest),
    };
    let (page, rest) = page_and_rest.map_err(|error| error.to_string())?;
    if !rest.is_empty() {
        return Err(format!("{} bytes too many", rest.len()));
    }
    Ok(page)
}

fn listed<T>(list: &[T], place: u32) -> Result<&T, String> {
    list.get(place as usize)
        .ok_or_else(|| format!("place {place} of a list of {}", list.len()))
}

fn read_build(build: BuildV1) -> Build {
    let (major, minor, patch) = build.version;
    Build {
        version: BlenderVersion {
            major,
            minor,
            patch,
        },
        hash: build.hash,
        kind: if build.module {
            BuildKind::Module
        } else {
            BuildKind::Executable
        },
    }
}

fn write_window(window: Window) -> [u32; 4] {
    [window.x, window.y, window.width, window.height]
}

fn read_window([x, y, width, height]: [u32; 4]) -> Window {
    Window {
        x,
        y,
        width,
        height,
    }
}

fn read_role(role: RoleV1) -> FileRole {
    match role {
        RoleV1::Main => FileRole::Main,
        RoleV1::View(name) => FileRole::View(name),
        RoleV1::Node(node) => FileRole::Node(node),
        RoleV1::Slice(kept, rendered, samples) => FileRole::Slice {
            slice: Slice {
                window: read_window(kept),
                samples: samples.map(|(start, end)| start..end),
            },
            rendered: read_window(rendered),
        },
    }
}

fn read_timings(timings_us: [u64; 6]) -> ResultTimings {
    let [transfer_us, load_us, sync_us, render_us, write_us, idle_us] = timings_us;
    ResultTimings {
        transfer_us,
        load_us,
        sync_us,
        render_us,
        write_us,
        idle_us,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(position: u32) -> FrameResult {
        let blob = |salt: u8| Blob {
            digest: std::array::from_fn(|i| (i as u8).wrapping_mul(salt) ^ position as u8),
            size: u64::from(position) << 20,
            depth: salt % 3,
        };
        FrameResult {
            lease: LeaseKey {
                unit: UnitId {
                    job: JobId(7),
                    step: StepIndex(2),
                    index: position / 4,
                },
                attempt: Attempt(3),
            },
            position,
            frame: position as i32 - 10,
            worker: WorkerId(position % 3),
            build: Build {
                version: BlenderVersion {
                    major: 3,
                    minor: 4,
                    patch: (position % 2) as u16,
                },
                hash: "abc".into(),
                kind: [BuildKind::Executable, BuildKind::Module][position as usize % 2],
            },
            device: "CPU".into(),
            persistent: position.is_multiple_of(2),
            files: vec![
                FrameFile {
                    role: FileRole::Main,
                    name: format!("{position:04}.png"),
                    blob: blob(3),
                },
                FrameFile {
                    role: FileRole::View("left".into()),
                    name: format!("{position:04}_L.png"),
                    blob: blob(5),
                },
                FrameFile {
                    role: FileRole::Node(1),
                    name: "a/b.exr".into(),
                    blob: blob(7),
                },
            ],
            stdout: blob(9),
            stderr: Blob {
                digest: [9; 32],
                size: 0,
                depth: 0,
            },
            timings: ResultTimings {
                transfer_us: 1,
                load_us: 2,
                sync_us: 3,
                render_us: 4,
                write_us: 5,
                idle_us: u64::MAX,
            },
            previews: position.is_multiple_of(2).then(|| Previews {
                thumbnail: blob(11),
                preview: blob(13),
            }),
            notes: (0..position % 3)
                .map(|note| format!("note {note}"))
                .collect(),
            noisy: Vec::new(),
            at: Timestamp(-5),
        }
    }

    #[test]
    fn parts_of_frames_read_back() {
        let parts = [None, Some(8..32)].map(|samples| {
            let mut result = sample(1);
            result.files[0].role = FileRole::Slice {
                slice: Slice {
                    window: read_window([1, 2, 3, 4]),
                    samples,
                },
                rendered: read_window([0, 1, 5, 6]),
            };
            result
        });
        let bytes = encode_results(&parts);
        let read = decode_results(JobId(7), StepIndex(2), &bytes);
        assert_eq!(read, Ok(parts.to_vec()));
    }

    #[test]
    fn results_read_back() {
        let results: Vec<_> = (0..256).map(sample).collect();
        let bytes = encode_results(&results);
        assert_eq!(decode_results(JobId(7), StepIndex(2), &bytes), Ok(results));
        assert!(bytes.len() < 256 * 290, "{} bytes", bytes.len());
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let bytes = encode_results(&[sample(1), sample(2)]);
        for cut in 0..bytes.len() {
            assert!(decode_results(JobId(7), StepIndex(2), &bytes[..cut]).is_err());
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x80;
            assert!(decode_results(JobId(7), StepIndex(2), &damaged).is_err());
            // As a program with a fault would write it: the checksum fits, the content need not.
            if at >= HEADER {
                let checksum = crc32fast::hash(&damaged[HEADER..]);
                damaged[1..HEADER].copy_from_slice(&checksum.to_le_bytes());
                let _ = decode_results(JobId(7), StepIndex(2), &damaged);
            }
        }
        let mut longer = bytes;
        longer.push(0);
        assert!(decode_results(JobId(7), StepIndex(2), &longer).is_err());
    }
}
