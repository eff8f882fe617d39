//! What the record's texts and bytes mean, whichever database holds them.
//!
//! Everything carries the version of its encoding, and a version once written is read for ever; the test
//! `golden` holds it with a record of each version. What is written seldom (jobs, workers, tokens, errors) is
//! JSON, which a person can read with any SQLite shell. What there are a million of (results) is packed bytes, see
//! [`results`].

mod page;
mod positions;
mod results;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tessera_model::JobState;

pub(crate) use page::{FramePage, place, restore_page};
pub(crate) use positions::{ResultPositions, decode_page, decode_waiting};
pub(crate) use results::{decode_results, encode_results};

/// The version of the JSON texts.
const TEXT_VERSION: u32 = 1;

/// Stored content that has no meaning, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}: {why}")]
pub(crate) struct Unreadable {
    pub(crate) what: String,
    pub(crate) why: String,
}

#[derive(Serialize)]
struct Writing<'a, T> {
    v: u32,
    is: &'a T,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[derive(Deserialize)]
struct Reading<T> {
    is: T,
}

/// `value` as versioned JSON.
pub(crate) fn encode_text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(&Writing {
        v: TEXT_VERSION,
        is: value,
    })
    .expect("the model's types have text keys and no failing serializer")
}

/// The value of versioned JSON; `what` names it where it is not readable.
pub(crate) fn decode_text<T: DeserializeOwned>(
    text: &str,
    what: impl FnOnce() -> String,
) -> Result<T, Unreadable> {
    let read = || -> Result<T, String> {
        let Version { v } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if v != TEXT_VERSION {
            return Err(format!("its encoding has the unknown version {v}"));
        }
        let Reading { is } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(is)
    };
    read().map_err(|why| Unreadable { what: what(), why })
}

/// A job's state as a word.
pub(crate) fn encode_state(state: JobState) -> &'static str {
    match state {
        JobState::Active => "active",
        JobState::Paused => "paused",
        JobState::Cancelled => "cancelled",
        JobState::Done => "done",
        JobState::Failed => "failed",
    }
}

/// A job's state from its word.
pub(crate) fn decode_state(word: &str) -> Result<JobState, Unreadable> {
    match word {
        "active" => Ok(JobState::Active),
        "paused" => Ok(JobState::Paused),
        "cancelled" => Ok(JobState::Cancelled),
        "done" => Ok(JobState::Done),
        "failed" => Ok(JobState::Failed),
        other => Err(Unreadable {
            what: "the state of a job".into(),
            why: format!("'{other}' is none"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_reads_back_and_says_what_is_wrong() {
        let text = encode_text(&vec![1, 2]);
        assert_eq!(text, r#"{"v":1,"is":[1,2]}"#);
        let read = |text: &str| decode_text::<Vec<u32>>(text, || "list 7".into());
        assert_eq!(read(&text), Ok(vec![1, 2]));
        let check = |text: &str, part: &str| {
            let error = read(text).unwrap_err().to_string();
            assert!(
                error.starts_with("list 7: ") && error.contains(part),
                "{error}"
            );
        };
        check(r#"{"v":2,"is":[1,2]}"#, "unknown version 2");
        check(r#"{"v":1,"is":[1,"x"]}"#, "invalid type");
        check("nonsense", "expected");
    }

    #[test]
    fn states_read_back() {
        use JobState::{Active, Cancelled, Done, Failed, Paused};
        for state in [Active, Paused, Cancelled, Done, Failed] {
            assert_eq!(decode_state(encode_state(state)), Ok(state));
        }
        assert!(decode_state("asleep").is_err());
    }
}
