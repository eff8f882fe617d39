//! How each pass of Cycles is put together from ranges of samples.
//!
//! | class | passes | merged as |
//! |---|---|---|
//! | average | Combined and its light groups, Normal, UV, Mist, ambient occlusion, shadow, emission, environment, all colours, volume light, denoising data, sample count | mean of the parts, weighted by their samples |
//! | ratio | direct and indirect light of diffuse, glossy, transmission and subsurface | Cycles divides light by colour after all samples, so the light is light × colour of each part, summed, over the sum of colours |
//! | first | depth, object and material index, position | the part that has sample 0; Cycles writes them in no other |
//! | Cryptomatte | those that the file's metadata names | by id: coverages summed by samples, sorted, cut to the ranks there are |
//! | whole | motion vectors (a mean over the samples that hit something, and how many did is not in the file), shadow catcher (a quotient of what is not in the file) | not at all: such a frame is cut into tiles |
//!
//! Both spellings are known, that of Blender up to 4.x (`DiffDir`) and that of 5.x (`Diffuse Direct`). Measured on 3.4.1 and
//! 5.0.1: the plain mean of light passes is wrong by as much as the passes are bright where colours change within a pixel.
//!
//! A pass that is not in the table may be anything, a user's own output (AOV) or that of a version to come: whoever
//! merges has to say what it is, or gets an error that names it.

use crate::PassName;

/// How a pass is merged from ranges of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The mean, weighted by samples.
    Average,
    /// Light that Cycles has divided by a colour.
    Ratio {
        /// The colour's pass, in the same view layer and view, in the spelling of the pass itself.
        colour: &'static str,
    },
    /// As in the part that has sample 0.
    First,
    /// It cannot be merged.
    Whole {
        /// Why, to follow "because".
        reason: &'static str,
    },
}

const NO_MOTION_WEIGHT: &str =
    "motion is a mean over the samples that hit something, and the file does not say how many did";
const NO_CATCHER_LIGHT: &str =
    "a shadow catcher's pass is the quotient of two kinds of light that are not in the file";

/// Passes by name. What ends in `*` is the beginning of a name.
const TABLE: &[(&str, Class)] = &[
    ("", Class::Average),
    ("Combined", Class::Average),
    // Light groups.
    ("Combined_*", Class::Average),
    ("Noisy Image", Class::Average),
    ("Normal", Class::Average),
    ("UV", Class::Average),
    ("Mist", Class::Average),
    ("AO", Class::Average),
    ("Ambient Occlusion", Class::Average),
    ("Shadow", Class::Average),
    ("Emit", Class::Average),
    ("Emission", Class::Average),
    ("Env", Class::Average),
    ("Environment", Class::Average),
    ("DiffCol", Class::Average),
    ("Diffuse Color", Class::Average),
    ("GlossCol", Class::Average),
    ("Glossy Color", Class::Average),
    ("TransCol", Class::Average),
    ("Transmission Color", Class::Average),
    ("SubsurfaceCol", Class::Average),
    ("Subsurface Color", Class::Average),
    ("VolumeDir", Class::Average),
    ("Volume Direct", Class::Average),
    ("VolumeInd", Class::Average),
    ("Volume Indirect", Class::Average),
    ("Denoising *", Class::Average),
    ("Debug Sample Count", Class::Average),
    ("DiffDir", Class::Ratio { colour: "DiffCol" }),
    ("DiffInd", Class::Ratio { colour: "DiffCol" }),
    ("GlossDir", Class::Ratio { colour: "GlossCol" }),
    ("GlossInd", Class::Ratio { colour: "GlossCol" }),
    ("TransDir", Class::Ratio { colour: "TransCol" }),
    ("TransInd", Class::Ratio { colour: "TransCol" }),
    (
        "SubsurfaceDir",
        Class::Ratio {
            colour: "SubsurfaceCol",
        },
    ),
    (
        "SubsurfaceInd",
        Class::Ratio {
            colour: "SubsurfaceCol",
        },
    ),
    (
        "Diffuse Direct",
        Class::Ratio {
            colour: "Diffuse Color",
        },
    ),
    (
        "Diffuse Indirect",
        Class::Ratio {
            colour: "Diffuse Color",
        },
    ),
    (
        "Glossy Direct",
        Class::Ratio {
            colour: "Glossy Color",
        },
    ),
    (
        "Glossy Indirect",
        Class::Ratio {
            colour: "Glossy Color",
        },
    ),
    (
        "Transmission Direct",
        Class::Ratio {
            colour: "Transmission Color",
        },
    ),
    (
        "Transmission Indirect",
        Class::Ratio {
            colour: "Transmission Color",
        },
    ),
    (
        "Subsurface Direct",
        Class::Ratio {
            colour: "Subsurface Color",
        },
    ),
    (
        "Subsurface Indirect",
        Class::Ratio {
            colour: "Subsurface Color",
        },
    ),
    ("Depth", Class::First),
    ("Position", Class::First),
    ("IndexOB", Class::First),
    ("Object Index", Class::First),
    ("IndexMA", Class::First),
    ("Material Index", Class::First),
    (
        "Vector",
        Class::Whole {
            reason: NO_MOTION_WEIGHT,
        },
    ),
    (
        "Shadow Catcher",
        Class::Whole {
            reason: NO_CATCHER_LIGHT,
        },
    ),
    (
        "Noisy Shadow Catcher",
        Class::Whole {
            reason: NO_CATCHER_LIGHT,
        },
    ),
];

/// The class of a pass of Cycles that is no Cryptomatte; none if the table does not know it.
#[must_use]
pub fn class_of(pass: &PassName) -> Option<Class> {
    let matches = |pattern: &str| match pattern.strip_suffix('*') {
        Some(start) => pass.pass.starts_with(start),
        None => pass.pass == pattern,
    };
    let found = TABLE.iter().find(|(pattern, _)| matches(pattern));
    found.map(|(_, class)| *class)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pass: &str, expected: Option<Class>) {
        assert_eq!(
            class_of(&PassName::new("ViewLayer", pass)),
            expected,
            "{pass}"
        );
    }

    #[test]
    fn passes_are_known_by_both_their_names() {
        check("Combined", Some(Class::Average));
        check("Combined_key light", Some(Class::Average));
        check("Denoising Albedo", Some(Class::Average));
        check("DiffDir", Some(Class::Ratio { colour: "DiffCol" }));
        check(
            "Diffuse Direct",
            Some(Class::Ratio {
                colour: "Diffuse Color",
            }),
        );
        check("Depth", Some(Class::First));
        check("IndexOB", Some(Class::First));
        check(
            "Vector",
            Some(Class::Whole {
                reason: NO_MOTION_WEIGHT,
            }),
        );
        check("a user's own", None);
        check("Combine", None);
    }

    #[test]
    fn the_colour_of_every_light_is_an_average() {
        for (pass, class) in TABLE {
            if let Class::Ratio { colour } = class {
                assert_eq!(
                    class_of(&PassName::new("", *colour)),
                    Some(Class::Average),
                    "{pass}"
                );
            }
        }
    }
}
