//! The status page: static files that hold no secret, and the headers that keep them harmless.

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue, header};
use tessera_wire::problem::ProblemKind;

use super::extract::Path;
use super::problem::{Answer, failure};

/// Nothing is loaded from elsewhere, nothing is written in the page itself, nobody frames it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = include_str!("../page/index.html");

const ASSETS: &[(&str, &str, &str)] = &[
    (
        "page.css",
        "text/css; charset=utf-8",
        include_str!("../page/page.css"),
    ),
    (
        "page.js",
        "text/javascript; charset=utf-8",
        include_str!("../page/page.js"),
    ),
    (
        "icon.svg",
        "image/svg+xml",
        include_str!("../page/icon.svg"),
    ),
];

/// The API's page, which reads `openapi.json`.
const API_PAGE: &[(&str, &str, &str)] = &[
    (
        "api.html",
        "text/html; charset=utf-8",
        include_str!("../api_page/api.html"),
    ),
    (
        "api.css",
        "text/css; charset=utf-8",
        include_str!("../api_page/api.css"),
    ),
    (
        "api.js",
        "text/javascript; charset=utf-8",
        include_str!("../api_page/api.js"),
    ),
];

pub(super) async fn page() -> Response {
    ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], PAGE).into_response()
}

pub(super) async fn asset(Path(file): Path<String>) -> Answer<Response> {
    let (_, media_type, text) = ASSETS
        .iter()
        .chain(API_PAGE)
        .find(|(name, ..)| *name == file)
        .ok_or_else(|| failure(ProblemKind::NotFound, "there is no such file", ""))?;
    Ok(([(header::CONTENT_TYPE, *media_type)], *text).into_response())
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
