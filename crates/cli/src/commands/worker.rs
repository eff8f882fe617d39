//! `tessera worker`: lets this machine render for a farm, until it is ended.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tessera_client::{Api, ApiError, ConnectError, LinkError, local_manager};
use tessera_model::PairingGrant;
use tessera_wire::api::NewPairing;
use tessera_wire::line::LineKind;
use tessera_wire::pairing::PairingLink;
use tessera_wire::problem::ProblemKind;
use tessera_worker::{
    LinkStatus, SlotStatus, Status as State, WorkerError, WorkerFarm, identity_path,
};
use tokio::sync::watch;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::output::Output;
use crate::private_farm::worker_config;

/// How long a code that is made and used by the same command has to live.
const OWN_CODE_S: u64 = 120;

/// Shortest time between two lines about frames; light frames come by the hundred each second.
const LINES_APART: Duration = Duration::from_secs(5);

pub(super) async fn run(context: &Context) -> Result<Status> {
    let settings = &context.settings.worker;
    let data = settings
        .data
        .value
        .clone()
        .unwrap_or_else(|| context.folders.data.join("worker"));
    // Blender runs in a folder of its own.
    let data = std::path::absolute(data).context("the worker's data folder cannot be named")?;
    let joined = tokio::select! {
        biased;
        () = context.interrupt.token().cancelled() => return Ok(context.interrupt.status()),
        joined = identity(context, &data) => joined?,
    };
    let (mut ended, was_linked) = work(context, data.clone(), joined.clone()).await;
    // Whoever was let in and is then thrown out stays out: a code that is good for long would make removing a worker idle.
    if let (Err(WorkerError::Refused { .. }), Some(code), false) =
        (&ended, &settings.join.value, was_linked)
    {
        let again = tokio::select! {
            biased;
            () = context.interrupt.token().cancelled() => return Ok(context.interrupt.status()),
            again = pair_anew(context, &data, &joined, code) => again?,
        };
        if let Some(joined) = again {
            (ended, _) = work(context, data, joined).await;
        }
    }
    ended?;
    context.output.note("The worker has ended.");
    Ok(context.interrupt.status())
}

/// Works as this worker until it is ended or refused. Besides how it ended, whether it was ever let in.
async fn work(
    context: &Context,
    data: PathBuf,
    joined: WorkerFarm,
) -> (Result<(), WorkerError>, bool) {
    let settings = &context.settings.worker;
    context.output.note(format!(
        "Worker '{}' of farm '{}'. Ctrl-C ends it.",
        joined.name, joined.farm
    ));
    let mut config = worker_config(data, settings, context.blender_search());
    config.identity = Some(joined);
    // Of a worker of a farm only: whoever renders on this machine alone sits at it.
    config.hours.clone_from(&settings.hours.value);
    config.while_idle = settings.while_idle.value;
    config.addresses = addresses(context);
    config.bandwidth = context.settings.bandwidth();
    let (tell, told) = watch::channel(State::default());
    let worker = tessera_worker::run(config, tell, context.interrupt.token().clone());
    let (ended, (), was_linked) =
        tokio::join!(worker, show(&context.output, told.clone()), linked(told));
    (ended, was_linked)
}

/// Addresses of the manager that were said, not learned.
fn addresses(context: &Context) -> Vec<String> {
    let manager = &context.settings.client.manager.value;
    manager.iter().cloned().collect()
}

/// Whether the link was open before the worker ended.
async fn linked(mut told: watch::Receiver<State>) -> bool {
    let open = |state: &State| matches!(state.link, LinkStatus::Linked { .. });
    told.wait_for(open).await.is_ok()
}

/// Pairs again by the code if the farm does not know this worker any more. None if that is not why it was refused: then
/// the code would be used up for nothing.
async fn pair_anew(
    context: &Context,
    data: &Path,
    known: &WorkerFarm,
    code: &str,
) -> Result<Option<WorkerFarm>> {
    let link: PairingLink = code.parse()?;
    let mut said = addresses(context);
    said.extend(link.address.clone());
    let mut access = known.access();
    access.addresses.splice(0..0, said.iter().cloned());
    let is_void = match Api::new(access) {
        Ok(api) => matches!(api.link().await, Err(error) if says_void(&error)),
        // It is good for nothing.
        Err(_) => true,
    };
    if !is_void {
        return Ok(None);
    }
    context.output.note(format!(
        "The farm does not take worker '{}' any more; it is paired anew with the code.",
        known.name
    ));
    if said.is_empty() {
        // Where it was refused, the code is known.
        said.clone_from(&known.addresses);
    }
    let name = context.settings.worker.name.value.as_ref();
    let name = name.unwrap_or(&known.name);
    let paired = tessera_worker::join(data, &link, &said, name).await;
    let paired = paired.with_context(|| {
        format!(
            "worker '{}' was removed from farm '{}', or its certificate was revoked or has expired, and the code does not \
             pair it anew (`tessera cert create` at the manager prints another one)",
            known.name, known.farm
        )
    })?;
    Ok(Some(paired))
}

/// Whether a link was refused because of who asked for it.
fn says_void(error: &LinkError) -> bool {
    match error {
        LinkError::Open(ApiError::Connect(ConnectError::IdentityRefused { .. })) => true,
        LinkError::Open(error) => error.kind() == Some(ProblemKind::Unauthorized),
        _ => false,
    }
}

/// Who this machine is in the farm: as before, or by the code given, or by asking the manager of the same user on this machine.
async fn identity(context: &Context, data: &Path) -> Result<WorkerFarm> {
    let settings = &context.settings.worker;
    let name = settings
        .name
        .value
        .clone()
        .unwrap_or_else(tessera_worker::default_name);
    let addresses = addresses(context);
    if let Some(text) = &settings.join.value {
        let link: PairingLink = text.parse()?;
        // The code may stand in a unit file or a variable and be long used up: once joined, joined, until the farm says no.
        if let Some(known) = WorkerFarm::load(&identity_path(data))?
            && link.code.fingerprint == known.trust.fingerprint()?
        {
            tracing::info!(
                "this machine is part of farm '{}' already; the code is not needed",
                known.farm
            );
            return Ok(known);
        }
        if link.address.is_none() && addresses.is_empty() {
            context.output.note("Looking for the farm on this network…");
        }
        return Ok(tessera_worker::join(data, &link, &addresses, &name).await?);
    }
    if let Some(known) = WorkerFarm::load(&identity_path(data))? {
        return Ok(known);
    }
    let Some(local) = local_manager(&context.folders)? else {
        return Err(stop(
            Status::Usage,
            "this machine is not part of a farm yet: run `tessera worker --join CODE` with the code that the manager prints \
             (`tessera cert create` there prints another one)",
        ));
    };
    let addresses = local.farm.addresses.clone();
    let wish = NewPairing {
        grant: PairingGrant::Worker,
        lifetime_s: OWN_CODE_S,
        once: true,
    };
    let pairing = Api::new(local.farm.access())?
        .new_pairing(&wish)
        .await
        .context("cannot join the manager on this machine")?;
    let link = PairingLink {
        address: addresses.first().cloned(),
        code: pairing.code.parse()?,
    };
    Ok(tessera_worker::join(data, &link, &addresses, &name).await?)
}

/// Shows how the worker stands until it ends: one line that changes for a person, lines now and then otherwise.
async fn show(output: &Output, mut told: watch::Receiver<State>) {
    let bar = output.live().then(|| {
        let style = ProgressStyle::with_template("{spinner} {wide_msg}")
            .expect("the template is a constant");
        let bar = output.bars().add(ProgressBar::with_draw_target(
            None,
            ProgressDrawTarget::stderr(),
        ));
        bar.set_style(style);
        bar.enable_steady_tick(Duration::from_millis(250));
        bar
    });
    let mut last = State::default();
    while told.changed().await.is_ok() {
        let state = told.borrow_and_update().clone();
        output.line(line(&state));
        if state.link == LinkStatus::Connecting {
            // What it has is found out meanwhile; there is nothing to say yet.
            continue;
        }
        let text = state.to_string();
        let moved = is_news(&last, &state);
        last = state;
        if let Some(bar) = &bar {
            bar.set_message(text.clone());
            if moved {
                output.note(text);
            }
            continue;
        }
        output.note(text);
        if !moved {
            // The next line waits a while.
            tokio::select! {
                () = tokio::time::sleep(LINES_APART) => {}
                () = closed(&told) => break,
            }
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
}

/// Whether something changed that stays: the link, what it may be given, whether it rests, the Blenders found.
fn is_news(before: &State, now: &State) -> bool {
    let link = |state: &State| match &state.link {
        LinkStatus::Connecting => (0, None),
        LinkStatus::Linked { mode, .. } => (1, Some(*mode)),
        LinkStatus::Lost { .. } => (2, None),
        LinkStatus::Refused { .. } => (3, None),
    };
    link(before) != link(now) || before.rest != now.rest || before.builds != now.builds
}

/// Ends when the worker has ended.
async fn closed(told: &watch::Receiver<State>) {
    let mut told = told.clone();
    while told.changed().await.is_ok() {}
}

fn line(state: &State) -> LineKind {
    LineKind::WorkerState {
        name: state.name.clone(),
        farm: state.farm.clone(),
        worker: state.worker,
        linked: matches!(state.link, LinkStatus::Linked { .. }),
        rendering: state
            .slots
            .iter()
            .filter_map(|slot| match slot {
                SlotStatus::Rendering { frame, .. } => Some(*frame),
                _ => None,
            })
            .collect(),
        done: state.done,
        failed: state.failed,
        message: state.to_string(),
    }
}
