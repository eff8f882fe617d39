//! The farm's terms in Blender's, and back.

use std::path::Path;
use std::time::Duration;

use tessera_blender::{DeviceKind, DeviceRequest, DeviceUsed, Overrides, Remap, Render, Rendered};
use tessera_blobs::origins;
use tessera_model::{Device, FrameErrorKind, JobId, ResultTimings};

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
pub(super) fn notes(missing: &[String], rendered: &Rendered) -> Vec<String> {
    let library = |path: &String| {
        format!("the linked library {path} is not among the job's files: what it holds is missing")
    };
    let reasons = &rendered.persistent.reasons;
    let slower = (!rendered.persistent.on).then(|| {
        format!(
            "the scene's data is built anew for each frame: {}",
            reasons.join("; ")
        )
    });
    let missing = missing.iter().map(library);
    missing
        .chain(rendered.notes.iter().cloned())
        .chain(slower)
        .collect()
}

pub(super) fn timings(
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
