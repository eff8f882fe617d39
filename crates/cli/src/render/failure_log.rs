//! What Blender said about a frame that failed, for the one who waits for it.

use std::path::Path;

use anyhow::Result;
use tessera_client::Api;
use tessera_model::JobId;
use tessera_wire::link::LogStream;

use super::target::Target;
use crate::context::Context;

/// Most bytes of a log that are kept. The end of an endless one says as little as its middle.
const LOG_MAX: u64 = 64 << 20;

/// Where to read on. A farm keeps its logs; those of a private farm go with it, so this one is kept in the cache folder
/// until the next one is.
pub(crate) async fn failure_log(
    context: &Context,
    target: &Target,
    job: JobId,
    frame: i32,
) -> String {
    if !target.is_private() {
        return format!("; `tessera logs {job} {frame}` shows what Blender said");
    }
    let path = context.folders.cache.join("logs").join("failed-frame.log");
    match keep(target.api(), job, frame, &path).await {
        Ok(0) => String::new(),
        Ok(_) => format!("; what Blender said is in {}", path.display()),
        Err(error) => {
            tracing::warn!("the log of frame {frame} is lost: {error:#}");
            String::new()
        }
    }
}

/// Writes both streams, one after the other. Says how many bytes that is.
async fn keep(api: &Api, job: JobId, frame: i32, path: &Path) -> Result<usize> {
    let mut whole = Vec::new();
    for stream in [LogStream::Stdout, LogStream::Stderr] {
        let mut from = 0;
        while from < LOG_MAX {
            let part = api.log(job, frame, stream, from).await?;
            from += part.bytes.len() as u64;
            whole.extend_from_slice(&part.bytes);
            if part.complete || part.bytes.is_empty() {
                break;
            }
        }
    }
    let size = whole.len();
    tokio::fs::write(path, whole).await?;
    Ok(size)
}
