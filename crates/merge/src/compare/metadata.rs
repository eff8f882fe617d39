//! Which metadata must be the same in two renders of the same frame.

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

/// What is on one side only, or has two values.
pub(crate) fn differences(
    a: &BTreeMap<String, String>,
    b: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let mut names: Vec<_> = a.keys().chain(b.keys()).collect();
    names.sort();
    names.dedup();
    let differing = names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name));
    differing
        .map(|name| Difference::Metadata {
            name: name.clone(),
            a: a.get(name).cloned(),
            b: b.get(name).cloned(),
        })
        .collect()
}
