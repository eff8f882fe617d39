//! One living Blender and the frames it renders, one order after the other.
//!
//! Between the end of a frame and the request for the next there is nothing but handing over the report, taking the
//! next order and the folder that was made ready meanwhile: hashing, sending and logging happen elsewhere. A Blender
//! that crashes, hangs or grows too large is the frame's failure and never the slot's.

mod noisy;
mod parts;
mod roll;
mod station;
mod terms;

use std::sync::Arc;
use std::time::Duration;

use tessera_blender::{Launch, Rendered};
use tessera_model::{Build, FrameErrorKind, JobId};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::blenders::Blenders;
use crate::deliver::{MadeFile, Outcome, Report};
use crate::desk::{FrameEnd, FrameOrder, Input, Order, Warm};
use crate::failure::Failure;
use crate::frame_dir::{FrameDir, Frames};
use crate::hub::{Hub, SlotOrder};
use crate::log_tail::Logs;
use crate::trees::TreesDir;
use crate::uplink::Uplink;
use parts::Merged;
pub(crate) use roll::Roll;
use station::{NoFrame, Station};
use terms::{Made, assemble_request, device_name, notes, render_request, slice_request, timings};
use tessera_wire::link::Work;

/// A Blender without work is ended after this long: its memory may be wanted by whoever sits at the machine, and
/// loading the scene again costs little against such a pause.
const WARM_FOR: Duration = Duration::from_secs(600);

/// What every slot shares.
#[derive(Debug)]
pub(crate) struct SlotContext {
    pub hub: Arc<Hub>,
    pub frames: Arc<Frames>,
    pub trees: TreesDir,
    pub roll: Roll,
    pub logs: Logs,
    pub launch: Launch,
    pub blenders: watch::Receiver<Blenders>,
    pub uplink: Uplink,
    /// Told when a Blender that was found can not be started.
    pub suspect: mpsc::Sender<Build>,
}

/// A slot.
#[derive(Debug)]
pub(crate) struct Slot {
    index: usize,
    context: Arc<SlotContext>,
    station: Station,
    /// Made ready for the next frame.
    folder: Option<JoinHandle<std::io::Result<FrameDir>>>,
    /// The frame before: its job, and when it ended by the driver's clock, in seconds.
    before: Option<(JobId, f64)>,
}

impl Slot {
    pub(crate) fn new(index: usize, context: Arc<SlotContext>) -> Self {
        Self {
            index,
            station: Station::new(index, Arc::clone(&context)),
            context,
            folder: None,
            before: None,
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
                // One that dies while it has nothing to do is no frame's failure.
                () = self.station.deserted() => {
                    tracing::warn!("a Blender ended while it was idle");
                    self.station.clear().await;
                    self.context.hub.apply(Input::Cooled { slot: self.index });
                    continue;
                }
                () = tokio::time::sleep(WARM_FOR), if self.station.is_manned() => {
                    self.cool().await;
                    continue;
                }
            };
            let Some(SlotOrder { order, stop }) = order else {
                break;
            };
            match order {
                Order::Warm(build) => self.warm_up(&build, &stop).await,
                Order::Cool => self.cool_down().await,
                Order::Frame(order) => self.frame(&order, &stop).await,
            }
        }
        self.station.clear().await;
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

    /// Ends its Blender because it was told to.
    async fn cool_down(&mut self) {
        self.station.retire().await;
        self.context.hub.apply(Input::SlotIdle {
            slot: self.index,
            warm: self.station.warm(),
        });
    }

    /// Nobody needs this Blender now.
    async fn cool(&mut self) {
        self.station.retire().await;
        self.context.hub.apply(Input::Cooled { slot: self.index });
    }

    /// Starts a Blender ahead of work. That it fails is said by the first frame that needs it.
    async fn warm_up(&mut self, build: &Build, stop: &CancellationToken) {
        let started = async {
            let folder = self.take_folder().await?;
            let started = self.station.have(build, &folder, stop).await;
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
            warm: self.station.warm(),
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
        let rendered = self.render(order, &folder, stop).await;
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

    /// Has all ready and renders. Besides the frame, what loading took: nothing, while the scene is kept.
    async fn render(
        &mut self,
        order: &FrameOrder,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<(Made, Duration), NoFrame> {
        let load = self.station.load(order, folder, stop).await?;
        if load > Duration::ZERO {
            self.before = None;
        }
        // The next frame's folder is made while Blender works.
        self.prepare_folder();
        self.context.hub.apply(Input::FrameStarted {
            slot: self.index,
            warm: self.station.warm(),
        });
        Ok((self.make(order, folder, stop).await?, load))
    }

    /// What is asked for: the frame, parts of it, or the frame out of its parts.
    async fn make(
        &mut self,
        order: &FrameOrder,
        folder: &FrameDir,
        stop: &CancellationToken,
    ) -> Result<Made, NoFrame> {
        match &order.offer.work {
            Work::Frames => {
                let request = render_request(order, folder)?;
                let rendered = self.station.render(request, folder, stop).await?;
                Ok(self.made(rendered).await)
            }
            Work::Slices(slices) => {
                let mut made = Made::default();
                for (index, slice) in slices.iter().enumerate() {
                    let request = slice_request(order, folder, index, slice)?;
                    let rendered = self.station.slice(request, folder, stop).await?;
                    if let Some(display) = &rendered.display {
                        made.display = self.station.display(display).await;
                    }
                    made.add(slice, rendered);
                }
                Ok(made)
            }
            Work::Assemble => {
                let mut uplink = self.context.uplink.clone();
                let (path, sum) = match parts::merged(&mut uplink, order, folder, stop).await? {
                    Merged::Frame { path, sum } => (path, sum),
                    Merged::Noisy(tiles) => return Ok(Made::noisy(tiles)),
                };
                let request = assemble_request(order, folder, path.clone())?;
                let rendered = self.station.assemble(request, folder, stop).await?;
                let mut made = self.made(rendered).await;
                match sum {
                    Some(role) => made.files.push(MadeFile {
                        role,
                        name: "sum.exr".into(),
                        path,
                    }),
                    None => {
                        if let Err(error) = tokio::fs::remove_file(&path).await {
                            tracing::debug!("cannot remove a merged frame: {error}");
                        }
                    }
                }
                Ok(made)
            }
        }
    }

    async fn made(&mut self, rendered: Rendered) -> Made {
        let display = match &rendered.display {
            Some(path) => self.station.display(path).await,
            None => None,
        };
        Made::frame(rendered, display)
    }

    /// Hands the finished frame over. The next order is there when this returns.
    fn rendered(&mut self, order: &FrameOrder, folder: FrameDir, made: Made, load: Duration) {
        let offer = &order.offer;
        let job = offer.key.unit.job;
        let timings = timings(&made, order, load, self.before.filter(|(of, _)| *of == job));
        // Without a call of Blender there is no end by its clock.
        self.before = made
            .noisy
            .is_empty()
            .then_some((job, made.timings.end_seconds));
        if !order.frame.wanted {
            discard(folder);
            return self.ended(FrameEnd::Unwanted, None);
        }
        let sizes = made.files.iter().map(|file| file.path.metadata());
        let bytes = sizes.map(|size| size.map_or(0, |of| of.len())).sum();
        let notes = notes(self.station.missing(), &made);
        let report = Report {
            key: offer.key,
            job_name: offer.job_name.clone(),
            frame: order.frame,
            folder: Some(folder),
            outcome: Outcome::Rendered {
                build: offer.build.clone(),
                device: made.device.as_ref().map(device_name).unwrap_or_default(),
                persistent: made.is_persistent(),
                files: made.files,
                display: made.display,
                part_of: made.part_of,
                noisy: made.noisy,
                timings,
                notes,
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
            .frame_ended(self.index, end, self.station.warm(), report);
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
