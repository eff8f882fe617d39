//! One living Blender and the frames it renders, one order after the other.
//!
//! Between the end of a frame and the request for the next there is nothing but handing over the report, taking the
//! next order and the folder that was made ready meanwhile: hashing, sending and logging happen elsewhere. A Blender
//! that crashes, hangs or grows too large is the frame's failure and never the slot's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tessera_blender::{
    Blender, DeviceKind, DeviceRequest, Launch, Open, Opened, Overrides, Remap, Render, Rendered,
};
use tessera_model::{Build, Device, FrameErrorKind, JobId, ResultTimings};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::blenders::Blenders;
use crate::deliver::{Outcome, Report};
use crate::desk::{FrameEnd, FrameOrder, Input, Order, SceneKey, Warm};
use crate::failure::Failure;
use crate::frame_dir::{FrameDir, Frames};
use crate::hub::{Hub, SlotOrder};
use crate::log_tail::Logs;
use crate::trees::TreesDir;

/// A Blender without work is ended after this long: its memory may be wanted by whoever sits at the machine, and
/// loading the scene again costs little against such a pause.
const WARM_FOR: Duration = Duration::from_secs(600);

/// After a pause longer than this, a Blender is asked whether it still lives before a frame is charged with its death.
const PING_AFTER: Duration = Duration::from_secs(1);

/// What every slot shares.
#[derive(Debug)]
pub(crate) struct SlotContext {
    pub hub: Arc<Hub>,
    pub frames: Arc<Frames>,
    pub trees: TreesDir,
    pub logs: Logs,
    pub launch: Launch,
    pub blenders: watch::Receiver<Blenders>,
    /// Told when a Blender that was found can not be started.
    pub suspect: mpsc::Sender<Build>,
}

/// A slot.
#[derive(Debug)]
pub(crate) struct Slot {
    index: usize,
    context: Arc<SlotContext>,
    living: Option<Living>,
    /// Made ready for the next frame.
    folder: Option<JoinHandle<std::io::Result<FrameDir>>>,
    /// The frame before: its job, and when it ended by the driver's clock, in seconds.
    before: Option<(JobId, f64)>,
    idle_since: Instant,
}

#[derive(Debug)]
struct Living {
    blender: Blender,
    build: Build,
    open: Option<(SceneKey, Opened)>,
}

/// Why there is no picture.
#[derive(Debug)]
enum NoFrame {
    Stopped,
    Failed(Failure),
}

impl<E: Into<Failure>> From<E> for NoFrame {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Slot {
    pub(crate) fn new(index: usize, context: Arc<SlotContext>) -> Self {
        Self {
            index,
            context,
            living: None,
            folder: None,
            before: None,
            idle_since: Instant::now(),
        }
    }

    /// Works until the worker ends. Its Blender ends with it.
    pub(crate) async fn run(
        mut self,
        mut orders: mpsc::UnboundedReceiver<SlotOrder>,
        end: CancellationToken,
    ) {
        self.prepare_folder();
        self.context.hub.apply(Input::SlotIdle {
            slot: self.index,
            warm: Warm::default(),
        });
        loop {
            let order = tokio::select! {
                biased;
                () = end.cancelled() => break,
                order = orders.recv() => order,
                () = tokio::time::sleep(WARM_FOR), if self.living.is_some() => {
                    self.cool().await;
                    continue;
                }
            };
            let Some(SlotOrder { order, stop }) = order else {
                break;
            };
            match order {
                Order::Warm(build) => self.warm_up(&build, &stop).await,
                Order::Frame(order) => self.frame(&order, &stop).await,
            }
            self.idle_since = Instant::now();
        }
        if let Some(living) = self.living.take() {
            living.blender.kill().await;
        }
    }

    fn warm(&self) -> Warm {
        let living = self.living.as_ref();
        Warm {
            build: living.map(|living| living.build.clone()),
            scene: living.and_then(|living| living.open.as_ref().map(|(scene, _)| scene.clone())),
        }
    }

    /// Makes the next frame's folder while something else goes on.
    fn prepare_folder(&mut self) {
        if self.folder.is_none() {
            let frames = Arc::clone(&self.context.frames);
            self.folder = Some(tokio::task::spawn_blocking(move || frames.make()));
        }
    }

    async fn take_folder(&mut self) -> Result<FrameDir, Failure> {
        self.prepare_folder();
        let making = self.folder.take().expect("was just made sure of");
        let made = making.await.map_err(std::io::Error::other);
        made.and_then(|made| made)
            .map_err(|error| Failure::of_io("make a folder for the frame", &error))
    }

    /// Nobody needs this Blender now.
    async fn cool(&mut self) {
        if let Some(living) = self.living.take() {
            tracing::info!("{} was idle for long and is ended", living.build);
            if let Err(error) = living.blender.quit().await {
                tracing::debug!("{error}");
            }
        }
        self.context.hub.apply(Input::Cooled { slot: self.index });
    }

    /// Starts a Blender ahead of work. That it fails is said by the first frame that needs it.
    async fn warm_up(&mut self, build: &Build, stop: &CancellationToken) {
        let started = async {
            let folder = self.take_folder().await?;
            let started = self.have(build, &folder, stop).await;
            // What Blender says at its start belongs to the first frame's log.
            self.folder = Some(tokio::spawn(async move { Ok(folder) }));
            started
        };
        match started.await {
            Ok(()) => tracing::debug!("{build} is ready"),
            Err(NoFrame::Stopped) => {}
            Err(NoFrame::Failed(failure)) => tracing::warn!("{}", failure.message),
        }
        self.context.hub.apply(Input::SlotIdle {
            slot: self.index,
            warm: self.warm(),
        });
    }

    /// Renders a frame and reports how it went.
    async fn frame(&mut self, order: &FrameOrder, stop: &CancellationToken) {
        let folder = match self.take_folder().await {
            Ok(folder) => folder,
            Err(failure) => return self.failed(order, None, failure),
        };
        let key = (order.offer.key, order.frame.position);
        self.context.logs.begin(key, &folder);
        let began = Instant::now();
        let rendered = self.render(order, &folder, stop, began).await;
        self.context.logs.end(&key);
        match rendered {
            Ok((rendered, load)) => self.rendered(order, folder, rendered, load),
            Err(NoFrame::Failed(failure)) => {
                self.before = None;
                self.failed(order, Some(folder), failure);
            }
            Err(NoFrame::Stopped) => {
                self.before = None;
                discard(folder);
                self.ended(FrameEnd::Stopped, None);
            }
        }
    }

    /// Hands the finished frame over. The next order is there when this returns.
    fn rendered(
        &mut self,
        order: &FrameOrder,
        folder: FrameDir,
        rendered: Rendered,
        load: Duration,
    ) {
        let offer = &order.offer;
        let job = offer.key.unit.job;
        let timings = timings(
            &rendered,
            order,
            load,
            self.before.filter(|(of, _)| *of == job),
        );
        self.before = Some((job, rendered.timings.end_seconds));
        if !order.frame.wanted {
            discard(folder);
            return self.ended(FrameEnd::Unwanted, None);
        }
        let sizes = rendered.files.iter().map(|file| file.path.metadata());
        let bytes = sizes.map(|size| size.map_or(0, |of| of.len())).sum();
        for note in &rendered.notes {
            tracing::info!(
                "frame {} of '{}': {note}",
                order.frame.frame,
                offer.job_name
            );
        }
        let report = Report {
            key: offer.key,
            job_name: offer.job_name.clone(),
            frame: order.frame,
            folder: Some(folder),
            outcome: Outcome::Rendered {
                files: rendered.files,
                build: offer.build.clone(),
                device: device_name(&rendered.device),
                persistent: rendered.persistent.on,
                timings,
            },
        };
        self.ended(FrameEnd::Rendered { bytes }, Some(report));
    }

    fn failed(&self, order: &FrameOrder, folder: Option<FrameDir>, failure: Failure) {
        if failure.kind == FrameErrorKind::Disk {
            self.context.hub.apply(Input::DiskFull);
        }
        let report = Report {
            key: order.offer.key,
            job_name: order.offer.job_name.clone(),
            frame: order.blame,
            folder,
            outcome: Outcome::Failed(failure),
        };
        self.ended(FrameEnd::Failed, Some(report));
    }

    fn ended(&self, end: FrameEnd, report: Option<Report>) {
        self.context
            .hub
            .frame_ended(self.index, end, self.warm(), report);
    }

    /// Has Blender and scene ready and renders. Besides the frame, what loading took.
    async fn render(
        &mut self,
        order: &FrameOrder,
        folder: &FrameDir,
        stop: &CancellationToken,
        began: Instant,
    ) -> Result<(Rendered, Duration), NoFrame> {
        let offer = &order.offer;
        let overrides = overrides(&offer.overrides)?;
        self.bury_dead().await;
        let mut loaded = false;
        if self
            .living
            .as_ref()
            .is_none_or(|living| living.build != offer.build)
        {
            self.have(&offer.build, folder, stop).await?;
            loaded = true;
        }
        let is_open = |living: &Living| {
            let open = living.open.as_ref();
            open.is_some_and(|(scene, _)| *scene == order.scene) && !order.afresh
        };
        if !self.living.as_ref().is_some_and(is_open) {
            self.open(order, folder, stop).await?;
            loaded = true;
        }
        let load = if loaded {
            began.elapsed()
        } else {
            Duration::ZERO
        };
        if loaded {
            self.before = None;
        }
        // The next frame's folder is made while Blender works.
        self.prepare_folder();
        let living = self.living.as_mut().expect("was just made sure of");
        let (_, opened) = living.open.as_ref().expect("was just opened");
        let request = Render {
            scene: offer
                .overrides
                .scene
                .clone()
                .unwrap_or_else(|| opened.active_scene.clone()),
            frame: order.frame.frame,
            out_dir: folder.out(),
            name: None,
            overrides,
        };
        self.context
            .hub
            .apply(Input::FrameStarted { slot: self.index });
        let log = folder.frame_log();
        let rendered = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            rendered = living.blender.render(&request, &log) => Some(rendered),
        };
        let rendered = self.unless_stopped(rendered).await?;
        Ok((rendered, load))
    }

    /// Has a Blender of this build living, in place of any other.
    async fn have(
        &mut self,
        build: &Build,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<(), NoFrame> {
        if let Some(living) = self.living.take() {
            living.blender.kill().await;
        }
        let local = self.context.blenders.borrow().get(build).cloned();
        let Some(local) = local else {
            let message = format!("this worker has no {build} any more: install it again");
            return Err(Failure::new(FrameErrorKind::Worker, message).into());
        };
        let log = folder.launch_log();
        let launched = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(NoFrame::Stopped),
            launched = Blender::launch(&local, &self.context.launch, &log) => launched,
        };
        match launched {
            Ok(blender) => {
                self.living = Some(Living {
                    blender,
                    build: build.clone(),
                    open: None,
                });
                Ok(())
            }
            Err(error) => {
                // Full: somebody looks into it already.
                let _ = self.context.suspect.try_send(build.clone());
                Err(error.into())
            }
        }
    }

    /// Opens the order's scene in the living Blender.
    async fn open(
        &mut self,
        order: &FrameOrder,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<(), NoFrame> {
        let root = self.context.trees.of(&order.scene.manifest);
        let open = Open {
            path: root.join(&order.scene.main_file),
            autoexec: order.scene.autoexec,
            remap: remap(&root),
            addons: Vec::new(),
        };
        let living = self
            .living
            .as_mut()
            .expect("a scene is opened in a living Blender");
        living.open = None;
        let log = folder.open_log();
        let opened = tokio::select! {
            biased;
            () = stop.cancelled() => None,
            opened = living.blender.open(&open, &log) => Some(opened),
        };
        let opened = self.unless_stopped(opened).await?;
        for library in &opened.missing_libraries {
            let job = &order.offer.job_name;
            tracing::warn!(library = %library.display(), "'{job}' links a library that is not there");
        }
        let living = self.living.as_mut().expect("it has just answered");
        living.open = Some((order.scene.clone(), opened));
        Ok(())
    }

    /// What came of a request; `None`: it was to be stopped. A Blender that can take no more is ended.
    async fn unless_stopped<T>(
        &mut self,
        answer: Option<Result<T, tessera_blender::Error>>,
    ) -> Result<T, NoFrame> {
        let lives = match &answer {
            Some(Ok(_)) => true,
            Some(Err(error)) => error.blender_lives(),
            None => false,
        };
        if !lives && let Some(living) = self.living.take() {
            living.blender.kill().await;
        }
        match answer {
            Some(answer) => Ok(answer?),
            None => Err(NoFrame::Stopped),
        }
    }

    /// A Blender that died while it had nothing to do is no frame's failure.
    async fn bury_dead(&mut self) {
        if self.idle_since.elapsed() < PING_AFTER {
            return;
        }
        let Some(living) = &self.living else {
            return;
        };
        if let Err(error) = living.blender.handle().ping().await {
            tracing::warn!("{} ended while it was idle: {error}", living.build);
            if let Some(living) = self.living.take() {
                living.blender.kill().await;
            }
        }
    }
}

/// Removes what nobody needs, elsewhere.
fn discard(folder: FrameDir) {
    tokio::task::spawn_blocking(move || {
        if let Err(error) = folder.remove() {
            tracing::warn!(path = %folder.path().display(), "cannot remove a frame's folder: {error}");
        }
    });
}

/// Where absolute paths of the machine the job comes from lie in its tree.
fn remap(root: &std::path::Path) -> Vec<Remap> {
    let mut rules = vec![Remap {
        from: "/".to_owned(),
        to: root.to_owned(),
    }];
    // Windows drives are folders of one capital letter.
    for letter in 'A'..='Z' {
        let drive = root.join(letter.to_string());
        if drive.is_dir() {
            rules.push(Remap {
                from: format!("{letter}:\\"),
                to: drive,
            });
        }
    }
    rules
}

fn overrides(asked: &tessera_model::Overrides) -> Result<Overrides, Failure> {
    let device = match &asked.device {
        Device::File => None,
        Device::Cpu => Some(DeviceRequest::Cpu),
        Device::Gpu => Some(DeviceRequest::Gpu),
        Device::Interface(name) => Some(match name.as_str() {
            "cuda" => DeviceRequest::Cuda,
            "optix" => DeviceRequest::Optix,
            "hip" => DeviceRequest::Hip,
            "oneapi" => DeviceRequest::Oneapi,
            "metal" => DeviceRequest::Metal,
            _ => {
                let message = format!(
                    "there is no device '{name}': use cpu, gpu, cuda, optix, hip, oneapi or metal"
                );
                return Err(Failure::new(FrameErrorKind::Scene, message));
            }
        }),
    };
    Ok(Overrides {
        engine: asked.engine.clone(),
        samples: asked.samples,
        device,
        exr: asked.exr,
        ..Overrides::default()
    })
}

/// As Cycles names it: "CPU", "OPTIX: NVIDIA L4".
fn device_name(used: &tessera_blender::DeviceUsed) -> String {
    let kind = match used.kind {
        DeviceKind::Cpu => return "CPU".to_owned(),
        DeviceKind::Cuda => "CUDA",
        DeviceKind::Optix => "OPTIX",
        DeviceKind::Hip => "HIP",
        DeviceKind::Oneapi => "ONEAPI",
        DeviceKind::Metal => "METAL",
    };
    let names: Vec<&str> = used
        .devices
        .iter()
        .map(|device| device.name.as_str())
        .collect();
    format!("{kind}: {}", names.join(", "))
}

fn timings(
    rendered: &Rendered,
    order: &FrameOrder,
    load: Duration,
    before: Option<(JobId, f64)>,
) -> ResultTimings {
    let driver = rendered.timings;
    let idle = before.map_or(0.0, |(_, ended)| driver.begin_seconds - ended);
    ResultTimings {
        transfer_us: micros(order.transfer.as_secs_f64()),
        load_us: micros(load.as_secs_f64()),
        sync_us: micros(driver.prepare_seconds),
        render_us: micros(driver.render_seconds),
        write_us: micros(driver.write_seconds),
        idle_us: micros(idle),
    }
}

fn micros(seconds: f64) -> u64 {
    // Saturates: what is negative or not a number counts as nothing.
    (seconds * 1e6) as u64
}
