//! Brings finished frames into the output folder while others are rendered.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use tessera_client::{FetchError, Fetched, Fetcher, Ledger, LedgerError};
use tessera_model::FrameResult;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::brought::Brought;

/// Most results that are fetched together: light frames come faster than folders can be synced one by one.
const BATCH_MAX: usize = 64;

/// Most results that wait to be fetched; the others wait on the farm and are asked for later.
pub(crate) const QUEUE_MAX: usize = 256;

/// The record of what is there. A delivery writes it; one that takes over goes on with it.
pub(crate) type SharedLedger = Arc<Mutex<Ledger>>;

/// What became of results.
pub(crate) enum Delivered {
    /// A frame's files lie in the output folder, and the record says so.
    Frame {
        result: Box<FrameResult>,
        fetched: Fetched,
    },
    /// The farm no longer has all of a frame. The others come, and in the end this is what failed.
    Gone,
    /// Nothing more will be delivered.
    Failed(DeliveryError),
}

/// Why a frame could not be put where it belongs.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// A task that fetches what it is handed.
pub(crate) struct Delivery {
    /// Results go in here, bounded by [`QUEUE_MAX`]. Dropping it says that no more come.
    pub(crate) results: Option<mpsc::Sender<FrameResult>>,
    /// What became of them comes out here.
    pub(crate) delivered: mpsc::Receiver<Delivered>,
    task: JoinHandle<()>,
}

impl Delivery {
    /// Starts it. The record is written as frames arrive, if there is one.
    pub(crate) fn start(fetcher: Fetcher, ledger: Option<SharedLedger>, brought: Brought) -> Self {
        let (results, to_fetch) = mpsc::channel(QUEUE_MAX);
        // Whatever is handed in can come out at once, and the error that ends it all.
        let (tell, delivered) = mpsc::channel(QUEUE_MAX + BATCH_MAX + 1);
        Self {
            results: Some(results),
            delivered,
            task: tokio::spawn(deliver(fetcher, ledger, brought, to_fetch, tell)),
        }
    }

    /// Waits until all that was handed in is in its place for good. What came out before and was not looked at is left out.
    ///
    /// # Errors
    /// If the last of it could not be put where it belongs after all.
    pub(crate) async fn finish(mut self) -> Result<(), DeliveryError> {
        self.results = None;
        while let Some(delivered) = self.delivered.recv().await {
            if let Delivered::Failed(error) = delivered {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Lets what is being written be finished, and nothing more be begun.
    pub(crate) async fn end(mut self, patience: std::time::Duration) {
        self.results = None;
        self.delivered.close();
        if tokio::time::timeout(patience, &mut self.task)
            .await
            .is_err()
        {
            self.task.abort();
        }
    }
}

async fn deliver(
    fetcher: Fetcher,
    ledger: Option<SharedLedger>,
    brought: Brought,
    mut to_fetch: mpsc::Receiver<FrameResult>,
    tell: mpsc::Sender<Delivered>,
) {
    let mut batch = Vec::new();
    let mut gone = None;
    while to_fetch.recv_many(&mut batch, BATCH_MAX).await > 0 {
        if tell.is_closed() {
            return;
        }
        let place = |result: &FrameResult| (result.lease.unit.step, result.position);
        let mut by_place: HashMap<_, FrameResult> = batch
            .iter()
            .map(|result| (place(result), result.clone()))
            .collect();
        let mut not_recorded = None;
        let fetched = fetcher
            .fetch_each(&batch, |fetched| {
                if let Some(ledger) = &ledger
                    && let Err(error) = tokio::task::block_in_place(|| record(ledger, &fetched))
                {
                    not_recorded.get_or_insert(error);
                }
                if let Some(result) = by_place.remove(&(fetched.step, fetched.position)) {
                    let result = Box::new(result);
                    // There is room for all that can be on its way; whoever no longer listens has the frame all the same.
                    let _ = tell.try_send(Delivered::Frame { result, fetched });
                }
            })
            .await;
        match fetched {
            Ok(()) => {}
            // The frames after it may be there.
            Err(error @ FetchError::Gone { .. }) => {
                gone = gone.or(Some(error));
                for _ in &by_place {
                    let _ = tell.try_send(Delivered::Gone);
                }
            }
            Err(error) => return failed(&tell, error.into()).await,
        }
        if let Some(error) = not_recorded {
            return failed(&tell, error.into()).await;
        }
        let not_there: HashSet<_> = by_place.into_keys().collect();
        let there = batch
            .drain(..)
            .filter(|result| !not_there.contains(&place(result)));
        brought.add(there.map(|result| (result.frame, Some(result.lease.unit.step))));
    }
    if let Some(error) = gone {
        failed(&tell, error.into()).await;
    }
}

fn record(ledger: &SharedLedger, fetched: &Fetched) -> Result<(), LedgerError> {
    let mut ledger = ledger
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    ledger.record(fetched)
}

async fn failed(tell: &mpsc::Sender<Delivered>, error: DeliveryError) {
    // Whoever no longer listens will find the frame missing and fetch it next time.
    let _ = tell.send(Delivered::Failed(error)).await;
}
