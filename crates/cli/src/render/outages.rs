//! What retries say while the manager is away.

use tessera_client::{Api, Outage, Retry};
use tessera_wire::line::LineKind;
use tokio::sync::watch;

use crate::output::Output;
use crate::table::printable;
use crate::units::show_duration;

/// A client that waits for ever and says so at once, while there is nothing else to show.
pub(crate) fn waiting(api: &Api, output: &Output) -> Api {
    let output = output.clone();
    api.retrying(Retry::forever().telling(move |outage| match outage {
        Outage::Lost { error, .. } => {
            let message = format!("{error}; waiting for it");
            output.note(format!("tessera: warning: {}", printable(&message)));
            output.line(LineKind::Outage { message });
        }
        Outage::Back { after } => {
            output.note(format!(
                "The manager is back after {}",
                show_duration(*after)
            ));
            output.line(LineKind::Back {
                seconds: after.as_secs_f64(),
            });
        }
        _ => {}
    }))
}

/// What retries say of an outage, for whoever shows it. Only how it stands now matters, so nothing piles up.
pub(crate) struct Outages {
    told: watch::Receiver<Option<String>>,
    tell: watch::Sender<Option<String>>,
}

impl Outages {
    /// All is well.
    pub(crate) fn new() -> Self {
        let (tell, told) = watch::channel(None);
        Self { told, tell }
    }

    /// A client that waits for ever and says so here.
    pub(crate) fn patient(&self, api: &Api) -> Api {
        let tell = self.tell.clone();
        api.retrying(Retry::forever().telling(move |outage| {
            tell.send_replace(match outage {
                Outage::Lost { error, .. } => Some(format!("{error}; waiting for it")),
                _ => None,
            });
        }))
    }

    /// It is there, whatever was said before.
    pub(crate) fn over(&self) {
        self.tell.send_replace(None);
    }

    /// How it stands: the outage, if there is one.
    pub(crate) fn present(&self) -> Option<String> {
        self.told.borrow().clone()
    }

    /// Something was told since this was last waited for.
    pub(crate) async fn changed(&mut self) {
        // This holds a sender itself, so the channel is never closed.
        if self.told.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
