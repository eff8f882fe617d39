//! A picture of any format in the form in which pictures are compared.

use std::collections::BTreeMap;

use super::metadata;
use crate::{Channel, ChannelName, Container, Frame, PassName, Samples, Window};

/// Channels and what is said about them.
#[derive(Debug)]
pub(crate) struct Picture {
    /// What pixels of this file are, as `EXR` or `PNG of 8 bits`. Pixels of two formats have no distance.
    pub format: String,
    /// How the file stores them, which is not compared.
    pub container: String,
    /// The frame's rectangle.
    pub display_window: Window,
    /// Sorted by name.
    pub channels: Vec<Channel>,
    /// Metadata of the frame that should be the same in another render of it; none if the format's is not looked at.
    pub metadata: Option<BTreeMap<String, String>>,
    /// The same of the parts behind the first, by `PART/ATTRIBUTE`; none in a file of one part.
    pub part_metadata: Option<BTreeMap<String, String>>,
}

impl Picture {
    /// An EXR frame as a picture.
    pub(crate) fn of_frame(frame: Frame) -> Self {
        let mut codecs: Vec<String> = frame
            .parts
            .iter()
            .map(|part| part.compression.to_string())
            .collect();
        codecs.dedup();
        let (container, multi_part) = match frame.container {
            Container::SinglePart => ("one part".to_owned(), false),
            Container::MultiPart => (format!("multi-part of {}", frame.parts.len()), true),
        };
        let mut metadata = metadata::of_attributes(frame.attributes());
        metadata.insert(
            "pixelAspectRatio".to_owned(),
            frame.pixel_aspect.to_string(),
        );
        let later = frame.parts.iter().skip(1).flat_map(|part| {
            let name = part.name.as_deref().unwrap_or("");
            let said = metadata::of_attributes(&part.attributes).into_iter();
            said.map(move |(attribute, value)| (format!("{name}/{attribute}"), value))
        });
        Self {
            format: "EXR".to_owned(),
            container: format!("{container}, {}", codecs.join(" and ")),
            display_window: frame.display_window,
            part_metadata: multi_part.then(|| later.collect()),
            metadata: Some(metadata),
            channels: frame.channels,
        }
    }

    /// A plain image: `samples` are the pixels row by row, each the channels called `names` one after the other.
    pub(crate) fn of_pixels(
        format: String,
        container: String,
        (width, height): (usize, usize),
        names: &[&str],
        samples: Samples,
    ) -> Self {
        let window = Window {
            x: 0,
            y: 0,
            width,
            height,
        };
        let mut channels: Vec<Channel> = names
            .iter()
            .enumerate()
            .map(|(index, name)| Channel {
                name: ChannelName {
                    pass: PassName::default(),
                    channel: (*name).to_owned(),
                },
                window,
                samples: samples.every(index, names.len()),
            })
            .collect();
        channels.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            format,
            container,
            display_window: window,
            channels,
            metadata: None,
            part_metadata: None,
        }
    }
}

impl Samples {
    /// Every `step`-th sample from `first` on.
    fn every(&self, first: usize, step: usize) -> Self {
        fn taken<T: Copy>(samples: &[T], first: usize, step: usize) -> Vec<T> {
            samples.iter().copied().skip(first).step_by(step).collect()
        }
        match self {
            Self::Half(samples) => Self::Half(taken(samples, first, step)),
            Self::Float(samples) => Self::Float(taken(samples, first, step)),
            Self::Uint(samples) => Self::Uint(taken(samples, first, step)),
        }
    }
}
