//! `tessera workers NAME`: everything about a worker on one sheet.

use anyhow::Result;
use tessera_client::Api;
use tessera_model::{Gpu, WorkerFacts};
use tessera_wire::api::WorkerStatus;
use tessera_wire::line::LineKind;
use tessera_wire::why::Why;

use super::{load, renders, state};
use crate::context::Context;
use crate::exit::Status;
use crate::sheet::Sheet;
use crate::table::printable;
use crate::units::Bytes;

pub(super) async fn show(context: &Context, api: &Api, names: &[String]) -> Result<Status> {
    let known = api.workers().await?.items;
    let chosen = names
        .iter()
        .map(|name| super::find(&known, name))
        .collect::<Result<Vec<_>>>()?;
    for (place, worker) in chosen.into_iter().enumerate() {
        let why = api.worker_why(worker.id).await?;
        if place > 0 {
            context.output.text("");
        }
        context.output.text(&sheet(worker, &why).text());
        let id = worker.id;
        let worker = Box::new(worker.clone());
        context.output.line(LineKind::Worker { worker });
        context.output.line(LineKind::WorkerWhy { worker: id, why });
    }
    Ok(Status::Done)
}

fn sheet(worker: &WorkerStatus, why: &Why) -> Sheet {
    let heading = format!("Worker {}  {}", worker.id, printable(&worker.name));
    let mut sheet = Sheet::new(heading);
    sheet.say("state", state(worker));
    sheet.say("note", &worker.note);
    sheet.say("renders", renders(worker));
    sheet.say("why", &why.text);
    match &worker.machine {
        Some(machine) => {
            sheet.say("cpu", load::percent(machine.cpu));
            sheet.say("memory", load::memory(machine));
            sheet.say("blenders", load::blenders(machine));
            sheet.say("disk free", load::disk_free(machine));
            sheet.say("gpu load", load::gpus(worker, machine));
        }
        None if worker.linked => sheet.say("load", load::UNTOLD),
        None => {}
    }
    if let Some(facts) = &worker.facts {
        of_machine(&mut sheet, facts);
    }
    sheet.say("address", worker.address.as_deref().unwrap_or_default());
    sheet
}

fn of_machine(sheet: &mut Sheet, facts: &WorkerFacts) {
    let host = format!("{} ({}, {})", facts.host, facts.os, facts.arch);
    sheet.say("host", host);
    let slots = format!(
        "{} of {} threads each, on {} cores",
        facts.slots, facts.threads, facts.cores
    );
    sheet.say("slots", slots);
    let gpu = |gpu: &Gpu| {
        let memory = gpu.memory_bytes.map(|bytes| format!(", {}", Bytes(bytes)));
        format!(
            "{} ({}{})",
            gpu.name,
            gpu.interface,
            memory.unwrap_or_default()
        )
    };
    let gpus: Vec<String> = facts.gpus.iter().map(gpu).collect();
    sheet.say("gpus", gpus.join("; "));
    sheet.say("blender", super::blenders(facts));
    sheet.say("tags", facts.tags.join(";"));
    sheet.say("program", format!("tessera {}", facts.version));
}
