//! The worker's certificate, renewed under the present one long before it ends.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tessera_client::{WorkerFarm, renew};
use tessera_model::Timestamp;
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::uplink::Uplink;

/// A renewal that failed is tried again after these: there are weeks left.
const RETRY_FIRST: Duration = Duration::from_secs(60);
const RETRY_MAX: Duration = Duration::from_secs(6 * 3600);

/// Longest sleep without a look at the clock: a machine that was suspended has lost track of how long it slept.
const NAP_MAX: Duration = Duration::from_secs(3600);

/// Renews `farm` whenever it is due, keeping it in `file`, if any. Never returns.
pub(crate) async fn keep_fresh(
    farm: watch::Sender<WorkerFarm>,
    file: Option<PathBuf>,
    mut uplink: Uplink,
) {
    let mut backoff = Backoff::new(RETRY_FIRST, RETRY_MAX);
    loop {
        let left = due_in(farm.borrow().renew_at(), SystemTime::now());
        if !left.is_zero() {
            tokio::time::sleep(left.min(NAP_MAX)).await;
            continue;
        }
        let api = uplink.api().await;
        let present = farm.borrow().clone();
        match renew(&api, &present).await {
            Ok(fresh) => {
                tracing::info!("the worker's certificate was renewed");
                backoff.reset();
                // First, so that nobody writes the old one over it.
                farm.send_replace(fresh.clone());
                if let Some(file) = &file
                    && let Err(error) = fresh.save(file)
                {
                    tracing::error!("the renewed certificate cannot be kept: {error}");
                }
            }
            Err(error) => {
                let wait = backoff.wait();
                tracing::warn!("{error}; tried again in {} s", wait.as_secs());
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// How long from `now` to `then`; nothing once that is past.
fn due_in(then: Timestamp, now: SystemTime) -> Duration {
    let then = UNIX_EPOCH + Duration::from_millis(u64::try_from(then.0).unwrap_or(0));
    then.duration_since(now).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_past_is_due_now() {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        assert_eq!(due_in(Timestamp(160_000), now), Duration::from_secs(60));
        assert_eq!(due_in(Timestamp(99_999), now), Duration::ZERO);
        assert_eq!(due_in(Timestamp(-5), now), Duration::ZERO);
    }
}
