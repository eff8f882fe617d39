//! `tessera cert`: which machines may render.

use anyhow::Result;
use tessera_model::PairingGrant;
use tessera_wire::api::{CertificateInfo, NewPairing, Pairing};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::Status;
use crate::flags::{CertCommand, CertCreateFlags};
use crate::table::Table;
use crate::{farm, moment};

/// How long a code for workers is good for unless told otherwise: long enough to walk through a room of machines.
pub(super) const CODE_LIFETIME_S: u64 = 24 * 3600;

pub(super) async fn run(context: &Context, command: &CertCommand) -> Result<Status> {
    match command {
        CertCommand::List(_) => list(context).await,
        CertCommand::Create(flags) => create(context, flags).await,
        CertCommand::Revoke { serials, .. } => revoke(context, serials).await,
    }
}

async fn list(context: &Context) -> Result<Status> {
    let connection = farm::need(context)?;
    let mut table = Table::new(&["SERIAL", "WORKER", "NAME", "STATE", "ENDS"]);
    for certificate in connection.api.certificates().await?.items {
        table.row(row(&certificate));
        context.output.line(LineKind::Certificate { certificate });
    }
    if table.is_empty() {
        context
            .output
            .note("No machine has joined yet. `tessera cert create` prints a code to join with.");
    } else {
        for line in table.lines() {
            context.output.text(&line);
        }
    }
    Ok(Status::Done)
}

fn row(certificate: &CertificateInfo) -> [String; 5] {
    let state = if certificate.revoked {
        "revoked"
    } else if certificate.expires_at < moment::now() {
        "expired"
    } else {
        "valid"
    };
    [
        certificate.serial.clone(),
        certificate.worker.to_string(),
        certificate.worker_name.clone(),
        state.to_owned(),
        moment::absolute(certificate.expires_at),
    ]
}

async fn create(context: &Context, flags: &CertCreateFlags) -> Result<Status> {
    let connection = farm::need(context)?;
    let wish = NewPairing {
        grant: PairingGrant::Worker,
        lifetime_s: flags
            .lifetime
            .lifetime
            .map_or(CODE_LIFETIME_S, |span| span.as_secs()),
        once: flags.once,
    };
    let pairing = connection.api.new_pairing(&wish).await?;
    let machines = if flags.once {
        "One machine joins by:"
    } else {
        "Machines join by:"
    };
    context.output.result(
        code_text(machines, "tessera worker --join", &pairing, true),
        || LineKind::Pairing {
            pairing: pairing.clone(),
        },
    );
    Ok(Status::Done)
}

/// How to use a code, with and without discovery; only what works comes first, if the manager is known not to be found by it.
pub(super) fn code_text(
    heading: &str,
    command: &str,
    pairing: &Pairing,
    discovery: bool,
) -> String {
    let code = &pairing.code;
    let text = match (pairing.links.first(), discovery) {
        (Some(link), true) => format!(
            "{heading}\n  {command} {code}\nWhere discovery by multicast does not reach:\n  {command} {link}"
        ),
        (Some(link), false) => format!(
            "{heading}\n  {command} {link}\n(Discovery is off, so the code alone, {code}, does not find this manager.)"
        ),
        (None, _) => format!("{heading}\n  {command} {code}"),
    };
    format!(
        "{text}\nGood until {}.",
        moment::absolute(pairing.expires_at)
    )
}

async fn revoke(context: &Context, serials: &[String]) -> Result<Status> {
    let connection = farm::need(context)?;
    for serial in serials {
        connection.api.revoke_certificate(serial).await?;
        let id = serial.clone();
        context
            .output
            .result(format!("certificate {serial} is void"), || {
                LineKind::Revoked { id }
            });
    }
    Ok(Status::Done)
}
