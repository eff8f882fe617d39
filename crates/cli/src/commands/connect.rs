//! `tessera connect`: makes this user a client of a farm.

use anyhow::{Context as _, Result};
use tessera_client::{join_as_client, save_farm};
use tessera_wire::line::LineKind;
use tessera_wire::pairing::PairingLink;

use crate::context::Context;
use crate::exit::Status;
use crate::flags::ConnectFlags;

pub(super) async fn run(context: &Context, flags: &ConnectFlags) -> Result<Status> {
    let mut link: PairingLink = flags.code.parse()?;
    if let Some(manager) = &context.settings.client.manager.value {
        link.address = Some(manager.clone());
    }
    if link.address.is_none() {
        context.output.note("Looking for the farm on this network…");
    }
    let note = tessera_worker::default_name();
    let (mut farm, user) = join_as_client(&link, &note).await?;
    if let Some(name) = &flags.name {
        farm.name.clone_from(name);
    }
    // The code is used up now: what it gave must not be lost for a folder that can not be written, or at least be said so.
    save_farm(&context.folders, &farm)
        .context("the farm let you in, but the access it gave cannot be kept; ask for a new code once that is mended")?;
    let text = format!(
        "Connected to farm '{}' as {} ({}). `tessera render FILE.blend` now uses it.",
        farm.name, user.name, user.role
    );
    context.output.result(text, || LineKind::Connected {
        farm: farm.name,
        user: user.name,
        role: user.role,
    });
    Ok(Status::Done)
}
