//! The settings of a running farm by name: what each is for, and how a change of some of them is written.
//!
//! A change is a JSON merge patch (RFC 7396) of [`FarmSettings`]: what it names is set, `null` sets back to the default or
//! takes an entry out, and what it does not name stays. It is worked in where the settings are decided on, so that two
//! changes at the same moment are both kept.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use tessera_model::{FarmSettings, Share, check_name};

/// Names and their new values.
pub type SettingsPatch = Map<String, Value>;

/// What the value of a setting looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A number of things.
    Count,
    /// Hundredths.
    Percent,
    /// A time in milliseconds.
    Millis,
    /// A number of bytes.
    Bytes,
    /// By name, a [`Share`].
    Shares,
    /// By name, a number of things.
    Counts,
}

/// A setting of the farm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FarmSetting {
    /// Its name in [`FarmSettings`].
    pub name: &'static str,
    /// What its value looks like.
    pub form: Form,
    /// What it is for, in a line.
    pub meaning: &'static str,
}

const fn setting(name: &'static str, form: Form, meaning: &'static str) -> FarmSetting {
    FarmSetting {
        name,
        form,
        meaning,
    }
}

use Form::{Bytes, Count, Counts, Millis, Percent, Shares};

/// Every setting there is, in the order they are shown.
pub const FARM_SETTINGS: &[FarmSetting] = &[
    setting(
        "cap_percent",
        Percent,
        "most slots of one job, while others have work for them",
    ),
    setting(
        "sample_ms",
        Millis,
        "how often usage is measured; the past counts half each time",
    ),
    setting(
        "first_frames",
        Count,
        "jobs of which fewer frames were handed out go first",
    ),
    setting(
        "starved_after_ms",
        Millis,
        "jobs that got nothing for so long go next",
    ),
    setting(
        "users",
        Shares,
        "a user's priority and most slots: users.NAME.priority, .slots_max",
    ),
    setting(
        "categories",
        Shares,
        "the same of a category: categories.NAME.priority, .slots_max",
    ),
    setting(
        "resources",
        Counts,
        "most units at once that name a resource: resources.NAME",
    ),
    setting(
        "queued_per_slot",
        Count,
        "units that lie ready behind each one that renders",
    ),
    setting(
        "long_unit_ms",
        Millis,
        "of units that take longer, one lies ready and not more",
    ),
    setting(
        "duplicate_gain_ms",
        Millis,
        "a straggler is rendered twice if that saves so much; 0: never",
    ),
    setting(
        "retry_after_ms",
        Millis,
        "a failed frame waits so long; twice as long each time",
    ),
    setting("retry_after_max_ms", Millis, "but not longer than this"),
    setting(
        "block_after_failures",
        Count,
        "failures of a job after which a worker gets no more of it",
    ),
    setting(
        "lost_max",
        Count,
        "a unit lost with its worker so often is given up",
    ),
    setting(
        "hopeless_after",
        Count,
        "a job of which nothing but so many failed frames came has failed",
    ),
    setting(
        "closed_after_ms",
        Millis,
        "a closed link: its units are handed out again",
    ),
    setting(
        "suspect_after_ms",
        Millis,
        "a silent worker gets nothing new",
    ),
    setting(
        "expired_after_ms",
        Millis,
        "a silent worker's units are handed out again",
    ),
    setting(
        "restart_grace_ms",
        Millis,
        "so long a new manager waits for workers with units",
    ),
    setting(
        "unheld_after_ms",
        Millis,
        "units that a worker never took up are taken back",
    ),
    setting(
        "results_keep_ms",
        Millis,
        "a job that is over and fetched is removed after this; 0: never",
    ),
    setting(
        "store_quota_bytes",
        Bytes,
        "most that the manager stores; beyond it nothing new is taken in; 0: no bound",
    ),
    setting(
        "store_user_quota_bytes",
        Bytes,
        "most that the jobs of each user need of it; beyond it that user sends nothing new; 0: no bound",
    ),
    setting(
        "store_warn_percent",
        Percent,
        "part of these quotas from which on it is warned of",
    ),
];

/// A change that cannot be made. Says what there is, or what the value may be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    /// No setting has this name.
    #[error("the farm has no setting '{name}'; there are {}", names())]
    Unknown {
        /// The name.
        name: String,
    },
    /// A setting cannot have this value.
    #[error("'{name}' cannot be {value}: {must}")]
    Value {
        /// The setting, or what lies in it: "users.ada.priority".
        name: String,
        /// The value, as JSON.
        value: String,
        /// What it may be.
        must: &'static str,
    },
    /// A number out of its bounds.
    #[error("{0}")]
    Bounds(String),
    /// Something is called what cannot be a name.
    #[error("in '{setting}', {reason}")]
    Name {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        reason: String,
    },
}

fn names() -> String {
    let names: Vec<&str> = FARM_SETTINGS.iter().map(|setting| setting.name).collect();
    names.join(", ")
}

impl FarmSetting {
    /// The setting of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        FARM_SETTINGS.iter().find(|setting| setting.name == name)
    }

    /// Its present value, as JSON.
    #[must_use]
    pub fn value(&self, settings: &FarmSettings) -> Value {
        as_json(settings).remove(self.name).unwrap_or(Value::Null)
    }
}

impl Form {
    fn must(self) -> &'static str {
        match self {
            Self::Count | Self::Percent => "it is a whole number",
            Self::Millis => "it is a whole number of milliseconds",
            Self::Bytes => "it is a whole number of bytes",
            Self::Shares => {
                "it is {NAME: {\"priority\": NUMBER, \"slots_max\": NUMBER}}, null for a name or number that goes"
            }
            Self::Counts => "it is {NAME: NUMBER}, null for a name that goes",
        }
    }
}

fn as_json(settings: &FarmSettings) -> SettingsPatch {
    match serde_json::to_value(settings) {
        Ok(Value::Object(map)) => map,
        _ => unreachable!("a structure of numbers and maps with text keys is an object"),
    }
}

/// The settings with a change worked in, and within their bounds.
///
/// # Errors
/// The first name or value that cannot be.
pub fn patched(settings: &FarmSettings, patch: &SettingsPatch) -> Result<FarmSettings, PatchError> {
    let mut all = as_json(settings);
    for (name, change) in patch {
        let Some(setting) = FarmSetting::named(name) else {
            return Err(PatchError::Unknown { name: name.clone() });
        };
        check_change(setting, change)?;
        match all.get_mut(name) {
            Some(value) => merge(value, change),
            None => drop(all.insert(name.clone(), change.clone())),
        }
        if all.get(name).is_some_and(Value::is_null) {
            all.remove(name);
        }
        // Alone with the defaults of all others, so that the error is this one's.
        let alone: SettingsPatch = all
            .get_key_value(name)
            .map(|(k, v)| (k.clone(), v.clone()))
            .into_iter()
            .collect();
        if serde_json::from_value::<FarmSettings>(Value::Object(alone)).is_err() {
            return Err(PatchError::Value {
                name: setting.name.to_owned(),
                value: change.to_string(),
                must: setting.form.must(),
            });
        }
    }
    let mut new: FarmSettings = serde_json::from_value(Value::Object(all))
        .map_err(|error| PatchError::Bounds(error.to_string()))?;
    // An entry that says nothing any more is none.
    new.users.retain(|_, share| *share != Share::default());
    new.categories.retain(|_, share| *share != Share::default());
    new.check().map_err(PatchError::Bounds)?;
    Ok(new)
}

/// Whether what a change names may be called so, and each of its numbers is within its bounds. Names that were stored before
/// are not asked, so that one of them keeps nobody from changing the rest.
fn check_change(setting: &FarmSetting, change: &Value) -> Result<(), PatchError> {
    let Value::Object(entries) = change else {
        return check_number(setting.name, setting.name, setting.form, change);
    };
    for (name, entry) in entries.iter().filter(|(_, entry)| !entry.is_null()) {
        // A user's name has rules of its own.
        if setting.name != "users" {
            check_name(name).map_err(|reason| PatchError::Name {
                setting: setting.name,
                reason,
            })?;
        }
        let path = format!("{}.{name}", setting.name);
        match (setting.form, entry) {
            (Shares, Value::Object(numbers)) => {
                for (what, number) in numbers {
                    check_number(&format!("{path}.{what}"), what, Count, number)?;
                }
            }
            (Counts, number) => check_number(&path, setting.name, Count, number)?,
            _ => {}
        }
    }
    Ok(())
}

/// `path` is what people call it, `number` what its bounds are found by.
fn check_number(path: &str, number: &str, form: Form, value: &Value) -> Result<(), PatchError> {
    let is_number = !matches!(form, Shares | Counts) && FarmSettings::bounds(number).is_some();
    if !is_number || value.is_null() {
        return Ok(());
    }
    match value.as_u64() {
        Some(value) => FarmSettings::check_number(path, number, value).map_err(PatchError::Bounds),
        None => Err(PatchError::Value {
            name: path.to_owned(),
            value: value.to_string(),
            must: form.must(),
        }),
    }
}

/// RFC 7396, but that a `null` in the place of the whole is left for the caller.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Value::Object(members) = target else {
        unreachable!("just made one");
    };
    for (name, change) in changes {
        if change.is_null() {
            members.remove(name);
            continue;
        }
        merge(members.entry(name.clone()).or_insert(Value::Null), change);
    }
}

/// Stands for [`SettingsPatch`], which is any object to serde, where its JSON Schema is asked for.
pub enum PatchSchema {}

impl JsonSchema for PatchSchema {
    fn schema_name() -> Cow<'static, str> {
        "SettingsPatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let share = generator.subschema_for::<Share>();
        let number = json!({"type": ["integer", "null"], "minimum": 0});
        let property = |setting: &FarmSetting| {
            let mut schema = match setting.form {
                Shares => json!({
                    "type": ["object", "null"],
                    "additionalProperties": {"anyOf": [share, {"type": "null"}]},
                }),
                Counts => json!({"type": ["object", "null"], "additionalProperties": number}),
                Count | Percent | Millis | Bytes => number.clone(),
            };
            schema["description"] = setting.meaning.into();
            (setting.name.to_owned(), schema)
        };
        let properties: Map<String, Value> = FARM_SETTINGS.iter().map(property).collect();
        json_schema!({
            "type": "object",
            "description": "A JSON merge patch (RFC 7396) of the farm's settings.",
            "properties": properties,
            "additionalProperties": false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn patch(value: Value) -> SettingsPatch {
        match value {
            Value::Object(map) => map,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn every_setting_is_named_and_explained_once() {
        let mut named: Vec<&str> = FARM_SETTINGS.iter().map(|setting| setting.name).collect();
        let mut there: Vec<String> = as_json(&FarmSettings::default()).keys().cloned().collect();
        named.sort_unstable();
        there.sort_unstable();
        assert_eq!(named, there);
        for setting in FARM_SETTINGS {
            let value = setting.value(&FarmSettings::default());
            let is_map = matches!(setting.form, Shares | Counts);
            assert_eq!(value.is_object(), is_map, "{}", setting.name);
            assert_eq!(setting.name.ends_with("_ms"), setting.form == Millis);
            assert_eq!(setting.name.ends_with("_bytes"), setting.form == Bytes);
        }
    }

    #[test]
    fn what_is_named_changes_and_the_rest_stays() {
        let first = patched(
            &FarmSettings::default(),
            &patch(json!({"cap_percent": 50, "users": {"ada": {"slots_max": 10}, "ben": {"priority": 2}}, "resources": {"nuke": 4}})),
        )
        .unwrap();
        assert_eq!(first.cap_percent, 50);
        let second = patched(
            &first,
            &patch(json!({"cap_percent": null, "users": {"ada": {"priority": 3}, "ben": null}})),
        )
        .unwrap();
        let ada = Share {
            priority: Some(3),
            slots_max: Some(10),
        };
        assert_eq!(second.cap_percent, FarmSettings::default().cap_percent);
        assert_eq!(
            second.users.into_iter().collect::<Vec<_>>(),
            [("ada".parse().unwrap(), ada)]
        );
        assert_eq!(second.resources["nuke"], 4);
        let third = patched(
            &first,
            &patch(json!({"users": {"ada": {"slots_max": null}}, "resources": null})),
        )
        .unwrap();
        assert!(third.users.len() == 1 && third.resources.is_empty());
    }

    #[test]
    fn a_name_that_was_stored_before_is_not_in_the_way() {
        let mut old = FarmSettings::default();
        old.resources.insert("a;b".into(), 2);
        let new = patched(&old, &patch(json!({"cap_percent": 50}))).unwrap();
        assert_eq!(new.resources["a;b"], 2);
        let new = patched(&old, &patch(json!({"resources": {"a;b": null}}))).unwrap();
        assert!(new.resources.is_empty());
    }

    #[test]
    fn what_cannot_be_is_said_with_what_may() {
        let check = |value: Value, words: &[&str]| {
            let error = patched(&FarmSettings::default(), &patch(value.clone())).unwrap_err();
            for word in words {
                assert!(error.to_string().contains(word), "{value}: {error}");
            }
        };
        check(json!({"cap": 1}), &["'cap'", "cap_percent"]);
        check(json!({"cap_percent": 0}), &["1 to 100, not 0"]);
        check(
            json!({"cap_percent": -1}),
            &["'cap_percent'", "-1", "whole number"],
        );
        check(json!({"cap_percent": "half"}), &["half", "whole number"]);
        check(json!({"sample_ms": 1.5}), &["1.5", "milliseconds"]);
        check(
            json!({"users": {"ada": {"slots": 3}}}),
            &["'users'", "slots_max"],
        );
        check(json!({"users": {"ada": 3}}), &["'users'", "slots_max"]);
        check(json!({"users": {"": {"priority": 3}}}), &["'users'"]);
        let too_much = 5_000_000_000_u64;
        check(
            json!({"users": {"ada": {"priority": 0}}}),
            &["users.ada.priority is 1 to 1000, not 0"],
        );
        check(
            json!({"users": {"ada": {"priority": too_much}}}),
            &["users.ada.priority is 1 to 1000, not 5000000000"],
        );
        check(
            json!({"categories": {"film.v2": {"slots_max": too_much}}}),
            &["categories.film.v2.slots_max is 0 to 4294967295, not 5000000000"],
        );
        check(
            json!({"users": {"ada": {"priority": "high"}}}),
            &["'users.ada.priority' cannot be \"high\": it is a whole number"],
        );
        check(
            json!({"cap_percent": too_much}),
            &["cap_percent is 1 to 100, not 5000000000"],
        );
        check(
            json!({"resources": {"nuke": -1}}),
            &["'resources.nuke'", "-1"],
        );
        check(
            json!({"resources": {"nuke": too_much}}),
            &["resources.nuke is 0 to 4294967295"],
        );
        check(json!({"resources": {"a;b": 1}}), &["'resources'", "'a;b'"]);
        check(
            json!({"categories": {" film": {"priority": 1}}}),
            &["'categories'", "' film'"],
        );
        check(json!({"resources": 3}), &["'resources'", "NAME"]);
        check(
            json!({"suspect_after_ms": 5000, "expired_after_ms": 2000}),
            &["expired_after_ms", "suspect_after_ms"],
        );
    }
}
