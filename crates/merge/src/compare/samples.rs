//! The distance of two samples and of two passes, exactly.

use exr::prelude::f16;

use super::report::{FirstDifference, PassReport};
use crate::{Channel, Samples, Window};

/// What there is to know about a pair of samples, in each of the three types.
trait Sample: Copy {
    /// Equal only if every bit is.
    fn same_bits(self, other: Self) -> bool;
    /// The value, exact in this type; NaN and infinities included.
    fn value(self) -> f64;
    /// The rank among all values of the type, so that neighbours are 1 apart: for floats, the bits of negative values
    /// reversed, as in Bruce Dawson, "Comparing Floating Point Numbers", with −0 just below +0.
    fn rank(self) -> i64;
    /// As text that gives the bits back.
    fn text(self) -> String;
}

impl Sample for f16 {
    fn same_bits(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    fn value(self) -> f64 {
        self.to_f64()
    }

    fn rank(self) -> i64 {
        let bits = i64::from(self.to_bits());
        if bits < 0x8000 { bits } else { 0x7fff - bits }
    }

    fn text(self) -> String {
        if self.is_nan() {
            format!("NaN {:#06x}", self.to_bits())
        } else {
            format!("{:?}", self.to_f32())
        }
    }
}

impl Sample for f32 {
    fn same_bits(self, other: Self) -> bool {
        self.to_bits() == other.to_bits()
    }

    fn value(self) -> f64 {
        self.into()
    }

    fn rank(self) -> i64 {
        let bits = i64::from(self.to_bits());
        if bits < 0x8000_0000 {
            bits
        } else {
            0x7fff_ffff - bits
        }
    }

    fn text(self) -> String {
        if self.is_nan() {
            format!("NaN {:#010x}", self.to_bits())
        } else {
            format!("{self:?}")
        }
    }
}

impl Sample for u32 {
    fn same_bits(self, other: Self) -> bool {
        self == other
    }

    fn value(self) -> f64 {
        self.into()
    }

    fn rank(self) -> i64 {
        self.into()
    }

    fn text(self) -> String {
        self.to_string()
    }
}

/// The channels of one pass that both sides have with the same window and type.
#[derive(Debug)]
pub(crate) struct PassComparison {
    report: PassReport,
    /// Per window, which of its pixels differ. The channels of a pass have one window, unless several parts gave them.
    differing: Vec<(Window, Vec<bool>)>,
}

impl PassComparison {
    pub(crate) fn of(pass: String) -> Self {
        let report = PassReport {
            pass,
            pixels: 0,
            differing_pixels: 0,
            max_abs: 0.0,
            max_ulps: 0,
            not_finite: 0,
            first: None,
        };
        Self {
            report,
            differing: Vec::new(),
        }
    }

    /// Adds a channel. Both have the same window and sample type.
    pub(crate) fn add(&mut self, a: &Channel, b: &Channel) {
        match (&a.samples, &b.samples) {
            (Samples::Half(left), Samples::Half(right)) => self.add_samples(a, left, right),
            (Samples::Float(left), Samples::Float(right)) => self.add_samples(a, left, right),
            (Samples::Uint(left), Samples::Uint(right)) => self.add_samples(a, left, right),
            _ => unreachable!("channels of different types are reported and not compared"),
        }
    }

    fn add_samples<T: Sample>(&mut self, channel: &Channel, a: &[T], b: &[T]) {
        let window = channel.window;
        let known = self
            .differing
            .iter()
            .position(|(other, _)| *other == window);
        let index = known.unwrap_or_else(|| {
            self.differing.push((window, vec![false; window.area()]));
            self.differing.len() - 1
        });
        let pairs = a.iter().copied().zip(b.iter().copied()).enumerate();
        for (pixel, (a, b)) in pairs.filter(|(_, (a, b))| !a.same_bits(*b)) {
            self.differing[index].1[pixel] = true;
            let distance = (a.value() - b.value()).abs();
            if distance.is_finite() {
                self.report.max_abs = self.report.max_abs.max(distance);
                self.report.max_ulps = self.report.max_ulps.max(a.rank().abs_diff(b.rank()));
            } else {
                self.report.not_finite += 1;
            }
            let (x, y) = place(window, pixel);
            let later = |first: &FirstDifference| (first.y, first.x) > (y, x);
            if self.report.first.as_ref().is_none_or(later) {
                let channel = channel.name.channel.clone();
                self.report.first = Some(FirstDifference {
                    x,
                    y,
                    channel,
                    a: a.text(),
                    b: b.text(),
                });
            }
        }
    }

    /// The report, or none if no channel could be compared.
    pub(crate) fn report(mut self) -> Option<PassReport> {
        for (window, differing) in &self.differing {
            self.report.pixels += window.area() as u64;
            self.report.differing_pixels +=
                differing.iter().filter(|differs| **differs).count() as u64;
        }
        (self.report.pixels > 0).then_some(self.report)
    }
}

/// The place of a pixel in the plane. Windows are bounded by the format to 32 bits.
fn place(window: Window, pixel: usize) -> (i32, i32) {
    let column = i32::try_from(pixel % window.width).unwrap_or(i32::MAX);
    let row = i32::try_from(pixel / window.width).unwrap_or(i32::MAX);
    (
        window.x.saturating_add(column),
        window.y.saturating_add(row),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_step_apart() {
        for value in [0.0_f32, 1.0, -1.0, 1e-40, f32::MAX, -f32::MIN_POSITIVE] {
            assert_eq!(value.next_up().rank() - value.rank(), 1, "{value:?}");
        }
        assert_eq!(0.0_f32.rank() - (-0.0_f32).rank(), 1);
        assert_eq!(f16::from_bits(0).rank() - f16::from_bits(0x8000).rank(), 1);
        assert_eq!(
            f16::from_bits(0x8000).rank() - f16::from_bits(0x8001).rank(),
            1
        );
        assert_eq!(
            f16::from_bits(0x3c01).rank() - f16::from_bits(0x3c00).rank(),
            1
        );
    }
}
