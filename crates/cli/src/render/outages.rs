//! What retries say while the manager is away.

use tessera_client::{Api, Outage, Retry};
use tokio::sync::watch;

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
