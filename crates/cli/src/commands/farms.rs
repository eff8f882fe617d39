//! `tessera farms`: which farms there are.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use futures_util::StreamExt;
use tessera_client::{Farm, Folders, browse, local_manager};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::Status;
use crate::table::Table;

/// How long announcements are listened for: managers answer a question within a second.
const LISTENING: Duration = Duration::from_secs(3);

/// The farms of this user by fingerprint, that of a manager on this machine too.
pub(super) fn known_farms(folders: &Folders) -> BTreeMap<String, Farm> {
    let farms = tessera_client::farms(folders).unwrap_or_default();
    let local = local_manager(folders).ok().flatten();
    let all = local.map(|local| local.farm).into_iter().chain(farms);
    all.filter_map(|farm| Some((farm.trust.fingerprint().ok()?.to_string(), farm)))
        .collect()
}

/// What is known of a farm.
#[derive(Debug, Default)]
struct Entry {
    name: String,
    addresses: Vec<String>,
    connected: bool,
    announced: bool,
}

pub(super) async fn run(context: &Context) -> Result<Status> {
    let known = known_farms(&context.folders).into_iter();
    let mut farms: BTreeMap<String, Entry> = known
        .map(|(fingerprint, farm)| {
            let entry = Entry {
                name: farm.name,
                addresses: farm.addresses,
                connected: true,
                announced: false,
            };
            (fingerprint, entry)
        })
        .collect();
    match browse(None, LISTENING) {
        Ok(mut seen) => {
            while let Some(found) = seen.next().await {
                let entry = farms.entry(found.fingerprint.to_string()).or_default();
                entry.announced = true;
                if !entry.connected {
                    (entry.name, entry.addresses) = (found.farm, found.addresses);
                }
            }
        }
        Err(error) => context.output.warn(error.to_string()),
    }
    let mut table = Table::new(&["FARM", "CONNECTED", "ON THIS NETWORK", "ADDRESS"]);
    let yes_no = |yes| if yes { "yes" } else { "no" }.to_owned();
    for (fingerprint, entry) in farms {
        table.row([
            entry.name.clone(),
            yes_no(entry.connected),
            yes_no(entry.announced),
            entry.addresses.first().cloned().unwrap_or_default(),
        ]);
        context.output.line(LineKind::KnownFarm {
            name: entry.name,
            fingerprint,
            addresses: entry.addresses,
            connected: entry.connected,
            announced: entry.announced,
        });
    }
    if table.is_empty() {
        context.output.note(
            "No farm announces itself on this network, and you are connected to none. `tessera manager` starts one; \
             where there is one that multicast does not reach, its admin gives you a link for `tessera connect`.",
        );
    } else {
        for line in table.lines() {
            context.output.text(&line);
        }
    }
    Ok(Status::Done)
}
