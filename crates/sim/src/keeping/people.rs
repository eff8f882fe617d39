//! People: they upload a tree in steps, submit it, and remove jobs.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use tessera_blobs::{
    BlobRef, Content, Digest, Entry, EntryKind, FileEncoding, Holder, Live, Manifest, write_bytes,
};
use tessera_model::{
    Blob, Change, FrameSet, Job, JobId, JobSettings, Overrides, Step, StepKind, Timestamp,
};

use super::{BUSY, Event, GRACE, Life, cannot, check};
use crate::dice::Dice;
use crate::violation::Violation;

/// Files that scenes have in common.
const SHARED_FILES: u64 = 6;

/// Frames of each job.
pub(super) const FRAMES: u32 = 4;

/// Somebody's tree on its way to the farm.
#[derive(Debug)]
pub(super) struct Upload {
    root: BlobRef,
    /// Everything it is made of.
    blocks: BTreeMap<Digest, Vec<u8>>,
    /// What was put, or said to be here, since its sender was away for long.
    pub(super) told: BTreeSet<Digest>,
    /// What the manager said is lacking, and was not sent since.
    lacking: Vec<Digest>,
    /// When the manager heard of its sender last; none before and after.
    pub(super) heard_at: Option<Duration>,
    /// While its job is being recorded.
    pub(super) intake: Option<u64>,
    given_up: bool,
}

fn file(seed: u64, len: u64) -> Vec<u8> {
    let part =
        |part: u64| *Digest::of(&[seed.to_le_bytes(), part.to_le_bytes()].concat()).as_bytes();
    (0..len / 32).flat_map(part).collect()
}

pub(super) fn blob(name: &BlobRef) -> Blob {
    Blob {
        digest: *name.digest.as_bytes(),
        size: name.size,
        depth: name.depth,
    }
}

/// Trees that have files in common.
pub(super) fn uploads(dice: &mut Dice, count: usize) -> Vec<Upload> {
    (0..count).map(|index| upload(dice, index as u64)).collect()
}

fn upload(dice: &mut Dice, index: u64) -> Upload {
    let mut blocks = BTreeMap::new();
    let mut tree = Manifest::new();
    let mut files = BTreeSet::from([1000 + index]);
    files.extend((0..dice.below(4)).map(|_| dice.below(SHARED_FILES)));
    for seed in files {
        // Of one block, of a short list, of a longer one.
        let len = [3_000, 60_000, 400_000][(seed % 3) as usize];
        let bytes = file(seed, len);
        let keep = |block: tessera_blobs::Block<'_>| {
            blocks.insert(block.digest(), block.bytes().to_vec());
            Ok::<_, Infallible>(())
        };
        let blob = write_bytes(&bytes, Content::Blend, keep).expect("memory takes it");
        let entry = Entry {
            kind: EntryKind::File,
            blob,
            original_size: blob.size,
            encoding: FileEncoding::Raw,
            executable: false,
        };
        let path = format!("f{seed}.blend").parse().expect("a path");
        tree.insert(path, entry).expect("a tree takes it");
    }
    let root = tree
        .write(|block| {
            blocks.insert(block.digest(), block.bytes().to_vec());
            Ok::<_, Infallible>(())
        })
        .expect("memory takes it");
    Upload {
        root,
        blocks,
        told: BTreeSet::new(),
        lacking: Vec::new(),
        heard_at: None,
        intake: None,
        given_up: false,
    }
}

/// Sends some of what is lacking; when all of it is sent, asks what still is; and submits, if nothing is.
pub(super) fn goes_on(life: &mut Life<'_>, index: usize) {
    let elapsed = life.elapsed();
    let upload = &mut life.uploads[index];
    if upload.heard_at.is_some_and(|at| life.now - at >= GRACE) {
        // Away for so long that nothing is promised.
        upload.told.clear();
        upload.lacking.clear();
        upload.heard_at = None;
    }
    if life.now > BUSY || upload.given_up {
        // A person who goes home: what was sent is nobody's.
        upload.heard_at = None;
        upload.intake = None;
        return;
    }
    if upload.lacking.is_empty() && !asks(life, index) {
        let at = life.within(Duration::from_secs(60));
        life.queue.push(at, Event::Submits(index, life.starts));
        return;
    }
    life.keeping.heard(elapsed, &index);
    let upload = &mut life.uploads[index];
    upload.heard_at = Some(life.now);
    let sends = life.dice.between(1, upload.lacking.len() as u64) as usize;
    for digest in upload.lacking.drain(..sends) {
        life.vault.put(digest, &upload.blocks[&digest]);
        upload.told.insert(digest);
    }
    let pause = match life.dice.below(20) {
        0 => {
            life.uploads[index].given_up = life.dice.percent(50);
            life.within(4 * GRACE)
        }
        1..=7 => life.within(GRACE * 9 / 10),
        _ => life.within(Duration::from_secs(60)),
    };
    life.queue.push(pause, Event::Uploads(index));
}

/// Asks what is lacking; whether anything is. What is not counts as told.
fn asks(life: &mut Life<'_>, index: usize) -> bool {
    let elapsed = life.elapsed();
    let upload = &mut life.uploads[index];
    life.keeping.pin(elapsed, index, upload.root);
    upload.heard_at = Some(life.now);
    let missing = life
        .vault
        .missing_of_tree(&upload.root)
        .expect("lists are sound");
    upload.lacking = missing.iter().copied().collect();
    let mut known = Live::new();
    known
        .hold_tree(Holder(0), &upload.root, |digest| life.vault.read(digest))
        .expect("memory can be read");
    let here = |digest: &&Digest| known.contains(digest) && life.vault.has(digest);
    upload.told.extend(upload.blocks.keys().filter(here));
    !missing.is_empty()
}

/// The manager checks that all is here; from then on until it is recorded, an intake is open.
pub(super) fn submits(life: &mut Life<'_>, index: usize, starts: u32) -> Result<(), Violation> {
    let upload = &life.uploads[index];
    let missing = life
        .vault
        .missing_of_tree(&upload.root)
        .expect("lists are sound");
    if starts != life.starts || !missing.is_empty() {
        // Sent to a manager that is gone, or something was away for too long: it is all asked again.
        let at = life.within(Duration::from_secs(60));
        life.queue.push(at, Event::Uploads(index));
        return check::nothing_is_lost(life);
    }
    let intake = life.begin_intake();
    life.uploads[index].intake = Some(intake);
    // A full disk: it is tried again for longer than anything is kept for no reason.
    let takes = match life.dice.below(10) {
        0 => life.within(3 * GRACE),
        _ => life.within(Duration::from_secs(10)),
    };
    let event = Event::Submitted(index, starts, intake);
    life.queue.push(takes, event);
    Ok(())
}

pub(super) async fn submitted(
    life: &mut Life<'_>,
    index: usize,
    starts: u32,
    intake: u64,
) -> Result<(), Violation> {
    if starts != life.starts {
        let at = life.within(Duration::from_secs(60));
        life.queue.push(at, Event::Uploads(index));
        return Ok(());
    }
    let id = JobId(life.next_job);
    life.next_job += 1;
    let upload = &mut life.uploads[index];
    let added = Change::JobAdded(job(id, blob(&upload.root)));
    upload.heard_at = None;
    let needs = upload.blocks.keys().copied().collect();
    life.keeping.unpin(index, upload.root);
    life.state
        .commit(life.term, &[added])
        .await
        .map_err(|error| cannot(&error))?;
    life.jobs.insert(id, needs);
    life.kept.jobs += 1;
    life.intakes.remove(&intake);
    for position in 0..FRAMES {
        let at = life.within(2 * GRACE);
        life.queue.push(at, Event::Rendered(id, position));
    }
    let at = life.within(8 * GRACE);
    life.queue.push(at, Event::Removes(id));
    if life.dice.percent(50) {
        // The same scene again, later.
        let at = life.within(6 * GRACE);
        life.uploads[index].told.clear();
        life.queue.push(at, Event::Uploads(index));
    }
    check::nothing_is_lost(life)
}

pub(super) async fn removes(life: &mut Life<'_>, job: JobId) -> Result<(), Violation> {
    life.jobs.remove(&job);
    life.in_flight.retain(|report, _| report.job != job);
    life.state
        .commit(life.term, &[Change::JobRemoved(job)])
        .await
        .map_err(|error| cannot(&error))?;
    life.queue.push(life.now, Event::Sweeps(life.starts));
    Ok(())
}

fn job(id: JobId, manifest: Blob) -> Job {
    Job {
        id,
        owner: "ada".parse().expect("a user's name"),
        settings: JobSettings::named("shot"),
        manifest,
        main_file: "f.blend".into(),
        file_version: "3.4".parse().expect("a series"),
        build: None,
        steps: vec![Step {
            kind: StepKind::Render(Overrides::default()),
            frames: format!("1..{FRAMES}")
                .parse::<FrameSet>()
                .expect("a set of frames"),
            in_order: false,
            by_frame: false,
            beside: false,
            split: None,
            tiles: Vec::new(),
            chunking: None,
            replaced: false,
        }],
        client_note: String::new(),
        submitted_at: Timestamp(0),
    }
}
