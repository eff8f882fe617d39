//! Which frames a row of results is of, told beside its bytes, so that results are counted without being read.
//!
//! Whoever does read the bytes checks that they are of those frames.

use tessera_model::{FrameResult, JobId, StepIndex};

use super::{Unreadable, decode_results, place};
use crate::FRAMES_PER_PAGE;

/// Bytes of a bit for each position of a page.
const BYTES: usize = FRAMES_PER_PAGE as usize / 8;

/// The positions of a page that have a result: one each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResultPositions([u8; BYTES]);

impl ResultPositions {
    /// None if a position comes twice or is of another page: then they cannot be told in this way.
    pub(crate) fn of(page: u32, positions: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut bits = [0; BYTES];
        for position in positions {
            let (of, at) = place(position);
            let byte = &mut bits[at as usize / 8];
            let bit = 1 << (at % 8);
            if of != page || *byte & bit != 0 {
                return None;
            }
            *byte |= bit;
        }
        Some(Self(bits))
    }

    pub(crate) fn read(column: &[u8]) -> Result<Self, Unreadable> {
        column.try_into().map(Self).map_err(|_| Unreadable {
            what: "positions of a page of results".into(),
            why: format!("they are {} bytes long", column.len()),
        })
    }

    pub(crate) fn column(&self) -> &[u8] {
        &self.0
    }

    /// The positions in order.
    pub(crate) fn iter(&self, page: u32) -> impl Iterator<Item = u32> {
        let first = page.saturating_mul(FRAMES_PER_PAGE);
        (0..FRAMES_PER_PAGE)
            .filter(|&at| self.0[at as usize / 8] >> (at % 8) & 1 == 1)
            .map(move |at| first.saturating_add(at))
    }
}

/// The results of page `page`; `positions` as beside them.
pub(crate) fn decode_page(
    (job, step, page): (JobId, StepIndex, u32),
    positions: Option<&[u8]>,
    body: &[u8],
) -> Result<Vec<FrameResult>, Unreadable> {
    let results = decode_results(job, step, body)?;
    if let Some(positions) = positions {
        let told = ResultPositions::read(positions)?;
        let found = ResultPositions::of(page, results.iter().map(|result| result.position));
        if found != Some(told) {
            return Err(Unreadable {
                what: format!("results of job {job}, step {}, page {page}", step.0),
                why: "they are not of the frames that their row names".into(),
            });
        }
    }
    Ok(results)
}

/// The result that waits at `position`.
pub(crate) fn decode_waiting(
    (job, step, position): (JobId, StepIndex, u32),
    body: &[u8],
) -> Result<FrameResult, Unreadable> {
    let mut results = decode_results(job, step, body)?;
    match (results.pop(), results.is_empty()) {
        (Some(result), true) if result.position == position => Ok(result),
        _ => Err(Unreadable {
            what: format!(
                "the result of job {job}, step {}, position {position}",
                step.0
            ),
            why: "it is not of the frame that its row names".into(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back() {
        let positions = [512, 519, 520, 767];
        let told = ResultPositions::of(2, positions).unwrap();
        let again = ResultPositions::read(told.column()).unwrap();
        assert_eq!(again.iter(2).collect::<Vec<_>>(), positions);
        assert_eq!(ResultPositions::of(2, [512, 512]), None);
        assert_eq!(ResultPositions::of(2, [511]), None);
        assert!(ResultPositions::read(&[0; 31]).is_err());
    }
}
