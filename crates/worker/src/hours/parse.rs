//! Hours as people write them.

use std::ops::Range;
use std::str::FromStr;

use super::{DAY_MINUTES, Hours, WEEK_MINUTES};

const DAYS: [&str; 7] = [
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
    "sunday",
];

/// What is wrong with hours, and how they are written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HoursError {
    /// Nothing is there.
    #[error("no hours are given: write for example 'Mon-Fri 19:00-07:00; Sat-Sun'")]
    Nothing,
    /// A day that is none.
    #[error("'{0}' is no day of the week: write Mon, Tue, Wed, Thu, Fri, Sat or Sun")]
    Day(String),
    /// A time that is none.
    #[error("'{0}' is no time of day: write 00:00 to 24:00")]
    Time(String),
    /// A time alone.
    #[error("'{0}' is no range of times: write for example 19:00-07:00")]
    Range(String),
    /// A range of nothing, or of everything.
    #[error("'{0}' ends when it begins: for the whole day leave the times out")]
    Empty(String),
}

impl FromStr for Hours {
    type Err = HoursError;
    fn from_str(text: &str) -> Result<Self, HoursError> {
        let text = text.trim();
        let mut spans = Vec::new();
        let parts = text.split(';').map(str::trim);
        for part in parts.filter(|part| !part.is_empty()) {
            let at = part.find(|c: char| c.is_ascii_digit());
            let (days, times) = part.split_at(at.unwrap_or(part.len()));
            let times = times_of(times)?;
            for day in days_of(days.trim())? {
                for times in &times {
                    push(&mut spans, day, times);
                }
            }
        }
        match spans.is_empty() {
            true => Err(HoursError::Nothing),
            false => Ok(Self {
                text: text.to_owned(),
                spans: merged(spans),
            }),
        }
    }
}

/// Adds the times of a day; what lies behind the end of the week is at its beginning.
fn push(spans: &mut Vec<Range<u16>>, day: u16, times: &Range<u16>) {
    let (start, end) = (
        day * DAY_MINUTES + times.start,
        day * DAY_MINUTES + times.end,
    );
    spans.push(start..end.min(WEEK_MINUTES));
    if end > WEEK_MINUTES {
        spans.push(0..end - WEEK_MINUTES);
    }
}

fn merged(mut spans: Vec<Range<u16>>) -> Vec<Range<u16>> {
    spans.sort_unstable_by_key(|span| span.start);
    let mut merged: Vec<Range<u16>> = Vec::new();
    for span in spans {
        match merged.last_mut() {
            Some(last) if last.end >= span.start => last.end = last.end.max(span.end),
            _ => merged.push(span),
        }
    }
    merged
}

/// Days by number, Monday 0; all, if none is named.
fn days_of(text: &str) -> Result<Vec<u16>, HoursError> {
    if text.is_empty() {
        return Ok((0..7).collect());
    }
    let mut days = Vec::new();
    for part in text.split(',') {
        let (first, last) = match part.split_once(DASHES) {
            Some((first, last)) => (day_of(first)?, day_of(last)?),
            None => (day_of(part)?, day_of(part)?),
        };
        // From Saturday to Monday leads over the end of the week.
        let count = (last + 7 - first) % 7 + 1;
        days.extend((first..first + count).map(|day| day % 7));
    }
    Ok(days)
}

fn day_of(text: &str) -> Result<u16, HoursError> {
    let name = text.trim().to_lowercase();
    // Two letters tell all days apart.
    let is = |day: &str| name.len() >= 2 && day.starts_with(&name);
    let day = DAYS.into_iter().position(is);
    day.and_then(|day| u16::try_from(day).ok())
        .ok_or_else(|| HoursError::Day(text.trim().to_owned()))
}

/// What people write between two ends: also as word processors change it.
const DASHES: [char; 2] = ['-', '–'];

/// Minutes since the begin of a day, on which they begin; the whole day, if there are none.
fn times_of(text: &str) -> Result<Vec<Range<u16>>, HoursError> {
    if text.is_empty() {
        return Ok(std::iter::once(0..DAY_MINUTES).collect());
    }
    let range = |part: &str| {
        let part = part.trim();
        let (start, end) = part
            .split_once(DASHES)
            .ok_or_else(|| HoursError::Range(part.to_owned()))?;
        let (start, end) = (minute_of(start)?, minute_of(end)?);
        match start % DAY_MINUTES == end % DAY_MINUTES && end != start + DAY_MINUTES {
            true => Err(HoursError::Empty(part.to_owned())),
            false if end > start => Ok(start..end),
            false => Ok(start..end + DAY_MINUTES),
        }
    };
    text.split(',').map(range).collect()
}

fn minute_of(text: &str) -> Result<u16, HoursError> {
    let bad = || HoursError::Time(text.trim().to_owned());
    let (hours, minutes) = text.trim().split_once(':').ok_or_else(bad)?;
    let number = |text: &str, digits: std::ops::RangeInclusive<usize>| {
        let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
        let number = text.parse::<u16>().ok();
        number.filter(|_| is_number && digits.contains(&text.len()))
    };
    let hours = number(hours, 1..=2).ok_or_else(bad)?;
    let minutes = number(minutes, 2..=2).ok_or_else(bad)?;
    let time = hours * 60 + minutes;
    match minutes < 60 && time <= DAY_MINUTES {
        true => Ok(time),
        false => Err(bad()),
    }
}
