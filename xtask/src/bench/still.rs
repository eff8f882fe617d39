//! One still on several workers: what a second one gives, what a slow one takes away, and when there is something to see.
//!
//! Scene: the example's frame 12 with 192 samples, which one thread renders in a minute or more. Workers have one slot and one thread; homes
//! are fresh for each farm, and every worker has rendered a frame of the scene before, so it is loaded and their speeds are known. The clock
//! runs from the job at the farm to the file in the output folder. Command: `tessera render tesserae.blend -f 12 --samples 192 -o OUT`.
//!
//! - Two workers against the same with one.
//! - One of two has a third of a processor, by the kernel's quota (cgroup, version 1 or 2, which takes root). The ideal is that both render
//!   what they rendered, without a pause, until the same moment: with `f` and `s` the times that the fast and the slow one took for their parts, at speeds of 3 and 1,
//!   that is `(3 f + s) / 4`. Against the runs before it would say as much of what else the machine does: the fast one's own parts are
//!   up to 40 % slower in one minute than in the next.
//! - The first preview: `tessera submit`, and `tessera fetch --previews` again and again, until a picture of the frame is there; the clock runs
//!   from the start of `submit`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tessera_model::JobId;
use tessera_wire::line::LineKind;

use super::Bench;
use super::table::{Aim, Figure};
use crate::farm::{Home, Manager, Process};

const FRAME: &str = "12";
const SAMPLES: &str = "192";

/// Frames that workers get to know the scene by, two for each.
const BEFORE: &str = "1..4";

/// What the slow one has of a processor, of so much time in all, in microseconds.
const QUOTA_US: u64 = 33_333;
const PERIOD_US: u64 = 100_000;

/// More than it is ever divided into.
const PARTS_MAX: u32 = 1_000;

/// Nothing is seen of a still for so long: something is wrong.
const NOTHING: Duration = Duration::from_secs(120);

pub(super) fn measure(bench: &Bench) -> Result<Vec<Figure>> {
    let (alone, _) = Farm::start(bench, "still-1", &[None])?.still()?;
    let farm = Farm::start(bench, "still-2", &[None, None])?;
    let (together, _) = farm.still()?;
    println!("  one worker {alone:.2} s, two {together:.2} s");
    let first = farm.first_preview()?.as_secs_f64();
    drop(farm);
    let mut figures = vec![
        Figure {
            name: "one still on two one-thread workers against one".into(),
            value: alone / together,
            unit: "×",
            aim: Aim::AtLeast(1.85),
            note: format!("{alone:.2} s against {together:.2} s"),
        },
        Figure {
            name: "from the start of `tessera submit` to the first preview of a still".into(),
            value: first,
            unit: "s",
            aim: Aim::None,
            note: format!("of {together:.0} s that it takes"),
        },
    ];
    match Quota::new() {
        Ok(quota) => {
            let farm = Farm::start(bench, "still-slow", &[None, Some(&quota)])?;
            let (slowed, job) = farm.still()?;
            let speed = QUOTA_US as f64 / PERIOD_US as f64;
            let [fast, slow] = farm.rendered(job)?[..] else {
                bail!("not both workers rendered parts of the still");
            };
            let ideal = (fast + speed * slow) / (1.0 + speed);
            figures.push(Figure {
                name: "one still, one of two workers with a third of a processor, of the ideal"
                    .into(),
                value: 100.0 * ideal / slowed,
                unit: "%",
                aim: Aim::AtLeast(95.0),
                note: format!(
                    "{slowed:.2} s against {ideal:.2} s, both busy; {:.2} s at the speed of two that were not slowed",
                    2.0 * together / (1.0 + speed)
                ),
            });
        }
        Err(error) => println!("still: not measured with a slow worker: {error:#}"),
    }
    Ok(figures)
}

/// A manager and its workers, which know the scene.
struct Farm<'a> {
    bench: &'a Bench,
    home: Home,
    name: &'static str,
    _manager: Manager,
    _workers: Vec<Process>,
}

impl<'a> Farm<'a> {
    fn start(bench: &'a Bench, name: &'static str, workers: &[Option<&Quota>]) -> Result<Farm<'a>> {
        let home = Home::new(&bench.tessera, &bench.out.join(name));
        let manager = home.manager(&[])?;
        let mut running = Vec::new();
        for (number, quota) in workers.iter().enumerate() {
            let folder = bench.out.join(format!("{name}-worker-{number}"));
            let mut worker = Home::new(&bench.tessera, &folder);
            if let Some(quota) = quota {
                let enter = quota.enter();
                worker = worker.under(&["sh", "-c", &enter, "sh"]);
            }
            running.push(worker.worker(&["--join", manager.link(), "--threads", "1"])?);
        }
        let farm = Self {
            bench,
            home,
            name,
            _manager: manager,
            _workers: running,
        };
        let blend = &bench.scenes()?.example;
        super::scaling::render(&farm.home, blend, BEFORE, &farm.out("before"), &[])?;
        Ok(farm)
    }

    fn out(&self, what: &str) -> PathBuf {
        self.bench.out.join(format!("{}-{what}", self.name))
    }

    /// Seconds that it took, and its job.
    fn still(&self) -> Result<(f64, JobId)> {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("not Unicode");
        let blend = text(&self.bench.scenes()?.example)?;
        let render = ["render", &blend, "-f", FRAME, "--samples", SAMPLES];
        let out = text(&self.out("frames"))?;
        let mut process = self.home.start(&[&render[..], &["-o", &out]].concat())?;
        let job = process.wait(|line| match line {
            LineKind::Submitted { job, .. } => Some(*job),
            _ => None,
        })?;
        let begun = Instant::now();
        process.finish()?;
        Ok((begun.elapsed().as_secs_f64(), job))
    }

    /// Seconds that each worker took for its parts of the still and for putting it together, in the order in which they joined.
    fn rendered(&self, job: JobId) -> Result<Vec<f64>> {
        let api = self.home.api()?;
        let frame = FRAME.parse()?;
        let parts = tokio::runtime::Runtime::new()?
            .block_on(async { api.parts(job, frame, 0, PARTS_MAX).await })?;
        let whole = self.home.results(job)?;
        // Parts that were rendered as one have one lease, and the same times.
        let units: BTreeMap<_, _> = parts
            .items
            .iter()
            .chain(&whole)
            .map(|result| ((result.worker, result.lease), result.timings.total_us()))
            .collect();
        let mut sums = BTreeMap::new();
        for ((worker, _), took_us) in units {
            *sums.entry(worker).or_insert(0.0) += took_us as f64 / 1e6;
        }
        Ok(sums.into_values().collect())
    }

    fn first_preview(&self) -> Result<Duration> {
        let text = |path: &Path| path.to_str().map(str::to_owned).context("not Unicode");
        let blend = text(&self.bench.scenes()?.example)?;
        let (out, folder) = (text(&self.out("seen"))?, text(&self.out("previews"))?);
        let begin = Instant::now();
        let submit = ["submit", &blend, "-f", FRAME, "--samples", SAMPLES];
        let lines = self.home.run(&[&submit[..], &["-o", &out]].concat())?;
        let job = lines.iter().find_map(|line| match line {
            LineKind::Submitted { job, .. } => Some(job.to_string()),
            _ => None,
        });
        let job = job.context("no job was submitted")?;
        loop {
            // It fails as long as there is nothing to fetch.
            let lines = self.home.run(&["fetch", &job, "--previews", &folder]);
            let lines = lines.unwrap_or_default();
            let seen = lines.iter().find_map(|line| match line {
                LineKind::Preview { finished, .. } => Some(*finished),
                _ => None,
            });
            if let Some(finished) = seen {
                ensure!(
                    !finished,
                    "the still was finished before anything was seen of it"
                );
                let took = begin.elapsed();
                self.home.run(&["job", "cancel", &job])?;
                return Ok(took);
            }
            if begin.elapsed() > NOTHING {
                bail!("nothing was seen of the still for {NOTHING:?}");
            }
        }
    }
}

/// A control group of processes that have a part of a processor.
struct Quota {
    folder: PathBuf,
}

impl Quota {
    fn new() -> Result<Self> {
        let root = Path::new("/sys/fs/cgroup");
        let name = format!("tessera-bench-{}", std::process::id());
        let (folder, settings) = match root.join("cpu").is_dir() {
            true => {
                let settings = vec![
                    ("cpu.cfs_period_us", PERIOD_US.to_string()),
                    ("cpu.cfs_quota_us", QUOTA_US.to_string()),
                ];
                (root.join("cpu").join(name), settings)
            }
            false => {
                let settings = vec![("cpu.max", format!("{QUOTA_US} {PERIOD_US}"))];
                (root.join(name), settings)
            }
        };
        fs::create_dir(&folder)
            .with_context(|| format!("cannot make the control group {}", folder.display()))?;
        let quota = Self { folder };
        for (name, value) in settings {
            let file = quota.folder.join(name);
            fs::write(&file, value).with_context(|| format!("cannot set {}", file.display()))?;
        }
        Ok(quota)
    }

    /// A script for `sh -c` that enters it and becomes its arguments.
    fn enter(&self) -> String {
        let file = self.folder.join("cgroup.procs");
        format!("echo $$ > {} && exec \"$@\"", file.display())
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // Stays as long as a process is in it, and goes with the machine.
        let _ = fs::remove_dir(&self.folder);
    }
}
