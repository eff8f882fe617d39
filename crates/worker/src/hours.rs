//! When a worker's owner lets it work: hours of the week by the clock on its wall.
//!
//! Everything is asked for a moment with its time zone, so that nothing here waits or looks at a clock. Between two
//! moments the wall's clock may jump, for summer time or because somebody set it: what holds at a moment is always read
//! off the wall, never counted from another moment.

mod keep;
mod parse;

use std::fmt;
use std::ops::Range;

use jiff::civil::{DateTime, Weekday};
use jiff::{Timestamp, Zoned};
use tessera_model::Rest;

pub use parse::HoursError;

pub(crate) use keep::{keep, tell_zone};

const DAY_MINUTES: u16 = 24 * 60;
const WEEK_MINUTES: u16 = 7 * DAY_MINUTES;

/// Hours of the week, as `Mon-Fri 19:00-07:00; Sat-Sun`.
///
/// Parts are separated by `;`. Each has days, times, or both: days as `Mon`, `Mon-Fri` or `Sat,Sun`, every day if there
/// are none; times as `12:00-13:00` or several of them with commas, the whole day if there are none. Times that end
/// before they begin end on the next day. What any part holds is in the hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    /// As they were written.
    text: String,
    /// Minutes since Monday 00:00, none touching another, in order. Never empty.
    spans: Vec<Range<u16>>,
}

impl Hours {
    /// Whether this minute of this day is one of them.
    fn contains(&self, day: Weekday, minute: u16) -> bool {
        let minute = day_begin(day) + minute;
        self.spans.iter().any(|span| span.contains(&minute))
    }

    fn holds_at(&self, now: DateTime) -> bool {
        self.contains(now.weekday(), minute_of_day(now))
    }

    /// The first moment after `now` at which they begin or end; none, if they always hold.
    fn next_change(&self, now: &Zoned) -> Option<Timestamp> {
        let holds = self.holds_at(now.datetime());
        let mut moments = self.possible_changes(now);
        moments.retain(|moment| *moment > now.timestamp());
        moments.sort_unstable();
        moments.into_iter().find(|moment| {
            let then = moment.to_zoned(now.time_zone().clone());
            self.holds_at(then.datetime()) != holds
        })
    }

    /// All moments of the next week at which anything can change: the wall's clock shows a begin or an end, or jumps.
    fn possible_changes(&self, now: &Zoned) -> Vec<Timestamp> {
        let zone = now.time_zone();
        let mut moments = Vec::new();
        // Today once more in a week, of which a part is over today.
        for date in now.date().series(jiff::Span::new().days(1)).take(8) {
            let begin = day_begin(date.weekday());
            let ends = self.spans.iter().flat_map(|span| [span.start, span.end]);
            let ends = ends.map(|end| end % WEEK_MINUTES);
            for minute in ends.filter(|end| (begin..begin + DAY_MINUTES).contains(end)) {
                let (hour, minute) = ((minute - begin) / 60, (minute - begin) % 60);
                let shown = date.at(hour as i8, minute as i8, 0, 0);
                // Shown twice, or skipped, when the clock jumps.
                let moment = zone.to_ambiguous_timestamp(shown);
                moments.extend(moment.earlier());
                moments.extend(moment.later());
            }
        }
        let last = moments.iter().max().copied();
        let jumps = zone.following(now.timestamp()).map(|jump| jump.timestamp());
        let jumps = jumps.take_while(|jump| last.is_some_and(|last| *jump <= last));
        let jumps: Vec<Timestamp> = jumps.collect();
        moments.extend(jumps);
        moments
    }

    /// What the farm is told at this moment: none while it works.
    pub(crate) fn rest_at(&self, now: &Zoned) -> Option<Rest> {
        if self.holds_at(now.datetime()) {
            return None;
        }
        let until = self.next_change(now);
        Some(Rest {
            reason: format!("works {self}"),
            until: until.map(|until| tessera_model::Timestamp(until.as_millisecond())),
        })
    }
}

/// As they were written.
impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Minutes from Monday 00:00 to the begin of a day.
fn day_begin(day: Weekday) -> u16 {
    u16::from(day.to_monday_zero_offset().unsigned_abs()) * DAY_MINUTES
}

fn minute_of_day(time: DateTime) -> u16 {
    u16::from(time.hour().unsigned_abs()) * 60 + u16::from(time.minute().unsigned_abs())
}

#[cfg(test)]
mod tests;
