//! `tessera logs`: what Blender wrote, byte for byte.

use std::time::Duration;

use anyhow::Result;
use tessera_client::{Api, ApiError};
use tessera_model::JobId;
use tessera_wire::api::{FramePhase, FrameStatus, PAGE_MAX};
use tessera_wire::line::LineKind;
use tessera_wire::link::LogStream;
use tessera_wire::problem::ProblemKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::farm;
use crate::flags::LogsFlags;
use crate::output::Output;

/// How often a growing log is looked at: soon enough to read along.
const LOOK: Duration = Duration::from_millis(500);

pub(super) async fn run(context: &Context, flags: &LogsFlags) -> Result<Status> {
    let api = farm::need(context)?.api;
    let output = &context.output;
    if let Some(frame) = flags.frame {
        return one(output, &api, flags.job, frame, flags.follow).await;
    }
    let mut shown = 0;
    let mut from = 0;
    loop {
        let page = api.frames(flags.job, from, PAGE_MAX).await?;
        for frame in page.items.iter().filter(|frame| has_log(frame)) {
            if output.is_closed() {
                return Ok(Status::Done);
            }
            one(output, &api, flags.job, frame.frame, flags.follow).await?;
            shown += 1;
        }
        match page.next {
            Some(next) => from = next,
            None => break,
        }
    }
    if shown == 0 {
        output.note(format!("No frame of job {} has been begun yet.", flags.job));
    }
    Ok(Status::Done)
}

fn has_log(frame: &FrameStatus) -> bool {
    match frame.phase {
        FramePhase::Done | FramePhase::Failed | FramePhase::Rendering => true,
        FramePhase::Waiting | FramePhase::Queued => frame.failures > 0,
    }
}

async fn one(output: &Output, api: &Api, job: JobId, frame: i32, follow: bool) -> Result<Status> {
    let mut streams = [(LogStream::Stdout, 0, false), (LogStream::Stderr, 0, false)];
    loop {
        let mut grew = false;
        for (stream, from, complete) in &mut streams {
            if *complete {
                continue;
            }
            let part = match api.log(job, frame, *stream, *from).await {
                Ok(part) => part,
                Err(error) if follow && not_begun(&error) => {
                    // It is waited for: the frame's turn comes.
                    continue;
                }
                Err(error) if not_begun(&error) => {
                    return Err(stop(
                        Status::Usage,
                        format!("{error} (--follow waits for it)"),
                    ));
                }
                Err(error) => return Err(error.into()),
            };
            print(output, frame, *stream, &part.bytes);
            *from += part.bytes.len() as u64;
            *complete = part.complete;
            grew |= !part.bytes.is_empty();
        }
        let complete = streams.iter().all(|(_, _, complete)| *complete);
        if complete || output.is_closed() || (!follow && !grew) {
            return Ok(Status::Done);
        }
        if !grew {
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn not_begun(error: &ApiError) -> bool {
    error.kind() == Some(ProblemKind::NotFound)
}

fn print(output: &Output, frame: i32, stream: LogStream, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    if output.json() {
        output.line(LineKind::Log {
            frame,
            stream,
            text: String::from_utf8_lossy(bytes).into_owned(),
        });
        return;
    }
    match stream {
        LogStream::Stdout => output.bytes(bytes),
        LogStream::Stderr => output.error_bytes(bytes),
    }
}
