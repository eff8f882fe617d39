//! Hours at moments of many weeks.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::*;

fn hours(text: &str) -> Hours {
    text.parse().unwrap()
}

/// Central Europe.
fn zone() -> TimeZone {
    TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap()
}

fn at(text: &str) -> Zoned {
    let shown: DateTime = text.parse().unwrap();
    shown.to_zoned(zone()).unwrap()
}

const WEEK: [Weekday; 7] = [
    Weekday::Monday,
    Weekday::Tuesday,
    Weekday::Wednesday,
    Weekday::Thursday,
    Weekday::Friday,
    Weekday::Saturday,
    Weekday::Sunday,
];

/// How many minutes of each day, from Monday on.
fn minutes(text: &str) -> [usize; 7] {
    let hours = hours(text);
    WEEK.map(|day| {
        let held = (0..DAY_MINUTES).filter(|minute| hours.contains(day, *minute));
        held.count()
    })
}

#[test]
fn every_day_has_its_hours() {
    const H: usize = 60;
    for (text, expected) in [
        (
            "Mon-Fri 19:00-07:00; Sat-Sun",
            [5 * H, 12 * H, 12 * H, 12 * H, 12 * H, 24 * H, 24 * H],
        ),
        ("12:00-13:30", [90; 7]),
        ("22:00-6:00", [8 * H; 7]),
        ("Sun 23:00-01:00", [H, 0, 0, 0, 0, 0, H]),
        (
            "sat-Monday 08:00-12:00, 13:00-24:00",
            [15 * H, 0, 0, 0, 0, 15 * H, 15 * H],
        ),
        ("Mon,We,FRI", [24 * H, 0, 24 * H, 0, 24 * H, 0, 0]),
        ("Tue 00:00 – 24:00", [0, 24 * H, 0, 0, 0, 0, 0]),
        ("Mon-Sun", [24 * H; 7]),
        (
            ";;Thu 08:00-09:00;08:30-08:45;",
            [15, 15, 15, H, 15, 15, 15],
        ),
    ] {
        assert_eq!(minutes(text), expected, "{text}");
    }
    // Monday's morning is Sunday's night, which none of the days is.
    assert_eq!(
        minutes("Mon-Fri 19:00-07:00"),
        [5 * H, 12 * H, 12 * H, 12 * H, 12 * H, 7 * H, 0]
    );
}

#[test]
fn they_begin_with_their_first_minute_and_end_before_their_last() {
    let hours = hours("Mon-Fri 19:00-07:00");
    for (shown, holds) in [
        ("2026-11-16T18:59:59", false),
        ("2026-11-16T19:00:00", true),
        ("2026-11-17T06:59:59", true),
        ("2026-11-17T07:00:00", false),
        ("2026-11-21T06:59:59", true),
        ("2026-11-21T07:00:00", false),
        ("2026-11-23T00:00:00", false),
    ] {
        assert_eq!(hours.rest_at(&at(shown)).is_none(), holds, "{shown}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    for (text, said) in [
        ("", "no hours are given"),
        (" ; ", "no hours are given"),
        ("Mon-Fry 19:00-07:00", "'Fry' is no day"),
        ("M", "'M' is no day"),
        ("Mon,,Tue", "'' is no day"),
        ("Mon Tue", "'Mon Tue' is no day"),
        ("Mon 19:00", "'19:00' is no range of times"),
        ("Mon 19-07", "'19' is no time of day"),
        ("19:60-20:00", "'19:60' is no time of day"),
        ("19:00-24:01", "'24:01' is no time of day"),
        ("19:0-24:00", "'19:0' is no time of day"),
        ("+9:00-10:00", "'+' is no day"),
        ("9:00-10:00 Mon", "'10:00 Mon' is no time of day"),
        ("9:00-9:00", "'9:00-9:00' ends when it begins"),
        ("24:00-00:00", "'24:00-00:00' ends when it begins"),
    ] {
        let error = text.parse::<Hours>().unwrap_err().to_string();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn they_are_shown_as_they_were_written() {
    let text = "Mon-Fri 19:00-07:00; Sat-Sun";
    assert_eq!(hours(&format!("  {text} ")).to_string(), text);
    assert_eq!(
        hours(text)
            .rest_at(&at("2026-11-18T12:00:00"))
            .unwrap()
            .reason,
        format!("works {text}")
    );
}

#[test]
fn the_next_change_is_known() {
    for (text, now, change) in [
        (
            "Mon-Fri 19:00-07:00; Sat-Sun",
            "2026-11-18T12:00:00",
            Some("2026-11-18T18:00:00Z"),
        ),
        (
            "Mon-Fri 19:00-07:00; Sat-Sun",
            "2026-11-18T19:00:00",
            Some("2026-11-19T06:00:00Z"),
        ),
        // Friday's evening leads to Sunday's end: neither Saturday's begin nor Friday's end is a change.
        (
            "Mon-Fri 19:00-07:00; Sat-Sun",
            "2026-11-20T20:00:00",
            Some("2026-11-22T23:00:00Z"),
        ),
        // A week less a minute.
        (
            "Wed 12:00-12:01",
            "2026-11-18T12:01:00",
            Some("2026-11-25T11:00:00Z"),
        ),
        (
            "Wed 12:00-12:01",
            "2026-11-18T12:00:59",
            Some("2026-11-18T11:01:00Z"),
        ),
        ("Mon-Sun", "2026-11-18T12:00:00", None),
        ("00:00-12:00; 12:00-24:00", "2026-11-18T12:00:00", None),
        // Summer time begins on the 29th at 02:00, and 03:00 is shown at once.
        (
            "02:30-04:00",
            "2026-03-29T01:00:00",
            Some("2026-03-29T01:00:00Z"),
        ),
        (
            "01:00-02:30",
            "2026-03-29T01:00:00",
            Some("2026-03-29T01:00:00Z"),
        ),
        (
            "Sun 02:10-02:50",
            "2026-03-29T01:00:00",
            Some("2026-04-05T00:10:00Z"),
        ),
        // It ends on October 25th at 03:00, and 02:00 is shown again.
        (
            "01:00-02:30",
            "2026-10-25T01:00:00",
            Some("2026-10-25T00:30:00Z"),
        ),
    ] {
        let next = hours(text).next_change(&at(now));
        assert_eq!(
            next.map(|next| next.to_string()).as_deref(),
            change,
            "{text} at {now}"
        );
    }
}

/// The half hour that is shown twice is in the hours twice, and not between.
#[test]
fn an_hour_shown_twice_counts_twice() {
    let hours = hours("01:00-02:30");
    let mut now = at("2026-10-25T00:59:00");
    let mut changes = Vec::new();
    for _ in 0..5 {
        let next = hours.next_change(&now).unwrap();
        changes.push(next.to_string());
        now = next.to_zoned(zone());
    }
    assert_eq!(
        changes,
        [
            "2026-10-24T23:00:00Z",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T01:30:00Z",
            "2026-10-26T00:00:00Z",
        ]
    );
}

/// Minute by minute through both jumps of a year: the changes foretold are those that come.
#[test]
fn what_is_foretold_comes() {
    let texts = [
        "Mon-Fri 19:00-07:00; Sat-Sun",
        "02:30-04:00",
        "01:00-02:30",
        "Sun 02:10-02:50",
        "Sat 23:30-03:15; Sun 02:45-02:46",
    ];
    for text in texts {
        let hours = hours(text);
        for begin in ["2026-03-27T00:00:00", "2026-10-23T00:00:00"] {
            let first = at(begin);
            let mut expected = hours.next_change(&first);
            let mut held = hours.holds_at(first.datetime());
            for minute in 1..=4 * i64::from(DAY_MINUTES) {
                let now = &first + jiff::SignedDuration::from_mins(minute);
                let holds = hours.holds_at(now.datetime());
                let changes = expected == Some(now.timestamp());
                assert_eq!(changes, holds != held, "{text} at {now}");
                if changes {
                    expected = hours.next_change(&now);
                }
                held = holds;
            }
        }
    }
}
