//! Which metadata must be the same in two renders of the same frame.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::report::Difference;
use crate::attributes::{AttributeValue, Attributes, text_of};

/// What Blender writes about the rendering rather than about the frame: when, where, by whom and how long.
const OF_THE_RENDERING: [&str; 6] = [
    "Date",
    "File",
    "Hostname",
    "Memory",
    "RenderTime",
    "capDate",
];

/// Cycles writes its times per view layer: `cycles.ViewLayer.render_time`, `…synchronization_time`, `…total_time`.
const CYCLES_PREFIX: &str = "cycles.";
const CYCLES_TIME_SUFFIX: &str = "_time";

/// Whether two renders of the same frame should agree on the attribute of this name.
pub(crate) fn belongs_to_the_frame(name: &str) -> bool {
    let cycles_time = name.starts_with(CYCLES_PREFIX) && name.ends_with(CYCLES_TIME_SUFFIX);
    !cycles_time && !OF_THE_RENDERING.contains(&name)
}

/// The attributes that belong to the frame, as text.
pub(crate) fn of_attributes(attributes: &Attributes) -> BTreeMap<String, String> {
    let frame = attributes
        .iter()
        .filter(|(name, _)| belongs_to_the_frame(name));
    frame
        .map(|(name, value)| match value {
            AttributeValue::Text(text) => (name.clone(), text_of(text)),
            value => (name.clone(), format!("{value:?}")),
        })
        .collect()
}

/// Blender writes the frame's number as wide as that of the last frame of the range: frame 1 is "1" of eight frames and "01" of
/// twenty-four. A range given on the command line is another range than the file's, and the frame is the same.
const PADDED: &str = "Frame";

/// What an attribute says, however it is written.
fn meaning<'a>(name: &str, value: Option<&'a String>) -> Option<Cow<'a, str>> {
    let value = value?;
    let number = (name == PADDED)
        .then(|| value.parse::<i64>().ok())
        .flatten();
    Some(number.map_or(Cow::Borrowed(value.as_str()), |number| {
        Cow::Owned(number.to_string())
    }))
}

/// What is on one side only, or says two things.
pub(crate) fn differences(
    a: &BTreeMap<String, String>,
    b: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    let differing = names
        .into_iter()
        .filter(|name| meaning(name, a.get(*name)) != meaning(name, b.get(*name)));
    differing
        .map(|name| Difference::Metadata {
            name: name.clone(),
            a: a.get(name).cloned(),
            b: b.get(name).cloned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, a: &str, b: &str, same: bool) {
        let of = |text: &str| BTreeMap::from([(name.to_owned(), text.to_owned())]);
        assert_eq!(
            differences(&of(a), &of(b)).is_empty(),
            same,
            "{name}: {a} {b}"
        );
    }

    #[test]
    fn a_frame_is_its_number_and_all_else_its_text() {
        check("Frame", "01", "1", true);
        check("Frame", "-002", "-2", true);
        check("Frame", "01", "10", false);
        check("Frame", "x", "0x", false);
        check("Note", "01", "1", false);
    }
}
