//! Making a report that can be told again word for word.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tessera_blobs::{BlobRef, CutError, Origin};
use tessera_model::{
    Blob, FrameError, FrameErrorKind, FrameFile, FrameResult, LeaseKey, Previews, Timestamp,
    WorkerId,
};
use tessera_wire::blob::to_model;
use tessera_wire::link::LogStream;

use super::previews::PreviewFiles;
use super::{MadeFile, Outcome, Report, previews};
use crate::failure::Failure;
use crate::frame_dir::FrameDir;

/// What the manager is told of a frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Body {
    Done(Box<FrameResult>),
    Failed(Box<FrameError>),
}

/// As it lies in the frame's folder. Its first field is its version.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    version: u32,
    job_name: String,
    body: Body,
    /// Files below the folder whose bytes the body names, with those names.
    files: Vec<(PathBuf, Blob)>,
}

/// Of [`Record`]. One of another version is left by another program: it is dropped, and its frame rendered again.
const RECORD_VERSION: u32 = 1;

/// A report that waits for the manager.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub job_name: String,
    pub body: Body,
    /// Where the blocks of its files lie.
    pub origin: Arc<Origin>,
    /// Its files.
    pub roots: Vec<BlobRef>,
    folder: Option<FrameDir>,
}

impl Sealed {
    pub(crate) fn key(&self) -> LeaseKey {
        match &self.body {
            Body::Done(result) => result.lease,
            Body::Failed(error) => error.lease,
        }
    }

    pub(crate) fn position(&self) -> u32 {
        match &self.body {
            Body::Done(result) => result.position,
            Body::Failed(error) => error.position,
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.roots.iter().map(|root| root.size).sum()
    }

    /// Blocking.
    pub(crate) fn remove(&self) -> io::Result<()> {
        self.folder.as_ref().map_or(Ok(()), FrameDir::remove)
    }
}

/// Why a frame that was rendered can not be reported as such.
#[derive(Debug, thiserror::Error)]
enum SealError {
    #[error(transparent)]
    Cut(#[from] CutError),
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("Blender says it wrote {0}, which is not in the frame's folder")]
    Outside(PathBuf),
}

/// The files of one report, cut.
#[derive(Debug, Default)]
struct Cuts {
    origin: Origin,
    files: Vec<(PathBuf, Blob)>,
    roots: Vec<BlobRef>,
}

impl Cuts {
    fn add(&mut self, folder: &Path, path: &Path) -> Result<Blob, SealError> {
        let outside = || SealError::Outside(path.to_owned());
        let below = path.strip_prefix(folder).map_err(|_| outside())?;
        let cut = self.origin.add_file(path)?;
        let blob = to_model(&cut.blob);
        self.files.push((below.to_owned(), blob));
        self.roots.push(cut.blob);
        Ok(blob)
    }
}

/// Cuts and hashes a frame's files. A frame whose files cannot be read has failed. Blocking.
pub(super) fn seal(report: Report, worker: WorkerId) -> Sealed {
    let Report {
        key,
        job_name,
        frame,
        folder,
        outcome,
    } = report;
    let mut cuts = Cuts::default();
    let failure = match (outcome, &folder) {
        (Outcome::Failed(failure), _) => failure,
        (
            Outcome::Rendered {
                files: made,
                display,
                part_of,
                noisy,
                build,
                device,
                persistent,
                timings,
                notes,
            },
            Some(folder),
        ) => match cut_frame(&mut cuts, folder, &made) {
            Ok((files, stdout, stderr)) => {
                let made = previews::make(folder.path(), &made, part_of, display.as_deref());
                let previews = made.and_then(|made| cut_previews(&mut cuts, folder, &made));
                let result = FrameResult {
                    lease: key,
                    position: frame.position,
                    frame: frame.frame,
                    worker,
                    build,
                    device,
                    persistent,
                    files,
                    stdout,
                    stderr,
                    timings,
                    previews,
                    notes,
                    noisy,
                    at: Timestamp::default(),
                };
                let body = Body::Done(Box::new(result));
                return keep(job_name, body, cuts, Some(folder.clone()));
            }
            Err(error) => unreadable(&error),
        },
        (Outcome::Rendered { .. }, None) => Failure::new(
            FrameErrorKind::Worker,
            "a frame was rendered into no folder",
        ),
    };
    let mut cuts = Cuts::default();
    let logs = folder
        .as_ref()
        .and_then(|folder| cut_logs(&mut cuts, folder).ok());
    let error = FrameError {
        lease: key,
        position: frame.position,
        frame: frame.frame,
        worker,
        kind: failure.kind,
        message: failure.message,
        stdout: logs.map(|(stdout, _)| stdout),
        stderr: logs.map(|(_, stderr)| stderr),
        at: Timestamp::default(),
    };
    keep(job_name, Body::Failed(Box::new(error)), cuts, folder)
}

fn unreadable(error: &SealError) -> Failure {
    match error {
        SealError::Io(error) => Failure::of_io("read the rendered frame", error),
        SealError::Cut(_) | SealError::Outside(_) => {
            let message = format!("cannot read the rendered frame: {error}");
            Failure::new(FrameErrorKind::Worker, message)
        }
    }
}

fn cut_frame(
    cuts: &mut Cuts,
    folder: &FrameDir,
    files: &[MadeFile],
) -> Result<(Vec<FrameFile>, Blob, Blob), SealError> {
    let mut cut = Vec::with_capacity(files.len());
    for file in files {
        cut.push(FrameFile {
            role: file.role.clone(),
            name: file.name.clone(),
            blob: cuts.add(folder.path(), &file.path)?,
        });
    }
    let (stdout, stderr) = cut_logs(cuts, folder)?;
    Ok((cut, stdout, stderr))
}

/// Cuts previews. None where that fails: the frame is worth delivering without.
fn cut_previews(cuts: &mut Cuts, folder: &FrameDir, made: &PreviewFiles) -> Option<Previews> {
    let mut cut = |path: &Path| match cuts.add(folder.path(), path) {
        Ok(blob) => Some(blob),
        Err(error) => {
            tracing::warn!("a preview cannot be delivered: {error}");
            None
        }
    };
    Some(Previews {
        thumbnail: cut(&made.thumbnail)?,
        preview: cut(&made.preview)?,
    })
}

fn cut_logs(cuts: &mut Cuts, folder: &FrameDir) -> Result<(Blob, Blob), SealError> {
    let stdout = folder.join_log(LogStream::Stdout)?;
    let stderr = folder.join_log(LogStream::Stderr)?;
    Ok((
        cuts.add(folder.path(), &stdout)?,
        cuts.add(folder.path(), &stderr)?,
    ))
}

/// Writes the report into its folder. One that cannot be written is delivered all the same, by this process.
fn keep(job_name: String, body: Body, cuts: Cuts, folder: Option<FrameDir>) -> Sealed {
    let record = Record {
        version: RECORD_VERSION,
        job_name,
        body,
        files: cuts.files,
    };
    if let Some(folder) = &folder
        && let Err(error) = write_record(folder, &record)
    {
        let path = folder.report();
        tracing::warn!(path = %path.display(), "cannot keep a report for a restart: {error}");
    }
    Sealed {
        job_name: record.job_name,
        body: record.body,
        origin: Arc::new(cuts.origin),
        roots: cuts.roots,
        folder,
    }
}

fn write_record(folder: &FrameDir, record: &Record) -> io::Result<()> {
    let text = serde_json::to_vec(record).map_err(io::Error::other)?;
    let path = folder.report();
    let part = path.with_extension("part");
    std::fs::write(&part, text)?;
    std::fs::rename(part, path)
}

/// The report that a former run left in a folder, if every file still is what was hashed then; else the folder is
/// removed, since its frame will be rendered again. Blocking.
pub(crate) fn restore(folder: FrameDir, worker: WorkerId) -> Option<Sealed> {
    let restored = read_record(&folder).and_then(|record| reseal(record, &folder, worker));
    match restored {
        Ok(sealed) => Some(sealed),
        Err(why) => {
            tracing::debug!(path = %folder.path().display(), "not a frame to report: {why}");
            if let Err(error) = folder.remove() {
                tracing::warn!(path = %folder.path().display(), "cannot remove a frame's folder: {error}");
            }
            None
        }
    }
}

fn read_record(folder: &FrameDir) -> Result<Record, String> {
    let text = std::fs::read(folder.report()).map_err(|error| error.to_string())?;
    let record: Record = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    match record.version {
        RECORD_VERSION => Ok(record),
        other => Err(format!("its report is of version {other}")),
    }
}

fn reseal(record: Record, folder: &FrameDir, worker: WorkerId) -> Result<Sealed, String> {
    let by = match &record.body {
        Body::Done(result) => result.worker,
        Body::Failed(error) => error.worker,
    };
    if by != worker {
        return Err(format!("it is of worker {by}"));
    }
    let mut cuts = Cuts::default();
    for (path, blob) in &record.files {
        let cut = cuts.add(folder.path(), &folder.path().join(path));
        if cut.map_err(|error| error.to_string())? != *blob {
            return Err(format!("{} has changed", path.display()));
        }
    }
    Ok(Sealed {
        job_name: record.job_name,
        body: record.body,
        origin: Arc::new(cuts.origin),
        roots: cuts.roots,
        folder: Some(folder.clone()),
    })
}
