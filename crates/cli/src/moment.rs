//! Points in time as people read them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tessera_model::Timestamp;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset};

use crate::units::show_duration;

/// This moment.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// `3 min ago`, `in 5 d`.
pub(crate) fn relative(moment: Timestamp, now: Timestamp) -> String {
    let millis = moment.0.saturating_sub(now.0);
    let span = Duration::from_millis(millis.unsigned_abs());
    match millis {
        0.. => format!("in {}", show_duration(span)),
        _ => format!("{} ago", show_duration(span)),
    }
}

/// `2026-11-20 08:40 UTC`.
pub(crate) fn absolute(moment: Timestamp) -> String {
    let format = format_description!("[year]-[month]-[day] [hour]:[minute] UTC");
    OffsetDateTime::from_unix_timestamp(moment.0.div_euclid(1000))
        .ok()
        .map(|time| time.to_offset(UtcOffset::UTC))
        .and_then(|time| time.format(&format).ok())
        .unwrap_or_else(|| moment.0.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_moments() {
        assert_eq!(
            absolute(Timestamp(1_795_164_000_000)),
            "2026-11-20 08:40 UTC"
        );
        assert_eq!(relative(Timestamp(0), Timestamp(180_000)), "3 min ago");
        assert_eq!(relative(Timestamp(432_000_000), Timestamp(0)), "in 5 d");
        assert_eq!(absolute(Timestamp(i64::MAX)), i64::MAX.to_string());
    }
}
