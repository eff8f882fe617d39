//! The one name of a channel, whatever layout the file had.
//!
//! The same channel is written in these ways (measured on 3.4.1 and 5.0.1):
//!
//! | file | part name | `view` | channel name in the file |
//! |---|---|---|---|
//! | one part | – | – | `ViewLayer.Combined.R` |
//! | one part, stereo (`multiView` lists the views) | – | – | `ViewLayer.Combined.left.R` |
//! | many parts | `ViewLayer.Combined` | – | `ViewLayer.Combined.R` |
//! | many parts, stereo | `ViewLayer.Combined-left` | `left` | `ViewLayer.Combined.R` |
//! | many parts of other writers | `ViewLayer.Combined` | – | `R` |
//! | plain OpenEXR image | – | – | `R`, in stereo `left.R` |
//!
//! View layers may hold dots in their names, passes may not, so a name is taken apart from its end: channel, view, pass,
//! and all that is left is the view layer. Blender's own reader splits the same way.

use std::fmt;

/// A pass of a view layer, seen by one view.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PassName {
    /// The view layer, as `ViewLayer`; empty in a plain image.
    pub layer: String,
    /// The pass, as `Combined`; empty in a plain image.
    pub pass: String,
    /// The view of a stereo frame, as `left`; empty where there is only one.
    pub view: String,
}

/// One channel of a pass, as `R` of `ViewLayer.Combined`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelName {
    /// The pass that the channel belongs to.
    pub pass: PassName,
    /// The last word of the name: `R`, `Z`, `X`.
    pub channel: String,
}

impl PassName {
    /// A pass of a frame that has one view.
    pub fn new(layer: impl Into<String>, pass: impl Into<String>) -> Self {
        Self {
            layer: layer.into(),
            pass: pass.into(),
            view: String::new(),
        }
    }
}

impl fmt::Display for PassName {
    /// As the layered names of a single part, without the channel; `image` for the unnamed pass of a plain image.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [&self.layer, &self.pass, &self.view];
        let mut said = words.into_iter().filter(|word| !word.is_empty());
        let Some(first) = said.next() else {
            return out.write_str("image");
        };
        out.write_str(first)?;
        said.try_for_each(|word| write!(out, ".{word}"))
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}", self.pass, self.channel)
    }
}

/// What a part says about the names of its channels.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PartWords<'a> {
    /// Name of the part.
    pub name: Option<&'a str>,
    /// Its `view` attribute.
    pub view: Option<&'a str>,
    /// The views that the whole file lists in `multiView`; the first is the one whose channels may go without its name.
    pub views: &'a [String],
}

/// The normal name of the channel that a part calls `raw`.
pub(crate) fn channel_name(part: PartWords<'_>, raw: &str) -> ChannelName {
    // A bare name says nothing of its pass: the part's name does.
    let full = match (raw.contains('.'), pass_of_part(part)) {
        (false, Some(pass)) => format!("{pass}.{raw}"),
        _ => raw.to_owned(),
    };
    let (rest, channel) = split_last_word(&full);
    let (rest, view) = match part.view {
        Some(view) => (rest, view),
        None => match split_last_word(rest) {
            (before, last) if part.views.iter().any(|view| view == last) => (before, last),
            _ if rest.is_empty() => (rest, part.views.first().map_or("", String::as_str)),
            _ => (rest, ""),
        },
    };
    let (layer, pass) = split_last_word(rest);
    ChannelName {
        pass: PassName {
            layer: layer.to_owned(),
            pass: pass.to_owned(),
            view: view.to_owned(),
        },
        channel: channel.to_owned(),
    }
}

/// The part's name without the view that writers of stereo files put behind it (`-left` by Blender, `.left` by others).
fn pass_of_part(part: PartWords<'_>) -> Option<&str> {
    let name = part.name?;
    let without_view = part
        .view
        .and_then(|view| name.strip_suffix(view)?.strip_suffix(['-', '.']));
    Some(without_view.unwrap_or(name)).filter(|name| !name.is_empty())
}

fn split_last_word(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(part: PartWords<'_>, raw: &str, expected: (&str, &str, &str, &str)) {
        let name = channel_name(part, raw);
        let found = (
            &*name.pass.layer,
            &*name.pass.pass,
            &*name.pass.view,
            &*name.channel,
        );
        assert_eq!(found, expected, "{part:?} {raw}");
    }

    #[test]
    fn every_layout_gives_the_same_names() {
        let stereo = ["left".to_owned(), "right".to_owned()];
        let one_part = PartWords::default();
        let one_stereo_part = PartWords {
            views: &stereo,
            ..one_part
        };
        check(
            one_part,
            "ViewLayer.Combined.R",
            ("ViewLayer", "Combined", "", "R"),
        );
        check(
            one_part,
            "Second.Layer.Diffuse Color.B",
            ("Second.Layer", "Diffuse Color", "", "B"),
        );
        check(one_part, "R", ("", "", "", "R"));
        check(
            one_stereo_part,
            "Second.Layer.Combined.left.R",
            ("Second.Layer", "Combined", "left", "R"),
        );
        check(one_stereo_part, "right.R", ("", "", "right", "R"));
        check(one_stereo_part, "R", ("", "", "left", "R"));

        let part = PartWords {
            name: Some("ViewLayer.Combined"),
            ..one_part
        };
        check(
            part,
            "ViewLayer.Combined.R",
            ("ViewLayer", "Combined", "", "R"),
        );
        check(part, "R", ("ViewLayer", "Combined", "", "R"));
        check(
            PartWords {
                name: Some("rgba"),
                ..one_part
            },
            "R",
            ("", "rgba", "", "R"),
        );
        check(
            PartWords {
                name: Some(""),
                ..one_part
            },
            "R",
            ("", "", "", "R"),
        );

        for name in [
            "ViewLayer.Combined-left",
            "ViewLayer.Combined.left",
            "ViewLayer.Combined",
        ] {
            let part = PartWords {
                name: Some(name),
                view: Some("left"),
                ..one_part
            };
            check(
                part,
                "ViewLayer.Combined.R",
                ("ViewLayer", "Combined", "left", "R"),
            );
            check(part, "R", ("ViewLayer", "Combined", "left", "R"));
        }
    }

    #[test]
    fn names_read_as_in_a_single_part() {
        let mut name = channel_name(PartWords::default(), "ViewLayer.Combined.R");
        assert_eq!(name.to_string(), "ViewLayer.Combined.R");
        name.pass.view = "left".to_owned();
        assert_eq!(name.to_string(), "ViewLayer.Combined.left.R");
        assert_eq!(PassName::default().to_string(), "image");
    }
}
