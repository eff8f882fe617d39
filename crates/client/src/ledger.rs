//! Which frames of a render are in their place, so that the same command again renders only what is missing.
//!
//! One file of JSON lines for each (manifest, settings, output): a frame, its files, and what each holds. A frame counts as present
//! only if every file holds exactly that now, and if it was made of what it would be made of now. Lines are only added; the last
//! one of a frame counts, one cut off by a crash does not.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tessera_blobs::{BlobRef, BoxError, write_file};
use tessera_model::{Build, FrameSet, JobId, Overrides};

use crate::fetch::Fetched;
use crate::folders::Folders;
use crate::inputs::FrameInputs;
use crate::output::{NodeFolder, OutputPlan};

/// Longest line that is read; a frame of thousands of files stays below.
const LINE_MAX_BYTES: u64 = 4 << 20;

/// Threads that read frames at once: enough to keep a fast disk or a file server busy.
const READERS_MAX: usize = 8;

/// Ledgers not used for this long are removed when another one is opened: what they knew costs one render to find out again.
const FORGOTTEN_AFTER: std::time::Duration = std::time::Duration::from_secs(180 * 24 * 3600);

/// Ledgers looked at for removal each time.
const SWEEP_MAX: usize = 10_000;

/// Names what a ledger is about: the bytes of the scene that all frames need, what the job changes of it, where the frames go.
/// Not which frames, unless their order matters: then a frame is another one if the render begins elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LedgerKey([u8; 32]);

impl fmt::Display for LedgerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl LedgerKey {
    /// The key of rendering `main_file` of a tree with these changes to this place, `tree` being what all frames need; frames that depend on their order are
    /// named by all of them, `in_order`, and those with room for more samples, which others than these are the first of, by the `room`.
    #[must_use]
    pub fn of(
        tree: &BlobRef,
        main_file: &str,
        overrides: &Overrides,
        plan: &OutputPlan,
        in_order: Option<&FrameSet>,
        room: Option<u32>,
    ) -> Self {
        // The file names of nodes follow from the tree.
        let nodes: Vec<_> = plan
            .nodes
            .iter()
            .map(|node| NodeFolder {
                slots: Vec::new(),
                ..node.clone()
            })
            .collect();
        let parts = (
            tree.to_string(),
            main_file,
            overrides,
            &plan.directory,
            &plan.names,
            nodes,
            in_order,
        );
        let mut bytes = serde_json::to_vec(&parts)
            .expect("paths of a plan came out of text and can be text again");
        bytes.extend(room.into_iter().flat_map(u32::to_le_bytes));
        Self(*tessera_blobs::Digest::of(&bytes).as_bytes())
    }
}

/// A ledger that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{} cannot be {action} ({source}), so this render could not be taken up again later: check permissions and disk", path.display())]
pub struct LedgerError {
    path: PathBuf,
    action: &'static str,
    source: io::Error,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Entry {
    Frame {
        frame: i32,
        files: BTreeMap<PathBuf, String>,
        /// The Blender that rendered it; older programs did not note it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        build: Option<Build>,
        /// What it was made of besides what all frames are made of, if of anything.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        inputs: Option<String>,
    },
    Job {
        job: JobId,
    },
}

/// What is known of a frame.
#[derive(Debug, Clone)]
struct Recorded {
    files: BTreeMap<PathBuf, String>,
    build: Option<Build>,
    inputs: Option<String>,
}

/// The ledger of one render.
#[derive(Debug)]
pub struct Ledger {
    inputs: FrameInputs,
    path: PathBuf,
    file: File,
    frames: BTreeMap<i32, Recorded>,
    job: Option<JobId>,
}

impl Ledger {
    /// Opens the ledger of a key; made if there is none. `inputs` is what single frames are made of now.
    ///
    /// # Errors
    /// If it cannot be read or made.
    pub fn open(
        folders: &Folders,
        key: &LedgerKey,
        inputs: FrameInputs,
    ) -> Result<Self, LedgerError> {
        let folder = folders.data.join("renders");
        let path = folder.join(format!("{key}.jsonl"));
        let failed = |action| {
            let path = path.clone();
            move |source| LedgerError {
                path,
                action,
                source,
            }
        };
        fs::create_dir_all(&folder).map_err(failed("made"))?;
        sweep(&folder);
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(failed("opened"))?;
        let mut ledger = Self {
            inputs,
            path: path.clone(),
            file: file.try_clone().map_err(failed("opened"))?,
            frames: BTreeMap::new(),
            job: None,
        };
        ledger.read(&mut file).map_err(failed("read"))?;
        // Being asked is being used; if that cannot be noted, the worst is one render too many in half a year.
        let _ = file.set_modified(std::time::SystemTime::now());
        Ok(ledger)
    }

    fn read(&mut self, file: &mut File) -> io::Result<()> {
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        let mut ended = true;
        loop {
            line.clear();
            if reader
                .by_ref()
                .take(LINE_MAX_BYTES)
                .read_until(b'\n', &mut line)?
                == 0
            {
                break;
            }
            ended = line.ends_with(b"\n");
            match serde_json::from_slice(&line) {
                Ok(Entry::Frame {
                    frame,
                    files,
                    build,
                    inputs,
                }) => {
                    let recorded = Recorded {
                        files,
                        build,
                        inputs,
                    };
                    self.frames.insert(frame, recorded);
                }
                Ok(Entry::Job { job }) => self.job = Some(job),
                // A line cut off by a crash, or of a newer program: what it said is found out again.
                Err(error) => {
                    tracing::debug!(%error, "a line of {} is passed over", self.path.display())
                }
            }
        }
        if !ended {
            self.file.write_all(b"\n")?;
        }
        Ok(())
    }

    fn add(&mut self, entry: &Entry) -> Result<(), LedgerError> {
        let mut line = serde_json::to_vec(entry)
            .expect("paths of a plan came out of text and can be text again");
        line.push(b'\n');
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        written.map_err(|source| LedgerError {
            path: self.path.clone(),
            action: "written",
            source,
        })
    }

    /// Records a frame that is in its place.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn record(&mut self, fetched: &Fetched) -> Result<(), LedgerError> {
        let files: BTreeMap<_, _> = fetched
            .files
            .iter()
            .map(|file| (file.path.clone(), file.blob.to_string()))
            .collect();
        let recorded = Recorded {
            files,
            build: Some(fetched.build.clone()),
            inputs: self.inputs_of(fetched.frame),
        };
        let Recorded {
            files,
            build,
            inputs,
        } = recorded.clone();
        self.add(&Entry::Frame {
            frame: fetched.frame,
            files,
            build,
            inputs,
        })?;
        self.frames.insert(fetched.frame, recorded);
        Ok(())
    }

    fn inputs_of(&self, frame: i32) -> Option<String> {
        self.inputs.of_frame(frame).map(ToString::to_string)
    }

    /// The job that rendered last for this ledger. Its number may be another job's on another farm: compare what it renders.
    #[must_use]
    pub fn job(&self) -> Option<JobId> {
        self.job
    }

    /// Records the job that renders now.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_job(&mut self, job: JobId) -> Result<(), LedgerError> {
        self.add(&Entry::Job { job })?;
        self.job = Some(job);
        Ok(())
    }

    /// The Blender that rendered a frame, if that was noted.
    #[must_use]
    pub fn build_of(&self, frame: i32) -> Option<&Build> {
        self.frames.get(&frame)?.build.as_ref()
    }

    /// Those of `frames` whose files hold exactly what was recorded and that would be made of the same files now, in the order
    /// of `frames`. Reads every one of them, with several threads: call it on a blocking thread.
    #[must_use]
    pub fn present(&self, frames: &FrameSet) -> Vec<i32> {
        let recorded: Vec<_> = frames
            .iter()
            .filter_map(|frame| self.frames.get(&frame).map(|known| (frame, known)))
            .filter(|(frame, known)| known.inputs == self.inputs_of(*frame))
            .map(|(frame, known)| (frame, &known.files))
            .collect();
        let threads = std::thread::available_parallelism()
            .map_or(1, usize::from)
            .min(READERS_MAX);
        let complete = |files: &BTreeMap<PathBuf, String>| {
            !files.is_empty() && files.iter().all(|(path, blob)| holds(path, blob))
        };
        std::thread::scope(|scope| {
            let look = |part: &[(i32, &BTreeMap<PathBuf, String>)]| {
                part.iter()
                    .filter(|(_, files)| complete(files))
                    .map(|(frame, _)| *frame)
                    .collect::<Vec<_>>()
            };
            let parts = recorded
                .chunks(recorded.len().div_ceil(threads).max(1))
                .map(|part| scope.spawn(move || look(part)));
            let parts: Vec<_> = parts.collect();
            // A thread that failed has found nothing: its frames are rendered again.
            parts
                .into_iter()
                .flat_map(|part| part.join().unwrap_or_default())
                .collect()
        })
    }
}

/// Whether a file holds what `blob` names. Its size is looked at first, so a wrong one is seldom read.
fn holds(path: &Path, blob: &str) -> bool {
    let Ok(blob) = blob.parse::<BlobRef>() else {
        return false;
    };
    if !fs::symlink_metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() == blob.size) {
        return false;
    }
    let cut = write_file(path, |_| Ok::<_, BoxError>(()));
    cut.is_ok_and(|cut| cut.blob == blob)
}

/// Removes ledgers that nobody used for long. What cannot be removed is left alone.
fn sweep(folder: &Path) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten().take(SWEEP_MAX) {
        let used = entry.metadata().and_then(|facts| facts.modified());
        if used.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > FORGOTTEN_AFTER)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::FetchedFile;
    use tessera_blobs::{Content, TreePath, write_bytes};
    use tessera_model::{BuildKind, FileRole, StepIndex};

    fn frame(dir: &Path, frame: i32, contents: &[u8]) -> Fetched {
        let path = dir.join(format!("{frame}.png"));
        fs::write(&path, contents).unwrap();
        let Ok(blob) = write_bytes(contents, Content::Other, |_| {
            Ok::<_, std::convert::Infallible>(())
        });
        Fetched {
            step: StepIndex(0),
            position: 0,
            frame,
            build: build("3.4.1", "h"),
            files: vec![FetchedFile {
                path,
                blob,
                role: FileRole::Main,
            }],
            warnings: Vec::new(),
        }
    }

    fn build(version: &str, hash: &str) -> Build {
        Build {
            version: version.parse().unwrap(),
            hash: hash.into(),
            kind: BuildKind::Executable,
        }
    }

    #[test]
    fn the_build_of_a_frame_is_remembered() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::at(home.path());
        let key = LedgerKey([7; 32]);
        let mut ledger = Ledger::open(&folders, &key, FrameInputs::default()).unwrap();
        ledger.record(&frame(home.path(), 1, b"one")).unwrap();
        let mut other = frame(home.path(), 2, b"two");
        other.build = build("3.4.1", "other");
        ledger.record(&other).unwrap();
        // As older programs wrote it.
        let old = serde_json::to_string(&ledger.frames[&1].files).unwrap();
        let line = format!("{{\"type\":\"frame\",\"frame\":3,\"files\":{old}}}\n");
        ledger.file.write_all(line.as_bytes()).unwrap();
        let ledger = Ledger::open(&folders, &key, FrameInputs::default()).unwrap();
        assert_eq!(ledger.present(&"1..3".parse().unwrap()), [1, 2, 3]);
        assert_eq!(ledger.build_of(1), Some(&build("3.4.1", "h")));
        assert_eq!(ledger.build_of(2), Some(&build("3.4.1", "other")));
        assert_eq!(ledger.build_of(3), None);
    }

    #[test]
    fn only_what_is_recorded_and_unchanged_is_present() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::at(home.path());
        let key = LedgerKey([7; 32]);
        let frames = "1..6".parse().unwrap();
        let mut ledger = Ledger::open(&folders, &key, FrameInputs::default()).unwrap();
        for number in 1..=5 {
            ledger
                .record(&frame(home.path(), number, &vec![number as u8; 3_000_000]))
                .unwrap();
        }
        ledger.set_job(JobId(3)).unwrap();
        fs::remove_file(home.path().join("2.png")).unwrap();
        fs::write(home.path().join("3.png"), vec![9; 3_000_000]).unwrap();
        fs::write(home.path().join("4.png"), "short").unwrap();
        fs::write(home.path().join("6.png"), "never recorded").unwrap();
        // Cut off in the middle of a line, as by a crash.
        let path = ledger.path.clone();
        drop(ledger);
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(br#"{"type":"frame","frame":6,"fi"#)
            .unwrap();
        let mut ledger = Ledger::open(&folders, &key, FrameInputs::default()).unwrap();
        assert_eq!(ledger.present(&frames), [1, 5]);
        assert_eq!(ledger.job(), Some(JobId(3)));
        ledger.record(&frame(home.path(), 3, b"new")).unwrap();
        let again = Ledger::open(&folders, &key, FrameInputs::default()).unwrap();
        assert_eq!(again.present(&frames), [1, 3, 5]);
        assert_eq!(
            Ledger::open(&folders, &LedgerKey([8; 32]), FrameInputs::default())
                .unwrap()
                .present(&frames),
            [0; 0]
        );
    }

    #[test]
    fn a_frame_made_of_other_files_is_not_present() {
        let home = tempfile::tempdir().unwrap();
        let folders = Folders::at(home.path());
        let key = LedgerKey([7; 32]);
        let paths = ["f1", "f2", "f3"].map(|name| TreePath::new(name).unwrap());
        let sets: [FrameSet; 3] = ["1,2", "2,3", "3"].map(|text| text.parse().unwrap());
        let blob = |contents: &[u8]| {
            let Ok(blob) = write_bytes(contents, Content::Other, |_| {
                Ok::<_, std::convert::Infallible>(())
            });
            blob
        };
        let inputs = |count: usize, contents: [&[u8]; 3]| {
            let blobs = contents.map(blob);
            let files = paths.iter().zip(&blobs).zip(&sets).take(count);
            FrameInputs::of(files.map(|((path, blob), frames)| (path, blob, frames)))
        };
        let asked = "1..4".parse().unwrap();
        let one = inputs(1, [b"1", b"2", b"3"]);
        let mut ledger = Ledger::open(&folders, &key, one).unwrap();
        for number in [1, 4] {
            ledger
                .record(&frame(home.path(), number, b"rendered"))
                .unwrap();
        }
        // More frames bring more files, and change nothing of those that are there.
        let all = inputs(3, [b"1", b"2", b"3"]);
        let mut ledger = Ledger::open(&folders, &key, all).unwrap();
        assert_eq!(ledger.present(&asked), [1, 4]);
        for number in [2, 3] {
            ledger
                .record(&frame(home.path(), number, b"rendered"))
                .unwrap();
        }
        assert_eq!(ledger.present(&asked), [1, 2, 3, 4]);
        let changed = inputs(3, [b"1", b"2", b"new"]);
        let ledger = Ledger::open(&folders, &key, changed).unwrap();
        assert_eq!(ledger.present(&asked), [1, 2, 4]);
    }
}
