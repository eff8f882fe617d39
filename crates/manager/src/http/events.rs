//! Server-sent events: what the watcher missed, then what comes, for as long as its token is good.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::sse::{Event, Sse};
use futures_util::Stream;
use http::HeaderMap;
use tessera_model::JobId;
use tessera_wire::query::EventsQuery;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, Interval};

use super::access::Client;
use super::app::App;
use super::extract::Query;
use crate::clock;
use crate::events::{Watch, Written};

/// A sign of life when nothing happens; at each the token is looked at again.
const ALIVE: Duration = Duration::from_secs(10);

struct Watching {
    app: Arc<App>,
    client: Client,
    job: Option<JobId>,
    missed: VecDeque<Arc<Written>>,
    live: tokio::sync::broadcast::Receiver<Arc<Written>>,
    alive: Interval,
}

pub(super) async fn watch(
    State(app): State<Arc<App>>,
    client: Client,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let last_id = headers.get("last-event-id").map(|value| {
        // An id that is not ours is as good as one that is forgotten.
        value
            .to_str()
            .ok()
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    });
    let Watch { missed, live } = app.events.watch(last_id.or(query.since), clock::wall());
    let watching = Watching {
        app,
        client,
        job: query.job,
        missed: missed.into(),
        live,
        alive: tokio::time::interval_at(Instant::now() + ALIVE, ALIVE),
    };
    Sse::new(futures_util::stream::unfold(
        watching,
        |mut watching| async move {
            let event = watching.next().await?;
            Some((Ok(event), watching))
        },
    ))
}

impl Watching {
    async fn next(&mut self) -> Option<Event> {
        loop {
            let written = match self.missed.pop_front() {
                Some(missed) => missed,
                None => {
                    let ending = self.app.ending.clone();
                    tokio::select! {
                        () = ending.cancelled() => return None,
                        _ = self.alive.tick() => {
                            return self.client.is_still_good(&self.app).then(|| Event::default().comment(""));
                        }
                        live = self.live.recv() => match live {
                            Ok(written) => written,
                            Err(RecvError::Lagged(_)) => self.app.events.resync(clock::wall()),
                            Err(RecvError::Closed) => return None,
                        },
                    }
                }
            };
            if self.wants(&written) {
                return Some(
                    Event::default()
                        .id(written.seq.to_string())
                        .data(&written.json),
                );
            }
        }
    }

    /// Of one job only what is about it, and that something was missed.
    fn wants(&self, written: &Written) -> bool {
        self.job
            .is_none_or(|job| written.job == Some(job) || written.is_resync)
    }
}
