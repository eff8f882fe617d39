//! The notice as JSON, signed. docs/notifications.md says how a receiver verifies it.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use reqwest::{Client, RequestBuilder, header};
use tessera_model::Notice;

use crate::clock;

/// A request that posts it. It is signed when it is sent, so that a receiver can refuse what is old.
pub(super) fn request(
    client: &Client,
    url: &str,
    secret: Option<&str>,
    notice: &Notice,
) -> RequestBuilder {
    let body = serde_json::to_vec(notice).expect("a plain structure is always JSON");
    let mut request = client
        .post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .header("tessera-event", notice.event.name())
        .header("tessera-delivery", &notice.id);
    if let Some(secret) = secret {
        let seconds = clock::wall().0 / 1000;
        request = request
            .header("tessera-timestamp", seconds)
            .header("tessera-signature", signature(secret, seconds, &body));
    }
    request.body(body)
}

/// `v1=` and HMAC-SHA256 of the timestamp, a full stop and the body.
fn signature(secret: &str, seconds: i64, body: &[u8]) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let mut context = hmac::Context::with_key(&key);
    context.update(format!("{seconds}.").as_bytes());
    context.update(body);
    format!("v1={}", HEXLOWER.encode(context.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected value is what `printf '1700000000.{}' | openssl dgst -sha256 -hmac key` says.
    #[test]
    fn signed_as_others_sign() {
        assert_eq!(
            signature("key", 1_700_000_000, b"{}"),
            "v1=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
        );
    }
}
