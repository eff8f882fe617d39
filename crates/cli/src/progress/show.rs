//! One view of a job's progress, told to whoever looks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tessera_model::{Timestamp, WorkerId};
use tessera_wire::line::LineKind;

use super::estimate::Estimate;
use crate::output::Output;
use crate::table::printable;
use crate::units::show_duration;

/// Redrawing more often is not seen.
const REDRAW: Duration = Duration::from_millis(100);

/// Most frames that are named on the bar; the number of the others is said.
const NAMED_MAX: usize = 6;

/// See the module.
pub(crate) struct Progress {
    output: Output,
    began: Instant,
    bar: Option<ProgressBar>,
    frames: u32,
    done: u32,
    failed: u32,
    estimate: Estimate,
    last_done: Instant,
    rendering: BTreeMap<i32, WorkerId>,
    names: BTreeMap<WorkerId, String>,
    /// What keeps it from going on, if something does.
    held_by: Option<String>,
    /// What is done while nothing is rendered.
    activity: Option<String>,
    /// Since when the manager is away, if it is.
    away_since: Option<Instant>,
    brought: u32,
    /// How far frames are that are divided among workers.
    parts: Option<Parts>,
    first_failure: Option<(i32, String)>,
    alone: bool,
    only_bringing: bool,
}

/// Parts of divided frames.
#[derive(Debug, Clone, Copy)]
struct Parts {
    of: u32,
    done: u32,
    /// When the first were seen done, and how many.
    first: Option<(Instant, u32)>,
}

impl Parts {
    /// Time left for the others, if they take as long each as those since the first.
    fn left(&self) -> Option<Duration> {
        let (since, first) = self.first?;
        let counted = self.done.checked_sub(first).filter(|&parts| parts > 0)?;
        Some(since.elapsed() * (self.of - self.done) / counted)
    }
}

/// A frame that lies in the output folder.
#[derive(Debug)]
pub(crate) struct DoneFrame {
    pub(crate) frame: i32,
    pub(crate) files: Vec<PathBuf>,
    pub(crate) worker: WorkerId,
    /// When the farm took it in.
    pub(crate) at: Timestamp,
    /// How long it rendered.
    pub(crate) seconds: f64,
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template)
        .expect("templates are constants")
        .progress_chars("━╸─")
        .tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ ")
}

impl Progress {
    /// Nothing has happened yet.
    pub(crate) fn new(output: &Output) -> Self {
        let bar = output.live().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(15));
            let bar = output.bars().add(bar);
            bar.set_style(style("{spinner} {wide_msg}"));
            bar.enable_steady_tick(REDRAW);
            bar
        });
        Self {
            output: output.clone(),
            began: Instant::now(),
            bar,
            frames: 0,
            done: 0,
            failed: 0,
            estimate: Estimate::default(),
            last_done: Instant::now(),
            rendering: BTreeMap::new(),
            names: BTreeMap::new(),
            held_by: None,
            activity: None,
            away_since: None,
            brought: 0,
            parts: None,
            first_failure: None,
            alone: false,
            only_bringing: false,
        }
    }

    /// What is being done before the first frame. Told in passing: it leaves no line.
    pub(crate) fn stage(&self, text: impl Into<String>) {
        if let Some(bar) = &self.bar {
            bar.set_message(text.into());
        }
    }

    /// Frames are going to be rendered: `frames` are asked for, `present` of them are there.
    pub(crate) fn begin(&mut self, frames: u32, present: u32) {
        (self.frames, self.done) = (frames, present);
        if let Some(bar) = &self.bar {
            bar.set_length(frames.into());
            bar.set_position(present.into());
            bar.set_style(style("{spinner} {bar:24.green} {pos}/{len}  {wide_msg}"));
        }
        self.redraw();
    }

    /// Everything is rendered on this machine.
    pub(crate) fn alone(&mut self) {
        self.alone = true;
    }

    /// Frames are not waited for, only brought: how long they took to render says nothing of the time left.
    pub(crate) fn only_bringing(&mut self) {
        self.only_bringing = true;
    }

    /// What workers are called.
    pub(crate) fn name_workers(&mut self, names: impl IntoIterator<Item = (WorkerId, String)>) {
        self.names
            .extend(names.into_iter().map(|(id, name)| (id, printable(&name))));
    }

    /// Whether it is known what this worker is called.
    pub(crate) fn knows(&self, worker: WorkerId) -> bool {
        self.names.contains_key(&worker)
    }

    fn name(&self, worker: WorkerId) -> String {
        self.names
            .get(&worker)
            .cloned()
            .unwrap_or_else(|| format!("worker {worker}"))
    }

    /// ` on NAME`, where there is more than one machine it could be.
    fn on(&self, worker: WorkerId) -> String {
        if self.alone {
            String::new()
        } else {
            format!(" on {}", self.name(worker))
        }
    }

    /// A frame is being rendered.
    pub(crate) fn started(&mut self, frame: i32, worker: WorkerId) {
        self.rendering.insert(frame, worker);
        self.estimate.rendering(self.rendering.len());
        self.held_by = None;
        self.output.line(LineKind::Started { frame, worker });
        self.redraw();
    }

    /// A frame is rendered, and on its way.
    pub(crate) fn rendered(&mut self, frame: i32) {
        self.rendering.remove(&frame);
    }

    /// Nothing is known of what renders any more.
    pub(crate) fn forget_rendering(&mut self) {
        self.rendering.clear();
    }

    /// A frame's files lie in the output folder.
    pub(crate) fn done(&mut self, frame: DoneFrame) {
        self.rendering.remove(&frame.frame);
        let took = Duration::from_secs_f64(frame.seconds.max(0.0));
        self.estimate.frame_done(frame.at, took);
        self.last_done = Instant::now();
        self.done += 1;
        self.brought += 1;
        if self.bar.is_none() {
            let left = match self.left() {
                Some(left) if self.done < self.frames => format!(", {} left", show_duration(left)),
                _ => String::new(),
            };
            let took = show_duration(took);
            let place = frame
                .files
                .first()
                .map(|file| format!("  {}", file.display()))
                .unwrap_or_default();
            self.output.text(&format!(
                "frame {}  {took}{}  ({}/{}{left}){place}",
                frame.frame,
                self.on(frame.worker),
                self.done,
                self.frames
            ));
        }
        self.output.line(LineKind::Frame {
            frame: frame.frame,
            files: frame.files,
            worker: frame.worker,
            seconds: frame.seconds,
        });
        self.tell_progress();
        self.redraw();
    }

    /// A frame failed once.
    pub(crate) fn frame_failed(
        &mut self,
        frame: i32,
        worker: WorkerId,
        message: String,
        given_up: bool,
    ) {
        self.rendering.remove(&frame);
        let then = if given_up {
            "given up"
        } else {
            "it will be tried again"
        };
        let said = printable(&message);
        let on = self.on(worker);
        self.output.note(format!(
            "tessera: warning: frame {frame} failed{on}: {said} ({then})"
        ));
        if given_up && self.first_failure.is_none() {
            self.first_failure = Some((frame, said.clone()));
        }
        self.output.line(LineKind::FrameFailed {
            frame,
            worker,
            message,
            given_up,
        });
        if given_up {
            self.failed += 1;
            self.tell_progress();
        }
        self.redraw();
    }

    /// Something the user should know and that does not stop the work.
    pub(crate) fn warn(&self, message: String) {
        self.output.warn(message);
    }

    /// A file holds more of a frame that is rendered in parts.
    pub(crate) fn so_far(&self, frame: i32, file: PathBuf) {
        self.output.line(LineKind::SoFar { frame, file });
    }

    fn tell_progress(&self) {
        self.output.line(LineKind::Progress {
            done: self.done,
            frames: self.frames,
            failed: self.failed,
            parts_done: self.parts.map_or(0, |parts| parts.done),
            parts: self.parts.map_or(0, |parts| parts.of),
            seconds_left: self.left().map(|left| left.as_secs_f64()),
        });
    }

    /// Something keeps it from going on; none if nothing does any more.
    pub(crate) fn hold(&mut self, by: Option<String>) {
        if by == self.held_by {
            return;
        }
        if let (Some(by), None) = (&by, &self.bar) {
            self.output.note(printable(by));
        }
        self.held_by = by;
        self.redraw();
    }

    /// So many parts of the frames that are divided among workers are done.
    pub(crate) fn parts(&mut self, done: u32, of: u32) {
        let before = self.parts.map(|parts| parts.done);
        if of == 0 || before == Some(done) {
            return;
        }
        let first = self.parts.and_then(|parts| parts.first);
        self.parts = Some(Parts {
            of,
            done,
            first: first.or_else(|| (done > 0).then(|| (Instant::now(), done))),
        });
        self.tell_progress();
        self.redraw();
    }

    /// What is done while nothing is rendered; shown in passing.
    pub(crate) fn activity(&mut self, activity: Option<String>) {
        self.activity = activity;
        self.redraw();
    }

    /// The manager is away; none if it is back.
    pub(crate) fn outage(&mut self, outage: Option<String>) {
        match (&outage, self.away_since) {
            // Told once, whatever else fails while it is away.
            (Some(message), None) => {
                self.away_since = Some(Instant::now());
                self.output
                    .note(format!("tessera: warning: {}", printable(message)));
                let message = message.clone();
                self.output.line(LineKind::Outage { message });
            }
            (None, Some(since)) => {
                self.away_since = None;
                let away = since.elapsed();
                let seconds = away.as_secs_f64();
                let text = format!("The manager is back after {}", show_duration(away));
                self.output.note(text);
                self.output.line(LineKind::Back { seconds });
            }
            _ => {}
        }
        self.held_by = outage.map(|_| "the manager is away".to_owned());
        self.redraw();
    }

    /// Whether frames are being rendered, as far as is known.
    pub(crate) fn is_rendering(&self) -> bool {
        !self.rendering.is_empty()
    }

    /// Frames in the output folder, frames given up.
    pub(crate) fn counts(&self) -> (u32, u32) {
        (self.done, self.failed)
    }

    /// Frames that this command brought.
    pub(crate) fn rendered_here(&self) -> u32 {
        self.brought
    }

    /// The first frame that was given up, and how it failed.
    pub(crate) fn first_failure(&self) -> Option<(i32, &str)> {
        let (frame, how) = self.first_failure.as_ref()?;
        Some((*frame, how))
    }

    /// Since it began.
    pub(crate) fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn left(&self) -> Option<Duration> {
        let remaining = self.frames.saturating_sub(self.done + self.failed);
        let left = self.estimate.left(remaining, self.last_done.elapsed());
        left.or_else(|| self.parts?.left())
    }

    /// Draws the present state; time left counts down by it.
    pub(crate) fn redraw(&self) {
        let Some(bar) = &self.bar else { return };
        if self.frames == 0 {
            return;
        }
        bar.set_position(self.done.into());
        let mut parts = Vec::new();
        if let Some(left) = self.left() {
            parts.push(format!("{} left", show_duration(left)));
        }
        if self.failed > 0 {
            parts.push(format!("{} failed", self.failed));
        }
        if let Some(divided) = self.parts.filter(|divided| divided.done < divided.of) {
            let percent = u64::from(divided.done) * 100 / u64::from(divided.of);
            parts.push(format!("{percent} % of what is divided among workers"));
        }
        match &self.held_by {
            Some(held_by) => parts.push(printable(held_by)),
            None => parts.extend(self.rendering_text().or_else(|| self.activity.clone())),
        }
        bar.set_message(parts.join("  ·  "));
    }

    fn rendering_text(&self) -> Option<String> {
        let mut by_worker: BTreeMap<WorkerId, Vec<String>> = BTreeMap::new();
        for (frame, worker) in self.rendering.iter().take(NAMED_MAX) {
            by_worker
                .entry(*worker)
                .or_default()
                .push(frame.to_string());
        }
        let mut parts: Vec<String> = by_worker
            .iter()
            .map(|(worker, frames)| format!("{}{}", frames.join(" "), self.on(*worker)))
            .collect();
        if self.rendering.len() > NAMED_MAX {
            parts.push(format!("{} more", self.rendering.len() - NAMED_MAX));
        }
        (!parts.is_empty()).then(|| format!("frame {}", parts.join(", ")))
    }

    /// Takes the bar away; what follows is printed below what was said.
    pub(crate) fn end(&mut self) {
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
