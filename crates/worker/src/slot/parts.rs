//! One frame out of the parts that others rendered: fetched, and merged to the file that Blender finishes.

use std::path::PathBuf;

use futures_util::{StreamExt, TryStreamExt, stream};
use tessera_client::{FetchError, fetch_file};
use tessera_merge::{Class, MergeError, MergeOptions, Missing, merge};
use tessera_model::{FileRole, FrameErrorKind, Slice, Split, SplitBy, Window};
use tessera_wire::api::Parts;
use tessera_wire::blob::to_store;
use tokio_util::sync::CancellationToken;

use super::noisy::noisy;
use super::station::NoFrame;
use crate::desk::FrameOrder;
use crate::failure::{Failure, in_full};
use crate::frame_dir::FrameDir;
use crate::part::slice;
use crate::uplink::Uplink;

/// Files fetched at once.
const PARALLEL: usize = 4;

/// What came of the parts of a frame.
pub(super) enum Merged {
    Frame {
        path: PathBuf,
        /// What part it is itself of a frame with more samples, if some can be added.
        sum: Option<FileRole>,
    },
    /// More noise than may be is left in these tiles, which can have more samples.
    Noisy(Vec<u16>),
}

/// Fetches the parts of the order's frame and merges them.
pub(super) async fn merged(
    uplink: &mut Uplink,
    order: &FrameOrder,
    folder: &FrameDir,
    stop: &CancellationToken,
) -> Result<Merged, NoFrame> {
    tokio::select! {
        biased;
        () = stop.cancelled() => Err(NoFrame::Stopped),
        merged = bring_and_merge(uplink, order, folder) => merged.map_err(NoFrame::Failed),
    }
}

async fn bring_and_merge(
    uplink: &mut Uplink,
    order: &FrameOrder,
    folder: &FrameDir,
) -> Result<Merged, Failure> {
    let (unit, frame) = (order.offer.key.unit, order.frame.frame);
    let api = uplink.api().await;
    let parts = api.worker_parts(unit.job, unit.step, order.frame.position);
    let Parts { split, files } = parts.await.map_err(|error| {
        let message = format!(
            "cannot ask for the parts of frame {frame}: {}",
            in_full(&error)
        );
        Failure::new(FrameErrorKind::Worker, message)
    })?;
    let place = folder.parts();
    tokio::fs::create_dir_all(&place)
        .await
        .map_err(|error| Failure::of_io("make a folder for the parts of the frame", &error))?;
    let path = |index: usize| place.join(format!("{index}.exr"));
    let mut fetching = Vec::new();
    for (index, part) in files.iter().enumerate() {
        let (api, path, blob) = (api.clone(), path(index), to_store(&part.blob));
        fetching.push(async move { fetch_file(&api, frame, blob, &path).await });
    }
    stream::iter(fetching)
        .buffer_unordered(PARALLEL)
        .try_collect::<()>()
        .await
        .map_err(|error| unfetched(frame, &error))?;
    let slices: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(index, part)| slice(path(index), &part.slice, part.rendered))
        .collect();
    let output = folder.merged();
    // Some tiles have fewer samples than others where they are added by noise.
    let missing = match split.noise {
        Some(_) => Missing::Allowed,
        None => Missing::Refused,
    };
    let options = MergeOptions {
        missing,
        size: Some((split.width as usize, split.height as usize)),
        samples: Some(split.samples),
        // The driver renders ranges of samples only where all that the table does not know are outputs of shaders.
        others: Some(Class::Average),
        ..MergeOptions::default()
    };
    let merging = tokio::task::spawn_blocking(move || {
        let merged = merge_or_go_on(&split, &slices, output, &options);
        // They lie in the store, and what they take here may be wanted for the frame.
        let _ = std::fs::remove_dir_all(place);
        merged
    });
    let merged = merging.await.expect("merging does not panic");
    merged.map_err(|error| {
        let message = format!(
            "the parts of frame {frame} cannot be merged: {}",
            in_full(&error)
        );
        Failure::new(FrameErrorKind::Files, message)
    })
}

/// Merges a frame, unless there are tiles in it that are to have more samples first.
fn merge_or_go_on(
    split: &Split,
    slices: &[tessera_merge::Slice],
    output: PathBuf,
    options: &MergeOptions,
) -> Result<Merged, MergeError> {
    let noisy = noisy(split, slices)?;
    if !noisy.is_empty() {
        return Ok(Merged::Noisy(noisy));
    }
    let merged = merge(slices, &output, options)?;
    if merged.samples.0 == 0 {
        let there = 0;
        let frame = merged.frame;
        return Err(MergeError::TilesMissing { there, frame });
    }
    let sum = sum(split);
    Ok(Merged::Frame { path: output, sum })
}

fn sum(split: &Split) -> Option<FileRole> {
    let most = split.grows_to.filter(|_| split.by == SplitBy::Samples);
    let more = most.is_some_and(|most| split.samples < most);
    let whole = Window {
        x: 0,
        y: 0,
        width: split.width,
        height: split.height,
    };
    more.then_some(FileRole::Slice {
        slice: Slice {
            window: whole,
            samples: Some(0..split.samples),
        },
        rendered: whole,
    })
}

fn unfetched(frame: i32, error: &FetchError) -> Failure {
    let kind = match error {
        FetchError::Full { .. } => FrameErrorKind::Disk,
        _ => FrameErrorKind::Files,
    };
    let message = format!(
        "cannot fetch the parts of frame {frame}: {}",
        in_full(error)
    );
    Failure::new(kind, message)
}
