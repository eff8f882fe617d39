//! Workers: they send a frame's files and logs, then report it.

use std::collections::BTreeSet;
use std::time::Duration;

use tessera_blobs::{BlobRef, Digest};
use tessera_model::{
    Attempt, Blob, Build, BuildKind, Change, FileRole, FrameError, FrameErrorKind, FrameFile,
    FrameResult, JobId, LeaseKey, ResultTimings, StepIndex, Timestamp, UnitId, WorkerId,
};

use super::people::blob;
use super::{Event, GRACE, Life, cannot, check};
use crate::violation::Violation;

/// A frame that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Report {
    pub(super) job: JobId,
    position: u32,
    fails: bool,
}

/// What was sent of it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) blocks: BTreeSet<Digest>,
    /// When the manager last put it or said that it is here.
    pub(super) told_at: Duration,
    /// While it is being recorded.
    pub(super) intake: Option<u64>,
}

/// A file of a frame: so small that it is one block, and no other's.
fn product(report: &Report, what: u8) -> (BlobRef, Vec<u8>) {
    let bytes = format!("{report:?} {what}").into_bytes();
    let blob = BlobRef {
        digest: Digest::of(&bytes),
        size: bytes.len() as u64,
        depth: 0,
    };
    (blob, bytes)
}

const FILE: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;

fn products(report: &Report) -> Vec<(BlobRef, Vec<u8>)> {
    let first = if report.fails { STDOUT } else { FILE };
    (first..=STDERR).map(|what| product(report, what)).collect()
}

pub(super) fn rendered(life: &mut Life<'_>, job: JobId, position: u32) {
    if !life.jobs.contains_key(&job) {
        return;
    }
    let report = Report {
        job,
        position,
        fails: life.dice.percent(20),
    };
    send(life, report);
}

fn send(life: &mut Life<'_>, report: Report) {
    let mut blocks = BTreeSet::new();
    for (blob, bytes) in products(&report) {
        life.vault.put(blob.digest, &bytes);
        blocks.insert(blob.digest);
    }
    let sent = Sent {
        blocks,
        told_at: life.now,
        intake: None,
    };
    life.in_flight.insert(report, sent);
    // Told within seconds, or when the link is back, long before what was sent is old.
    let at = match life.dice.below(5) {
        0 => life.within(GRACE * 9 / 10),
        _ => life.within(Duration::from_secs(5)),
    };
    life.queue.push(at, Event::Reports(report, life.starts));
}

pub(super) fn reports(life: &mut Life<'_>, report: Report, starts: u32) -> Result<(), Violation> {
    if !life.jobs.contains_key(&report.job) {
        return Ok(());
    }
    if starts != life.starts {
        // There was no manager to tell: the worker sends all of it again.
        send(life, report);
        return Ok(());
    }
    let blobs: Vec<BlobRef> = products(&report).iter().map(|(blob, _)| *blob).collect();
    let missing = life.vault.missing_of(&blobs).expect("blobs are sound");
    if !missing.is_empty() {
        return Err(Violation::new(
            "no sweep takes what a worker is about to report",
            format!("{report:?} lacks {} blocks", missing.len()),
        ));
    }
    let intake = life.begin_intake();
    if let Some(sent) = life.in_flight.get_mut(&report) {
        sent.told_at = life.now;
        sent.intake = Some(intake);
    }
    let at = match life.dice.below(10) {
        0 => life.within(3 * GRACE),
        _ => life.within(Duration::from_secs(5)),
    };
    life.queue.push(at, Event::Reported(report, starts, intake));
    Ok(())
}

pub(super) async fn reported(
    life: &mut Life<'_>,
    report: Report,
    starts: u32,
    intake: u64,
) -> Result<(), Violation> {
    if starts != life.starts {
        if life.jobs.contains_key(&report.job) {
            send(life, report);
        }
        return Ok(());
    }
    life.intakes.remove(&intake);
    let Some(needs) = life.jobs.get_mut(&report.job) else {
        return Ok(());
    };
    let sent = life.in_flight.remove(&report);
    needs.extend(sent.into_iter().flat_map(|sent| sent.blocks));
    life.state
        .commit(life.term, &[change(&report)])
        .await
        .map_err(|error| cannot(&error))?;
    life.kept.reports += 1;
    check::nothing_is_lost(life)
}

fn change(report: &Report) -> Change {
    let named = |what| -> Blob { blob(&product(report, what).0) };
    let lease = LeaseKey {
        unit: UnitId {
            job: report.job,
            step: StepIndex(0),
            index: report.position,
        },
        attempt: Attempt(1),
    };
    let (position, frame) = (report.position, report.position as i32 + 1);
    let (worker, at) = (WorkerId(1), Timestamp(0));
    if report.fails {
        return Change::FrameFailed(Box::new(FrameError {
            lease,
            position,
            frame,
            worker,
            kind: FrameErrorKind::Worker,
            message: "it failed".into(),
            stdout: Some(named(STDOUT)),
            stderr: Some(named(STDERR)),
            at,
        }));
    }
    Change::FrameDone(Box::new(FrameResult {
        lease,
        position,
        frame,
        worker,
        build: Build {
            version: "3.4.1".parse().expect("a version"),
            hash: "c0ffee".into(),
            kind: BuildKind::Executable,
        },
        device: "CPU".into(),
        persistent: false,
        files: vec![FrameFile {
            role: FileRole::Main,
            name: "f.png".into(),
            blob: named(FILE),
        }],
        stdout: named(STDOUT),
        stderr: named(STDERR),
        timings: ResultTimings::default(),
        previews: None,
        notes: Vec::new(),
        noisy: Vec::new(),
        at,
    }))
}
