//! The page of `web/`: static files that hold no secret, and the headers that keep them harmless.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};
use tessera_wire::problem::ProblemKind;

use super::extract::Path;
use super::problem::{Answer, failure};

/// Nothing is loaded from elsewhere, nothing is written in the page itself, nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

// `PAGE`, and `ASSETS` by name: what `build.rs` made of `web/`.
include!(concat!(env!("OUT_DIR"), "/page.rs"));

/// For what has a digest of its contents in its name, after a hyphen: it never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// The API's page, which reads `openapi.json`.
const API_PAGE: &[(&str, &[u8])] = &[
    ("api.html", include_bytes!("../api_page/api.html")),
    ("api.css", include_bytes!("../api_page/api.css")),
    ("api.js", include_bytes!("../api_page/api.js")),
];

pub(super) async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

pub(super) async fn asset(Path(file): Path<String>) -> Answer<Response> {
    let (name, bytes) = ASSETS
        .iter()
        .chain(API_PAGE)
        .find(|(name, _)| *name == file)
        .ok_or_else(|| failure(ProblemKind::NotFound, "there is no such file", ""))?;
    let media_type = match name.rsplit_once('.').map(|(_, kind)| kind) {
        Some("html") => "text/html; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "application/octet-stream",
    };
    let cache = if name.contains('-') {
        FOR_EVER
    } else {
        "no-cache"
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CACHE_CONTROL, cache),
    ];
    Ok((headers, *bytes).into_response())
}

/// Headers of every answer, of the API too: a browser that is led to an answer must not make more of it than it is.
pub(super) async fn harden(request: Request, next: Next) -> Response {
    const HEADERS: [(HeaderName, HeaderValue); 5] = [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            HeaderName::from_static("cross-origin-resource-policy"),
            HeaderValue::from_static("same-origin"),
        ),
    ];
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        // What may be kept says so itself.
        if name != header::CACHE_CONTROL || !response.headers().contains_key(&name) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
