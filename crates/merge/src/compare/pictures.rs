//! Compares two pictures, whatever files they came from.

use super::metadata;
use super::picture::Picture;
use super::report::{Difference, PassReport, Side};
use super::samples::PassComparison;
use crate::frame::channels_of;
use crate::{Channel, PassName};

/// What was found about two pictures.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub passes: Vec<PassReport>,
    pub differences: Vec<Difference>,
    pub notes: Vec<String>,
}

/// Compares everything that two pictures say.
pub(crate) fn compare(a: &Picture, b: &Picture) -> Found {
    let mut found = Found::default();
    if a.format != b.format {
        found.differences.push(Difference::Format {
            a: a.format.clone(),
            b: b.format.clone(),
        });
        return found;
    }
    if a.container != b.container {
        found.notes.push(format!(
            "the container differs: {}; {}",
            a.container, b.container
        ));
    }
    if a.display_window != b.display_window {
        let (a, b) = (a.display_window.to_string(), b.display_window.to_string());
        found.differences.push(Difference::DisplayWindow { a, b });
    }
    match (&a.metadata, &b.metadata) {
        (Some(a), Some(b)) => found.differences.extend(metadata::differences(a, b)),
        _ => found
            .notes
            .push("metadata is not compared in this format".to_owned()),
    }
    if let (Some(a), Some(b)) = (&a.part_metadata, &b.part_metadata) {
        found.differences.extend(metadata::differences(a, b));
    }
    for pass in passes_of(a, b) {
        compare_pass(pass, &a.channels, &b.channels, &mut found);
    }
    found
}

fn passes_of<'a>(a: &'a Picture, b: &'a Picture) -> Vec<&'a PassName> {
    let mut passes: Vec<_> = a
        .channels
        .iter()
        .chain(&b.channels)
        .map(|channel| &channel.name.pass)
        .collect();
    passes.sort();
    passes.dedup();
    passes
}

fn compare_pass(pass: &PassName, a: &[Channel], b: &[Channel], found: &mut Found) {
    let (a, b) = (channels_of(pass, a), channels_of(pass, b));
    for (here, missing) in [(a, Side::A), (b, Side::B)] {
        if here.is_empty() {
            found.differences.push(Difference::PassMissing {
                pass: pass.to_string(),
                missing,
            });
            return;
        }
    }
    for (here, there, missing) in [(a, b, Side::B), (b, a, Side::A)] {
        let absent = here
            .iter()
            .filter(|channel| there.iter().all(|other| other.name != channel.name));
        let named = absent.map(|channel| channel.name.to_string());
        found
            .differences
            .extend(named.map(|channel| Difference::ChannelMissing { channel, missing }));
    }

    let mut comparison = PassComparison::of(pass.to_string());
    for left in a {
        let Some(right) = b.iter().find(|right| right.name == left.name) else {
            continue;
        };
        match incomparable(left, right) {
            None => comparison.add(left, right),
            // The channels of a pass mostly lie together: what is true of all is said once.
            Some(difference) if found.differences.contains(&difference) => {}
            Some(difference) => found.differences.push(difference),
        }
    }
    found.passes.extend(comparison.report());
}

fn incomparable(a: &Channel, b: &Channel) -> Option<Difference> {
    if a.window != b.window {
        let pass = a.name.pass.to_string();
        return Some(Difference::DataWindow {
            pass,
            a: a.window.to_string(),
            b: b.window.to_string(),
        });
    }
    let channel = a.name.to_string();
    let (a, b) = (a.samples.sample_type(), b.samples.sample_type());
    (a != b).then(|| Difference::SampleType {
        channel,
        a: a.to_string(),
        b: b.to_string(),
    })
}
