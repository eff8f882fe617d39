//! The HTTP API as an OpenAPI 3.1 document, made of the list of routes and of the types that travel.
//!
//! A type may be taken in another form than it is given (fields with a default may be left out of a request), so there are two
//! generators. Where the two forms of a type differ, the one of requests has a name of its own, `…Input`.

use std::collections::BTreeSet;

use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use tessera_model::{Blob, JobId, WorkerId};

use crate::problem::{self, Problem};
use crate::routes::{Access, Body, Method, OPERATIONS, Operation, Route, Shape};

/// Where schemas lie in the document.
const SCHEMAS: &str = "#/components/schemas/";

/// Where those of requests lie until it is known which of them differ.
const REQUESTS: &str = "#/components/requests/";

/// Groups of routes, by the part of the path behind `/api/v1`; whatever is in no other is in the first.
const TAGS: &[(&str, &str)] = &[
    ("farm", "The farm as a whole, and what happens on it."),
    ("jobs", "Jobs, their frames, and what came of them."),
    ("workers", "Workers as their administrators see them."),
    ("settings", "Numbers of the running farm."),
    ("receivers", "Who is told of what happens."),
    ("pairings", "Codes with which machines join."),
    ("tokens", "Access of clients."),
    ("certificates", "Access of workers."),
    ("files", "Files, one by one and as they are."),
    ("blobs", "Files as blocks, by digest."),
    ("store", "What uses the space."),
    ("worker", "What workers say to their manager."),
];

/// Schemas that are collected on the way.
struct Schemas {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

/// The document.
#[must_use]
pub fn document() -> Value {
    let at = |path: &'static str| {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = path.trim_start_matches('#').trim_end_matches('/').into();
            settings.meta_schema = None;
        })
    };
    let mut schemas = Schemas {
        requests: at(REQUESTS).for_deserialize().into_generator(),
        answers: at(SCHEMAS).for_serialize().into_generator(),
    };
    let problem = schemas.answers.subschema_for::<Problem>();
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let item = paths
            .entry(operation.route.path)
            .or_insert_with(|| json!({}));
        item[method(operation.route.method)] = describe(operation, &mut schemas);
    }
    let tags = TAGS.iter();
    let tags = tags.map(|(name, text)| json!({"name": name, "description": text}));
    let mut document = json!({
        "openapi": "3.1.0",
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "info": {
            "title": "Tessera",
            "summary": "A network renderer for Blender",
            "description": include_str!("openapi.md"),
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "GPL-3.0-or-later", "identifier": "GPL-3.0-or-later"},
        },
        "servers": [{"url": "/", "description": "The manager that gave this document."}],
        "tags": tags.collect::<Vec<_>>(),
        "paths": paths,
        "components": {
            "schemas": schemas.answers.take_definitions(true),
            "requests": schemas.requests.take_definitions(true),
            "responses": {
                "Problem": {
                    "description": "What happened, to what, and what to do.",
                    "content": {problem::MEDIA_TYPE: {"schema": problem}},
                },
            },
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "An access token of a client.",
                },
                "certificate": {
                    "type": "mutualTLS",
                    "description": "The certificate of a worker.",
                },
            },
        },
    });
    join(&mut document);
    document
}

fn method(method: Method) -> &'static str {
    match method {
        Method::Get => "get",
        Method::Post => "post",
        Method::Put => "put",
        Method::Patch => "patch",
        Method::Delete => "delete",
    }
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let Operation { route, .. } = operation;
    let (summary, more) = operation
        .doc
        .split_once('\n')
        .unwrap_or((operation.doc, ""));
    let mut parameters = path_parameters(route.path, &mut schemas.requests);
    if let Some(query) = operation.query {
        parameters.extend(query_parameters(query, &mut schemas.requests));
    }
    let mut out = json!({
        "operationId": operation_id(operation.name),
        "summary": summary.trim(),
        "tags": [tag(route.path)],
        "security": security(route.access),
        "x-role": role(route.access),
        "responses": responses(operation, &mut schemas.answers),
    });
    let more = more.trim();
    if !more.is_empty() {
        out["description"] = more.into();
    }
    if !parameters.is_empty() {
        out["parameters"] = parameters.into();
    }
    if let Some(content) = content(operation.takes, &mut schemas.requests) {
        out["requestBody"] = json!({"required": true, "content": content});
        if let Body::Bytes(_, text) = operation.takes {
            out["requestBody"]["description"] = text.into();
        }
    }
    out
}

/// `JOB_EDIT` as `jobEdit`.
fn operation_id(name: &str) -> String {
    let words = name.split('_').enumerate().map(|(at, word)| {
        let (first, rest) = word.split_at(1);
        match at {
            0 => word.to_lowercase(),
            _ => first.to_owned() + &rest.to_lowercase(),
        }
    });
    words.collect()
}

fn tag(path: &str) -> &'static str {
    let group = match path.split('/').nth(3) {
        Some("trees") => "files",
        other => other.unwrap_or_default(),
    };
    let found = TAGS.iter().find(|(name, _)| *name == group);
    found.unwrap_or(&TAGS[0]).0
}

fn security(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Client(_) => json!([{"token": []}]),
        Access::Worker => json!([{"certificate": []}]),
        Access::ClientOrWorker(_) => json!([{"token": []}, {"certificate": []}]),
    }
}

/// The least that may use it.
fn role(access: Access) -> String {
    match access {
        Access::Public => "none".into(),
        Access::Client(role) | Access::ClientOrWorker(role) => role.to_string(),
        Access::Worker => "worker".into(),
    }
}

fn path_parameters(path: &str, generator: &mut SchemaGenerator) -> Vec<Value> {
    let names = path
        .split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    let parameter = |name| {
        let (shape, text): (Shape, &str) = match name {
            "job" => (
                SchemaGenerator::subschema_for::<JobId>,
                "Number of the job.",
            ),
            "worker" => (
                SchemaGenerator::subschema_for::<WorkerId>,
                "Number of the worker.",
            ),
            "frame" => (
                SchemaGenerator::subschema_for::<i32>,
                "Number of the frame in Blender.",
            ),
            "step" => (
                SchemaGenerator::subschema_for::<u16>,
                "Number of the step in its job.",
            ),
            "position" => (
                SchemaGenerator::subschema_for::<u32>,
                "Position of the frame in its step.",
            ),
            "blob" => (
                SchemaGenerator::subschema_for::<Blob>,
                "Name of the file's bytes.",
            ),
            "serial" => (
                SchemaGenerator::subschema_for::<String>,
                "Serial number of the certificate, in hexadecimal.",
            ),
            "token" => (
                SchemaGenerator::subschema_for::<String>,
                "Name of the token; not its secret.",
            ),
            "receiver" => (
                SchemaGenerator::subschema_for::<String>,
                "Name of the receiver.",
            ),
            _ => (SchemaGenerator::subschema_for::<String>, "Its name."),
        };
        json!({"name": name, "in": "path", "required": true, "description": text, "schema": shape(generator)})
    };
    names.map(parameter).collect()
}

fn query_parameters(query: Shape, generator: &mut SchemaGenerator) -> Vec<Value> {
    let schema = query(generator).to_value();
    let Some(properties) = schema["properties"].as_object() else {
        return Vec::new();
    };
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let text = schema
            .as_object_mut()
            .and_then(|members| members.remove("description"));
        not_null(&mut schema);
        json!({"name": name, "in": "query", "required": false, "description": text, "schema": schema})
    };
    properties.iter().map(parameter).collect()
}

/// A parameter is left out, and never null.
fn not_null(schema: &mut Value) {
    if let Some(types) = schema["type"].as_array() {
        let mut types = types.iter().filter(|kind| *kind != "null").cloned();
        schema["type"] = types.next().unwrap_or_default();
    } else if let Some(choices) = schema["anyOf"].as_array() {
        let null = json!({"type": "null"});
        let mut choices = choices.iter().filter(|choice| **choice != null).cloned();
        *schema = choices.next().unwrap_or_default();
    }
}

fn content(body: Body, generator: &mut SchemaGenerator) -> Option<Value> {
    Some(match body {
        Body::Nothing | Body::WebSocket => return None,
        Body::Json(shape) => json!({"application/json": {"schema": shape(generator)}}),
        Body::Bytes(media_type, _) | Body::Tagged(media_type, _) => json!({media_type: {}}),
        Body::Events(shape) => json!({
            "text/event-stream": {"schema": {"type": "string"}, "x-event": shape(generator)},
        }),
    })
}

fn responses(operation: &Operation, generator: &mut SchemaGenerator) -> Value {
    let problem = json!({"$ref": "#/components/responses/Problem"});
    let mut all = json!({"default": problem});
    let (status, text) = match operation.answers {
        Body::Nothing => ("204", "Done."),
        Body::Json(_) => ("200", "The answer."),
        Body::Bytes(_, text) | Body::Tagged(_, text) => ("200", text),
        Body::Events(_) => ("200", "Events, as they happen."),
        Body::WebSocket => ("101", "From here on a WebSocket."),
    };
    all[status] = json!({"description": text});
    if let Some(content) = content(operation.answers, generator) {
        all[status]["content"] = content;
    }
    if let Body::Tagged(..) = operation.answers {
        all["304"] = json!({"description": "It is the one that was named in `If-None-Match`."});
    }
    let Route { path, access, .. } = operation.route;
    let takes = operation.query.is_some() || !matches!(operation.takes, Body::Nothing);
    for (status, may_be) in [
        ("401", access != Access::Public),
        ("403", access != Access::Public),
        ("404", path.contains('{')),
        ("422", takes),
    ] {
        if may_be {
            all[status] = problem.clone();
        }
    }
    all
}

/// Puts the schemas of requests to those of answers, and gives all of them clean names and plain descriptions.
fn join(document: &mut Value) {
    let components = document["components"].as_object_mut();
    let requests = components.and_then(|all| all.remove("requests"));
    let Some(Value::Object(requests)) = requests else {
        return;
    };
    let answers = document["components"]["schemas"].take();
    let differing = differing(&requests, &answers);
    let mut schemas = Map::new();
    for (name, schema) in answers.as_object().into_iter().flatten() {
        schemas.insert(clean(name), schema.clone());
    }
    for (name, schema) in requests {
        if differing.contains(&name) {
            schemas.insert(clean(&name) + "Input", schema);
        } else {
            schemas.entry(clean(&name)).or_insert(schema);
        }
    }
    document["components"]["schemas"] = schemas.into();
    walk(document, &mut |object| {
        if let Some(Value::String(target)) = object.get_mut("$ref") {
            if let Some(name) = target.strip_prefix(REQUESTS) {
                let input = if differing.contains(name) {
                    "Input"
                } else {
                    ""
                };
                *target = format!("{SCHEMAS}{}{input}", clean(name));
            } else if let Some(name) = target.strip_prefix(SCHEMAS) {
                *target = SCHEMAS.to_owned() + &clean(name);
            }
        }
        if let Some(Value::String(text)) = object.get_mut("description") {
            *text = plain(text);
        }
    });
}

/// Types that are taken in another form than they are given, or are made of such.
fn differing(requests: &Map<String, Value>, answers: &Value) -> BTreeSet<String> {
    let mut differing = BTreeSet::new();
    loop {
        let before = differing.len();
        for (name, schema) in requests {
            let Some(answer) = answers.get(name) else {
                continue;
            };
            let mut schema = schema.clone();
            let mut made_of_such = false;
            walk(&mut schema, &mut |object| {
                if let Some(Value::String(target)) = object.get_mut("$ref")
                    && let Some(name) = target.strip_prefix(REQUESTS)
                {
                    made_of_such |= differing.contains(name);
                    *target = SCHEMAS.to_owned() + name;
                }
            });
            if made_of_such || schema != *answer {
                differing.insert(name.clone());
            }
        }
        if differing.len() == before {
            return differing;
        }
    }
}

/// Every object of a document, from the outside in.
fn walk(value: &mut Value, see: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(object) => {
            see(object);
            object.values_mut().for_each(|value| walk(value, see));
        }
        Value::Array(items) => items.iter_mut().for_each(|value| walk(value, see)),
        _ => {}
    }
}

/// `Range_of_uint32` as `RangeOfUint32`.
fn clean(name: &str) -> String {
    let words = name.split('_').map(|word| {
        let mut signs = word.chars();
        let first = signs.next().map(|first| first.to_ascii_uppercase());
        first.into_iter().chain(signs).collect::<String>()
    });
    words.collect()
}

/// A doc comment as text: links of rustdoc become the names they show, lines become paragraphs.
fn plain(doc: &str) -> String {
    let mut out = String::with_capacity(doc.len());
    let mut rest = doc;
    while let Some((before, link)) = rest.split_once("[`") {
        out += before;
        let Some((name, after)) = link.split_once("`]") else {
            out += "[`";
            rest = link;
            continue;
        };
        out += &format!("`{name}`");
        let target = after
            .strip_prefix('(')
            .and_then(|after| after.split_once(')'));
        rest = target.map_or(after, |(_, after)| after);
    }
    out += rest;
    let paragraphs = out.split("\n\n").map(|paragraph| {
        let lines: Vec<&str> = paragraph.lines().map(str::trim).collect();
        lines.join(" ").trim().to_owned()
    });
    paragraphs.collect::<Vec<_>>().join("\n\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documentation_reads_without_rustdoc() {
        for (doc, text) in [
            ("See [`JobState::Done`].", "See `JobState::Done`."),
            (
                "[`Why`](crate::why::Why) it\nhas (none).",
                "`Why` it has (none).",
            ),
            ("One.\n\nTwo\nlines.\n", "One.\n\nTwo lines."),
            ("[`open", "[`open"),
        ] {
            assert_eq!(plain(doc), text);
        }
    }

    #[test]
    fn names_are_those_of_programs() {
        assert_eq!(operation_id("JOB_EDIT"), "jobEdit");
        assert_eq!(operation_id("OPENAPI"), "openapi");
        assert_eq!(clean("Range_of_uint32"), "RangeOfUint32");
    }
}
