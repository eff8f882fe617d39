//! Quantities as people write and read them: bytes and spans of time.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A number of bytes; read as `16G`, `800MB`, `4096`, `16GiB`, shown as `15.2 GB`.
///
/// What is read means what is shown: G is 1000 M. So a machine sold with 32 GB, of which its system shows a little less than
/// 32 GiB, has `32GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Bytes(pub(crate) u64);

impl FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is not a number of bytes: write 16G, 800M or 16GiB");
        let trimmed = text.trim().trim_end_matches(['b', 'B']);
        let digits = trimmed.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let factor: u64 = match trimmed[digits.len()..].to_ascii_lowercase().as_str() {
            "" => 1,
            "k" => 1_000,
            "m" => 1_000_000,
            "g" => 1_000_000_000,
            "t" => 1_000_000_000_000,
            "ki" => 1 << 10,
            "mi" => 1 << 20,
            "gi" => 1 << 30,
            "ti" => 1 << 40,
            _ => return Err(bad()),
        };
        let count: u64 = digits.trim().parse().map_err(|_| bad())?;
        match count.checked_mul(factor) {
            Some(bytes) if bytes > 0 => Ok(Self(bytes)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut value = self.0 as f64;
        if self.0 < 1000 {
            return write!(f, "{} bytes", self.0);
        }
        for unit in ["kB", "MB", "GB", "TB"] {
            value /= 1000.0;
            if value < 999.95 || unit == "TB" {
                return write!(f, "{value:.1} {unit}");
            }
        }
        Ok(())
    }
}

/// Slowest rate that can be asked for: below it, two pieces of a block would be further apart than the manager waits for.
const RATE_MIN: u64 = 10_000;

/// Bytes a second; read as `20MB/s`, `800k`, `0` for no bound, shown as `20.0 MB/s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) u64);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("'{text}' is not a rate: write 20MB/s, 800kB/s or 0 for no limit");
        let text = text.trim();
        let bytes = text.strip_suffix("/s").unwrap_or(text).trim();
        if bytes == "0" {
            return Ok(Self(0));
        }
        match bytes.parse::<Bytes>().map_err(|_| bad())? {
            Bytes(rate) if rate >= RATE_MIN => Ok(Self(rate)),
            _ => Err(format!("'{text}' is too slow: the least is 10kB/s")),
        }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            0 => f.write_str("no limit"),
            bytes => write!(f, "{}/s", Bytes(bytes)),
        }
    }
}

/// Reads milliseconds: `500ms`, `10s`, `2m`, `1h`, `30d`, or a bare number of them.
pub(crate) fn parse_millis(text: &str) -> Result<u64, String> {
    let bad = || format!("'{text}' is not a time: write 500ms, 10s, 2m, 1h or 30d");
    let digits = text
        .trim()
        .trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &text.trim()[digits.len()..] {
        "" | "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(bad()),
    };
    let count: u64 = digits.trim().parse().map_err(|_| bad())?;
    count.checked_mul(factor).ok_or_else(bad)
}

/// The same as it is read, in the largest unit that says it exactly.
pub(crate) fn show_millis(millis: u64) -> String {
    let units = [
        (86_400_000, "d"),
        (3_600_000, "h"),
        (60_000, "m"),
        (1_000, "s"),
    ];
    let fits = |&(factor, _): &(u64, &str)| millis > 0 && millis.is_multiple_of(factor);
    match units.iter().find(|unit| fits(unit)) {
        Some((factor, unit)) => format!("{}{unit}", millis / factor),
        None => format!("{millis}ms"),
    }
}

/// Reads `90`, `90s`, `5m`, `12h`, `7d`.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let bad = || format!("'{text}' is not a time: write 90s, 5m, 12h or 7d");
    let text = text.trim();
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor: u64 = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" | "min" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    let count: u64 = digits.parse().map_err(|_| bad())?;
    match count.checked_mul(factor) {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(bad()),
    }
}

/// A span of time to the two units that matter: `4.2 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`.
pub(crate) fn show_duration(span: Duration) -> String {
    let seconds = span.as_secs_f64();
    if seconds < 9.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round() as u64;
    let (unit, below, size, small) = match whole {
        0..60 => return format!("{whole} s"),
        60..3600 => ("min", "s", 60, 1),
        3600..86_400 => ("h", "min", 3600, 60),
        _ => ("d", "h", 86_400, 3600),
    };
    match whole % size / small {
        0 => format!("{} {unit}", whole / size),
        rest => format!("{} {unit} {rest} {below}", whole / size),
    }
}

/// `1 frame`, `24 frames`.
pub(crate) fn frames(count: u32) -> String {
    counted(count.into(), "frame")
}

/// `1 pack`, `24 packs`, of what has its plural by an s.
pub(crate) fn counted(count: u64, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_and_shown() {
        let check = |text: &str, bytes: Option<u64>| {
            assert_eq!(text.parse::<Bytes>().ok().map(|b| b.0), bytes, "{text}");
        };
        check("4096", Some(4096));
        check("16G", Some(16_000_000_000));
        check("16 GB", Some(16_000_000_000));
        check("16GiB", Some(16 << 30));
        check("800MiB", Some(800 << 20));
        check("0", None);
        check("G", None);
        check("-1G", None);
        check("99999999999T", None);
        check("1.5G", None);
        let show = |bytes, text: &str| assert_eq!(Bytes(bytes).to_string(), text);
        show(0, "0 bytes");
        show(1500, "1.5 kB");
        show(999_999, "1.0 MB");
        show(15_200_000_000, "15.2 GB");
        show(u64::MAX, "18446744.1 TB");
    }

    #[test]
    fn rates_are_read_and_shown() {
        for (text, rate) in [
            ("20MB/s", Some(20_000_000)),
            ("800k", Some(800_000)),
            ("1GiB/s", Some(1 << 30)),
            ("0", Some(0)),
            ("0/s", Some(0)),
            ("1kB/s", None),
            ("fast", None),
            ("-1MB/s", None),
            ("20MB/h", None),
        ] {
            let read = text.parse::<Rate>().ok().map(|rate| rate.0);
            assert_eq!(read, rate, "{text}");
        }
        assert_eq!(Rate(20_000_000).to_string(), "20.0 MB/s");
        assert_eq!(Rate(0).to_string(), "no limit");
    }

    #[test]
    fn milliseconds_read_back_as_they_are_shown() {
        for (text, millis) in [
            ("0ms", 0),
            ("500ms", 500),
            ("10s", 10_000),
            ("90s", 90_000),
            ("2m", 120_000),
            ("1d", 86_400_000),
        ] {
            assert_eq!(parse_millis(text), Ok(millis));
            assert_eq!(show_millis(millis), text);
        }
        assert_eq!(parse_millis("1500"), Ok(1500));
        for bad in ["", "s", "1.5s", "-1s", "5y", "99999999999999999h"] {
            assert!(parse_millis(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times_are_read_and_shown() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(
                parse_duration(text).ok(),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        };
        check("90", Some(90));
        check("5m", Some(300));
        check("12h", Some(43_200));
        check("7d", Some(604_800));
        check("0", None);
        check("x", None);
        check("5y", None);
        let show = |seconds, text: &str| {
            assert_eq!(show_duration(Duration::from_secs_f64(seconds)), text);
        };
        show(0.04, "0.0 s");
        show(4.16, "4.2 s");
        show(59.4, "59 s");
        show(60.0, "1 min");
        show(200.0, "3 min 20 s");
        show(7500.0, "2 h 5 min");
        show(273_600.0, "3 d 4 h");
    }
}
