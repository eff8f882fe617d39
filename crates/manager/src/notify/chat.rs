//! The notice as a message in a chat.

use reqwest::{Client, RequestBuilder, Url};
use serde_json::json;
use tessera_model::Notice;

use super::post::PostError;

/// Most characters of a message of Discord.
const DISCORD_MAX: usize = 2000;

fn lines(title: &str, notice: &Notice) -> String {
    let parts = [
        Some(title),
        Some(notice.text.as_str()),
        notice.link.as_deref(),
    ];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    parts.join("\n")
}

/// The name of a job may be anything: nobody is to be called by it, and nothing made bold.
pub(super) fn discord(client: &Client, url: Option<&str>, notice: &Notice) -> RequestBuilder {
    let escape = |text: &str| {
        let mut escaped = String::new();
        for sign in text.chars() {
            if matches!(sign, '*' | '_' | '~' | '`' | '|' | '\\' | '>' | '[') {
                escaped.push('\\');
            }
            escaped.push(sign);
        }
        escaped
    };
    let told = Notice {
        text: escape(&notice.text),
        ..notice.clone()
    };
    let content = lines(&format!("**{}**", escape(&notice.title)), &told);
    let content: String = content.chars().take(DISCORD_MAX).collect();
    client
        .post(url.unwrap_or_default())
        .json(&json!({"content": content, "allowed_mentions": {"parse": []}}))
}

/// Slack's marks are these three characters, so that nothing in a name is one.
pub(super) fn slack(client: &Client, url: Option<&str>, notice: &Notice) -> RequestBuilder {
    let escape = |text: &str| {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    };
    let told = Notice {
        text: escape(&notice.text),
        ..notice.clone()
    };
    let text = lines(&format!("*{}*", escape(&notice.title)), &told);
    client
        .post(url.unwrap_or_default())
        .json(&json!({"text": text}))
}

/// The notice's id is the transaction's, so that a second try of one that arrived writes nothing.
pub(super) fn matrix(
    client: &Client,
    homeserver: &str,
    room: &str,
    token: Option<&str>,
    notice: &Notice,
) -> Result<RequestBuilder, PostError> {
    let mut url = Url::parse(homeserver).map_err(|error| PostError::lasting(error.to_string()))?;
    url.path_segments_mut()
        .map_err(|()| PostError::lasting("the homeserver's address has no path"))?
        .pop_if_empty()
        .extend(["_matrix", "client", "v3", "rooms", room, "send"])
        .extend(["m.room.message", &notice.id]);
    let body = json!({"msgtype": "m.text", "body": lines(&notice.title, notice)});
    Ok(client
        .put(url)
        .bearer_auth(token.unwrap_or_default())
        .json(&body))
}
