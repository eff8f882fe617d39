//! The metadata of a part: its attributes, and what the Cryptomatte specification hides in their names.

use std::collections::BTreeMap;
use std::collections::btree_map::Iter;

use exr::meta::attribute::{Text, TextSlice};
use exr::meta::header::Header;

pub use exr::meta::attribute::AttributeValue;

/// Attributes that say how the pixels lie in the file. [`crate::Frame`] holds what they mean, so they are no metadata.
const STRUCTURAL: [&str; 15] = [
    "channels",
    "chunkCount",
    "compression",
    "dataWindow",
    "displayWindow",
    "dwaCompressionLevel",
    "lineOrder",
    "maxSamplesPerPixel",
    "multiView",
    "name",
    "pixelAspectRatio",
    "tiles",
    "type",
    "version",
    "view",
];

/// The metadata of one part, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes(BTreeMap<String, AttributeValue>);

/// One Cryptomatte layer, as its attributes `cryptomatte/KEY/…` describe it.
///
/// See the Cryptomatte specification 1.2.0, <https://github.com/Psyop/Cryptomatte/blob/master/specification>.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cryptomatte {
    /// The first seven hexadecimal digits of the hash of the name.
    pub key: String,
    /// The name that its passes begin with: `ViewLayer.CryptoObject`.
    pub name: String,
    /// How names became numbers, `MurmurHash3_32`.
    pub hash: String,
    /// How numbers became floats, `uint32_to_float32`.
    pub conversion: String,
    /// The JSON object of names to hexadecimal ids, as the file has it.
    pub manifest: String,
}

impl Attributes {
    pub(crate) fn of(header: &Header) -> Self {
        let named = header
            .all_named_attributes()
            .map(|(name, value)| (string_of(name), value));
        Self(
            named
                .filter(|(name, _)| !STRUCTURAL.contains(&name.as_str()))
                .collect(),
        )
    }

    /// The value of any type.
    pub fn get(&self, name: &str) -> Option<&AttributeValue> {
        self.0.get(name)
    }

    /// The value of a text attribute.
    pub fn text(&self, name: &str) -> Option<String> {
        match self.0.get(name)? {
            AttributeValue::Text(text) => Some(text_of(text)),
            _ => None,
        }
    }

    /// All attributes, sorted by name.
    pub fn iter(&self) -> Iter<'_, String, AttributeValue> {
        self.0.iter()
    }

    /// The Cryptomatte layers, sorted by key. What a broken writer leaves out is empty.
    pub fn cryptomattes(&self) -> Vec<Cryptomatte> {
        let named = self
            .0
            .keys()
            .filter_map(|name| name.strip_prefix("cryptomatte/")?.strip_suffix("/name"));
        named
            .map(|key| {
                let text = |what: &str| {
                    self.text(&format!("cryptomatte/{key}/{what}"))
                        .unwrap_or_default()
                };
                Cryptomatte {
                    key: key.to_owned(),
                    name: text("name"),
                    hash: text("hash"),
                    conversion: text("conversion"),
                    manifest: text("manifest"),
                }
            })
            .collect()
    }
}

/// Text of a file as a string. Blender writes UTF-8; OpenEXR itself promises only bytes, which then are read as Latin-1.
pub(crate) fn string_of(bytes: &TextSlice) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

pub(crate) fn text_of(text: &Text) -> String {
    string_of(text.as_slice())
}
