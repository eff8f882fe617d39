//! Notifications on this user's desktop, while `tessera watch --notify` runs.
//!
//! Told is what the user would look for: that a job is over, and the first frame of each that is given up.

use std::collections::BTreeSet;

use anyhow::Result;
use notify_rust::Notification;
use tessera_model::JobId;
use tessera_wire::api::JobSummary;
use tessera_wire::event::What;

use crate::exit::{Status, stop};
use crate::names;
use crate::table::printable;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Desktop {
    /// Jobs of which a frame that was given up was told.
    given_up: BTreeSet<JobId>,
}

impl Desktop {
    /// Asks for the service that shows notifications.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) async fn find() -> Result<Self> {
        #[cfg(all(unix, not(target_os = "macos")))]
        {
            let asked = tokio::task::spawn_blocking(notify_rust::get_server_information).await;
            let asked = asked.map_err(anyhow::Error::from);
            if let Err(error) = asked.and_then(|asked| asked.map_err(anyhow::Error::from)) {
                return Err(no_service(&error));
            }
        }
        Ok(Self::default())
    }

    /// Shows what happened, if it is worth it. `before` is how its job stood.
    ///
    /// # Errors
    /// If the service does not take it.
    pub(crate) async fn tell(&mut self, before: Option<&JobSummary>, what: &What) -> Result<()> {
        let Some((title, text)) = self.words(before, what) else {
            return Ok(());
        };
        let show = move || {
            Notification::new()
                .appname("Tessera")
                .summary(&title)
                .body(&text)
                .show()
                .map(drop)
        };
        // It asks over a socket and waits.
        let shown = tokio::task::spawn_blocking(show).await?;
        shown.map_err(|error| no_service(&error.into()))
    }

    fn words(&mut self, before: Option<&JobSummary>, what: &What) -> Option<(String, String)> {
        match what {
            What::Job { job } => {
                let was_over = before.is_none_or(|before| before.state.is_over());
                if was_over || !job.state.is_over() {
                    return None;
                }
                self.given_up.remove(&job.id);
                let title = format!("{} is {}", name(job), names::phase(job.phase));
                Some((title, format!("{} of {} frames", job.done, job.frames)))
            }
            What::FrameFailed { error, given_up } => {
                let job = error.lease.unit.job;
                if !given_up || !self.given_up.insert(job) {
                    return None;
                }
                let name = before.map_or_else(|| format!("Job {job}"), name);
                let title = format!("{name}: frame {} is given up", error.frame);
                Some((title, printable(&error.message)))
            }
            _ => None,
        }
    }
}

fn name(job: &JobSummary) -> String {
    format!("Job {} '{}'", job.id, printable(&job.settings.name))
}

fn no_service(error: &anyhow::Error) -> anyhow::Error {
    let text = format!(
        "notifications cannot be shown on this desktop ({error:#}): watch without --notify, or where a desktop runs"
    );
    stop(Status::Failed, text)
}
