//! Which channel is made of what: the classes of the passes, spelled out for the channels of the files at hand.

use std::collections::{BTreeMap, BTreeSet};

use crate::class::{Class, class_of};
use crate::rows::Place;
use crate::{ChannelName, Cryptomatte, MergeError, PassName};

/// How one channel is merged. Channels are named by their place in the sorted list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    Average,
    First,
    /// By the ratio that it is a channel of.
    Ratio,
    /// By the Cryptomatte that it is a channel of.
    Cryptomatte,
}

/// The three channels of a light, each with that of its colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ratio {
    pub light: [usize; 3],
    pub colour: [usize; 3],
}

/// The ranks of a Cryptomatte from the first: the channels of id and coverage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ranks(pub Vec<(usize, usize)>);

/// All channels of a frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Recipe {
    pub steps: Vec<Step>,
    pub ratios: Vec<Ratio>,
    pub cryptomattes: Vec<Ranks>,
}

/// `own` says what passes are that the table does not know, by their names without layer and view; `others`, what the rest is.
pub(crate) fn recipe(
    places: &[Place],
    cryptomattes: &[Cryptomatte],
    own: &BTreeMap<String, Class>,
    others: Option<Class>,
) -> Result<Recipe, MergeError> {
    let mut recipe = Recipe {
        steps: vec![Step::Average; places.len()],
        ..Recipe::default()
    };
    let mut unknown = BTreeSet::new();
    let mut start = 0;
    for channels in places.chunk_by(|a, b| a.name.pass == b.name.pass) {
        let pass = &channels[0].name.pass;
        let indexes = start..start + channels.len();
        start = indexes.end;
        if is_cryptomatte(pass, cryptomattes) {
            recipe.steps[indexes].fill(Step::Cryptomatte);
            continue;
        }
        let others = others.filter(|_| !pass.pass.starts_with("Crypto"));
        let known = class_of(pass).or_else(|| own.get(&pass.pass).copied());
        match known.or(others) {
            Some(Class::Average) => {}
            Some(Class::First) => recipe.steps[indexes].fill(Step::First),
            Some(Class::Ratio { colour }) => {
                recipe.ratios.push(ratio(places, pass, colour)?);
                recipe.steps[indexes].fill(Step::Ratio);
            }
            Some(Class::Whole { reason }) => {
                return Err(MergeError::Whole {
                    pass: Box::new(pass.clone()),
                    reason,
                });
            }
            None => {
                unknown.insert(pass.to_string());
            }
        }
    }
    if !unknown.is_empty() {
        return Err(MergeError::Unknown {
            passes: unknown.into_iter().collect::<Vec<_>>().join(", "),
        });
    }
    recipe.cryptomattes = ranks(places, cryptomattes);
    Ok(recipe)
}

fn ratio(places: &[Place], light: &PassName, colour: &'static str) -> Result<Ratio, MergeError> {
    let of = |pass: &PassName| {
        let channel = |channel: &str| {
            let name = ChannelName {
                pass: pass.clone(),
                channel: channel.to_owned(),
            };
            places.binary_search_by(|place| place.name.cmp(&name)).ok()
        };
        Some([channel("R")?, channel("G")?, channel("B")?])
    };
    let by = PassName {
        pass: colour.to_owned(),
        ..light.clone()
    };
    match (of(light), of(&by)) {
        (Some(light), Some(colour)) => Ok(Ratio { light, colour }),
        _ => Err(MergeError::NoColour {
            pass: Box::new(light.clone()),
            colour: Box::new(by),
        }),
    }
}

/// `ViewLayer.CryptoObject00` belongs to the Cryptomatte `ViewLayer.CryptoObject`.
fn base_of(pass: &PassName) -> Option<(&str, usize)> {
    let at = pass.pass.len().checked_sub(2)?;
    let (base, number) = pass.pass.split_at_checked(at)?;
    Some((base, number.parse().ok()?))
}

fn is_cryptomatte(pass: &PassName, cryptomattes: &[Cryptomatte]) -> bool {
    let Some((base, _)) = base_of(pass) else {
        return false;
    };
    let name = format!("{}.{base}", pass.layer);
    cryptomattes.iter().any(|one| one.name == name)
}

/// The channels of id and coverage, by the number of their pass and their place in it.
type ByRank = BTreeMap<(usize, u8), [Option<usize>; 2]>;

fn ranks(places: &[Place], cryptomattes: &[Cryptomatte]) -> Vec<Ranks> {
    // By Cryptomatte and view: of each file of two ranks the channels r, g, b, a. Names sort in the order of the ranks.
    let mut found: BTreeMap<(String, String, String), ByRank> = BTreeMap::new();
    for (index, place) in places.iter().enumerate() {
        let pass = &place.name.pass;
        if !is_cryptomatte(pass, cryptomattes) {
            continue;
        }
        let Some((base, number)) = base_of(pass) else {
            continue;
        };
        let (rank, which) = match place.name.channel.to_ascii_lowercase().as_str() {
            "r" => (0, 0),
            "g" => (0, 1),
            "b" => (1, 0),
            "a" => (1, 1),
            _ => continue,
        };
        let key = (pass.layer.clone(), base.to_owned(), pass.view.clone());
        found
            .entry(key)
            .or_default()
            .entry((number, rank))
            .or_default()[which] = Some(index);
    }
    let of_one = |ranks: ByRank| {
        let pairs = ranks.into_values();
        Ranks(
            pairs
                .filter_map(|[id, coverage]| Some((id?, coverage?)))
                .collect(),
        )
    };
    found.into_values().map(of_one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SampleType;

    fn places(names: &[&str]) -> Vec<Place> {
        let mut places: Vec<Place> = names
            .iter()
            .map(|name| {
                let words: Vec<&str> = name.split('.').collect();
                Place {
                    name: ChannelName {
                        pass: PassName::new(words[0], words[1]),
                        channel: words[2].to_owned(),
                    },
                    sample_type: SampleType::Float,
                    part: 0,
                    channel: 0,
                }
            })
            .collect();
        places.sort_by(|a, b| a.name.cmp(&b.name));
        places
    }

    fn crypto(name: &str) -> Cryptomatte {
        Cryptomatte {
            key: String::new(),
            name: name.to_owned(),
            hash: String::new(),
            conversion: String::new(),
            manifest: String::new(),
        }
    }

    #[test]
    fn channels_are_merged_by_what_they_are() {
        let names = [
            "L.Combined.R",
            "L.Depth.Z",
            "L.DiffCol.B",
            "L.DiffCol.G",
            "L.DiffCol.R",
            "L.DiffDir.B",
            "L.DiffDir.G",
            "L.DiffDir.R",
            "L.Crypto00.r",
            "L.Crypto00.g",
            "L.Crypto00.b",
            "L.Crypto00.a",
            "L.Crypto01.r",
            "L.Crypto01.g",
        ];
        let places = places(&names);
        let at = |name: &str| {
            places
                .iter()
                .position(|place| place.name.to_string() == name)
                .unwrap()
        };
        let made = recipe(&places, &[crypto("L.Crypto")], &BTreeMap::new(), None).unwrap();
        assert_eq!(made.steps[at("L.Combined.R")], Step::Average);
        assert_eq!(made.steps[at("L.Depth.Z")], Step::First);
        assert_eq!(made.steps[at("L.DiffDir.G")], Step::Ratio);
        let rgb = |pass: &str| ["R", "G", "B"].map(|channel| at(&format!("L.{pass}.{channel}")));
        let expected = Ratio {
            light: rgb("DiffDir"),
            colour: rgb("DiffCol"),
        };
        assert_eq!(made.ratios, [expected]);
        let rank = |file: &str, id: &str, coverage: &str| {
            (
                at(&format!("L.{file}.{id}")),
                at(&format!("L.{file}.{coverage}")),
            )
        };
        let expected = Ranks(vec![
            rank("Crypto00", "r", "g"),
            rank("Crypto00", "b", "a"),
            rank("Crypto01", "r", "g"),
        ]);
        assert_eq!(made.cryptomattes, [expected]);
    }

    #[test]
    fn what_cannot_be_merged_is_named() {
        let refused = |names: &[&str], own: &[(&str, Class)]| {
            let own = own
                .iter()
                .map(|(name, class)| ((*name).to_owned(), *class))
                .collect();
            recipe(&places(names), &[], &own, None).map_err(|error| error.to_string())
        };
        let error = refused(&["L.Vector.X"], &[]).unwrap_err();
        assert!(
            error.contains("L.Vector") && error.contains("tiles"),
            "{error}"
        );
        let error = refused(&["L.glow.R", "M.glow.R", "M.shine.R"], &[]).unwrap_err();
        assert!(error.contains("L.glow, M.glow, M.shine"), "{error}");
        refused(&["L.glow.R"], &[("glow", Class::Average)]).unwrap();
        let error = refused(&["L.DiffDir.R", "L.DiffDir.G", "L.DiffDir.B"], &[]).unwrap_err();
        assert!(error.contains("L.DiffCol"), "{error}");
        // Ids without the metadata that says what they are.
        assert!(refused(&["L.CryptoObject00.r"], &[]).is_err());
    }

    #[test]
    fn all_passes_of_users_own_may_be_said_to_be_averages() {
        let made =
            |names: &[&str]| recipe(&places(names), &[], &BTreeMap::new(), Some(Class::Average));
        let steps = made(&["L.Depth.Z", "L.glow.R"]).unwrap().steps;
        assert_eq!(steps, [Step::First, Step::Average]);
        assert!(made(&["L.CryptoObject00.r"]).is_err());
        assert!(made(&["L.Vector.X"]).is_err());
    }
}
