//! `tessera doctor`: checks this machine and its farm, and says what to do.
//!
//! Each check does what the product does, for real: Blenders are driven to a rendered frame, ports are opened, the farm is
//! asked. What is merely not set up (no farm connected) is neither good nor bad.

mod blender;
mod disk;
mod network;
mod secrets;

use anyhow::Result;
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::output::Output;

pub(super) async fn run(context: &Context) -> Result<Status> {
    let mut report = Report {
        output: &context.output,
        broken: 0,
    };
    context.output.text("Blender");
    blender::check(context, &mut report).await;
    context.output.text("\nThis machine");
    if let Some(fault) = &context.settings_fault {
        report.broken(
            "settings",
            fault,
            "mend the file: no other command runs until then, and all that is said here is without it",
        );
    }
    disk::check(context, &mut report);
    secrets::check(context, &mut report);
    network::ports(context, &mut report).await;
    context.output.text("\nFarm");
    network::farm(context, &mut report).await;
    network::discovery(context, &mut report).await;
    match report.broken {
        0 => {
            context.output.text("\nAll is well.");
            Ok(Status::Done)
        }
        1 => Err(stop(Status::Failed, "one thing is broken, see above")),
        broken => Err(stop(
            Status::Failed,
            format!("{broken} things are broken, see above"),
        )),
    }
}

/// Takes findings and prints them as they come.
struct Report<'a> {
    output: &'a Output,
    broken: u32,
}

impl Report<'_> {
    fn good(&mut self, name: &str, found: impl Into<String>) {
        self.tell(name, Some(true), found.into(), String::new());
    }

    /// Neither good nor bad, perhaps with something that could be done.
    fn plain(&mut self, name: &str, found: impl Into<String>, advice: impl Into<String>) {
        self.tell(name, None, found.into(), advice.into());
    }

    fn broken(&mut self, name: &str, found: impl Into<String>, advice: impl Into<String>) {
        self.broken += 1;
        self.tell(name, Some(false), found.into(), advice.into());
    }

    fn tell(&self, name: &str, good: Option<bool>, found: String, advice: String) {
        let colour = console::colors_enabled();
        let sign = match good {
            Some(true) => console::style("✓").green(),
            Some(false) => console::style("✗").red(),
            None => console::style("·").dim(),
        };
        let sign = sign.force_styling(colour);
        let mut text = format!("  {sign} {name}: {found}");
        if !advice.is_empty() {
            text = format!("{text}\n      → {advice}");
        }
        let name = name.to_owned();
        self.output.result(text, || LineKind::Check {
            name,
            good,
            found,
            advice,
        });
    }
}
