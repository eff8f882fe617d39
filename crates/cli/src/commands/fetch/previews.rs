//! `tessera fetch --previews`: small pictures of what is there, for a look before anything large is brought.

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use tessera_client::Api;
use tessera_model::{FrameResult, JobId};
use tessera_wire::api::PreviewSize;
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::FetchFlags;
use crate::growing::Growing;
use crate::units;

/// Results in one answer.
const PAGE: u32 = 1000;

/// Previews fetched at once.
const PARALLEL: usize = 4;

pub(super) async fn run(
    context: &Context,
    flags: &FetchFlags,
    api: &Api,
    folder: &Path,
) -> Result<Status> {
    let job = flags.job;
    std::fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    let mut count = 0;
    let mut said = |frame: i32, path: &Path, finished: bool| {
        count += 1;
        context
            .output
            .result(path.display().to_string(), || LineKind::Preview {
                frame,
                file: path.to_owned(),
                finished,
            });
    };
    let asked = |frame: i32| {
        let frames = flags.frames.as_ref();
        frames.is_none_or(|frames| frames.position(frame).is_some())
    };
    let mut finished = HashSet::new();
    let mut from = Some(0);
    while let Some(at) = from {
        let page = api.results(job, at, PAGE).await?;
        let wanted = |result: &FrameResult| result.previews.is_some() && asked(result.frame);
        let frames = page.items.into_iter().filter(wanted);
        let bringing = frames.map(|result| bring(api, job, result.frame, folder));
        let mut brought = stream::iter(bringing).buffered(PARALLEL);
        while let Some((frame, path)) = brought.try_next().await? {
            finished.insert(frame);
            said(frame, &path, true);
        }
        from = page.next;
    }
    let detail = api.job(job).await?;
    let divided = detail.steps.iter().filter(|step| step.divided().is_some());
    let open = divided.flat_map(|step| step.frames.iter());
    for frame in open.filter(|frame| asked(*frame) && !finished.contains(frame)) {
        let Some(mut growing) = Growing::of(&detail, frame, PreviewSize::Preview) else {
            continue;
        };
        growing.catch_up(api).await?;
        if growing.has_begun() {
            let path = keep(frame, &growing.mosaic().jpeg()?, folder)?;
            said(frame, &path, false);
        }
    }
    match count {
        0 => Err(stop(
            Status::Incomplete,
            format!("no frame of job {job} that was asked for has a preview yet"),
        )),
        count => {
            let previews = units::counted(count, "preview");
            let folder = folder.display();
            context
                .output
                .note(format!("{previews} of job {job} are in {folder}"));
            Ok(Status::Done)
        }
    }
}

/// Brings one, in the place of one that was there.
async fn bring(api: &Api, job: JobId, frame: i32, folder: &Path) -> Result<(i32, PathBuf)> {
    let bytes = api.preview(job, frame, None, PreviewSize::Preview).await?;
    Ok((frame, keep(frame, &bytes, folder)?))
}

fn keep(frame: i32, bytes: &[u8], folder: &Path) -> Result<PathBuf> {
    let sign = if frame < 0 { "-" } else { "" };
    let path = folder.join(format!("{sign}{:04}.jpg", frame.unsigned_abs()));
    let hidden = folder.join(format!(".{sign}{:04}.jpg.part", frame.unsigned_abs()));
    std::fs::write(&hidden, bytes)
        .and_then(|()| std::fs::rename(&hidden, &path))
        .map_err(|error| unwritable(&path, &error))?;
    Ok(path)
}

fn unwritable(path: &Path, error: &io::Error) -> anyhow::Error {
    stop(
        Status::Failed,
        format!(
            "cannot write {} ({error}): make room, or choose another folder with --previews",
            path.display()
        ),
    )
}
