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
            let own = channel.name.to_string();
            // Blender 5 names a part and repeats that in its channels.
            let name = if own.starts_with(&part) {
                own
            } else {
                format!("{part}{own}")
            };
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

/// How the names of metadata end that tell when, where and how fast, hence differ in every run.
const OF_THE_RUN: [&str; 5] = ["Date", "RenderTime", "Memory", "Hostname", "_time"];

fn of_the_run(name: &str) -> bool {
    OF_THE_RUN.iter().any(|end| name.ends_with(end))
}

/// What Blender stamps into an EXR.
pub fn metadata(path: &Path) -> BTreeMap<String, String> {
    let meta = MetaData::read_from_file(path, false).unwrap();
    let of_header = |header: &exr::meta::header::Header| {
        let image = header.shared_attributes.other.clone();
        let own = header.own_attributes.other.clone();
        image
            .into_iter()
            .chain(own)
            .map(|(name, value)| (name.to_string(), format!("{value:?}")))
            .collect::<Vec<_>>()
    };
    meta.headers
        .iter()
        .flat_map(of_header)
        .filter(|(name, _)| !of_the_run(name))
        .collect()
}

/// Size, samples, and what Blender stamps into a PNG.
pub fn of_png(path: &Path) -> (u32, u32, Vec<u8>, BTreeMap<String, String>) {
    let mut reader = png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap()))
        .read_info()
        .unwrap();
    let mut samples = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut samples).unwrap();
    let info = reader.info();
    let texts = info
        .uncompressed_latin1_text
        .iter()
        .map(|text| (text.keyword.clone(), text.text.clone()));
    let texts = texts.filter(|(name, _)| !of_the_run(name)).collect();
    (info.width, info.height, samples, texts)
}

/// A JPEG without the comments that differ in every run.
pub fn of_jpeg(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let mut kept = bytes[..2].to_vec();
    let mut at = 2;
    // Segments: a marker of two bytes, a length that counts itself; after the start of scan there are only samples.
    while bytes[at + 1] != 0xda {
        let end = at + 2 + usize::from(u16::from_be_bytes([bytes[at + 2], bytes[at + 3]]));
        let text = String::from_utf8_lossy(&bytes[at + 4..end]).into_owned();
        let comment = bytes[at + 1] == 0xfe;
        if !(comment && text.split(':').nth(1).is_some_and(of_the_run)) {
            kept.extend(&bytes[at..end]);
        }
        at = end;
    }
    kept.extend(&bytes[at..]);
    kept
}
