//! `tessera fetch --previews`: small pictures of what is finished, for a look before anything large is brought.

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
    let mut from = Some(0);
    while let Some(at) = from {
        let page = api.results(job, at, PAGE).await?;
        let asked = |frame| {
            let frames = flags.frames.as_ref();
            frames.is_none_or(|frames| frames.position(frame).is_some())
        };
        let wanted = |result: &FrameResult| result.previews.is_some() && asked(result.frame);
        let frames = page.items.into_iter().filter(wanted);
        let bringing = frames.map(|result| bring(api, job, result.frame, folder));
        let mut brought = stream::iter(bringing).buffered(PARALLEL);
        while let Some((frame, path)) = brought.try_next().await? {
            count += 1;
            context
                .output
                .result(path.display().to_string(), || LineKind::Preview {
                    frame,
                    file: path.clone(),
                });
        }
        from = page.next;
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
    let bytes = api.preview(job, frame, PreviewSize::Preview).await?;
    let sign = if frame < 0 { "-" } else { "" };
    let path = folder.join(format!("{sign}{:04}.jpg", frame.unsigned_abs()));
    let hidden = folder.join(format!(".{sign}{:04}.jpg.part", frame.unsigned_abs()));
    std::fs::write(&hidden, bytes)
        .and_then(|()| std::fs::rename(&hidden, &path))
        .map_err(|error| unwritable(&path, &error))?;
    Ok((frame, path))
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
