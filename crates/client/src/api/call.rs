//! A request as its route has it, before an address is chosen.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde::Serialize;
use tessera_wire::routes::{Method, Route};

use super::transport::IDLE_TIMEOUT;
use super::turns::Repeat;

/// A request before it has an address.
pub(crate) struct Call {
    pub(crate) route: Route,
    pub(crate) path: String,
    pub(crate) body: Option<(Bytes, &'static str)>,
    pub(crate) headers: HeaderMap,
    pub(crate) repeat: Repeat,
    /// Longest wait for the answer to begin.
    pub(crate) patience: Duration,
}

impl Call {
    pub(crate) fn new(route: Route, path: impl Into<String>) -> Self {
        let repeat = if route.method == Method::Post {
            Repeat::IfUnsent
        } else {
            Repeat::Safe
        };
        Self {
            route,
            path: path.into(),
            body: None,
            headers: HeaderMap::new(),
            repeat,
            patience: IDLE_TIMEOUT,
        }
    }

    pub(crate) fn json<T: Serialize>(mut self, body: &T) -> Self {
        let bytes =
            serde_json::to_vec(body).expect("requests have no maps with keys that JSON lacks");
        self.body = Some((bytes.into(), "application/json"));
        self
    }

    pub(crate) fn repeat(mut self, repeat: Repeat) -> Self {
        self.repeat = repeat;
        self
    }

    /// For what takes a manager long. One that is gone is noticed all the same, by the connection's own pings.
    pub(crate) fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub(crate) fn what(&self) -> String {
        let method = match self.route.method {
            Method::Get => "GET",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Patch => "PATCH",
            Method::Delete => "DELETE",
        };
        format!("{method} {}", self.path)
    }
}
