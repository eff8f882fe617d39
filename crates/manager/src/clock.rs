//! The one place that reads the clocks; everything that decides is handed the time.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tessera_model::Timestamp;
use tessera_scheduler::Now;
use time::OffsetDateTime;
use time::macros::format_description;

/// Time since the manager started, and of day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            elapsed: self.start.elapsed(),
            wall: wall(),
        }
    }
}

/// Time of day. Before 1970 counts as 1970: such a clock is wrong anyway.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or(Duration::ZERO);
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `from` and `span` later.
pub(crate) fn later(from: Timestamp, span: Duration) -> Timestamp {
    Timestamp(
        from.0
            .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
    )
}

/// A time as people write it, to the minute.
pub(crate) fn date(at: Timestamp) -> String {
    let form = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    OffsetDateTime::from_unix_timestamp(at.0 / 1000)
        .ok()
        .and_then(|at| at.format(&form).ok())
        .unwrap_or_else(|| "a day that no calendar has".into())
}
