//! A request whose body is made while it is sent.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use tessera_blobs::STREAM_MEDIA_TYPE;
use tessera_wire::routes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::transport::{IDLE_TIMEOUT, request_error};
use super::{Api, ApiError, Call};

/// What may be on its way, in the window of the connection and in the buffers of both systems, after the last piece was handed over.
const ON_ITS_WAY_BYTES: u64 = 8 << 20;

/// Longest that the manager may take nothing and answer nothing: what is on its way goes at the pace that the slowest network in
/// use keeps (1 Mbit/s).
const PATIENCE: Duration = Duration::from_secs(IDLE_TIMEOUT.as_secs() + ON_ITS_WAY_BYTES / 125_000);

/// Since when the manager is expected to take the next piece or to answer; none while it is the sender who has nothing to send yet.
type Waiting = Option<Instant>;

impl Api {
    /// Sends framed blocks as they come, to this address and once: the stream cannot be had again. They are durable at the manager
    /// when it returns; with `repair` it looks at its own copies of them too.
    pub(crate) async fn put_stream(
        &self,
        address: &str,
        repair: bool,
        pieces: impl Stream<Item = Bytes> + Send + 'static,
    ) -> Result<(), ApiError> {
        let query = if repair { "?repair=true" } else { "" };
        let call = Call::new(
            routes::BLOBS_PUT,
            format!("{}{query}", routes::BLOBS_PUT.path),
        );
        let (told, waiting) = watch::channel(Some(Instant::now()));
        let body = reqwest::Body::wrap_stream(self.counted(pieces, told));
        let request = self
            .request(reqwest::Method::PUT, address, &call.path, HeaderMap::new())
            .header(CONTENT_TYPE, STREAM_MEDIA_TYPE)
            .body(body);
        let response = tokio::select! {
            answered = request.send() => {
                answered.map_err(|error| request_error(address, &call, error))?
            }
            () = runs_out(waiting) => {
                return Err(ApiError::TimedOut {
                    address: address.to_owned(),
                    what: call.what(),
                });
            }
        };
        if response.status().is_success() {
            return Ok(());
        }
        Err(self.refusal(address.to_owned(), response).await)
    }

    /// Pieces as they go out: within the limit, and counted.
    fn counted(
        &self,
        pieces: impl Stream<Item = Bytes> + Send + 'static,
        told: watch::Sender<Waiting>,
    ) -> impl Stream<Item = Result<Bytes, Infallible>> + Send + 'static {
        let api = self.clone();
        let start = (Box::pin(pieces), api, told);
        stream::unfold(start, |(mut pieces, api, told)| async move {
            told.send_replace(None);
            let piece = pieces.next().await;
            if let Some(piece) = &piece {
                api.bandwidth().pay(piece.len()).await;
                api.count_sent(piece.len());
            }
            told.send_replace(Some(Instant::now()));
            piece.map(|piece| (Ok(piece), (pieces, api, told)))
        })
    }
}

/// Ends when the manager was waited for too long.
async fn runs_out(mut waiting: watch::Receiver<Waiting>) {
    loop {
        let since = *waiting.borrow_and_update();
        let ran_out = async {
            match since {
                Some(since) => sleep_until(since + PATIENCE).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = ran_out => return,
            changed = waiting.changed() => if changed.is_err() {
                // The body is out: all that is left is the answer.
                let since = since.unwrap_or_else(Instant::now);
                return sleep_until(since + PATIENCE).await;
            },
        }
    }
}
