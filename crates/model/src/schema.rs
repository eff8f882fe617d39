//! JSON Schemas of what travels as text: their serde goes by way of `FromStr`, so nothing could tell them from any other text.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::{BlenderVersion, Blob, FrameSet, Series, SeriesRange, UserName};

macro_rules! texts {
    ($($name:ident: $schema:tt)*) => {$(
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($schema)
            }
        }
    )*};
}

texts! {
    Blob: {
        "type": "string",
        "description": "A name of bytes, `DIGEST:SIZE:DEPTH`: BLAKE3 digest of the root block in lower-case hexadecimal, size in \
                        bytes, depth of the block tree.",
        "pattern": "^[0-9a-f]{64}:[0-9]+:[0-9]+$",
        "examples": ["af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262:0:0"]
    }
    UserName: {
        "type": "string",
        "description": "A user's name: 1 to 64 characters, none of them a control character.",
        "minLength": 1,
        "maxLength": 64
    }
    BlenderVersion: {
        "type": "string",
        "description": "Version of a Blender build.",
        "pattern": "^[0-9]+\\.[0-9]+\\.[0-9]+$",
        "examples": ["4.2.3"]
    }
    Series: {
        "type": "string",
        "description": "A series of Blender, which decides which files it reads.",
        "pattern": "^[0-9]+\\.[0-9]+$",
        "examples": ["5.0"]
    }
    SeriesRange: {
        "type": "string",
        "description": "Blender series from one to another, both included.",
        "pattern": "^([0-9]+\\.[0-9]+(\\.\\.([0-9]+\\.[0-9]+)?)?|\\.\\.[0-9]+\\.[0-9]+)$",
        "examples": ["4.2", "4.2..5.0", "4.2..", "..4.5"]
    }
    FrameSet: {
        "type": "string",
        "description": "Frames in the order they are handed out: numbers, ranges and stepped ranges.",
        "pattern": "^ *-?[0-9]+ *(\\.\\. *-?[0-9]+ *(x *[0-9]+ *)?)?(, *-?[0-9]+ *(\\.\\. *-?[0-9]+ *(x *[0-9]+ *)?)?)*$",
        "examples": ["1..24", "1,5,9", "-10..-1", "1..100x5"]
    }
}
