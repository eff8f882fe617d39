//! Requests of somebody else's, passed on: what a proxy on this machine needs that lends a browser this client's credentials.

use reqwest::header::HeaderMap;
use reqwest::{Body, Method, Response};

use super::{Api, ApiError, Repeat};
use crate::connect::ConnectError;

impl Api {
    /// Passes a request on, with this client's credentials in place of any the headers hold. Whatever the manager answers is
    /// handed back as it is, refusals too, its body still to be read. `body` is asked for the request's own body again for each
    /// address that is tried, as long as nothing of it was read.
    ///
    /// # Errors
    /// If no manager can be reached.
    pub async fn forward(
        &self,
        method: Method,
        path_and_query: &str,
        mut headers: HeaderMap,
        body: impl Fn() -> Body,
    ) -> Result<Response, ApiError> {
        headers.remove(reqwest::header::AUTHORIZATION);
        let repeat = if method.is_safe() {
            Repeat::Safe
        } else {
            Repeat::IfUnsent
        };
        let mut turns = self.turns(repeat)?;
        loop {
            let request = self
                .request(
                    method.clone(),
                    turns.address(),
                    path_and_query,
                    headers.clone(),
                )
                .body(body());
            match request.send().await {
                Ok(response) => {
                    turns.answered();
                    return Ok(response);
                }
                Err(error) => {
                    let address = turns.address().to_owned();
                    let unsent = error.is_connect();
                    let error = match ConnectError::from_nest(&address, Box::new(error)) {
                        refused @ ConnectError::IdentityRefused { .. } => refused.into(),
                        known if unsent => known.into(),
                        other => ApiError::Cut {
                            address,
                            what: format!("{method} {path_and_query}"),
                            source: Box::new(other),
                        },
                    };
                    turns.failed(error).await?;
                }
            }
        }
    }
}
