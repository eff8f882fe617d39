//! `tessera web`: opens the farm's page in a browser, logged in, through a loopback address.

use std::process::{Command, Stdio};

use anyhow::Result;
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, interrupted};
use crate::farm;
use crate::flags::WebFlags;
use crate::proxy::Proxy;

pub(super) async fn run(context: &Context, flags: &WebFlags) -> Result<Status> {
    let end = context.interrupt.token().clone();
    let connection = farm::need(context)?;
    tokio::select! {
        biased;
        () = end.cancelled() => return Err(interrupted("interrupted")),
        farm = connection.api.farm() => farm?,
    };
    let proxy = Proxy::bind(connection.api).await?;
    let url = proxy.url();
    context
        .output
        .result(&url, || LineKind::Web { url: url.clone() });
    if !flags.no_browser && has_display() && open_browser(&url) {
        context.output.note(format!(
            "The page of farm '{}' opens in your browser.",
            connection.farm.name
        ));
    } else {
        context.output.note(format!(
            "Open this link to see farm '{}'; it is good once, and on this machine only.",
            connection.farm.name
        ));
    }
    context.output.note("The page is served until Ctrl-C.");
    proxy.serve(end).await?;
    Ok(context.interrupt.status())
}

/// Whether there is a screen to open a browser on.
fn has_display() -> bool {
    let set =
        |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
    cfg!(any(windows, target_os = "macos")) || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// Asks the desktop to open a link. It is not waited for: a browser may stay.
fn open_browser(url: &str) -> bool {
    let mut command = if cfg!(target_os = "macos") {
        Command::new("open")
    } else if cfg!(windows) {
        Command::new("explorer")
    } else {
        Command::new("xdg-open")
    };
    let quiet = command
        .arg(url)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    quiet.spawn().is_ok()
}
