//! `tessera manager`: a farm's manager, until it is ended.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tessera_manager::{ManagerConfig, OwnCertificate, Running};
use tessera_model::PairingGrant;
use tessera_wire::api::Pairing;
use tessera_wire::line::LineKind;
use tokio::sync::oneshot;

use super::cert::{CODE_LIFETIME_S, code_text};
use crate::context::Context;
use crate::exit::{Status, stop};

pub(super) async fn run(context: &Context) -> Result<Status> {
    let config = config(context)?;
    let discovery = config.discovery;
    let (ready, is_ready) = oneshot::channel();
    let manager = tessera_manager::run(config, ready, context.interrupt.token().clone());
    let announce = async {
        // A manager that ends before it is ready says why by its own error.
        if let Ok(running) = is_ready.await {
            announce(context, &running, discovery).await;
        }
    };
    let (ended, ()) = tokio::join!(manager, announce);
    ended?;
    context
        .output
        .note("The manager has ended; its workers finish what they render and wait for it.");
    Ok(context.interrupt.status())
}

fn config(context: &Context) -> Result<ManagerConfig> {
    let settings = &context.settings.manager;
    let data = settings
        .data
        .value
        .clone()
        .unwrap_or_else(|| context.folders.data.join("manager"));
    let mut config = ManagerConfig::new(data, context.settings.client.user.value.clone());
    config.farm_name.clone_from(&settings.name.value);
    config.listen = settings
        .listen
        .value
        .iter()
        .map(|text| resolve(text))
        .collect::<Result<Vec<_>>>()?
        .concat();
    config.certificate = match (&settings.tls_cert.value, &settings.tls_key.value) {
        (Some(chain), Some(key)) => Some(OwnCertificate {
            chain: chain.clone(),
            key: key.clone(),
        }),
        (None, None) => None,
        _ => {
            return Err(stop(
                Status::Usage,
                "an own certificate needs both the chain and its key: set manager.tls_cert and manager.tls_key",
            ));
        }
    };
    config.allow_from.clone_from(&settings.allow_from.value);
    config.discovery = settings.discovery.value;
    config.local_file = Some(context.folders.config.join("local-manager.json"));
    Ok(config)
}

/// `ADDRESS:PORT`, `HOST:PORT`, or either without a port.
fn resolve(text: &str) -> Result<Vec<SocketAddr>> {
    let wrong = || {
        format!(
            "cannot listen on '{text}': give an address of this machine and a port, as 10.0.0.5:7373"
        )
    };
    if let Ok(address) = text.parse::<std::net::IpAddr>() {
        return Ok(vec![SocketAddr::new(address, tessera_wire::DEFAULT_PORT)]);
    }
    let with_port = match text.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => text.to_owned(),
        _ => format!("{text}:{}", tessera_wire::DEFAULT_PORT),
    };
    let found: Vec<_> = with_port
        .to_socket_addrs()
        .with_context(wrong)
        .map_err(|error| stop(Status::Usage, crate::exit::one_line(&error)))?
        .collect();
    match found.is_empty() {
        true => Err(stop(Status::Usage, wrong())),
        false => Ok(found),
    }
}

async fn announce(context: &Context, running: &Running, discovery: bool) {
    let lifetime = Duration::from_secs(CODE_LIFETIME_S);
    let pairing = match running
        .mint_pairing(PairingGrant::Worker, lifetime, false)
        .await
    {
        Ok(pairing) => pairing,
        Err(problem) => {
            context
                .output
                .warn(format!("no code to join with could be made: {problem}"));
            return;
        }
    };
    let text = text(running, &pairing, discovery);
    context.output.result(text, || LineKind::Manager {
        farm: running.farm.clone(),
        urls: running.urls.clone(),
        pairing,
    });
}

fn text(running: &Running, pairing: &Pairing, discovery: bool) -> String {
    let address = running.urls.first().map_or("", String::as_str);
    let listening: Vec<String> = running.addresses.iter().map(ToString::to_string).collect();
    format!(
        "Farm '{}' is up at {address} (listening on {}).\n\n\
         {}\n\n\
         Users become clients by a code of their own:\n  tessera token create --user NAME --code\n\
         The web page:\n  tessera web\n\n\
         Ctrl-C ends the manager; nothing is lost by that.",
        running.farm,
        listening.join(", "),
        code_text(
            "Machines that shall render join by:",
            "tessera worker --join",
            pairing,
            discovery
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_with_and_without_port() {
        let check = |text: &str, expected: &[&str]| {
            let found: Vec<String> = resolve(text)
                .unwrap()
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected, "{text}");
        };
        check("127.0.0.1:5", &["127.0.0.1:5"]);
        check("127.0.0.1", &["127.0.0.1:7373"]);
        check("::1", &["[::1]:7373"]);
        check("[::1]:9", &["[::1]:9"]);
        assert!(resolve("no such host.invalid:1").is_err());
    }
}
