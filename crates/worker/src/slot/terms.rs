//! The farm's terms in Blender's, and back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tessera_blender::{
    Assemble, DeviceKind, DeviceRequest, DeviceUsed, Overrides, PersistentUse, PixelWindow, Remap,
    Render, RenderSlice, Rendered, RenderedSlice, Role, SampleSpan, Timings,
};
use tessera_blobs::origins;
use tessera_merge::Display;
use tessera_model::{Device, FileRole, FrameErrorKind, JobId, ResultTimings, Slice, Window};

use crate::deliver::MadeFile;
use crate::desk::FrameOrder;
use crate::failure::Failure;
use crate::frame_dir::FrameDir;

/// What Blender is asked for. An empty scene stands for the file's active one, known once it is open.
pub(super) fn render_request(order: &FrameOrder, folder: &FrameDir) -> Result<Render, Failure> {
    let asked = &order.offer.overrides;
    Ok(Render {
        scene: asked.scene.clone().unwrap_or_default(),
        frame: order.frame.frame,
        out_dir: folder.out(),
        name: None,
        overrides: overrides(asked)?,
    })
}

/// A part of a frame.
pub(super) fn slice_request(
    order: &FrameOrder,
    folder: &FrameDir,
    index: usize,
    slice: &Slice,
) -> Result<RenderSlice, Failure> {
    let asked = &order.offer.overrides;
    Ok(RenderSlice {
        scene: asked.scene.clone().unwrap_or_default(),
        frame: order.frame.frame,
        out: folder.out().join(format!("{index}.exr")),
        overrides: overrides(asked)?,
        window: PixelWindow {
            x: slice.window.x,
            y: slice.window.y,
            width: slice.window.width,
            height: slice.window.height,
        },
        samples: slice.samples.as_ref().map(|samples| SampleSpan {
            offset: samples.start,
            length: samples.end - samples.start,
        }),
    })
}

/// A frame whose parts are merged.
pub(super) fn assemble_request(
    order: &FrameOrder,
    folder: &FrameDir,
    merged: PathBuf,
) -> Result<Assemble, Failure> {
    let Render {
        scene,
        frame,
        out_dir,
        name,
        overrides,
    } = render_request(order, folder)?;
    Ok(Assemble {
        scene,
        frame,
        out_dir,
        name,
        overrides,
        merged,
    })
}

/// What came of an order: of a frame, or of all its parts that were asked for.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) files: Vec<MadeFile>,
    /// How the scene shows its colours, where the files hold light.
    pub(super) display: Option<Arc<Display>>,
    /// Of parts, columns and rows of their frame.
    pub(super) part_of: Option<(u32, u32)>,
    /// Of a frame that is to have more samples first: in which tiles.
    pub(super) noisy: Vec<u16>,
    pub(super) timings: Spent,
    pub(super) device: Option<DeviceUsed>,
    persistent: Option<PersistentUse>,
    notes: Vec<String>,
}

/// Where the time went, in seconds; the end by the driver's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Spent {
    begin_seconds: f64,
    pub(super) end_seconds: f64,
    prepare_seconds: f64,
    render_seconds: f64,
    write_seconds: f64,
}

impl Spent {
    fn add(&mut self, more: Timings) {
        if self.end_seconds == 0.0 {
            self.begin_seconds = more.begin_seconds;
        }
        self.end_seconds = more.end_seconds;
        self.prepare_seconds += more.prepare_seconds;
        self.render_seconds += more.render_seconds;
        self.write_seconds += more.write_seconds;
    }
}

impl Made {
    pub(super) fn frame(rendered: Rendered, display: Option<Arc<Display>>) -> Self {
        let mut made = Self {
            display,
            device: Some(rendered.device),
            persistent: Some(rendered.persistent),
            notes: rendered.notes,
            ..Self::default()
        };
        made.timings.add(rendered.timings);
        let files = rendered.files.into_iter().map(|file| MadeFile {
            role: match file.role {
                Role::Main => FileRole::Main,
                Role::View { view } => FileRole::View(view),
                Role::Node { index } => FileRole::Node(index),
            },
            name: file.name,
            path: file.path,
        });
        made.files = files.collect();
        made
    }

    /// No frame yet.
    pub(super) fn noisy(noisy: Vec<u16>) -> Self {
        Self {
            noisy,
            ..Self::default()
        }
    }

    pub(super) fn add(&mut self, slice: &Slice, rendered: RenderedSlice) {
        self.timings.add(rendered.timings);
        self.part_of = Some(rendered.frame_size);
        let PixelWindow {
            x,
            y,
            width,
            height,
        } = rendered.rendered;
        self.files.push(MadeFile {
            role: FileRole::Slice {
                slice: slice.clone(),
                rendered: Window {
                    x,
                    y,
                    width,
                    height,
                },
            },
            name: format!("{}.exr", self.files.len()),
            path: rendered.path,
        });
        self.device = Some(rendered.device);
        self.persistent = Some(rendered.persistent);
        for note in rendered.notes {
            if !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    pub(super) fn is_persistent(&self) -> bool {
        self.persistent.as_ref().is_some_and(|kept| kept.on)
    }
}

/// Where absolute paths of the machine the job comes from lie in its tree. A .blend of the `shared` tree may have been made to fit
/// there before it was copied.
pub(super) fn remap(root: &Path, shared: &Path) -> Vec<Remap> {
    let mut rules = Vec::new();
    if let Some(shared) = shared.to_str().filter(|_| shared != root) {
        rules.push(Remap {
            from: shared.to_owned(),
            to: root.to_owned(),
        });
    }
    rules.extend(
        origins(root)
            .into_iter()
            .map(|(from, to)| Remap { from, to }),
    );
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
pub(super) fn device_name(used: &DeviceUsed) -> String {
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

/// What the frame's user should know, a line each.
pub(super) fn notes(missing: &[String], made: &Made) -> Vec<String> {
    let library = |path: &String| {
        format!("the linked library {path} is not among the job's files: what it holds is missing")
    };
    let anew = made.persistent.as_ref().filter(|kept| !kept.on);
    let slower = anew.map(|kept| {
        format!(
            "the scene's data is built anew for each frame: {}",
            kept.reasons.join("; ")
        )
    });
    let missing = missing.iter().map(library);
    missing
        .chain(made.notes.iter().cloned())
        .chain(slower)
        .collect()
}

pub(super) fn timings(
    made: &Made,
    order: &FrameOrder,
    load: Duration,
    before: Option<(JobId, f64)>,
) -> ResultTimings {
    let driver = made.timings;
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
