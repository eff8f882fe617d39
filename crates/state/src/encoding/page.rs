//! A page of bits and counts: what is known of [`FRAMES_PER_PAGE`] neighbouring frames.

use std::collections::BTreeMap;

use tessera_model::FrameBits;

use super::Unreadable;
use crate::{FRAMES_PER_PAGE, StepSnapshot};

/// The page of a position, and the place in it.
pub(crate) fn place(position: u32) -> (u32, u32) {
    (position / FRAMES_PER_PAGE, position % FRAMES_PER_PAGE)
}

/// A page while a batch works on it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FramePage {
    done: Vec<u8>,
    given_up: Option<Vec<u8>>,
    failures: BTreeMap<u32, u32>,
}

/// Digits and JSON, as the database has them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PageColumns<'p> {
    pub(crate) done: &'p str,
    pub(crate) given_up: Option<&'p str>,
    pub(crate) failures: Option<String>,
}

const CLEAR: [u8; FRAMES_PER_PAGE as usize] = [b'0'; FRAMES_PER_PAGE as usize];

impl FramePage {
    /// A page nothing is known of.
    pub(crate) fn new() -> Self {
        Self {
            done: CLEAR.to_vec(),
            given_up: None,
            failures: BTreeMap::new(),
        }
    }

    /// From the columns `done`, `given_up` and `failures`.
    pub(crate) fn read(
        done: &str,
        given_up: Option<&str>,
        failures: Option<&str>,
    ) -> Result<Self, Unreadable> {
        Ok(Self {
            done: read_digits(done)?,
            given_up: given_up.map(read_digits).transpose()?,
            failures: failures.map_or(Ok(BTreeMap::new()), read_failures)?,
        })
    }

    /// What the columns are now.
    pub(crate) fn columns(&self) -> PageColumns<'_> {
        let text = |digits| {
            std::str::from_utf8(digits).expect("digits are ASCII, reading and writing see to it")
        };
        PageColumns {
            done: text(&self.done),
            given_up: self.given_up.as_deref().map(text),
            failures: (!self.failures.is_empty()).then(|| {
                serde_json::to_string(&self.failures).expect("a map of numbers is always JSON")
            }),
        }
    }

    /// The frame at `place` of the page is given up, unless it is done.
    pub(crate) fn give_up(&mut self, place: u32) {
        let at = place as usize;
        if self.done[at] != b'1' {
            self.given_up.get_or_insert_with(|| CLEAR.to_vec())[at] = b'1';
        }
    }

    /// The frame at `place` of the page failed once more.
    pub(crate) fn fail(&mut self, place: u32) {
        let count = self.failures.entry(place).or_default();
        *count = count.saturating_add(1);
    }

    /// The frame at `place` of the page is done; false if it was done before.
    pub(crate) fn finish(&mut self, place: u32) -> bool {
        let at = place as usize;
        if std::mem::replace(&mut self.done[at], b'1') == b'1' {
            return false;
        }
        self.failures.remove(&place);
        if let Some(given_up) = &mut self.given_up {
            given_up[at] = b'0';
        }
        true
    }

    /// No frame of the page is given up or has failed.
    pub(crate) fn retry(&mut self) {
        self.given_up = None;
        self.failures.clear();
    }
}

/// Lays the columns of page `page` into the step they belong to.
pub(crate) fn restore_page(
    step: &mut StepSnapshot,
    page: u32,
    done: &str,
    given_up: Option<&str>,
    failures: Option<&str>,
) -> Result<(), Unreadable> {
    let first = page
        .checked_mul(FRAMES_PER_PAGE)
        .filter(|&first| first < step.done.len())
        .ok_or_else(|| Unreadable {
            what: format!("page {page} of a step's frames"),
            why: format!("the step has {} frames", step.done.len()),
        })?;
    set_bits(&mut step.done, first, done);
    if let Some(given_up) = given_up {
        set_bits(&mut step.given_up, first, given_up);
    }
    if let Some(failures) = failures {
        for (place, count) in read_failures(failures)? {
            step.failures.insert(first.saturating_add(place), count);
        }
    }
    Ok(())
}

fn set_bits(bits: &mut FrameBits, first: u32, text: &str) {
    for (position, digit) in (first..).zip(text.bytes()) {
        if digit == b'1' {
            bits.set(position);
        }
    }
}

fn read_digits(text: &str) -> Result<Vec<u8>, Unreadable> {
    let digits = text.as_bytes();
    if digits.len() == FRAMES_PER_PAGE as usize && digits.is_ascii() {
        return Ok(digits.to_vec());
    }
    Err(Unreadable {
        what: "bits of a page of frames".into(),
        why: format!("they are {} bytes long", digits.len()),
    })
}

fn read_failures(text: &str) -> Result<BTreeMap<u32, u32>, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable {
        what: "failure counts of a page of frames".into(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digits(first: &str) -> String {
        format!("{first:0<256}")
    }

    #[test]
    fn a_page_reads_back() {
        let mut page = FramePage::new();
        let none = PageColumns {
            done: &digits(""),
            given_up: None,
            failures: None,
        };
        assert_eq!(page.columns(), none);
        assert!(page.finish(1));
        assert!(!page.finish(1));
        page.give_up(0);
        page.give_up(1);
        page.give_up(255);
        page.fail(3);
        page.fail(3);
        page.fail(200);
        let columns = page.columns();
        let (done, given_up, failures) = (columns.done, columns.given_up, columns.failures);
        assert_eq!(done, digits("01"));
        let again = FramePage::read(done, given_up, failures.as_deref()).unwrap();
        assert_eq!(again, page);

        let mut step = StepSnapshot {
            done: FrameBits::new(600),
            given_up: FrameBits::new(600),
            failures: BTreeMap::new(),
        };
        restore_page(&mut step, 1, done, given_up, failures.as_deref()).unwrap();
        assert_eq!(step.done.iter().collect::<Vec<_>>(), [257]);
        assert_eq!(step.given_up.iter().collect::<Vec<_>>(), [256, 511]);
        assert_eq!(step.failures, BTreeMap::from([(259, 2), (456, 1)]));

        assert!(page.finish(255));
        assert!(page.finish(3));
        page.give_up(3);
        let columns = page.columns();
        assert_eq!(columns.given_up, Some(digits("1").as_str()));
        assert_eq!(columns.failures.as_deref(), Some(r#"{"200":1}"#));
        page.retry();
        let columns = page.columns();
        assert_eq!((columns.given_up, columns.failures), (None, None));
    }
}
