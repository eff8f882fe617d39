//! Figures and how they are printed.

use std::fmt;

/// What a figure aims at.
#[derive(Debug, Clone, Copy)]
pub(super) enum Aim {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
    /// Said for understanding only.
    None,
}

/// One measured number.
#[derive(Debug, Clone)]
pub(super) struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
    pub aim: Aim,
    /// What it was made of.
    pub note: String,
}

impl Figure {
    fn met(&self) -> &'static str {
        let met = match self.aim {
            Aim::AtLeast(aim) => self.value >= aim,
            Aim::AtMost(aim) => self.value <= aim,
            Aim::None => return "",
        };
        if met { "met" } else { "NOT MET" }
    }

    fn aim(&self) -> String {
        match self.aim {
            Aim::AtLeast(aim) => format!("≥ {aim} {}", self.unit),
            Aim::AtMost(aim) => format!("≤ {aim} {}", self.unit),
            Aim::None => String::new(),
        }
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:.3} {}", self.name, self.value, self.unit)?;
        if !matches!(self.aim, Aim::None) {
            write!(f, " (aim {}: {})", self.aim(), self.met())?;
        }
        if !self.note.is_empty() {
            write!(f, "; {}", self.note)?;
        }
        Ok(())
    }
}

/// All figures below one another.
pub(super) fn of(figures: &[Figure]) -> String {
    let width = figures
        .iter()
        .map(|figure| figure.name.chars().count())
        .max()
        .unwrap_or(0);
    let mut lines = Vec::new();
    for figure in figures {
        let pad = " ".repeat(width - figure.name.chars().count());
        lines.push(format!(
            "{}{pad}  {:>10.3} {:<8} {:<14} {}",
            figure.name,
            figure.value,
            figure.unit,
            figure.aim(),
            figure.met()
        ));
    }
    lines.join("\n")
}

/// The value below which a share (0 to 1) of the values lies; 0 of none.
pub(super) fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = (sorted.len().saturating_sub(1)) as f64 * share;
    sorted.get(at.round() as usize).copied().unwrap_or(0.0)
}
