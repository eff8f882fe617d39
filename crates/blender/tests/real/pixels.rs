//! The content of an EXR, to the bit.

use std::collections::BTreeMap;
use std::path::Path;

use exr::prelude::*;

/// Every channel of every layer by name, as the bits of its samples. Multi-part and single-part files give the same names.
pub fn of(path: &Path) -> BTreeMap<String, Vec<u32>> {
    let image = read_all_flat_layers_from_file(path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut channels = BTreeMap::new();
    for layer in &image.layer_data {
        let part = layer
            .attributes
            .layer_name
            .as_ref()
            .map(|name| format!("{name}."))
            .unwrap_or_default();
        for channel in &layer.channel_data.list {
            let bits = channel
                .sample_data
                .values_as_f32()
                .map(f32::to_bits)
                .collect();
            let name = format!("{part}{}", channel.name);
            assert!(
                channels.insert(name.clone(), bits).is_none(),
                "{name} is in {} twice",
                path.display()
            );
        }
    }
    assert!(!channels.is_empty(), "{} has no channels", path.display());
    channels
}

/// Names the channels that differ.
pub fn difference(a: &Path, b: &Path) -> Vec<String> {
    let (a, b) = (of(a), of(b));
    let names = a
        .keys()
        .chain(b.keys())
        .collect::<std::collections::BTreeSet<_>>();
    names
        .into_iter()
        .filter(|name| a.get(*name) != b.get(*name))
        .cloned()
        .collect()
}
