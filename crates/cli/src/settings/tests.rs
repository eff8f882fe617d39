use std::path::Path;

use clap::Parser;

use super::key::KEYS;
use super::*;
use crate::flags::{Command, Flags};

fn resolve(line: &str, variables: &[(&str, &str)], file: &str) -> Result<Settings, String> {
    let words = std::iter::once("tessera").chain(line.split_whitespace());
    let flags = Flags::try_parse_from(words).unwrap();
    let environment = |name: &str| {
        let found = variables.iter().find(|(known, _)| *known == name)?;
        Some(found.1.to_owned())
    };
    let file = ConfigFile::parse(Path::new("/c/tessera.toml"), file).map_err(|e| e.to_string())?;
    Settings::resolve(&flags.setting_flags(), Sources::new(&environment, file))
        .map_err(|e| e.to_string())
}

#[test]
fn the_first_place_that_says_something_wins() {
    let file = "[worker]\nslots = 4\nthreads = 2\ntags = ['a', 'b']
        hours = 'Mon-Fri 19:00-07:00; Sat-Sun'";
    let variables = [
        ("TESSERA_WORKER_SLOTS", "3"),
        ("TESSERA_WORKER_TAGS", "x;y"),
        ("TESSERA_LOG", ""),
    ];
    let all = resolve("worker --slots 2", &variables, file).unwrap();
    assert_eq!(
        (all.worker.slots.value, all.worker.slots.origin),
        (2, Origin::Flag)
    );
    assert_eq!(all.worker.tags.value, ["x", "y"]);
    assert_eq!(
        all.worker.tags.origin,
        Origin::Variable("TESSERA_WORKER_TAGS")
    );
    let hours = all.worker.hours.value.as_ref().map(ToString::to_string);
    assert_eq!(hours.as_deref(), Some("Mon-Fri 19:00-07:00; Sat-Sun"));
    assert_eq!(all.worker.threads.value, Some(2));
    assert_eq!(all.worker.threads.origin.to_string(), "/c/tessera.toml:3");
    assert_eq!(
        (all.worker.nice.value, all.worker.nice.origin),
        (0, Origin::Default)
    );
    assert_eq!(all.log.origin, Origin::Default);
    let other = resolve("render a.blend", &variables, file).unwrap();
    assert_eq!(other.worker.slots.value, 3);
    let plain = resolve("render a.blend", &[], file).unwrap();
    assert_eq!(plain.worker.slots.value, 4);
}

#[test]
fn a_rate_comes_from_anywhere() {
    let rate = |line: &str, variables: &[(&str, &str)]| {
        let all = resolve(line, variables, "bandwidth = '5MB/s'").unwrap();
        all.bandwidth.value.map(|rate| rate.0)
    };
    let variable = [("TESSERA_BANDWIDTH", "6MB/s")];
    for line in ["render a.blend", "submit a.blend", "fetch 1", "worker"] {
        assert_eq!(rate(line, &[]), Some(5_000_000), "{line}");
        assert_eq!(rate(line, &variable), Some(6_000_000), "{line}");
        let flag = format!("{line} --bandwidth 20MB/s");
        assert_eq!(rate(&flag, &variable), Some(20_000_000), "{line}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    let check = |variables: &[(&str, &str)], file: &str, part: &str| {
        let error = resolve("config", variables, file).unwrap_err();
        assert!(error.contains(part), "{error} lacks {part}");
        assert!(!error.contains('\n'), "{error}");
    };
    check(
        &[],
        "[worker]\nslot = 4",
        "tessera.toml:2: there is no setting 'worker.slot': did you mean 'worker.slots'?",
    );
    check(
        &[],
        "\nslots = 4",
        "tessera.toml:2: there is no setting 'slots': did you mean 'worker.slots'?",
    );
    check(&[], "[qqq]\nzzz = 1", "`tessera config` lists them all");
    check(
        &[],
        "[worker]\nslots = 0",
        "tessera.toml:2: the setting 'worker.slots'",
    );
    check(
        &[],
        "[worker]\nslots = 1025",
        "tessera.toml:2: the setting 'worker.slots' cannot be used: a worker has 1 to 1024 slots, not 1025",
    );
    check(
        &[("TESSERA_WORKER_SLOTS", "100000")],
        "",
        "TESSERA_WORKER_SLOTS: the setting 'worker.slots'",
    );
    check(&[], "[worker]\nslots = [1]", "one value, not a list");
    check(&[], "[worker]\nslots = 1.5", "cannot be a float");
    check(
        &[],
        "[worker]\nhours = 'Mon-Fry 19:00-07:00'",
        "'Fry' is no day of the week",
    );
    check(
        &[],
        "[manager]\nallow_from = ['10.0.0.0/33']",
        "'10.0.0.0/33' is not a subnet: write it as 192.168.1.0/24",
    );
    check(
        &[],
        "[worker]\npeer_listen = 'here'",
        "'here' is no place to listen at",
    );
    check(&[], "[client]\ntoken = 'x'", "set TESSERA_TOKEN instead");
    check(&[], "[worker\nslots", "tessera.toml:1");
    check(
        &[],
        "[job]\ntags = ['a', 'b;c']",
        "tessera.toml:2: the setting 'job.tags' cannot be used: 'b;c' cannot be a name",
    );
    check(
        &[("TESSERA_JOB_RESOURCES", "nuke;a=b")],
        "",
        "TESSERA_JOB_RESOURCES: the setting 'job.resources'",
    );
    check(&[], "[job]\ncategory = ' film'", "'job.category'");
    check(&[], "[worker]\ntags = ['a,b']", "'worker.tags'");
    check(
        &[("TESSERA_WORKER_MEMORY", "much")],
        "",
        "TESSERA_WORKER_MEMORY: the setting 'worker.memory'",
    );
}

#[test]
fn every_key_is_resolved_once_and_listed_in_order() {
    let all = resolve("config", &[("TESSERA_TOKEN", "tsr_secret")], "").unwrap();
    let listed: Vec<_> = all.listing.iter().map(|l| l.key.name).collect();
    let keys: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(listed, keys);
    let token = all
        .listing
        .iter()
        .find(|l| l.key.name == "client.token")
        .unwrap();
    assert_eq!(token.value.as_deref(), Some("(not shown)"));
    assert!(
        all.listing
            .iter()
            .all(|l| l.value.is_some() || !l.key.unset.is_empty())
    );
}

#[test]
fn names_are_kept_once_and_taken_back() {
    let file = "[job]\ntags = ['a', 'b', 'a']\nresources = ['nuke']\nworkers = ['anna']";
    let all = resolve("submit a.blend", &[], file).unwrap();
    assert_eq!(all.job.tags.value, ["a", "b"]);
    let line = "submit a.blend --tags none --resources none --workers none";
    let all = resolve(line, &[], file).unwrap();
    assert!(all.job.tags.value.is_empty() && all.job.resources.value.is_empty());
    assert!(all.job.needs.requirement().workers.is_empty());
}

#[test]
fn a_near_key_is_offered_for_every_misspelling() {
    for key in KEYS.iter().filter(|key| !key.secret) {
        let mut wrong = key.name.to_owned();
        wrong.pop();
        assert_eq!(Key::near(&wrong), Some(key.name), "{wrong}");
    }
}

#[test]
fn commands_hand_over_their_flags() {
    let flags =
        Flags::try_parse_from(["tessera", "jobs", "--manager", "https://h:1", "-v"]).unwrap();
    assert!(matches!(flags.command, Command::Jobs(_)));
    let given = flags.setting_flags();
    assert_eq!(given.manager_address, Some("https://h:1"));
    assert_eq!(given.log, Some("info"));
}

#[test]
fn a_user_without_a_login_has_a_name() {
    let all = resolve("config", &[], "").unwrap();
    let this = std::process::Command::new("id")
        .arg("-un")
        .output()
        .unwrap();
    let this = String::from_utf8(this.stdout).unwrap();
    assert_eq!(all.client.user.value.as_str(), this.trim());
    let named = resolve("config", &[("USER", "anna")], "").unwrap();
    assert_eq!(named.client.user.value.as_str(), "anna");
    let told = resolve("config", &[("USER", "anna"), ("TESSERA_USER", "ben")], "").unwrap();
    assert_eq!(told.client.user.value.as_str(), "ben");
}
