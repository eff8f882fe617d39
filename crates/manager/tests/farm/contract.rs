//! Holds the OpenAPI document and the server together: whatever any test asks, the answer has a status, a media type and a form that
//! the document names, and a body that was accepted has the form it asks for.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use jsonschema::Validator;
use reqwest::header::{CONTENT_TYPE, HeaderName};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde::Serialize;
use serde_json::{Value, json};
use tessera_wire::openapi::document;
use tessera_wire::routes::Route;

static DOCUMENT: LazyLock<Value> = LazyLock::new(document);

/// A request on its way.
pub struct Asked {
    route: Route,
    request: RequestBuilder,
    body: Option<Value>,
}

impl Asked {
    pub fn new(route: Route, request: RequestBuilder) -> Self {
        Self {
            route,
            request,
            body: None,
        }
    }

    pub fn json(mut self, body: &(impl Serialize + ?Sized)) -> Self {
        self.body = Some(serde_json::to_value(body).unwrap());
        self.request = self.request.json(body);
        self
    }

    pub fn body(mut self, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.body(body);
        self
    }

    pub fn header(mut self, name: impl TryInto<HeaderName>, value: impl AsRef<str>) -> Self {
        let name = name.try_into().unwrap_or_else(|_| panic!("not a header"));
        self.request = self.request.header(name, value.as_ref());
        self
    }

    /// Sends it. Of a JSON answer the whole is read and looked at, then given on.
    pub async fn send(self) -> reqwest::Result<Response> {
        let response = self.request.send().await?;
        let media_type = response.headers().get(CONTENT_TYPE);
        let media_type = media_type.map(|value| value.to_str().unwrap().to_owned());
        let expected = expected(self.route, response.status(), media_type.as_deref());
        let taken = format!(
            "{}/requestBody/content/application~1json/schema",
            at(self.route)
        );
        if let Some(body) = self.body
            && response.status().is_success()
            && DOCUMENT.pointer(&taken).is_some()
        {
            hold(&taken, &body);
        }
        let Some(schema) = expected else {
            return Ok(response);
        };
        let mut rebuilt = http::Response::builder().status(response.status());
        *rebuilt.headers_mut().unwrap() = response.headers().clone();
        let bytes = response.bytes().await?;
        hold(&schema, &serde_json::from_slice(&bytes).unwrap());
        Ok(rebuilt.body(bytes).unwrap().into())
    }
}

/// The `data` of an event.
pub fn check_event(data: &str) {
    hold(
        "/components/schemas/Event",
        &serde_json::from_str(data).unwrap(),
    );
}

fn escaped(part: &str) -> String {
    part.replace('~', "~0").replace('/', "~1")
}

/// Where the document speaks of a route.
fn at(route: Route) -> String {
    let method = format!("{:?}", route.method).to_lowercase();
    format!("/paths/{}/{method}", escaped(route.path))
}

/// Where the schema of this answer is; none if it is not JSON.
fn expected(route: Route, status: StatusCode, media_type: Option<&str>) -> Option<String> {
    let mut place = format!("{}/responses/{}", at(route), status.as_u16());
    if DOCUMENT.pointer(&place).is_none() && !status.is_success() {
        place = format!("{}/responses/default", at(route));
    }
    let said = DOCUMENT.pointer(&place);
    let mut said = said.unwrap_or_else(|| panic!("{route:?} is not said to answer {status}"));
    if let Some(reference) = said["$ref"].as_str() {
        place = reference.trim_start_matches('#').to_owned();
        said = DOCUMENT.pointer(&place).unwrap();
    }
    let Some(content) = said["content"].as_object() else {
        assert_eq!(
            media_type, None,
            "{route:?} is said to answer {status} without a body"
        );
        return None;
    };
    let media_type =
        media_type.unwrap_or_else(|| panic!("{route:?} answers {status} without a media type"));
    let known = [media_type, "*/*"]
        .into_iter()
        .find(|known| content.contains_key(*known));
    let known =
        known.unwrap_or_else(|| panic!("{route:?} is not said to answer {status} in {media_type}"));
    let is_json = known.ends_with("json");
    is_json.then(|| format!("{place}/content/{}/schema", escaped(known)))
}

/// Holds a value against a schema of the document.
fn hold(pointer: &str, value: &Value) {
    static COMPILED: LazyLock<Mutex<HashMap<String, Arc<Validator>>>> =
        LazyLock::new(Mutex::default);
    let validator = {
        let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        let validator = compiled.entry(pointer.to_owned()).or_insert_with(|| {
            let schema = DOCUMENT.pointer(pointer);
            let schema = schema.unwrap_or_else(|| panic!("the document has nothing at {pointer}"));
            let schema = json!({"allOf": [schema], "components": DOCUMENT["components"]});
            Arc::new(jsonschema::validator_for(&schema).unwrap())
        });
        Arc::clone(validator)
    };
    let faults: Vec<String> = validator
        .iter_errors(value)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{pointer}: {faults:#?}\n{value:#}");
}

#[test]
fn what_the_document_does_not_say_is_noticed() {
    let caught = |check: fn()| std::panic::catch_unwind(check).is_err();
    let event = r#"{"seq": 1, "at": 2, "type": "job_removed", "job": 3}"#;
    check_event(event);
    assert!(caught(|| check_event(
        r#"{"seq": 1, "at": 2, "type": "job_removed"}"#
    )));
    assert!(caught(|| check_event(
        r#"{"seq": 1, "at": 2, "type": "another"}"#
    )));
    use tessera_wire::routes::{HEALTH, JOBS};
    assert!(expected(HEALTH, StatusCode::OK, Some("application/json")).is_some());
    assert!(caught(|| drop(expected(
        HEALTH,
        StatusCode::OK,
        Some("text/html")
    ))));
    assert!(caught(|| drop(expected(
        JOBS,
        StatusCode::CREATED,
        Some("application/json")
    ))));
    assert!(
        expected(
            JOBS,
            StatusCode::IM_A_TEAPOT,
            Some("application/problem+json")
        )
        .is_some()
    );
}
