//! The pixels of a tile in some rows of the frame, summed over its ranges of samples.
//!
//! Sums are kept in `f64`: a float times a number of samples is exact in it, so one part alone comes out as it went in, and
//! the order of the parts is seen in no float.

use exr::prelude::f16;

use crate::recipe::{Ranks, Ratio, Recipe, Step};
use crate::{SampleType, Samples, Window};

/// What of one tile lies in some rows.
#[derive(Debug)]
pub(crate) struct Sums<'a> {
    recipe: &'a Recipe,
    /// The pixels in the frame.
    pub window: Window,
    sums: Vec<Vec<f64>>,
    first: Vec<Option<Samples>>,
    /// Of each Cryptomatte, for each pixel the ids with their coverage times samples, in the order they came.
    ids: Vec<Vec<Vec<(u32, f64)>>>,
    samples: f64,
    /// Values of the planes that are added.
    values: [Vec<f64>; 2],
}

impl<'a> Sums<'a> {
    pub(crate) fn new(recipe: &'a Recipe, window: Window) -> Self {
        let area = window.area();
        let sum = |step: &Step| match step {
            // Of nothing: with it, the sum of negative zeros is a negative zero.
            Step::Average | Step::Ratio => vec![-0.0; area],
            Step::First | Step::Cryptomatte => Vec::new(),
        };
        Self {
            recipe,
            window,
            sums: recipe.steps.iter().map(sum).collect(),
            first: recipe.steps.iter().map(|_| None).collect(),
            ids: vec![vec![Vec::new(); area]; recipe.cryptomattes.len()],
            samples: 0.0,
            values: [Vec::new(), Vec::new()],
        }
    }

    /// Adds a range of `samples`; `planes` are the tile's pixels in these rows. Ranges come in their order.
    pub(crate) fn add(&mut self, planes: &[Samples], samples: u32) {
        let weight = f64::from(samples);
        self.samples += weight;
        let recipe = self.recipe;
        let [values, colours] = &mut self.values;
        for (index, step) in recipe.steps.iter().enumerate() {
            if *step == Step::Average {
                match &planes[index] {
                    // The most common by far, and the fastest without a list of values between.
                    Samples::Float(floats) => {
                        for (sum, float) in self.sums[index].iter_mut().zip(floats) {
                            *sum += f64::from(*float) * weight;
                        }
                    }
                    other => {
                        values_of(other, values);
                        for (sum, value) in self.sums[index].iter_mut().zip(&*values) {
                            *sum += value * weight;
                        }
                    }
                }
            }
        }
        for Ratio { light, colour } in &recipe.ratios {
            for (light, colour) in light.iter().zip(colour) {
                values_of(&planes[*light], values);
                values_of(&planes[*colour], colours);
                let pairs = values.iter().zip(&*colours);
                for (sum, (light, colour)) in self.sums[*light].iter_mut().zip(pairs) {
                    *sum += light * colour * weight;
                }
            }
        }
        for (Ranks(ranks), ids) in recipe.cryptomattes.iter().zip(&mut self.ids) {
            for (id, coverage) in ranks {
                values_of(&planes[*coverage], values);
                add_ids(ids, &planes[*id], values, weight);
            }
        }
        for (index, plane) in planes.iter().enumerate() {
            if recipe.steps[index] == Step::First && self.first[index].is_none() {
                self.first[index] = Some(plane.clone());
            }
        }
    }

    /// The pixels, each channel in its type.
    pub(crate) fn finish(mut self, types: impl Iterator<Item = SampleType>) -> Vec<Samples> {
        let mut done: Vec<Vec<f64>> = self.sums;
        for Ratio { light, colour } in &self.recipe.ratios {
            (0..self.window.area()).for_each(|at| {
                let light_here = light.map(|index| done[index][at]);
                let by = colour.map(|index| done[index][at]);
                for (index, value) in light.iter().zip(divided(light_here, by)) {
                    done[*index][at] = value;
                }
            });
        }
        for (index, step) in self.recipe.steps.iter().enumerate() {
            if *step == Step::Average {
                done[index].iter_mut().for_each(|sum| *sum /= self.samples);
            }
        }
        let mut planes: Vec<Samples> = done
            .into_iter()
            .zip(types)
            .map(|(sums, sample_type)| rounded(&sums, sample_type))
            .collect();
        for (index, first) in self.first.iter_mut().enumerate() {
            if let Some(first) = first.take() {
                planes[index] = first;
            }
        }
        for (Ranks(ranks), ids) in self.recipe.cryptomattes.iter().zip(self.ids) {
            let by_rank = ranked(ids, ranks.len(), self.samples);
            for ((id, coverage), (ids, coverages)) in ranks.iter().zip(by_rank) {
                // An id is the bits of a float, and whatever they say as a number, they stay.
                planes[*id] = Samples::Float(ids.into_iter().map(f32::from_bits).collect());
                planes[*coverage] = rounded(&coverages, planes[*coverage].sample_type());
            }
        }
        planes
    }
}

/// Light through its colour, as Cycles divides them when it hands out passes: where a colour has no red, the light's red is
/// guessed from green and blue, and so on, so that it is grey (`safe_divide_even_color` in Cycles' `util/math_float3.h`).
fn divided(light: [f64; 3], colour: [f64; 3]) -> [f64; 3] {
    let [x, y, z] = [0, 1, 2].map(|at| match colour[at] == 0.0 {
        true => 0.0,
        false => light[at] / colour[at],
    });
    match colour.map(|colour| colour == 0.0) {
        [true, true, _] => [z, z, z],
        [true, false, true] => [y, y, y],
        [true, false, false] => [0.5 * (y + z), y, z],
        [false, true, true] => [x, x, x],
        [false, true, false] => [x, 0.5 * (x + z), z],
        [false, false, true] => [x, y, 0.5 * (x + y)],
        [false, false, false] => [x, y, z],
    }
}

fn values_of(plane: &Samples, to: &mut Vec<f64>) {
    to.clear();
    match plane {
        Samples::Half(samples) => to.extend(samples.iter().map(|half| half.to_f64())),
        Samples::Float(samples) => to.extend(samples.iter().map(|float| f64::from(*float))),
        Samples::Uint(samples) => to.extend(samples.iter().map(|uint| f64::from(*uint))),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a mean of values of the type is one of its values, rounded"
)]
fn rounded(sums: &[f64], sample_type: SampleType) -> Samples {
    match sample_type {
        SampleType::Half => Samples::Half(sums.iter().map(|sum| f16::from_f64(*sum)).collect()),
        SampleType::Float => Samples::Float(sums.iter().map(|sum| *sum as f32).collect()),
        SampleType::Uint => Samples::Uint(sums.iter().map(|sum| sum.round() as u32).collect()),
    }
}

fn add_ids(pixels: &mut [Vec<(u32, f64)>], ids: &Samples, coverages: &[f64], weight: f64) {
    let Samples::Float(ids) = ids else {
        return;
    };
    for ((pixel, id), coverage) in pixels.iter_mut().zip(ids).zip(coverages) {
        if *coverage == 0.0 && *id == 0.0 {
            continue;
        }
        let (id, hits) = (id.to_bits(), hits(coverage * weight));
        match pixel.iter_mut().find(|(known, _)| *known == id) {
            Some((_, sum)) => *sum += hits,
            None => pixel.push((id, hits)),
        }
    }
}

/// What Cycles counted before it divided by the samples: a whole number wherever nothing is transparent, which the division
/// in `f32` has moved by its rounding.
fn hits(covered: f64) -> f64 {
    let whole = covered.round();
    match (covered - whole).abs() <= covered.abs() * f64::from(f32::EPSILON) * 2.0 {
        true => whole,
        false => covered,
    }
}

/// Of each rank the ids and coverages of all pixels.
#[expect(
    clippy::cast_possible_truncation,
    reason = "Cycles' own numbers are floats"
)]
fn ranked(pixels: Vec<Vec<(u32, f64)>>, ranks: usize, samples: f64) -> Vec<(Vec<u32>, Vec<f64>)> {
    let mut planes = vec![(vec![0; pixels.len()], vec![0.0; pixels.len()]); ranks];
    for (at, mut pixel) in pixels.into_iter().enumerate() {
        // Stable, as Cycles' own sorting is: of two that cover as much the first that was hit is first.
        pixel.sort_by(|(_, a), (_, b)| b.total_cmp(a));
        for ((ids, coverages), (id, sum)) in planes.iter_mut().zip(pixel) {
            ids[at] = id;
            // Multiplied as Cycles does it, not divided: the last bit is the same.
            coverages[at] = f64::from(sum as f32 * (1.0 / samples as f32));
        }
    }
    planes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pixel(recipe: &Recipe, parts: &[(&[f32], u32)]) -> Vec<f32> {
        let window = Window {
            x: 0,
            y: 0,
            width: 1,
            height: 1,
        };
        let planes = |values: &[f32]| {
            values
                .iter()
                .map(|value| Samples::Float(vec![*value]))
                .collect::<Vec<_>>()
        };
        let mut sums = Sums::new(recipe, window);
        for (values, samples) in parts {
            sums.add(&planes(values), *samples);
        }
        let done = sums.finish(parts[0].0.iter().map(|_| SampleType::Float));
        let value = |plane: &Samples| match plane {
            Samples::Float(values) => values[0],
            other => panic!("{other:?}"),
        };
        done.iter().map(value).collect()
    }

    #[test]
    fn a_mean_is_weighted_and_a_first_is_the_first() {
        let recipe = Recipe {
            steps: vec![Step::Average, Step::First],
            ..Recipe::default()
        };
        assert_eq!(
            pixel(&recipe, &[(&[1.0, 7.0], 1), (&[2.0, 1e10], 3)]),
            [1.75, 7.0]
        );
        let alone = pixel(&recipe, &[(&[-0.0, 0.1], 64)]);
        assert_eq!(alone[0].to_bits(), (-0.0_f32).to_bits());
        assert!(
            pixel(
                &recipe,
                &[(&[f32::INFINITY, 0.0], 1), (&[f32::NEG_INFINITY, 0.0], 1)]
            )[0]
            .is_nan()
        );
    }

    #[test]
    fn light_is_divided_by_colour_after_the_sum() {
        let recipe = Recipe {
            steps: [vec![Step::Ratio; 3], vec![Step::Average; 3]].concat(),
            ratios: vec![Ratio {
                light: [0, 1, 2],
                colour: [3, 4, 5],
            }],
            cryptomattes: Vec::new(),
        };
        // A black part tells nothing; grey where there is no red.
        let parts: [(&[f32], u32); 2] = [
            (&[8.0, 8.0, 8.0, 0.0, 1.0, 0.5], 1),
            (&[0.0, 4.0, 2.0, 0.0, 3.0, 0.5], 1),
        ];
        let made = pixel(&recipe, &parts);
        assert_eq!(made, [5.0, 5.0, 5.0, 0.0, 2.0, 0.5]);
    }

    #[test]
    fn ids_are_merged_each_for_itself() {
        let recipe = Recipe {
            steps: vec![Step::Cryptomatte; 4],
            ratios: Vec::new(),
            cryptomattes: vec![Ranks(vec![(0, 1), (2, 3)])],
        };
        let (a, b, c) = (1.5, f32::from_bits(0x7f80_0001), -3.0);
        let parts: [(&[f32], u32); 2] = [(&[a, 0.75, b, 0.25], 4), (&[b, 0.5, c, 0.5], 12)];
        let made = pixel(&recipe, &parts);
        let bits: Vec<u32> = made.iter().map(|value| value.to_bits()).collect();
        assert_eq!(
            bits,
            [
                b.to_bits(),
                0.4375_f32.to_bits(),
                c.to_bits(),
                0.375_f32.to_bits()
            ]
        );
        assert_eq!(
            pixel(
                &recipe,
                &[(&[0.0, 0.0, 0.0, 0.0], 4), (&[0.0, 0.0, 0.0, 0.0], 1)]
            ),
            [0.0; 4]
        );
    }
}
