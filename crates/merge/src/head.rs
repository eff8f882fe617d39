//! The headers of a merged frame: those of a slice, with the size of the frame and without what is true of the slice alone.

use exr::math::Vec2;
use exr::meta::Headers;
use exr::meta::attribute::{AttributeValue, IntegerBounds, Text};
use exr::meta::header::Header;

use crate::Window;
use crate::attributes::string_of;

/// Times that Blender stamps: of a slice, they say nothing of the frame.
const TIMES: [&str; 4] = [
    "RenderTime",
    ".render_time",
    ".synchronization_time",
    ".total_time",
];

/// The headers of a frame out of those of its first slice. `samples` is what its pixels have, if that is not what the slice says.
pub(crate) fn headers(
    of_slice: &[Header],
    frame: Window,
    samples: Option<u64>,
    of_many: bool,
) -> Headers {
    let mut headers: Headers = of_slice.iter().cloned().collect();
    for header in &mut headers {
        header.layer_size = Vec2(frame.width, frame.height);
        header.own_attributes.layer_position = Vec2(0, 0);
        header.shared_attributes.display_window = IntegerBounds {
            position: Vec2(0, 0),
            size: header.layer_size,
        };
        header.chunk_count = frame
            .height
            .div_ceil(header.compression.scan_lines_per_block());
        if of_many {
            for attributes in [
                &mut header.own_attributes.other,
                &mut header.shared_attributes.other,
            ] {
                attributes.retain(|name, _| {
                    let name = string_of(name.as_slice());
                    !TIMES.iter().any(|time| name.ends_with(time))
                });
                for (name, value) in attributes.iter_mut() {
                    let name = string_of(name.as_slice());
                    if let Some(samples) = samples
                        && name.starts_with("cycles.")
                        && name.ends_with(".samples")
                    {
                        *value = AttributeValue::Text(Text::from(samples.to_string().as_str()));
                    }
                }
            }
        }
    }
    headers
}
