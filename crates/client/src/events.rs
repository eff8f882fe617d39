//! What the farm tells those who watch, as a stream that survives a restart of the manager.
//!
//! The server's `id` of each event is given back as it is when the stream reconnects, so the manager decides what was missed;
//! if it cannot tell any more it says [`What::Resync`](tessera_wire::event::What::Resync), which comes out like any event.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::{Stream, StreamExt};
use reqwest::header::{ACCEPT, HeaderMap, HeaderName, HeaderValue};
use tessera_model::JobId;
use tessera_wire::event::Event;
use tessera_wire::routes;

use crate::api::{Api, ApiError, Call};

/// Longest event that is read: a frame's result with many files stays far below.
const EVENT_MAX_BYTES: usize = 4 << 20;

/// Which events are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Only those about this job.
    pub job: Option<JobId>,
    /// Only those after this sequence number.
    pub since: Option<u64>,
}

/// A stream of events. Ends with an error that waiting cannot help, or when the retry of its [`Api`] gives up.
pub struct Events {
    inner: Pin<Box<dyn Stream<Item = Result<Event, ApiError>> + Send>>,
}

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Events")
    }
}

impl Stream for Events {
    type Item = Result<Event, ApiError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.inner.as_mut().poll_next(cx)
    }
}

impl Api {
    /// Watches the farm. Nothing is asked before the stream is polled.
    #[must_use]
    pub fn events(&self, filter: EventFilter) -> Events {
        let watch = Watch {
            api: self.clone(),
            filter,
            last_id: None,
            open: None,
            over: false,
        };
        let inner = futures_util::stream::unfold(watch, |mut watch| async move {
            watch.next().await.map(|item| (item, watch))
        })
        .fuse();
        Events {
            inner: Box::pin(inner),
        }
    }
}

struct Watch {
    api: Api,
    filter: EventFilter,
    last_id: Option<String>,
    open: Option<(String, reqwest::Response, SseParser)>,
    over: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Result<Event, ApiError>> {
        if self.over {
            return None;
        }
        let item = self.try_next().await;
        self.over = item.is_err();
        Some(item)
    }

    async fn try_next(&mut self) -> Result<Event, ApiError> {
        let mut outing = self.api.retry().begin();
        loop {
            let Some((address, response, parser)) = &mut self.open else {
                // Patience with a manager that is away lies in the request itself.
                let (address, response) = self.api.send(&self.call()).await?;
                self.open = Some((address, response, SseParser::default()));
                continue;
            };
            let fault = match parser.next_message() {
                Ok(Some(message)) => {
                    if let Some(id) = message.id {
                        self.last_id = Some(id);
                    }
                    match serde_json::from_str(&message.data) {
                        Ok(event) => return Ok(event),
                        Err(source) => ApiError::Answer {
                            address: address.clone(),
                            what: WHAT.into(),
                            source: Box::new(source),
                        },
                    }
                }
                Err(source) => ApiError::Answer {
                    address: address.clone(),
                    what: WHAT.into(),
                    source,
                },
                Ok(None) => match self.api.chunk(address, WHAT, response).await {
                    Ok(Some(bytes)) => {
                        parser.push(&bytes);
                        continue;
                    }
                    Ok(None) => ApiError::Cut {
                        address: address.clone(),
                        what: WHAT.into(),
                        source: "the manager ended the stream".into(),
                    },
                    Err(error) => error,
                },
            };
            self.open = None;
            if !fault.is_unreachable() || !outing.lost(&fault).await {
                return Err(fault);
            }
        }
    }

    fn call(&self) -> Call {
        let mut query = Vec::new();
        if let Some(job) = self.filter.job {
            query.push(format!("job={job}"));
        }
        // Once there is an id, it says more exactly where to go on.
        if let (Some(since), None) = (self.filter.since, &self.last_id) {
            query.push(format!("since={since}"));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        if let Some(id) = self
            .last_id
            .as_ref()
            .and_then(|id| HeaderValue::from_str(id).ok())
        {
            headers.insert(HeaderName::from_static("last-event-id"), id);
        }
        let mut call = Call::new(
            routes::EVENTS,
            format!("{}?{}", routes::EVENTS.path, query.join("&")),
        );
        call.headers = headers;
        call
    }
}

const WHAT: &str = "the watching of events";

/// One message of an event stream.
#[derive(Debug, PartialEq, Eq)]
struct Message {
    id: Option<String>,
    data: String,
}

/// Takes messages out of the bytes of a `text/event-stream` (WHATWG HTML, 9.2.6), `event` and `retry` lines left out.
#[derive(Debug, Default)]
struct SseParser {
    bytes: Vec<u8>,
    /// Where the next line begins in `bytes`.
    at: usize,
    id: Option<String>,
    data: Option<String>,
}

impl SseParser {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.at);
        self.at = 0;
        self.bytes.extend_from_slice(bytes);
    }

    fn next_message(
        &mut self,
    ) -> Result<Option<Message>, Box<dyn std::error::Error + Send + Sync>> {
        let pending = self.bytes.len() + self.data.as_ref().map_or(0, String::len);
        while let Some(end) = self.bytes[self.at..].iter().position(|&byte| byte == b'\n') {
            let line = &self.bytes[self.at..self.at + end];
            let line = std::str::from_utf8(line.strip_suffix(b"\r").unwrap_or(line))?.to_owned();
            self.at += end + 1;
            if line.is_empty() {
                let id = self.id.take();
                if let Some(data) = self.data.take() {
                    return Ok(Some(Message { id, data }));
                }
                continue;
            }
            let (field, value) = line.split_once(':').unwrap_or((&line, ""));
            let value = value.strip_prefix(' ').unwrap_or(value);
            match field {
                "id" => self.id = Some(value.to_owned()),
                "data" => match &mut self.data {
                    Some(data) => {
                        data.push('\n');
                        data.push_str(value);
                    }
                    None => self.data = Some(value.to_owned()),
                },
                _ => {}
            }
        }
        if pending > EVENT_MAX_BYTES {
            return Err(format!("an event is longer than {EVENT_MAX_BYTES} bytes").into());
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, messages: &[(Option<&str>, &str)]) {
        for piece in [1, 3, text.len()] {
            let mut parser = SseParser::default();
            let mut got = Vec::new();
            for bytes in text.as_bytes().chunks(piece) {
                parser.push(bytes);
                while let Some(message) = parser.next_message().unwrap() {
                    got.push((message.id, message.data));
                }
            }
            let got: Vec<_> = got
                .iter()
                .map(|(id, data)| (id.as_deref(), data.as_str()))
                .collect();
            assert_eq!(got, messages, "{text:?} by {piece}");
        }
    }

    #[test]
    fn messages_whatever_the_pieces() {
        check("id: 1-2\ndata: {}\n\n", &[(Some("1-2"), "{}")]);
        check(
            ": hello\n\n: hello\n\ndata:a\r\ndata: b\r\n\r\nid:7\n\ndata: é\nretry: 5\n\ndata: cut",
            &[(None, "a\nb"), (None, "é")],
        );
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut parser = SseParser::default();
        parser.push(b"data: ");
        parser.push(&vec![b'x'; EVENT_MAX_BYTES + 1]);
        assert!(parser.next_message().is_err());
    }
}
