//! Ports, the farm and what can be seen of it.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tessera_client::{Api, WorkerFarm, browse, local_manager};
use tessera_model::Timestamp;
use tessera_wire::DEFAULT_PORT;
use tessera_wire::api::Farm;
use tessera_wire::store::StoreLevel;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc2822;
use x509_parser::pem::Pem;

use super::Report;
use crate::commands::farms::known_farms;
use crate::context::Context;
use crate::units::show_duration;
use crate::{farm, moment};

/// How long announcements are listened for: managers answer a question within a second.
const LISTENING: Duration = Duration::from_secs(3);

/// A clock that differs by more makes certificates seem not yet or no longer valid, and times in lists wrong.
const CLOCK_OFF: Duration = Duration::from_secs(60);

/// Certificates renew themselves from two thirds of their life (90 days) on; one this near to its end was not.
const ENDS_SOON: Duration = Duration::from_secs(14 * 86_400);

/// The port of a manager on this machine.
pub(super) async fn ports(context: &Context, report: &mut Report<'_>) {
    let name = "port";
    let ours = local_manager(&context.folders).ok().flatten();
    if let Some(local) = &ours {
        let addresses = local.farm.addresses.join(", ");
        report.good(
            "manager",
            format!("yours runs here (process {}) at {addresses}", local.pid),
        );
    }
    match TcpListener::bind((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT)) {
        Ok(_) => report.good(name, format!("{DEFAULT_PORT} is free for a manager")),
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            let port = format!(":{DEFAULT_PORT}");
            let by_ours = ours.is_some_and(|local| {
                local
                    .farm
                    .addresses
                    .iter()
                    .any(|address| address.ends_with(&port))
            });
            if by_ours {
                report.good(name, format!("{DEFAULT_PORT} is used by your manager"));
            } else {
                report.plain(
                    name,
                    format!("{DEFAULT_PORT} is used by another program or another user's manager"),
                    "a manager of yours needs another one: tessera manager --listen 0.0.0.0:PORT",
                );
            }
        }
        Err(error) => report.broken(
            name,
            format!("{DEFAULT_PORT} cannot be opened: {error}"),
            "let this user listen on ports, or leave the manager to another machine",
        ),
    }
}

/// How what the farm stores, and what of it is this user's, stands against its quota.
fn storage(farm: &Farm, report: &mut Report<'_>) {
    for (name, who, level, setting) in [
        ("farm's storage", "it", farm.store, "store_quota_bytes"),
        (
            "your storage",
            "you",
            farm.own_store,
            "store_user_quota_bytes",
        ),
    ] {
        let advice = format!(
            "`tessera store` shows what uses the space: remove jobs, or have {setting} raised (`tessera settings`)"
        );
        match level {
            StoreLevel::Fine => {}
            StoreLevel::Warning => {
                let what = format!("what {who} may store is nearly used up");
                report.plain(name, what, advice);
            }
            StoreLevel::Full => {
                let what =
                    format!("what {who} may store is used up, and no new files are taken in");
                report.broken(name, what, advice);
            }
        }
    }
}

/// The farm this user's commands speak to.
pub(super) async fn farm(context: &Context, report: &mut Report<'_>) {
    let connection = match farm::find(context) {
        Ok(Some(connection)) => connection,
        Ok(None) => {
            report.plain(
                "farm",
                "none is connected; `tessera render` renders on this machine alone",
                "tessera connect CODE, or tessera manager",
            );
            return worker(context, report);
        }
        Err(error) => {
            report.broken(
                "farm",
                crate::exit::one_line(&error),
                "connect again: tessera connect CODE",
            );
            return worker(context, report);
        }
    };
    let began = Instant::now();
    match connection.api.farm().await {
        Ok(farm) => {
            report.good("farm", reached(&farm, connection.api.address(), began.elapsed()));
            let ours = env!("CARGO_PKG_VERSION");
            if farm.version != ours {
                report.plain(
                    "version",
                    format!("the manager runs Tessera {}, this is {ours}", farm.version),
                    "the same version on all machines is best",
                );
            }
            storage(&farm, report);
            clock(&connection.api, report).await;
        }
        Err(error) => report.broken(
            "farm",
            format!("'{}': {error}", connection.farm.name),
            "check that the manager runs and that this machine reaches its port; a renewed farm needs: tessera connect CODE",
        ),
    }
    match anchor_end(&connection.farm.trust.anchor_pem) {
        Some(end) => certificate(
            report,
            "farm's certificate",
            end,
            "the farm's admin has to renew it; then connect again",
        ),
        None => report.broken(
            "farm's certificate",
            "what is kept of it cannot be read",
            "connect again: tessera connect CODE",
        ),
    }
    worker(context, report);
}

fn reached(farm: &Farm, address: &str, took: Duration) -> String {
    format!(
        "'{}' at {address} answers in {} ms (workers: {}, {} busy; jobs under way: {}); you are {} ({})",
        farm.name,
        took.as_millis(),
        farm.workers,
        farm.busy,
        farm.jobs,
        farm.user,
        farm.role
    )
}

/// Compares with the date of the manager's answer, which is exact to a second.
async fn clock(api: &Api, report: &mut Report<'_>) {
    let path = tessera_wire::routes::HEALTH.path;
    let answer = api
        .forward(
            reqwest::Method::GET,
            path,
            reqwest::header::HeaderMap::new(),
            reqwest::Body::default,
        )
        .await;
    let Ok(answer) = answer else { return };
    let date = answer
        .headers()
        .get(reqwest::header::DATE)
        .and_then(|date| date.to_str().ok())
        .and_then(|date| OffsetDateTime::parse(&date.replace("GMT", "+0000"), &Rfc2822).ok());
    let Some(date) = date else { return };
    let off = (OffsetDateTime::now_utc() - date).unsigned_abs();
    if off > CLOCK_OFF {
        report.broken(
            "clock",
            format!("differs from the manager's by {}", show_duration(off)),
            "let both machines set their clocks by the network (timedatectl set-ntp true)",
        );
    } else {
        report.good("clock", "agrees with the manager's");
    }
}

/// The certificate of a worker on this machine.
fn worker(context: &Context, report: &mut Report<'_>) {
    let folder = context.settings.worker.data.value.clone();
    let folder = folder.unwrap_or_else(|| context.folders.data.join("worker"));
    match WorkerFarm::load(&tessera_worker::identity_path(&folder)) {
        Ok(Some(identity)) => certificate(
            report,
            &format!(
                "certificate of worker '{}' (farm '{}')",
                identity.name, identity.farm
            ),
            identity.expires_at,
            "start the worker, it renews it; if that is too late, join again: tessera worker --join CODE",
        ),
        Ok(None) => {}
        Err(error) => report.broken(
            "worker",
            error.to_string(),
            "join again: tessera worker --join CODE",
        ),
    }
}

fn certificate(report: &mut Report<'_>, name: &str, end: Timestamp, advice: &str) {
    let now = moment::now();
    let left = Duration::from_millis(u64::try_from(end.0 - now.0).unwrap_or(0));
    let found = format!("valid until {}", moment::absolute(end));
    if end <= now {
        report.broken(
            name,
            format!("ended {}", moment::relative(end, now)),
            advice,
        );
    } else if left < ENDS_SOON {
        report.plain(name, format!("{found}, soon"), advice);
    } else {
        report.good(name, found);
    }
}

fn anchor_end(pem: &str) -> Option<Timestamp> {
    let pem = Pem::iter_from_buffer(pem.as_bytes()).next()?.ok()?;
    let certificate = pem.parse_x509().ok()?;
    Some(Timestamp(
        certificate
            .validity()
            .not_after
            .timestamp()
            .checked_mul(1000)?,
    ))
}

/// What can be seen by multicast.
pub(super) async fn discovery(context: &Context, report: &mut Report<'_>) {
    let name = "discovery";
    let networks = sysinfo::Networks::new_with_refreshed_list();
    let mut interfaces: Vec<&str> = networks
        .iter()
        .flat_map(|networks| networks.keys())
        .filter_map(|name| name.to_str())
        .filter(|interface| tessera_client::leads_to_others(interface))
        .collect();
    interfaces.sort_unstable();
    if interfaces.is_empty() {
        report.plain(name, "no network interface leads to other machines", "");
        return;
    }
    let looking = interfaces.join(", ");
    let mut seen = match browse(None, LISTENING) {
        Ok(seen) => seen,
        Err(error) => {
            report.broken(
                name,
                error.to_string(),
                "allow multicast (UDP port 5353), or join by the whole link (https://HOST:PORT/#CODE)",
            );
            return;
        }
    };
    let mut farms = std::collections::BTreeMap::new();
    while let Some(found) = seen.next().await {
        farms.insert(found.fingerprint.to_string(), (found.farm, found.addresses));
    }
    if farms.is_empty() {
        report.plain(
            name,
            format!("no manager announces itself ({looking})"),
            "where there is one, multicast does not reach it: join by the whole link (https://HOST:PORT/#CODE)",
        );
    }
    let known = known_farms(&context.folders);
    for (fingerprint, (farm, addresses)) in &farms {
        let whose = if known.contains_key(fingerprint) {
            "yours"
        } else {
            "not yours"
        };
        let farm = crate::table::printable(farm);
        report.good(
            name,
            format!(
                "farm '{farm}' ({whose}) at {} ({looking})",
                addresses.join(", ")
            ),
        );
    }
}
