//! One try to tell one receiver.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Client, RequestBuilder, StatusCode};
use tessera_model::{Notice, ReceiverRecord, Way};

use super::{chat, mail, webhook};

/// Longest try: a receiver that is slower is as good as away.
pub(super) const TRY_MAX: Duration = Duration::from_secs(20);

/// Characters of an answer that are shown.
const ANSWER_MAX: usize = 200;

/// Bytes of an answer that are read.
const ANSWER_MAX_BYTES: usize = 16 << 10;

/// It did not arrive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PostError {
    /// Why, for a person.
    pub(crate) text: String,
    /// Whether it makes no sense to try again as it is.
    pub(crate) is_final: bool,
}

impl PostError {
    pub(super) fn passing(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            is_final: false,
        }
    }

    pub(super) fn lasting(text: impl Into<String>) -> Self {
        Self {
            is_final: true,
            ..Self::passing(text)
        }
    }
}

/// Tells receivers. It trusts whom this machine's system trusts.
#[derive(Debug, Default)]
pub(crate) struct Poster {
    client: OnceLock<Client>,
}

impl Poster {
    /// What the receiver answered.
    pub(crate) async fn post(
        &self,
        record: &ReceiverRecord,
        notice: &Notice,
    ) -> Result<String, PostError> {
        let secret = record.secret.as_ref().map(|secret| secret.0.as_str());
        let tried = async {
            match &record.receiver.way {
                Way::Webhook { url } => {
                    said(webhook::request(self.client()?, url, secret, notice)).await
                }
                Way::Discord => said(chat::discord(self.client()?, secret, notice)).await,
                Way::Slack => said(chat::slack(self.client()?, secret, notice)).await,
                Way::Matrix { homeserver, room } => {
                    let request = chat::matrix(self.client()?, homeserver, room, secret, notice)?;
                    said(request).await
                }
                Way::Email { .. } => mail::send(&record.receiver.way, secret, notice).await,
            }
        };
        let late = || {
            let text = format!("it did not answer within {} s", TRY_MAX.as_secs());
            Err(PostError::passing(text))
        };
        tokio::time::timeout(TRY_MAX, tried)
            .await
            .unwrap_or_else(|_| late())
    }

    /// Made when it is needed first: the system's certificates are read for it.
    fn client(&self) -> Result<&Client, PostError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        // An error only says that the program has installed one.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = Client::builder()
            // What is signed or secret is for the address it was given for.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tessera/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|error| PostError::passing(chain(&error)))?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// Sends it, and reads what comes back.
async fn said(request: RequestBuilder) -> Result<String, PostError> {
    let mut response = request
        .send()
        .await
        // An address can be a secret.
        .map_err(|error| PostError::passing(chain(&error.without_url())))?;
    let status = response.status();
    let mut body = Vec::new();
    while body.len() < ANSWER_MAX_BYTES
        && let Ok(Some(piece)) = response.chunk().await
    {
        body.extend_from_slice(&piece);
    }
    let text = answer(status, &String::from_utf8_lossy(&body));
    if status.is_success() {
        return Ok(text);
    }
    // These say "later" or "busy"; every other refusal stays one until somebody changes something.
    let later = matches!(
        status,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS
    );
    if status.is_server_error() || later {
        return Err(PostError::passing(text));
    }
    Err(PostError::lasting(text))
}

fn answer(status: StatusCode, body: &str) -> String {
    let words: Vec<&str> = body.split_whitespace().collect();
    let words = words.join(" ");
    let mut text = status.to_string();
    if !words.is_empty() {
        text += ": ";
        text.extend(words.chars().take(ANSWER_MAX));
    }
    text
}

/// An error with its causes.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
