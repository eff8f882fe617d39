//! A page of bits and counts: what is known of [`FRAMES_PER_PAGE`] neighbouring frames.

use std::collections::BTreeMap;

use tessera_model::FrameBits;

use super::Unreadable;
use crate::{FRAMES_PER_PAGE, StepSnapshot};

/// The page of a position, and the place in it.
pub(crate) fn place(position: u32) -> (u32, u32) {
    (position / FRAMES_PER_PAGE, position % FRAMES_PER_PAGE)
}

/// The columns of a page that the program writes. The done bits are the database's own: its triggers keep them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct FramePage {
    given_up: Option<String>,
    failures: BTreeMap<u32, u32>,
}

impl FramePage {
    /// From the columns.
    pub(crate) fn read(
        given_up: Option<String>,
        failures: Option<&str>,
    ) -> Result<Self, Unreadable> {
        Ok(Self {
            given_up,
            failures: failures.map_or(Ok(BTreeMap::new()), read_failures)?,
        })
    }

    /// As the columns `given_up` and `failures`.
    pub(crate) fn columns(&self) -> (Option<&str>, Option<String>) {
        let failures = (!self.failures.is_empty()).then(|| {
            serde_json::to_string(&self.failures).expect("a map of numbers is always JSON")
        });
        (self.given_up.as_deref(), failures)
    }

    /// Marks the frame at `place` of the page as given up.
    pub(crate) fn give_up(&mut self, place: u32) {
        let bits = self
            .given_up
            .get_or_insert_with(|| "0".repeat(FRAMES_PER_PAGE as usize));
        let at = place as usize;
        bits.replace_range(at..=at, "1");
    }

    /// Counts a failure of the frame at `place` of the page.
    pub(crate) fn fail(&mut self, place: u32) {
        let count = self.failures.entry(place).or_default();
        *count = count.saturating_add(1);
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

fn read_failures(text: &str) -> Result<BTreeMap<u32, u32>, Unreadable> {
    serde_json::from_str(text).map_err(|error| Unreadable {
        what: "failure counts of a page of frames".into(),
        why: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_back() {
        let mut page = FramePage::default();
        assert_eq!(page.columns(), (None, None));
        page.give_up(0);
        page.give_up(255);
        page.fail(3);
        page.fail(3);
        page.fail(200);
        let (given_up, failures) = page.columns();
        let again = FramePage::read(given_up.map(str::to_owned), failures.as_deref()).unwrap();
        assert_eq!(again, page);

        let mut step = StepSnapshot {
            done: FrameBits::new(600),
            given_up: FrameBits::new(600),
            failures: BTreeMap::new(),
        };
        let done = format!("{:0<256}", "01");
        restore_page(&mut step, 1, &done, given_up, failures.as_deref()).unwrap();
        assert_eq!(step.done.iter().collect::<Vec<_>>(), [257]);
        assert_eq!(step.given_up.iter().collect::<Vec<_>>(), [256, 511]);
        assert_eq!(step.failures, BTreeMap::from([(259, 2), (456, 1)]));
    }
}
