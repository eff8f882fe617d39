//! Server-sent events: what the watcher missed, then what comes, for as long as its token is good.
//!
//! What happens after a silence is told at once, and what happens soon after that together: hundreds of watchers cost the manager little more
//! than the bytes that they are sent.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{FutureExt as _, stream};
use http::{HeaderMap, header};
use tessera_model::JobId;
use tessera_wire::query::EventsQuery;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::{Instant, Interval};

use super::access::Client;
use super::app::App;
use super::extract::Query;
use crate::clock;
use crate::events::{Watch, Written};

/// A sign of life when nothing happens; at each the token is looked at again.
const ALIVE: Duration = Duration::from_secs(10);

/// Between two pieces of one stream: nobody sees so little.
const PACE: Duration = Duration::from_millis(100);

/// Enough for one piece.
const PIECE_BYTES: usize = 64 << 10;

struct Watching {
    app: Arc<App>,
    client: Client,
    job: Option<JobId>,
    /// Heard and not told.
    waiting: VecDeque<Arc<Written>>,
    live: Receiver<Arc<Written>>,
    alive: Interval,
    not_before: Instant,
}

pub(super) async fn watch(
    State(app): State<Arc<App>>,
    client: Client,
    Query(query): Query<EventsQuery>,
    headers: HeaderMap,
) -> Response {
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
        waiting: missed.into(),
        live,
        alive: tokio::time::interval_at(Instant::now() + ALIVE, ALIVE),
        not_before: Instant::now(),
    };
    let pieces = stream::unfold(watching, async |mut watching| {
        let piece = watching.next().await?;
        Some((Ok::<_, Infallible>(piece), watching))
    });
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache"),
    ];
    (headers, Body::from_stream(pieces)).into_response()
}

impl Watching {
    /// What is to be told next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        let ending = self.app.ending.clone();
        tokio::select! {
            () = ending.cancelled() => return None,
            () = tokio::time::sleep_until(self.not_before) => {}
        }
        let mut piece = BytesMut::new();
        if self.alive.tick().now_or_never().is_some() {
            self.show_life(&mut piece)?;
        }
        self.gather(&mut piece);
        while piece.is_empty() {
            tokio::select! {
                () = ending.cancelled() => return None,
                _ = self.alive.tick() => self.show_life(&mut piece)?,
                live = self.live.recv() => {
                    let written = match live {
                        Ok(written) => written,
                        Err(RecvError::Lagged(_)) => self.app.events.resync(clock::wall()),
                        Err(RecvError::Closed) => return None,
                    };
                    self.waiting.push_back(written);
                    self.gather(&mut piece);
                }
            }
        }
        // Of a full piece there is more to tell.
        let pace = if piece.len() < PIECE_BYTES {
            PACE
        } else {
            Duration::ZERO
        };
        self.not_before = Instant::now() + pace;
        Some(piece.freeze())
    }

    /// A comment, if the token is still good.
    fn show_life(&self, piece: &mut BytesMut) -> Option<()> {
        if !self.client.is_still_good(&self.app) {
            return None;
        }
        piece.extend_from_slice(b":\n\n");
        Some(())
    }

    /// All that is there, as far as there is room.
    fn gather(&mut self, piece: &mut BytesMut) {
        while piece.len() < PIECE_BYTES {
            let written = match self.waiting.pop_front() {
                Some(written) => written,
                None => match self.live.try_recv() {
                    Ok(written) => written,
                    Err(TryRecvError::Lagged(_)) => self.app.events.resync(clock::wall()),
                    Err(TryRecvError::Empty | TryRecvError::Closed) => return,
                },
            };
            if self.wants(&written) {
                piece.extend_from_slice(written.text.as_bytes());
            }
        }
    }

    /// Of one job only what is about it, and that something was missed.
    fn wants(&self, written: &Written) -> bool {
        self.job
            .is_none_or(|job| written.job == Some(job) || written.is_resync)
    }
}
