//! From a .blend file to a job on the farm.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tempfile::TempDir;
use tessera_client::{
    Api, Ask, Divide, PackError, PackOptions, PackStage, Packed, SendProgress, Sent, pack,
    submit_packed,
};
use tessera_model::{After, JobSettings, Overrides};
use tessera_wire::api::Submitted;
use tessera_wire::line::LineKind;

use crate::context::{Context, Looking};
use crate::flags::{OrderFlags, SceneFlags, given_names, jobs};
use crate::progress::Progress;
use crate::units::Bytes;

/// How the folders begin in which Blender's words are kept while a file is read, and afterwards if that failed.
const LOG_PREFIX: &str = "packing-";

/// They are kept for so long: whoever looks for a fault does so in these days.
const LOGS_KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);

/// How a file is read.
pub(crate) struct Prepared {
    pub(crate) options: PackOptions,
    logs: TempDir,
}

impl Prepared {
    /// Blender's words are gone with this, unless an error may name them.
    pub(crate) fn keep_logs_of<T>(self, outcome: Result<T, PackError>) -> Result<T> {
        if outcome.is_err() {
            let _kept = self.logs.keep();
        }
        Ok(outcome?)
    }
}

/// Finds the Blenders of this machine and a place for what they say.
pub(crate) async fn prepare(
    context: &Context,
    file: &Path,
    looking: Looking,
    progress: &Progress,
) -> Result<Prepared> {
    let output = &context.output;
    output.line(LineKind::Packing {
        file: file.to_owned(),
    });
    progress.stage("Looking for Blender");
    let found = looking.await;
    tracing::debug!("Blenders are known");
    for broken in &found.broken {
        output.warn(format!(
            "{} cannot be used as Blender: {}",
            broken.path.display(),
            broken.reason
        ));
    }
    let cache = &context.folders.cache;
    let logs = cache.join("logs");
    std::fs::create_dir_all(&logs)
        .with_context(|| format!("cannot make the folder {}", logs.display()))?;
    sweep(&logs);
    let log_dir = tempfile::Builder::new()
        .prefix(LOG_PREFIX)
        .tempdir_in(&logs)
        .with_context(|| format!("cannot write to the folder {}", logs.display()))?;
    let options = PackOptions {
        file: file.to_owned(),
        frames: None,
        overrides: Overrides::default(),
        output: None,
        cwd: std::env::current_dir()
            .context("the current folder is gone: change to one that exists")?,
        maps: context.settings.maps.value.clone(),
        builds: found.builds.clone(),
        log_dir: log_dir.path().to_owned(),
        cache_dir: Some(cache.clone()),
        read_all: false,
        pack_textures: false,
        divide: Divide::default(),
        room: None,
    };
    Ok(Prepared {
        options,
        logs: log_dir,
    })
}

/// Shows how far the reading is.
pub(crate) fn tell(file: &Path, progress: &Progress) -> impl FnMut(PackStage) {
    let name = file.file_name().unwrap_or(file.as_os_str());
    let name = name.to_string_lossy();
    move |stage| {
        let text = stage_text(&name, &stage);
        tracing::debug!("packing: {text}");
        progress.stage(text);
    }
}

/// Reads the file and all that it depends on, and says what the user should know of it.
pub(crate) async fn pack_scene(
    context: &Context,
    flags: &SceneFlags,
    looking: Looking,
    progress: &Progress,
) -> Result<Packed> {
    let output = &context.output;
    let mut prepared = prepare(context, &flags.file, looking, progress).await?;
    let options = &mut prepared.options;
    options.frames = flags.frames.clone();
    options.overrides = overrides(flags);
    options.output = flags.output.clone();
    options.read_all = flags.reread;
    options.pack_textures = flags.pack_textures;
    options.divide = match flags.elastic {
        true => Divide::Noise,
        false => flags.split,
    };
    options.room = flags.room_for.map(u32::from);
    let packed = pack(options, tell(&flags.file, progress)).await;
    let packed = prepared.keep_logs_of(packed)?;
    tracing::debug!("packed");
    for warning in &packed.warnings {
        output.warn(warning.clone());
    }
    output.line(LineKind::Packed {
        files: packed.files,
        bytes: packed.bytes,
    });
    Ok(packed)
}

/// Removes logs of long ago. What cannot be removed is left alone.
fn sweep(logs: &Path) {
    for entry in std::fs::read_dir(logs).into_iter().flatten().flatten() {
        let made = entry.metadata().and_then(|facts| facts.modified());
        let age = made.ok().and_then(|at| at.elapsed().ok());
        if entry.file_name().to_string_lossy().starts_with(LOG_PREFIX)
            && age.is_some_and(|age| age > LOGS_KEPT_FOR)
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn stage_text(name: &str, stage: &PackStage) -> String {
    match stage {
        PackStage::Starting { build } => format!("Starting {build}"),
        PackStage::Opening => format!("Opening {name}"),
        PackStage::Scanning => format!("Looking for what {name} uses"),
        PackStage::Reading {
            files_done,
            files,
            bytes_done,
            bytes,
        } => format!(
            "Reading file {} of {files}, {} of {}",
            (files_done + 1).min(*files),
            Bytes(*bytes_done),
            Bytes(*bytes)
        ),
        PackStage::Copying { blend, blends } => {
            format!("Copying {name} with Blender, file {blend} of {blends}")
        }
    }
}

fn overrides(flags: &SceneFlags) -> Overrides {
    Overrides {
        scene: flags.scene.clone(),
        engine: flags.engine.clone(),
        samples: flags.samples.map(u32::from),
        device: flags.device.clone().unwrap_or_default(),
        exr: flags.exr,
        autoexec: flags.scripts,
    }
}

/// What the job is submitted with.
pub(crate) fn job_settings(context: &Context, flags: &SceneFlags) -> JobSettings {
    let defaults = &context.settings.job;
    let stem = flags.file.file_stem().unwrap_or(flags.file.as_os_str());
    JobSettings {
        name: flags
            .name
            .clone()
            .unwrap_or_else(|| stem.to_string_lossy().into_owned()),
        category: defaults.category.value.clone(),
        priority: defaults.priority.value,
        tags: defaults.tags.value.clone(),
        comment: flags.comment.clone().unwrap_or_default(),
        chunk: defaults.chunk.value,
        max_attempts: defaults.attempts.value,
        requirement: defaults.needs.requirement(),
        resources: defaults.resources.value.clone(),
        after: afters(&flags.order),
        preempt: flags.preempt,
        notify: given_names(&flags.notify),
    }
}

/// The jobs it waits for, whole ones first.
fn afters(flags: &OrderFlags) -> Vec<After> {
    let named = |list: &Option<Vec<_>>, frames| {
        jobs(list.as_deref().unwrap_or_default())
            .map(|job| After { job, frames })
            .collect::<Vec<_>>()
    };
    let whole = named(&flags.after, false);
    whole
        .into_iter()
        .chain(named(&flags.after_frames, true))
        .collect()
}

/// What of a scene is sent.
pub(crate) fn to_send(flags: &SceneFlags) -> Ask {
    match flags.force_upload {
        true => Ask::Force,
        false => Ask::First,
    }
}

/// Sends what the farm lacks, or everything, and hands the job in.
pub(crate) async fn send_and_submit(
    context: &Context,
    api: &Api,
    packed: &mut Packed,
    ask: Ask,
    settings: JobSettings,
    progress: &Progress,
) -> Result<(Submitted, Sent)> {
    let output = &context.output;
    progress.stage("Sending");
    let mut last = SendProgress::default();
    let (submitted, sent) = submit_packed(api, packed, ask, settings, |sent| {
        last = sent;
        progress.stage(format!(
            "Sending {} of {}",
            Bytes(sent.done_bytes),
            Bytes(sent.total_bytes)
        ));
        output.line(LineKind::Sending {
            sent_bytes: sent.sent_bytes,
            received_bytes: sent.received_bytes,
            done_bytes: sent.done_bytes,
            total_bytes: sent.total_bytes,
        });
    })
    .await?;
    // The last word on it: all that handing in cost, the questions and the request itself included, also if nothing was lacking.
    output.line(LineKind::Sending {
        sent_bytes: sent.sent_bytes,
        received_bytes: sent.received_bytes,
        done_bytes: last.done_bytes,
        total_bytes: last.total_bytes,
    });
    tracing::debug!(?sent, "handed in");
    Ok((submitted, sent))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_of_long_ago_are_removed_and_nothing_else() {
        let logs = tempfile::tempdir().unwrap();
        let make = |name: &str, age: Duration| {
            let path = logs.path().join(name);
            std::fs::create_dir(&path).unwrap();
            let folder = std::fs::File::open(&path).unwrap();
            folder
                .set_modified(std::time::SystemTime::now() - age)
                .unwrap();
            path
        };
        let old = make("packing-a", LOGS_KEPT_FOR * 2);
        let kept = [
            make("packing-b", Duration::ZERO),
            make("mine", LOGS_KEPT_FOR * 2),
        ];
        sweep(logs.path());
        assert!(!old.exists() && kept.iter().all(|path| path.exists()));
    }
}
