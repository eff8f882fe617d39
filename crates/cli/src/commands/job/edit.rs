//! `tessera job edit`: other settings for a job, while it runs.
//!
//! What a worker must have, and the jobs waited for, are each one setting of the job: what the flags do not name of them is
//! taken from how the job is now.

use anyhow::Result;
use tessera_client::Api;
use tessera_model::{After, JobEdit, JobId, JobSettings, Requirement, Step, check_name};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::{
    EditFlags, NeedFlags, OrNone, OrderFlags, SamplesWanted, given_names, jobs, new_names,
};

pub(super) async fn edit(context: &Context, api: &Api, flags: &EditFlags) -> Result<Status> {
    let names = |flag: &Option<Vec<String>>| -> Result<Option<Vec<String>>> {
        let names = flag.as_deref().map(new_names).transpose();
        names.map_err(|reason| stop(Status::Usage, reason))
    };
    if let Some(category) = &flags.category {
        check_name(category).map_err(|reason| stop(Status::Usage, reason))?;
    }
    let edit = JobEdit {
        name: flags.name.clone(),
        category: flags.category.clone(),
        priority: flags.priority.map(u32::from),
        tags: names(&flags.tags)?,
        comment: flags.comment.clone(),
        max_attempts: flags.attempts.map(u32::from),
        chunk: flags.chunk.map(u32::from),
        resources: names(&flags.order.resources)?,
        preempt: flags.preempt,
        notify: names(&flags.notify)?,
        requirement: None,
        after: None,
        samples: match flags.samples {
            Some(SamplesWanted::All(samples)) => Some(samples),
            Some(SamplesWanted::More(more)) => {
                Some(has_samples(api, flags.job).await?.saturating_add(more))
            }
            None => None,
        },
    };
    if edit == JobEdit::default() && !names_parts(flags) {
        return Err(stop(
            Status::Usage,
            "nothing to change was named: `tessera job edit --help` lists what can be",
        ));
    }
    let edit = match names_parts(flags) {
        true => {
            let now = api.job(flags.job).await?.summary.settings;
            with_parts(edit, flags, now)
        }
        false => edit,
    };
    let job = Box::new(api.edit(flags.job, &edit).await?.summary);
    let text = match edit.samples {
        Some(samples) => format!(
            "job {} gets {samples} samples: `tessera fetch {} --wait` brings what has them",
            flags.job, flags.job
        ),
        None => format!("job {} is changed", flags.job),
    };
    context.output.result(text, || LineKind::Job { job });
    Ok(Status::Done)
}

/// How many samples the frames of a job get by now, if they are divided; what else it is, the manager refuses.
async fn has_samples(api: &Api, job: JobId) -> Result<u32> {
    let detail = api.job(job).await?;
    let split = detail.steps.iter().rev().find_map(Step::divided);
    Ok(split.map_or(0, |split| split.samples))
}

fn names_parts(flags: &EditFlags) -> bool {
    let order = &flags.order;
    order.after.is_some() || order.after_frames.is_some() || names_need(&flags.needs)
}

fn names_need(needs: &NeedFlags) -> bool {
    let NeedFlags {
        workers,
        memory,
        cores,
        gpu,
        gpu_memory,
        os,
        blender_version,
    } = needs;
    workers.is_some()
        || memory.is_some()
        || cores.is_some()
        || gpu.is_some()
        || gpu_memory.is_some()
        || os.is_some()
        || blender_version.is_some()
}

fn with_parts(edit: JobEdit, flags: &EditFlags, now: JobSettings) -> JobEdit {
    let order = &flags.order;
    JobEdit {
        requirement: names_need(&flags.needs).then(|| needed(&flags.needs, now.requirement)),
        after: (order.after.is_some() || order.after_frames.is_some())
            .then(|| awaited(order, &now.after)),
        ..edit
    }
}

/// What is asked of workers with what the flags name put in the place of what was.
fn needed(flags: &NeedFlags, was: Requirement) -> Requirement {
    fn or<A: Clone, B>(flag: &Option<OrNone<A>>, was: Option<B>, as_is: fn(A) -> B) -> Option<B> {
        match flag {
            Some(OrNone(said)) => said.clone().map(as_is),
            None => was,
        }
    }
    let was_workers = was.workers;
    Requirement {
        memory_bytes: or(&flags.memory, was.memory_bytes, |bytes| bytes.0),
        cores: or(&flags.cores, was.cores, |cores| cores.0.get()),
        gpu: or(&flags.gpu, was.gpu, |gpu| gpu),
        gpu_memory_bytes: or(&flags.gpu_memory, was.gpu_memory_bytes, |bytes| bytes.0),
        os: or(&flags.os, was.os, |os| os.0.to_owned()),
        blender: or(&flags.blender_version, was.blender, |range| range),
        workers: flags.workers.as_deref().map_or(was_workers, given_names),
    }
}

/// The jobs waited for, whole ones and those waited for frame by frame each replaced where the flags name them.
fn awaited(flags: &OrderFlags, was: &[After]) -> Vec<After> {
    let of = |flag: &Option<Vec<OrNone<JobId>>>, frames: bool| -> Vec<After> {
        match flag {
            Some(named) => jobs(named).map(|job| After { job, frames }).collect(),
            None => was
                .iter()
                .filter(|after| after.frames == frames)
                .copied()
                .collect(),
        }
    };
    let whole = of(&flags.after, false);
    whole
        .into_iter()
        .chain(of(&flags.after_frames, true))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flags::{Command, Flags, JobCommand};
    use clap::Parser;

    fn parts(line: &str, now: JobSettings) -> JobEdit {
        let words = ["tessera", "job", "edit", "1"].into_iter();
        let flags = Flags::try_parse_from(words.chain(line.split(' '))).unwrap();
        let Command::Job(JobCommand::Edit(flags)) = flags.command else {
            panic!("{line}");
        };
        with_parts(JobEdit::default(), &flags, now)
    }

    #[test]
    fn what_is_not_named_stays() {
        let now = || JobSettings {
            requirement: Requirement {
                memory_bytes: Some(5),
                gpu: Some("rtx".into()),
                workers: vec!["anna".into()],
                ..Requirement::default()
            },
            after: [(3, false), (4, true)]
                .map(|(job, frames)| After {
                    job: JobId(job),
                    frames,
                })
                .to_vec(),
            ..JobSettings::named("x")
        };
        let changed = parts("--cores 8 --gpu none --workers ben;carl", now());
        let wanted = Requirement {
            memory_bytes: Some(5),
            cores: Some(8),
            workers: vec!["ben".into(), "carl".into()],
            ..Requirement::default()
        };
        assert_eq!((changed.requirement, changed.after), (Some(wanted), None));
        for none in ["--memory= --workers=", "--memory none --workers none"] {
            let changed = parts(none, now()).requirement.unwrap();
            assert_eq!((changed.memory_bytes, changed.workers.len()), (None, 0));
        }
        let after = |line| {
            let changed = parts(line, now());
            assert_eq!(changed.requirement, None);
            let all = changed.after.unwrap().into_iter();
            all.map(|after| (after.job.0, after.frames))
                .collect::<Vec<_>>()
        };
        assert_eq!(after("--after 5;6"), [(5, false), (6, false), (4, true)]);
        assert_eq!(after("--after none"), [(4, true)]);
        assert_eq!(after("--after= --after-frames="), []);
    }
}
