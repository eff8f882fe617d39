//! The OpenAPI document: valid, whole, and true of the types it speaks of.
//!
//! `openapi-3.1.schema.json` is the schema that the OpenAPI initiative publishes
//! (<https://spec.openapis.org/oas/3.1/schema/2022-10-07>, Apache-2.0).

#![expect(clippy::unwrap_used, reason = "a test that can not go on shall panic")]

use std::collections::BTreeSet;
use std::str::FromStr;

use jsonschema::Validator;
use serde_json::{Value, json};
use tessera_model::{BlenderVersion, Blob, FrameSet, Series, SeriesRange};
use tessera_wire::openapi::document;
use tessera_wire::routes::{self, Method};

const OPENAPI: &str = include_str!("openapi-3.1.schema.json");

/// A validator of one of the document's named schemas.
fn named(name: &str) -> Validator {
    let document = document();
    let schema = json!({
        "$ref": format!("#/components/schemas/{name}"),
        "components": document["components"],
    });
    jsonschema::validator_for(&schema).unwrap()
}

#[test]
fn it_is_openapi() {
    let schema: Value = serde_json::from_str(OPENAPI).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let document = document();
    let faults: Vec<String> = validator
        .iter_errors(&document)
        .map(|fault| format!("{}: {fault}", fault.instance_path()))
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // What OpenAPI leaves open: schemas are JSON Schema 2020-12.
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let checked = jsonschema::draft202012::meta::validate(schema);
        assert!(checked.is_ok(), "{name}: {:?}", checked.err());
    }
    // The check finds what is wrong.
    let mut broken = document.clone();
    broken["paths"]["/api/v1/jobs"]["get"]["responses"] = json!({});
    assert!(!validator.is_valid(&broken));
}

#[test]
fn it_has_every_route_and_nothing_else() {
    let document = document();
    let mut said = BTreeSet::new();
    let mut ids = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            said.insert((path.clone(), method.clone()));
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "{id} is there twice");
            assert!(!operation["summary"].as_str().unwrap().is_empty(), "{id}");
            let braces = path.matches('{').count();
            let parameters = operation["parameters"].as_array();
            let in_path = parameters
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path");
            assert_eq!(in_path.count(), braces, "{id}");
        }
    }
    let listed = routes::ALL.iter().map(|route| {
        let method = match route.method {
            Method::Get => "get",
            Method::Post => "post",
            Method::Put => "put",
            Method::Patch => "patch",
            Method::Delete => "delete",
        };
        (route.path.to_owned(), method.to_owned())
    });
    assert_eq!(said, listed.collect());
    assert_eq!(said.len(), routes::ALL.len(), "a route is listed twice");
}

/// Every `$ref` and every description in it.
fn texts<'a>(value: &'a Value, key: &str, out: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            out.extend(object.get(key).and_then(Value::as_str));
            object.values().for_each(|value| texts(value, key, out));
        }
        Value::Array(items) => items.iter().for_each(|value| texts(value, key, out)),
        _ => {}
    }
}

#[test]
fn names_are_clean_and_lead_somewhere() {
    let document = document();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in schemas.keys() {
        let clean = name.chars().all(|sign| sign.is_ascii_alphanumeric());
        assert!(
            clean && name.starts_with(|sign: char| sign.is_ascii_uppercase()),
            "{name}"
        );
        // A second type of the same name would be called after the first.
        let stem = name.trim_end_matches(|sign: char| sign.is_ascii_digit());
        assert!(stem == name || !schemas.contains_key(stem), "{name}");
    }
    for name in [
        "JobSummary",
        "PageOfJobSummary",
        "Submit",
        "Event",
        "Problem",
        "SettingsPatch",
    ] {
        assert!(schemas.contains_key(name), "{name}");
    }
    let mut references = Vec::new();
    texts(&document, "$ref", &mut references);
    assert!(references.len() > 100);
    let mut used = BTreeSet::new();
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
        used.insert(pointer.rsplit('/').next().unwrap());
    }
    for name in schemas.keys() {
        assert!(used.contains(name.as_str()), "nothing speaks of {name}");
    }
    let mut descriptions = Vec::new();
    texts(&document, "description", &mut descriptions);
    for text in descriptions {
        assert!(!text.contains("[`") && !text.contains("](crate"), "{text}");
    }
}

/// A text is a valid one for the document exactly where it is for the type.
fn same<T: FromStr>(name: &str, good: &[&str], bad: &[&str]) {
    let validator = named(name);
    for (texts, fits) in [(good, true), (bad, false)] {
        for text in texts {
            assert_eq!(text.parse::<T>().is_ok(), fits, "{name} '{text}'");
            assert_eq!(validator.is_valid(&json!(text)), fits, "{name} '{text}'");
        }
    }
}

#[test]
fn what_travels_as_text_is_described_as_it_is_read() {
    let digest = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    let blob = format!("{digest}:17:0");
    same::<Blob>(
        "Blob",
        &[&blob],
        &["", digest, &blob[1..], &format!("{blob}:1")],
    );
    same::<tessera_blobs::Digest>(
        "Digest",
        &[digest],
        &["", "00", &digest[1..], &digest.to_uppercase()],
    );
    same::<BlenderVersion>(
        "BlenderVersion",
        &["3.4.1", "5.0.12"],
        &["", "3.4", "3.4.x", "-1.0.0"],
    );
    same::<Series>("Series", &["3.4", "5.10"], &["", "3", "3.4.1", "3.x"]);
    same::<SeriesRange>(
        "SeriesRange",
        &["4.2", "4.2..5.0", "4.2..", "..4.5"],
        &["new", "4", "4.2..x"],
    );
    same::<FrameSet>(
        "FrameSet",
        &[
            "7",
            "1..3",
            "1,5,9",
            "-10..-8",
            "-2..2x2",
            "1..10x5",
            "9,1..3",
            " 1 .. 3 , 8 ",
        ],
        &["", "a", "1..x", "1,,2", "1..5x", ".."],
    );
    same::<tessera_model::UserName>("UserName", &["anna", "größe"], &["", &"x".repeat(65)]);
}

#[test]
fn requests_may_leave_out_what_has_a_default_and_answers_do_not() {
    let submit = json!({
        "settings": {"name": "shot"},
        "manifest": format!("{}:5:0", "0".repeat(64)),
        "main_file": "shot.blend",
        "file_version": "5.0",
        "steps": [{"kind": {"render": {}}, "frames": "1..3"}],
    });
    let read: tessera_wire::api::Submit = serde_json::from_value(submit.clone()).unwrap();
    assert_eq!(read.settings, tessera_model::JobSettings::named("shot"));
    let request = named("Submit");
    assert!(request.is_valid(&submit), "{:?}", request.validate(&submit));
    let answer = named("JobSettings");
    assert!(
        !answer.is_valid(&submit["settings"]),
        "it is answered whole"
    );
    assert!(answer.is_valid(&serde_json::to_value(&read.settings).unwrap()));
    let patch = named("SettingsPatch");
    assert!(patch.is_valid(&json!({"cap_percent": 50, "users": {"ada": {"priority": 2}, "ben": null}, "sample_ms": null})));
    for bad in [
        json!({"cap": 1}),
        json!({"cap_percent": "half"}),
        json!({"users": {"ada": 3}}),
    ] {
        assert!(!patch.is_valid(&bad), "{bad}");
    }
}
