//! `tessera render`: submits, waits with progress, leaves the frames.

mod alone;
mod ending;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Result;
use tessera_blender::saved_by;
use tessera_client::{Api, Fetcher, OutputPlan, Packed, Sources, clear_placeholder};
use tessera_model::{FrameSet, JobId, JobState};
use tessera_wire::line::LineKind;
use tokio::task::JoinHandle;

use crate::context::{Context, Looking};
use crate::exit::{Status, one_line, status_of, stop};
use crate::farm;
use crate::flags::RenderFlags;
use crate::private_farm::{PrivateFarm, PrivatePlan};
use crate::progress::Progress;
use crate::render::{
    Brought, Delivery, Follow, FollowError, Handed, Outages, SharedLedger, SoFar, Target, Work,
    build_to_be, earlier, hand_in, job_settings, pack_scene, tell_fetched, to_send, waiting,
};
use crate::units;

/// How long the frames in hand may take to be written after the end was asked for.
const LAST_FRAMES: Duration = Duration::from_secs(2);

/// What there is to end, however the command ends. [`run`](Session::run) fills it as it goes.
struct Session<'a> {
    context: &'a Context,
    flags: &'a RenderFlags,
    began: Instant,
    progress: Progress,
    starting: Option<JoinHandle<Result<PrivateFarm>>>,
    target: Option<Target>,
    delivery: Option<Delivery>,
    /// What of the job lies here for good.
    brought: Option<Brought>,
    plan: Option<OutputPlan>,
    frames: Option<FrameSet>,
    job: Option<JobId>,
    /// An earlier run handed the job in, and may be waiting for it elsewhere.
    joined: bool,
    sources: Arc<Sources>,
}

pub(super) async fn run(context: &Context, flags: &RenderFlags) -> Result<Status> {
    let mut session = Session {
        context,
        flags,
        began: Instant::now(),
        progress: Progress::new(&context.output),
        starting: None,
        target: None,
        delivery: None,
        brought: None,
        plan: None,
        frames: None,
        job: None,
        joined: false,
        sources: Arc::default(),
    };
    let ended = tokio::select! {
        biased;
        () = context.interrupt.token().cancelled() => Err(session.interrupted().await),
        ended = session.run() => ended,
    };
    session.end().await;
    ended
}

impl Session<'_> {
    async fn run(&mut self) -> Result<Status> {
        let (context, flags) = (self.context, self.flags);
        let file = &flags.scene.file;
        let series = saved_by(file).map_err(|error| stop(Status::Usage, error.to_string()))?;
        let looking = context.look();
        self.choose_target(series, &looking).await?;
        let mut packed = pack_scene(context, &flags.scene, looking, &self.progress).await?;
        let mut work = Work::survey(context, &packed, flags.again).await?;
        self.plan = Some(packed.output.clone());
        self.frames = Some(work.asked.clone());
        work.spares_sources(&packed)?;
        if work.is_whole() {
            self.tell_of_earlier(&work, &packed).await;
            return Ok(self.nothing_to_do(&work));
        }
        self.reach_target().await?;
        let target = self.target.as_ref().expect("just reached");
        context.output.line(target.line());
        let api = target.api().clone();
        let on_farm = !target.is_private();
        let found = self.settle(&api, &mut work, &packed).await?;
        let Some(missing) = work.missing.clone() else {
            return Ok(self.nothing_to_do(&work));
        };
        work.narrow(&mut packed);
        self.sources = Arc::new(packed.sources());
        let handed = match found {
            Some(handed) if !flags.scene.force_upload => handed,
            _ => {
                let settings = job_settings(context, &flags.scene);
                // Who waits for the frames waits for the manager too; a script that hands in shall hear that it is away.
                let patient = match flags.detach {
                    true => api.clone(),
                    false => waiting(&api, &context.output),
                };
                hand_in(
                    context,
                    &patient,
                    &mut packed,
                    to_send(&flags.scene),
                    settings,
                    &mut work.ledger,
                    on_farm,
                    &self.progress,
                )
                .await?
            }
        };
        if let Some(build) = &handed.build
            && let Some(warning) = work.mixed(build, "render all anew with --again if they differ")
        {
            context.output.warn(warning);
        }
        let (asked, there) = (work.asked.len(), work.there());
        let present = work.present();
        let ledger = Arc::new(Mutex::new(work.ledger));
        let job = handed.job;
        self.job = Some(job);
        self.joined = handed.by_earlier_run;
        self.say_submitted(&handed, asked, there);
        if flags.detach {
            self.progress.end();
            context.output.text(&job.to_string());
            context.output.note(format!("`tessera fetch {job} --wait` brings the frames, `tessera watch {job}` shows how far it is."));
            return Ok(Status::Done);
        }
        if on_farm {
            let workers = api.workers().await?.items;
            let names = workers.into_iter().map(|worker| (worker.id, worker.name));
            self.progress.name_workers(names);
        } else {
            self.taken_here(job).await?;
            self.progress.alone();
        }
        self.progress.begin(asked, there);
        let state = self
            .follow(&api, job, handed.frames, missing, present, &ledger)
            .await?;
        if let Some(delivery) = self.delivery.take() {
            delivery.finish().await.map_err(FollowError::from)?;
        }
        self.tell_fetched(job).await;
        self.finish(job, state).await
    }

    /// Tells a farm what was fetched.
    async fn tell_fetched(&self, job: JobId) {
        if let (Some(Target::Farm(connection)), Some(brought)) = (&self.target, &self.brought) {
            tell_fetched(&connection.api, job, brought, &self.context.output).await;
        }
    }

    /// All is there. The run that brought the last of it may have ended before it could tell the farm.
    async fn tell_of_earlier(&self, work: &Work, packed: &Packed) {
        let (Some(Target::Farm(connection)), Some(present)) = (&self.target, work.present()) else {
            return;
        };
        let found = earlier(&connection.api, &work.ledger, packed, &present).await;
        if let Some(job) = found.filter(|job| job.frames.len() == present.len()) {
            let brought = Brought::of(present.clone());
            brought.add(present.iter().map(|frame| (frame, None)));
            tell_fetched(&connection.api, job.job, &brought, &self.context.output).await;
        }
    }

    /// Settles which Blender renders what is missing, and so what is missing: an animation is of one Blender. Gives the job of an
    /// earlier run if that goes on.
    async fn settle(&self, api: &Api, work: &mut Work, packed: &Packed) -> Result<Option<Handed>> {
        let on_farm = self
            .target
            .as_ref()
            .is_some_and(|target| !target.is_private());
        let found = match &work.missing {
            Some(missing) if on_farm && !self.flags.again => {
                earlier(api, &work.ledger, packed, missing).await
            }
            _ => None,
        };
        // A job of an earlier run whose Blender would render what is there anew is none that goes on.
        let found = found.filter(|found| {
            let build = found.build.as_ref();
            build.and_then(|build| work.of_others(build)).is_none()
        });
        let build = match &found {
            Some(found) => found.build.clone(),
            None if on_farm => build_to_be(api, packed).await?,
            None => Some(packed.build.clone()),
        };
        if let Some(build) = &build {
            if let Some(warning) = work.mixed(build, "the former are rendered again, so that all come from one (--again renders all anew)") {
                self.context.output.warn(warning);
            }
            work.only_of(build);
        }
        Ok(found)
    }

    /// A farm if there is one, else this computer: its manager and worker start while the file is read.
    async fn choose_target(
        &mut self,
        series: tessera_blender::Series,
        looking: &Looking,
    ) -> Result<()> {
        let found = if self.flags.local {
            None
        } else {
            farm::find(self.context)?
        };
        if let Some(connection) = found {
            self.progress
                .stage(format!("Connecting to {}", connection.farm.name));
            // A farm that can not be reached is known before a large scene is read, not after.
            farm::warn_of_quota(self.context, &connection.api.farm().await?);
            self.target = Some(Target::Farm(connection));
            return Ok(());
        }
        if self.flags.detach {
            return Err(stop(
                Status::Usage,
                "--detach hands the job to a farm, and none is connected: run `tessera connect CODE`, or leave --detach out to render here",
            ));
        }
        let plan = PrivatePlan::new(self.context, Some(series), looking.clone());
        self.starting = Some(tokio::spawn(PrivateFarm::start(plan)));
        Ok(())
    }

    /// Waits for the farm on this computer, if that is where it goes.
    async fn reach_target(&mut self) -> Result<()> {
        if let Some(starting) = &mut self.starting {
            self.progress.stage("Starting");
            let started = starting.await;
            self.starting = None;
            self.target = Some(Target::Private(started??));
        }
        Ok(())
    }

    fn say_submitted(&self, handed: &Handed, frames: u32, present: u32) {
        let job = handed.job;
        let output = &self.context.output;
        let target = self.target.as_ref().expect("a job is submitted somewhere");
        let what = match present {
            0 => units::frames(frames),
            there => format!(
                "{} of {frames} frames, {there} are there already,",
                frames - there
            ),
        };
        let with = match &handed.build {
            Some(build) => format!(" with {build}"),
            None => String::new(),
        };
        let place = match target.is_private() {
            true => target.name().to_owned(),
            false => format!("farm '{}' as job {job}", target.name()),
        };
        let verb = match handed.by_earlier_run {
            true => "Going on with",
            false => "Rendering",
        };
        output.note(format!("{verb} {what} on {place}{with}"));
        output.line(LineKind::Submitted {
            job,
            frames,
            present,
            build: handed.build.clone(),
        });
    }

    async fn follow(
        &mut self,
        api: &Api,
        job: JobId,
        frames: FrameSet,
        missing: FrameSet,
        present: Option<FrameSet>,
        ledger: &SharedLedger,
    ) -> Result<JobState> {
        let plan = self.plan.clone().expect("it was packed");
        let mut outages = Outages::new();
        let patient = outages.patient(api);
        let fetcher = Fetcher::new(&patient, plan.clone()).sparing(self.sources.clone());
        let sweeper = fetcher.clone();
        tokio::task::spawn_blocking(move || sweeper.sweep()).await?;
        let brought = self.brought.insert(Brought::of(frames.clone())).clone();
        let start =
            |fetcher: Fetcher| Delivery::start(fetcher, Some(ledger.clone()), brought.clone());
        let delivery = self.delivery.insert(start(fetcher));
        let placeholders = plan.placeholder.then(|| plan.clone());
        let worker = match &self.target {
            Some(Target::Private(farm)) => Some(farm.worker.clone()),
            _ => None,
        };
        let single = missing.iter().next().filter(|_| missing.len() == 1);
        let so_far = match (&self.flags.so_far, single) {
            (Some(folder), Some(frame)) => {
                let folder = std::path::absolute(folder)?;
                Some(SoFar::start(patient.clone(), job, frame, folder))
            }
            (Some(_), None) => {
                let many = "--so-far shows a single frame while it grows, and these are several";
                self.context.output.warn(many);
                None
            }
            (None, _) => None,
        };
        let mut follow = Follow::new(
            patient,
            job,
            frames,
            missing,
            &mut outages,
            &mut self.progress,
        )
        .with_placeholders(placeholders)
        .with_present(present, &brought)
        .with_worker(worker)
        .with_so_far(so_far);
        loop {
            let followed = match self.target.as_mut() {
                Some(Target::Private(farm)) => tokio::select! {
                    followed = follow.run(delivery) => followed,
                    error = farm.worker_ended() => return Err(error),
                },
                _ => follow.run(delivery).await,
            };
            let error = match followed {
                Ok(state) => return Ok(state),
                Err(error) => error,
            };
            let Some(Target::Farm(connection)) = &mut self.target else {
                return Err(error.into());
            };
            let Some(renewed) = error
                .api()
                .and_then(|error| connection.renewed(self.context, error))
            else {
                return Err(self.still_there(error, job));
            };
            *connection = renewed;
            follow.back();
            let patient = follow.patient(&connection.api);
            let fetcher = Fetcher::new(&patient, plan.clone()).sparing(self.sources.clone());
            *delivery = start(fetcher);
            follow.reconnect(patient);
        }
    }

    /// An error on this side ends the command, not the job on the farm.
    fn still_there(&self, error: FollowError, job: JobId) -> anyhow::Error {
        let at_home = matches!(error, FollowError::Delivery(_));
        let error = anyhow::Error::new(error);
        if !at_home {
            return error;
        }
        stop(
            status_of(&error),
            format!(
                "{} (job {job} goes on on the farm meanwhile; the same command brings its frames)",
                one_line(&error)
            ),
        )
    }

    /// Ends what was started, whichever way it went.
    async fn end(mut self) {
        self.progress.end();
        if let Some(delivery) = self.delivery.take() {
            delivery.end(LAST_FRAMES).await;
        }
        if let Some(starting) = self.starting.take()
            && let Ok(Ok(farm)) = starting.await
        {
            farm.stop().await;
        }
        if let Some(Target::Private(farm)) = self.target.take() {
            farm.stop().await;
        }
        if let (Some(plan), Some(frames)) = (&self.plan, &self.frames)
            && plan.placeholder
            && !self.flags.detach
        {
            for frame in frames.iter() {
                clear_placeholder(plan, frame);
            }
        }
    }
}
