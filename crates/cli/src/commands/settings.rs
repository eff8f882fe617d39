//! `tessera settings`: the numbers of the running farm.

use anyhow::Result;
use serde_json::{Map, Value};
use tessera_model::{FarmSettings, Share, check_name};
use tessera_wire::farm_settings::{FARM_SETTINGS, FarmSetting, Form, SettingsPatch};
use tessera_wire::line::LineKind;

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::farm;
use crate::flags::{SettingsChange, SettingsFlags};
use crate::table::Table;
use crate::units::{Bytes, parse_millis, show_millis};

pub(super) async fn run(context: &Context, flags: &SettingsFlags) -> Result<Status> {
    // A mistyped name is said before a farm is looked for.
    let patch = match &flags.change {
        Some(SettingsChange::Set { values, .. }) => Some(set(values)?),
        Some(SettingsChange::Unset { names, .. }) => Some(unset(names)?),
        None => None,
    };
    let api = farm::need(context)?.api;
    let settings = match &patch {
        Some(patch) => api.change_settings(patch).await?,
        None => api.settings().await?,
    };
    // After a change, what was changed; all of it is a screen away.
    let shown = |setting: &&FarmSetting| {
        let changed = |patch: &SettingsPatch| patch.contains_key(setting.name);
        patch.as_ref().is_none_or(changed)
    };
    let table = table(&settings, FARM_SETTINGS.iter().filter(shown));
    for line in table.lines() {
        context.output.text(&line);
    }
    let settings = Box::new(settings);
    context.output.line(LineKind::FarmSettings { settings });
    Ok(Status::Done)
}

fn table<'a>(settings: &FarmSettings, shown: impl Iterator<Item = &'a FarmSetting>) -> Table {
    let defaults = FarmSettings::default();
    let mut table = Table::new(&["SETTING", ">VALUE", ">DEFAULT", "MEANING"]);
    for setting in shown {
        let entries = entries(setting, settings);
        table.row([
            setting.name.to_owned(),
            match (&setting.value(settings), entries.is_empty()) {
                (Value::Object(_), true) => "none".to_owned(),
                (Value::Object(_), false) => String::new(),
                (value, _) => show(setting.form, value),
            },
            match setting.value(&defaults) {
                Value::Object(_) => "none".to_owned(),
                value => show(setting.form, &value),
            },
            setting.meaning.to_owned(),
        ]);
        for (name, value) in entries {
            table.row([name, value.to_string(), String::new(), String::new()]);
        }
    }
    table
}

fn show(form: Form, value: &Value) -> String {
    match (form, value.as_u64()) {
        (Form::Millis, Some(millis)) => show_millis(millis),
        (Form::Bytes, Some(bytes)) => Bytes(bytes).to_string(),
        (Form::Percent, Some(percent)) => format!("{percent} %"),
        _ => value.to_string(),
    }
}

/// What is said of single users, categories and resources, each under the name it is changed by.
fn entries(setting: &FarmSetting, settings: &FarmSettings) -> Vec<(String, u32)> {
    fn of_share(prefix: &str, name: &str, share: &Share) -> Vec<(String, u32)> {
        let numbers = [("priority", share.priority), ("slots_max", share.slots_max)];
        let said = numbers.into_iter().filter_map(|(what, value)| {
            value.map(|value| (format!("{prefix}.{name}.{what}"), value))
        });
        said.collect()
    }
    let prefix = setting.name;
    match prefix {
        "users" => {
            let users = settings.users.iter();
            users
                .flat_map(|(name, share)| of_share(prefix, name.as_str(), share))
                .collect()
        }
        "categories" => {
            let categories = settings.categories.iter();
            categories
                .flat_map(|(name, share)| of_share(prefix, name, share))
                .collect()
        }
        "resources" => {
            let resources = settings.resources.iter();
            resources
                .map(|(name, &count)| (format!("{prefix}.{name}"), count))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// A place in the settings, as people write it.
#[derive(Debug, PartialEq, Eq)]
struct Place<'a> {
    setting: &'static FarmSetting,
    /// Below it: the user's, category's or resource's name, and what of it. Names may have dots of their own.
    below: Vec<&'a str>,
}

impl Place<'_> {
    /// What the bounds of a number at this place are found by.
    fn number(&self) -> &str {
        match (self.setting.form, self.below.last()) {
            (Form::Shares, Some(what)) => what,
            _ => self.setting.name,
        }
    }
}

fn usage(message: String) -> anyhow::Error {
    stop(Status::Usage, message)
}

fn place(written: &str) -> Result<Place<'_>> {
    let (head, rest) = match written.split_once('.') {
        Some((head, rest)) => (head, Some(rest)),
        None => (written, None),
    };
    let setting = FarmSetting::named(head).ok_or_else(|| unknown(head))?;
    let below = match (setting.form, rest) {
        (_, None) => Vec::new(),
        (Form::Shares, Some(rest)) => match rest.rsplit_once('.') {
            Some((name, what @ ("priority" | "slots_max"))) => vec![name, what],
            _ => vec![rest],
        },
        (Form::Counts, Some(rest)) => vec![rest],
        (_, Some(_)) => {
            return Err(usage(format!(
                "'{head}' is one number: nothing like '{written}' is in it"
            )));
        }
    };
    if below.iter().any(|name| name.trim().is_empty()) {
        return Err(usage(format!("'{written}' lacks a name")));
    }
    Ok(Place { setting, below })
}

fn unknown(name: &str) -> anyhow::Error {
    let near = FARM_SETTINGS
        .iter()
        .map(|setting| (strsim::jaro_winkler(name, setting.name), setting.name))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .filter(|(score, _)| *score >= 0.8);
    let hint = match near {
        Some((_, near)) => format!("did you mean '{near}'?"),
        None => "`tessera settings` lists them all".to_owned(),
    };
    usage(format!("the farm has no setting '{name}': {hint}"))
}

/// Puts a value into a change, whatever else of the same setting is in it already.
fn put(patch: &mut SettingsPatch, place: &Place<'_>, value: Value) {
    let mut map = patch;
    let mut name = place.setting.name;
    for &below in &place.below {
        let member = map.entry(name).or_insert(Value::Null);
        if !member.is_object() {
            *member = Value::Object(Map::new());
        }
        map = match member {
            Value::Object(map) => map,
            _ => unreachable!("just made one"),
        };
        name = below;
    }
    map.insert(name.to_owned(), value);
}

/// `NAME=VALUE …` as a change.
fn set(values: &[String]) -> Result<SettingsPatch> {
    let mut patch = SettingsPatch::new();
    let mut said = Vec::new();
    for written in values {
        let Some((name, value)) = written.split_once('=') else {
            return Err(usage(format!("'{written}' is no change: write NAME=VALUE")));
        };
        let place = place(name.trim())?;
        let wanted = match place.setting.form {
            Form::Shares => 2,
            Form::Counts => 1,
            Form::Count | Form::Percent | Form::Millis | Form::Bytes => 0,
        };
        if place.below.len() != wanted {
            let head = place.setting.name;
            return Err(usage(match place.setting.form {
                Form::Shares => format!(
                    "'{name}' is no number: write {head}.NAME.priority=N or {head}.NAME.slots_max=N"
                ),
                _ => format!("'{name}' is no number: write {head}.NAME=N"),
            }));
        }
        if said.contains(&place) {
            return Err(usage(format!("'{name}' is set twice: say it once")));
        }
        let (name, value) = (name.trim(), value.trim());
        let number = number(&place, value)
            .map_err(|reason| usage(format!("'{name}' cannot be '{value}': {reason}")))?;
        FarmSettings::check_number(name, place.number(), number).map_err(usage)?;
        if let (Some(named), true) = (place.below.first(), place.setting.name != "users") {
            check_name(named).map_err(|reason| usage(format!("in '{name}', {reason}")))?;
        }
        put(&mut patch, &place, number.into());
        said.push(place);
    }
    Ok(patch)
}

fn number(place: &Place<'_>, text: &str) -> Result<u64, String> {
    let text = match place.setting.form {
        Form::Millis => return parse_millis(text),
        // None at all is a number of bytes only where it means that there is no bound.
        Form::Bytes if text != "0" => return text.parse().map(|Bytes(bytes)| bytes),
        Form::Percent => text.trim_end_matches('%').trim_end(),
        _ => text,
    };
    text.parse()
        .map_err(|_| match FarmSettings::bounds(place.number()) {
            Some((min, max)) => format!("it is a whole number, {min} to {max}"),
            None => "it is a whole number".to_owned(),
        })
}

/// `NAME …` as a change back.
fn unset(names: &[String]) -> Result<SettingsPatch> {
    let mut patch = SettingsPatch::new();
    for name in names {
        if let Some((name, _)) = name.split_once('=') {
            return Err(usage(format!("unset takes names alone: '{name}'")));
        }
        put(&mut patch, &place(name.trim())?, Value::Null);
    }
    Ok(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn words(line: &str) -> Vec<String> {
        line.split_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn changes_are_read() {
        let check = |line: &str, patch: Value| {
            assert_eq!(Value::Object(set(&words(line)).unwrap()), patch, "{line}");
        };
        check(
            "cap_percent=50 sample_ms=10s starved_after_ms=2m retry_after_ms=500ms closed_after_ms=7",
            json!({"cap_percent": 50, "sample_ms": 10_000, "starved_after_ms": 120_000, "retry_after_ms": 500, "closed_after_ms": 7}),
        );
        check("cap_percent=50%", json!({"cap_percent": 50}));
        check(
            "store_quota_bytes=2TB results_keep_ms=14d store_warn_percent=90",
            json!({"store_quota_bytes": 2_000_000_000_000_u64, "results_keep_ms": 1_209_600_000_u64, "store_warn_percent": 90}),
        );
        check("store_quota_bytes=0", json!({"store_quota_bytes": 0}));
        check(
            "users.ada.slots_max=10 users.ada.priority=3 categories.film.v2.priority=3 resources.nuke=4 resources.a.b=1",
            json!({
                "users": {"ada": {"slots_max": 10, "priority": 3}},
                "categories": {"film.v2": {"priority": 3}},
                "resources": {"nuke": 4, "a.b": 1},
            }),
        );
        let back = unset(&words(
            "users.ada resources.nuke cap_percent categories.film.slots_max",
        ));
        assert_eq!(
            Value::Object(back.unwrap()),
            json!({"users": {"ada": null}, "resources": {"nuke": null}, "cap_percent": null, "categories": {"film": {"slots_max": null}}})
        );
    }

    #[test]
    fn mistakes_are_said_with_what_to_write() {
        let check = |error: anyhow::Error, words: &[&str]| {
            for word in words {
                assert!(error.to_string().contains(word), "{error}");
            }
        };
        let said = |line: &str| set(&words(line)).unwrap_err();
        check(said("cap_persent=3"), &["did you mean 'cap_percent'?"]);
        check(said("qq=3"), &["`tessera settings`"]);
        check(said("cap_percent"), &["NAME=VALUE"]);
        check(said("cap_percent=half"), &["'half'", "whole number"]);
        check(
            said("users.ada.priority=-1"),
            &["'users.ada.priority'", "'-1'", "1 to 1000"],
        );
        check(
            said("users.ada.priority=5000000000"),
            &["users.ada.priority is 1 to 1000, not 5000000000"],
        );
        check(
            said("resources.nuke=5000000000"),
            &["resources.nuke is 0 to 4294967295, not"],
        );
        check(
            said("cap_percent=50 sample_ms=1s cap_percent=60"),
            &["'cap_percent' is set twice"],
        );
        check(
            said("users.ada.priority=1 users.ada.priority=1"),
            &["'users.ada.priority' is set twice"],
        );
        check(
            said("resources.a;b=2"),
            &["'resources.a;b'", "'a;b' cannot be a name"],
        );
        check(said("sample_ms=soon"), &["'soon'", "10s"]);
        check(said("users=3"), &["users.NAME.priority=N"]);
        check(said("users.ada=3"), &["users.NAME.slots_max=N"]);
        check(said("resources=3"), &["resources.NAME=N"]);
        check(said("users..priority=3"), &["lacks a name"]);
        check(said("cap_percent.x=3"), &["one number"]);
        check(
            unset(&words("cap_percent=3")).unwrap_err(),
            &["names alone"],
        );
    }

    #[test]
    fn the_table_says_what_may_be_changed() {
        let mut settings = FarmSettings {
            cap_percent: 50,
            ..FarmSettings::default()
        };
        let share = Share {
            priority: None,
            slots_max: Some(10),
        };
        settings.users.insert("ada".parse().unwrap(), share);
        let shown = FARM_SETTINGS
            .iter()
            .filter(|setting| ["cap_percent", "sample_ms", "users"].contains(&setting.name));
        let lines = table(&settings, shown).lines();
        let begins = |at: usize, text: &str| assert!(lines[at].starts_with(text), "{lines:#?}");
        begins(1, "cap_percent           50 %     75 %  most");
        begins(2, "sample_ms              10s      10s  how");
        begins(3, "users                          none  a user");
        begins(4, "users.ada.slots_max     10");
    }
}
