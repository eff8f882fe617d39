//! What the head of a pyramid says: what there is in the frame, and where.

use serde::Serialize;

use crate::rows::{Place, Rows};
use crate::{Cryptomatte, PassName, SampleType};

/// Of the document.
const VERSION: u32 = 1;

/// The head, as JSON.
#[derive(Debug, Serialize)]
pub(super) struct Head {
    version: u32,
    /// Left column, top row, columns and rows of the pixels, and of the frame that they belong to.
    window: [i64; 4],
    display: [i64; 4],
    /// Width of a pixel over its height.
    pixel_aspect: f32,
    /// Columns and rows of a tile; those at the right and the lower edge have what is left.
    tile: [usize; 2],
    /// Sorted by name.
    pub(super) passes: Vec<PassHead>,
    cryptomattes: Vec<CryptomatteHead>,
}

/// A pass.
#[derive(Debug, Clone, Serialize)]
pub(super) struct PassHead {
    layer: String,
    pass: String,
    view: String,
    channels: Vec<ChannelHead>,
    /// Whether a pixel of a smaller level is one of those it stands for and not their mean.
    first: bool,
    /// Offset and length of the table of its tiles.
    table: (u64, u32),
}

#[derive(Debug, Clone, Serialize)]
struct ChannelHead {
    name: String,
    r#type: &'static str,
}

/// A Cryptomatte layer.
#[derive(Debug, Serialize)]
pub(super) struct CryptomatteHead {
    pub(super) key: String,
    name: String,
    hash: String,
    conversion: String,
    manifest: String,
}

impl Head {
    /// Without passes, which are known last.
    pub(super) fn of(
        rows: &Rows,
        tile: (usize, usize),
        cryptomattes: Vec<CryptomatteHead>,
    ) -> Self {
        let header = &rows.headers()[0];
        let rectangle = |bounds: exr::meta::attribute::IntegerBounds| {
            let (at, size) = (bounds.position, bounds.size);
            [
                i64::from(at.x()),
                i64::from(at.y()),
                size.width() as i64,
                size.height() as i64,
            ]
        };
        Self {
            version: VERSION,
            window: rectangle(header.data_window()),
            display: rectangle(header.shared_attributes.display_window),
            pixel_aspect: header.shared_attributes.pixel_aspect,
            tile: [tile.0, tile.1],
            passes: Vec::new(),
            cryptomattes,
        }
    }
}

impl PassHead {
    /// Of the channels of one pass, at least one.
    pub(super) fn of(places: &[Place], first: bool) -> Self {
        let PassName { layer, pass, view } = places[0].name.pass.clone();
        let channel = |place: &Place| ChannelHead {
            name: place.name.channel.clone(),
            r#type: match place.sample_type {
                SampleType::Half => "half",
                SampleType::Float => "float",
                SampleType::Uint => "uint",
            },
        };
        Self {
            layer,
            pass,
            view,
            channels: places.iter().map(channel).collect(),
            first,
            table: (0, 0),
        }
    }

    pub(super) fn with_table(self, table: (u64, u32)) -> Self {
        Self { table, ..self }
    }
}

impl CryptomatteHead {
    /// Whether this is one of its passes: `ViewLayer.CryptoObject` has `ViewLayer.CryptoObject00` and so on.
    pub(super) fn is_of(&self, pass: &PassName) -> bool {
        let PassName { layer, pass, .. } = pass;
        let full = match layer.as_str() {
            "" => pass.clone(),
            layer => format!("{layer}.{pass}"),
        };
        let rank = full.strip_prefix(&self.name);
        !self.name.is_empty()
            && rank.is_some_and(|rank| rank.bytes().all(|digit| digit.is_ascii_digit()))
    }
}

impl From<Cryptomatte> for CryptomatteHead {
    fn from(one: Cryptomatte) -> Self {
        let Cryptomatte {
            key,
            name,
            hash,
            conversion,
            manifest,
        } = one;
        Self {
            key,
            name,
            hash,
            conversion,
            manifest,
        }
    }
}
