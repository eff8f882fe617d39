//! Errors of a render that Blender reports to nobody.
//!
//! Of a scene within the scene (a strip of the sequencer, a render layer of the compositor) Blender drops the report of the engine's
//! error: the operator ends well, and the picture is empty where that scene should be. Only the log has it, in two places:
//! Cycles names its error as it meets it, and the report without a receiver is printed.
//!
//! ```text
//! 3.4.1, stderr   Build without OpenImageDenoiser
//!        stdout   Error: Build without OpenImageDenoiser
//! 5.0.1           00:00.642  cycles           | ERROR Error writing tile to file
//!                 00:00.642  reports          | ERROR Error writing tile to file
//! ```
//!
//! Both are asked for, since scripts print what they like.

use std::fs::File;
use std::io::{self, BufRead, BufReader};

use super::LogFiles;

/// Reports of one frame that are looked at. A render ends at its first error, each scene within it has one, and a log may
/// hold millions of lines that look alike.
const REPORTS_MAX: usize = 64;
/// Longer lines are no reports.
const LINE_MAX_BYTES: usize = 4 << 10;

/// The first such error. Blocking.
pub(super) fn find(log: &LogFiles) -> io::Result<Option<String>> {
    let mut reports: Vec<Vec<u8>> = Vec::new();
    let streams = [&log.stdout, &log.stderr];
    for path in streams {
        lines(BufReader::new(File::open(path)?), |line| {
            if let Some(text) = report(line)
                && reports.len() < REPORTS_MAX
                && !reports.iter().any(|known| known == text)
            {
                reports.push(text.to_owned());
            }
        })?;
    }
    if reports.is_empty() {
        return Ok(None);
    }
    let mut named = vec![false; reports.len()];
    for path in streams {
        lines(BufReader::new(File::open(path)?), |line| {
            let text = of_category(line, b"cycles").unwrap_or(line);
            for (report, named) in reports.iter().zip(&mut named) {
                *named |= report == text;
            }
        })?;
    }
    let found = reports.iter().zip(named).find(|(_, named)| *named);
    Ok(found.map(|(report, _)| String::from_utf8_lossy(report).into_owned()))
}

fn report(line: &[u8]) -> Option<&[u8]> {
    let text = line
        .strip_prefix(b"Error: ")
        .or_else(|| of_category(line, b"reports"))?;
    (!text.is_empty()).then_some(text)
}

/// The text of an error in the log of Blender 5: `TIME  CATEGORY  | ERROR TEXT`.
fn of_category<'a>(line: &'a [u8], category: &[u8]) -> Option<&'a [u8]> {
    const MARK: &[u8] = b"| ERROR ";
    let at = line.windows(MARK.len()).position(|window| window == MARK)?;
    let mut words = line[..at]
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    let (_time, name) = (words.next()?, words.next()?);
    (name == category && words.next().is_none()).then(|| line[at + MARK.len()..].trim_ascii_end())
}

/// Every line that is not too long, without its end.
fn lines(mut log: impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    let mut is_long = false;
    loop {
        let buffer = log.fill_buf()?;
        if buffer.is_empty() {
            if !is_long {
                each(line.trim_ascii_end());
            }
            return Ok(());
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        is_long |= line.len() + part.len() > LINE_MAX_BYTES;
        if !is_long {
            line.extend_from_slice(part);
        }
        let taken = part.len() + usize::from(end.is_some());
        if end.is_some() {
            if !is_long {
                each(line.trim_ascii_end());
            }
            line.clear();
            is_long = false;
        }
        log.consume(taken);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(stdout: &str, stderr: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let log = LogFiles::in_dir(dir.path(), "frame");
        std::fs::write(&log.stdout, stdout).unwrap();
        std::fs::write(&log.stderr, stderr).unwrap();
        find(&log).unwrap()
    }

    #[test]
    fn an_error_is_found_where_engine_and_report_name_it() {
        let denoiser = "Build without OpenImageDenoiser";
        let stdout = format!("Fra:2 Mem:1M\nError: {denoiser}\nSaved: '/out/0002.png'\n");
        let stderr = format!("{denoiser}\nNo device available to denoise on\n");
        assert_eq!(found(&stdout, &stderr).as_deref(), Some(denoiser));
        let five = "00:00.642  cycles           | ERROR Error writing tile to file\n\
                    00:00.642  reports          | ERROR Error writing tile to file";
        for (stdout, stderr) in [(five, ""), ("", five)] {
            assert_eq!(
                found(stdout, stderr).as_deref(),
                Some("Error writing tile to file")
            );
        }
    }

    #[test]
    fn what_only_one_of_them_says_is_none() {
        for (stdout, stderr) in [
            ("", ""),
            ("Error: \n", "\n"),
            ("Error: no luck\n", ""),
            ("Error: no luck\n", "ValueError: no luck\nTraceback\n"),
            ("", "no luck\n"),
            ("00:00.6  cycles  | ERROR no luck\n", ""),
            ("00:00.6  reports  | ERROR no luck\n", ""),
            ("00:00.6  render  | ERROR no luck\nError: no luck\n", ""),
        ] {
            assert_eq!(found(stdout, stderr), None, "{stdout:?} {stderr:?}");
        }
    }

    #[test]
    fn long_lines_are_passed_over() {
        let noise = "x".repeat(LINE_MAX_BYTES * 40);
        let stdout = format!("{noise}\nError: {noise}\nError: no\n{noise}");
        assert_eq!(found(&stdout, &noise), None);
        assert_eq!(
            found(&stdout, &format!("{noise}\nno\n")).as_deref(),
            Some("no")
        );
    }
}
