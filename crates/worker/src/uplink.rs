//! The way to the manager, for everything that is not the link itself: there while the link is, waited for while it is not.

use std::time::Duration;

use tessera_client::Api;
use tokio::sync::watch;

use crate::backoff::Backoff;

/// First and longest wait before a request that failed is made again.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(15);

/// Says where the manager is.
#[derive(Debug)]
pub(crate) struct UplinkPort {
    api: watch::Sender<Option<Api>>,
}

/// Knows where the manager is. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Uplink {
    api: watch::Receiver<Option<Api>>,
}

pub(crate) fn uplink() -> (UplinkPort, Uplink) {
    let (sender, receiver) = watch::channel(None);
    (UplinkPort { api: sender }, Uplink { api: receiver })
}

impl UplinkPort {
    pub(crate) fn set(&self, api: Option<Api>) {
        self.api.send_replace(api);
    }
}

impl Uplink {
    /// The manager's API, as soon as a manager is there. Never, if the worker ends before.
    pub(crate) async fn api(&mut self) -> Api {
        let api = self.api.wait_for(Option::is_some).await;
        match api.ok().and_then(|api| api.clone()) {
            Some(api) => api,
            None => std::future::pending().await,
        }
    }

    /// How long requests of one purpose wait before they are made again.
    pub(crate) fn backoff() -> Backoff {
        Backoff::new(RETRY_FIRST, RETRY_MAX)
    }
}
