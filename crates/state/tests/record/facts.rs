//! Things to record.

use std::collections::BTreeMap;

use tessera_model::{
    After, Attempt, BlenderVersion, Blob, Build, BuildKind, CertificateRecord, Change, Chunking,
    Device, FarmSettings, FetchedMark, FileRole, FrameError, FrameErrorKind, FrameFile,
    FrameResult, Gpu, Job, JobId, JobSettings, JobState, Lease, LeaseKey, MailTls, Notice,
    NoticeEvent, NoticeJob, Overrides, PairingGrant, PairingRecord, Previews, Receiver,
    ReceiverRecord, Requirement, Rest, ResultTimings, Role, Secret, SecretHash, Series, Share,
    Split, SplitBy, Step, StepIndex, StepKind, Telling, TellingError, Timestamp, TokenRecord,
    UnitId, Way, WhoseJobs, WorkerFacts, WorkerId, WorkerMode, WorkerRecord,
};

pub const JOB: JobId = JobId(1);
pub const STEP: StepIndex = StepIndex(0);
pub const WORKER: WorkerId = WorkerId(1);

pub fn blob(salt: u64) -> Blob {
    let mut digest = [0; 32];
    for (at, chunk) in (1u64..).zip(digest.chunks_mut(8)) {
        let mixed = salt.wrapping_add(at).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        chunk.copy_from_slice(&(mixed ^ mixed >> 31).to_le_bytes());
    }
    Blob {
        digest,
        size: salt * 100,
        depth: (salt % 3) as u8,
    }
}

pub fn build(patch: u16) -> Build {
    Build {
        version: BlenderVersion {
            major: 3,
            minor: 4,
            patch,
        },
        hash: "55485cb379f7".into(),
        kind: BuildKind::Executable,
    }
}

pub fn settings(name: &str) -> JobSettings {
    JobSettings {
        category: "film".into(),
        priority: 50,
        tags: vec!["gpu".into()],
        comment: "Größe \"quoted\"\n".into(),
        chunk: 1,
        max_attempts: 3,
        ..JobSettings::named(name)
    }
}

/// A job with one step for each of `steps`, which are frame lists.
/// Some moment after jobs were submitted.
pub const LATER: Timestamp = Timestamp(1_700_000_400_000);

pub fn job(id: u64, steps: &[&str]) -> Job {
    Job {
        id: JobId(id),
        owner: "ada".parse().unwrap(),
        settings: settings(&format!("job {id}")),
        manifest: blob(1000 + id),
        main_file: "scenes/shot.blend".into(),
        file_version: Series::new(3, 4),
        build: None,
        steps: steps
            .iter()
            .map(|frames| Step {
                kind: StepKind::Render(Overrides {
                    samples: Some(64),
                    device: Device::Interface("optix".into()),
                    ..Overrides::default()
                }),
                frames: frames.parse().unwrap(),
                in_order: false,
                by_frame: false,
                beside: false,
                split: None,
                tiles: Vec::new(),
                chunking: None,
                replaced: false,
            })
            .collect(),
        client_note: r#"{"output":"//render/####"}"#.into(),
        submitted_at: Timestamp(1_700_000_000_000),
    }
}

/// A job with one frame, divided by its samples.
pub fn grown(id: u64) -> Job {
    let mut job = job(id, &["1", "1"]);
    let overrides = job.steps[0].overrides().clone();
    job.steps[0].kind = StepKind::Slices(overrides.clone());
    job.steps[0].split = Some(Split {
        width: 1920,
        height: 1080,
        samples: 64,
        first: 0,
        grows_to: Some(256),
        noise: None,
        by: SplitBy::Samples,
    });
    job.steps[1].kind = StepKind::Assemble(overrides);
    job.steps[1].by_frame = true;
    job
}

/// Adds as many samples to what such a job did.
pub fn grow(steps: &mut Vec<Step>) {
    let mut more = steps[steps.len() - 2..].to_vec();
    for step in steps.iter_mut() {
        step.replaced = true;
    }
    if let Some(split) = &mut more[0].split {
        split.first = split.samples;
        split.samples += 64;
    }
    steps.extend(more);
}

/// Settings in which everything is asked for that can be.
pub fn needy_settings(name: &str) -> JobSettings {
    JobSettings {
        requirement: Requirement {
            memory_bytes: Some(32 << 30),
            cores: Some(8),
            gpu: Some("rtx".into()),
            gpu_memory_bytes: Some(12 << 30),
            os: Some("linux".into()),
            blender: Some("4.2..5.0".parse().unwrap()),
            workers: vec!["anvil".into(), "crucible".into()],
        },
        resources: vec!["renderman license".into()],
        after: vec![
            After {
                job: JobId(1),
                frames: true,
            },
            After {
                job: JobId(2),
                frames: false,
            },
        ],
        preempt: true,
        ..settings(name)
    }
}

/// A worker that says how much memory its GPU has, and that it rests.
pub fn resting_worker(id: u32, name: &str) -> WorkerRecord {
    let mut worker = worker(id, name);
    let facts = worker.facts.as_mut().unwrap();
    facts.gpus[0].memory_bytes = Some(16 << 30);
    facts.rest = Some(Rest {
        reason: "works Mon-Fri 19:00-07:00".into(),
        until: Some(Timestamp(1_700_000_100_000)),
    });
    worker
}

/// Settings of the farm in which something of each kind is set.
pub fn farm_settings(cap_percent: u32) -> FarmSettings {
    let share = Share {
        priority: Some(200),
        slots_max: Some(7),
    };
    FarmSettings {
        cap_percent,
        users: BTreeMap::from([("ada".parse().unwrap(), share)]),
        categories: BTreeMap::from([("film".into(), Share::default())]),
        resources: BTreeMap::from([("renderman license".into(), 2)]),
        // Every number by itself: defaults may change, what golden records hold may not.
        sample_ms: 10_000,
        first_frames: 1,
        starved_after_ms: 120_000,
        closed_after_ms: 2_000,
        suspect_after_ms: 15_000,
        expired_after_ms: 90_000,
        restart_grace_ms: 15_000,
        queued_per_slot: 2,
        long_unit_ms: 5_000,
        retry_after_ms: 1_000,
        retry_after_max_ms: 60_000,
        block_after_failures: 3,
        lost_max: 8,
        hopeless_after: 3,
        unheld_after_ms: 12_000,
        duplicate_gain_ms: 5_000,
        // Read so from what older versions wrote.
        results_keep_ms: 2_592_000_000,
        store_quota_bytes: 0,
        store_warn_percent: 80,
        store_user_quota_bytes: 0,
    }
}

/// A layout that was changed once.
pub fn rechunked(frames: u32, chunk: u32) -> Chunking {
    let mut chunking = Chunking::of(3);
    chunking.rechunk(2, chunk, frames);
    chunking
}

pub fn unit(job: JobId, step: StepIndex, index: u32) -> UnitId {
    UnitId { job, step, index }
}

pub fn key(job: JobId, step: StepIndex, index: u32, attempt: u32) -> LeaseKey {
    LeaseKey {
        unit: unit(job, step, index),
        attempt: Attempt(attempt),
    }
}

pub fn leased(job: JobId, step: StepIndex, index: u32, attempt: u32, worker: WorkerId) -> Change {
    Change::Leased(Lease {
        key: key(job, step, index, attempt),
        worker,
        span: 1,
    })
}

pub fn result(job: JobId, step: StepIndex, position: u32) -> FrameResult {
    let salt = job.0 << 40 | u64::from(step.0) << 36 | u64::from(position) << 4;
    FrameResult {
        lease: key(job, step, position, 1),
        position,
        frame: position as i32 + 1,
        worker: WORKER,
        build: build(1),
        device: "CPU".into(),
        persistent: position > 0,
        files: vec![
            FrameFile {
                role: FileRole::Main,
                name: format!("{:04}.png", position + 1),
                blob: blob(salt),
            },
            FrameFile {
                role: FileRole::Node(0),
                name: format!("depth/{:04}.exr", position + 1),
                blob: blob(salt + 1),
            },
        ],
        stdout: blob(salt + 2),
        stderr: blob(0),
        timings: ResultTimings {
            transfer_us: 0,
            load_us: 0,
            sync_us: 1_500,
            render_us: 900_000 + u64::from(position),
            write_us: 20_000,
            idle_us: 800,
        },
        previews: None,
        notes: Vec::new(),
        noisy: Vec::new(),
        at: Timestamp(1_700_000_000_000 + i64::from(position)),
    }
}

pub fn previews(salt: u64) -> Previews {
    Previews {
        thumbnail: blob(salt + 3),
        preview: blob(salt + 4),
    }
}

pub fn fetched(frames: u32, at: i64) -> FetchedMark {
    let at = Timestamp(at);
    FetchedMark { frames, at }
}

pub fn done(job: JobId, step: StepIndex, position: u32) -> Change {
    Change::FrameDone(Box::new(result(job, step, position)))
}

pub fn error(job: JobId, step: StepIndex, position: u32, attempt: u32) -> FrameError {
    FrameError {
        lease: key(job, step, position, attempt),
        position,
        frame: position as i32 + 1,
        worker: WORKER,
        kind: FrameErrorKind::Crash,
        message: format!("Blender crashed at frame {}: see its log", position + 1),
        stdout: Some(blob(u64::from(position))),
        stderr: None,
        at: Timestamp(1_700_000_000_500),
    }
}

pub fn failed(job: JobId, step: StepIndex, position: u32, attempt: u32) -> Change {
    Change::FrameFailed(Box::new(error(job, step, position, attempt)))
}

pub fn worker(id: u32, name: &str) -> WorkerRecord {
    WorkerRecord {
        id: WorkerId(id),
        name: name.into(),
        facts: Some(WorkerFacts {
            divides: false,
            slots: 2,
            threads: 8,
            cores: 16,
            memory_bytes: 64 << 30,
            os: "linux".into(),
            arch: "x86_64".into(),
            host: name.into(),
            tags: vec!["gpu".into()],
            builds: vec![build(1)],
            gpus: vec![Gpu {
                interface: "optix".into(),
                name: "NVIDIA RTX A4000".into(),
                memory_bytes: None,
            }],
            version: "0.1.0".into(),
            rest: None,
        }),
        mode: WorkerMode::Active,
        paired_at: Timestamp(1_690_000_000_000),
        note: String::new(),
    }
}

pub fn token(id: &str) -> TokenRecord {
    TokenRecord {
        id: id.into(),
        hash: SecretHash(blob(7).digest),
        user: "ada".parse().unwrap(),
        role: Role::Artist,
        note: "laptop".into(),
        created_at: Timestamp(1),
        expires_at: Some(Timestamp(2)),
    }
}

pub fn pairing(salt: u8) -> PairingRecord {
    PairingRecord {
        hash: SecretHash([salt; 32]),
        grant: PairingGrant::Client {
            user: "bob".parse().unwrap(),
            role: Role::Admin,
        },
        expires_at: Timestamp(3),
        once: true,
    }
}

pub fn certificate(serial: &str) -> CertificateRecord {
    CertificateRecord {
        serial: serial.into(),
        worker: WORKER,
        expires_at: Timestamp(4),
        revoked: false,
    }
}

pub fn receiver(name: &str, has_secret: bool) -> Box<ReceiverRecord> {
    Box::new(ReceiverRecord {
        receiver: Receiver {
            name: name.into(),
            way: Way::Email {
                server: "mail.example.org".into(),
                port: Some(2525),
                tls: MailTls::Starttls,
                user: Some("farm".into()),
                from: "farm@example.org".into(),
                to: vec!["ada@example.org".into()],
            },
            events: NoticeEvent::ALL.into(),
            jobs: WhoseJobs::Owner("ada".parse().unwrap()),
        },
        secret: has_secret.then(|| Secret("hush".into())),
    })
}

/// With so many notices that wait, and something that went wrong if there are any.
pub fn telling(waiting: u64) -> Box<Telling> {
    let notice = |number: u64| Notice {
        id: format!("{number:016x}"),
        event: NoticeEvent::JobDone,
        at: LATER,
        farm: "farm".into(),
        title: "it is done".into(),
        text: "all of it\nnow".into(),
        job: Some(NoticeJob {
            id: JOB,
            name: "shot".into(),
            owner: "ada".parse().unwrap(),
            state: JobState::Done,
            frames: 9,
            done: 8,
            failed: 1,
            submitted_at: Timestamp(5),
        }),
        workers: vec!["anvil".into()],
        link: Some("https://farm:7373/#/jobs/1".into()),
    };
    Box::new(Telling {
        waiting: (0..waiting).map(notice).collect(),
        delivered_at: (waiting == 0).then_some(LATER),
        error: (waiting > 0).then(|| TellingError {
            at: LATER,
            text: "connection refused".into(),
        }),
        lost: waiting * 3,
    })
}

/// A worker and a job with the steps `steps`: what most tests begin with.
pub fn farm(steps: &[&str]) -> Vec<Change> {
    vec![
        Change::WorkerSet(worker(WORKER.0, "anvil")),
        Change::JobAdded(job(JOB.0, steps)),
    ]
}
