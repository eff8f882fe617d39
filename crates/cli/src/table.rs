//! Columns of text, as wide as their widest entry.

/// Rows under a heading. Columns whose heading begins with `>` are aligned to the right.
#[derive(Debug)]
pub(crate) struct Table {
    headings: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub(crate) fn new(headings: &[&'static str]) -> Self {
        Self {
            headings: headings.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row; one entry for each heading.
    pub(crate) fn row(&mut self, entries: impl IntoIterator<Item = String>) {
        let row: Vec<String> = entries.into_iter().map(|text| printable(&text)).collect();
        debug_assert_eq!(row.len(), self.headings.len());
        self.rows.push(row);
    }

    /// Whether there are no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines, heading first, without blanks at their ends.
    pub(crate) fn lines(&self) -> Vec<String> {
        let heading = |text: &str| text.trim_start_matches('>').to_owned();
        let headings: Vec<String> = self.headings.iter().map(|text| heading(text)).collect();
        let mut widths: Vec<usize> = headings.iter().map(|text| width(text)).collect();
        for row in &self.rows {
            for (width_so_far, entry) in widths.iter_mut().zip(row) {
                *width_so_far = (*width_so_far).max(width(entry));
            }
        }
        std::iter::once(&headings)
            .chain(&self.rows)
            .map(|row| {
                let mut line = String::new();
                for (column, entry) in row.iter().enumerate() {
                    let blanks = " ".repeat(widths[column] - width(entry));
                    if column > 0 {
                        line.push_str("  ");
                    }
                    if self.headings[column].starts_with('>') {
                        line = line + &blanks + entry;
                    } else {
                        line = line + entry + &blanks;
                    }
                }
                line.trim_end().to_owned()
            })
            .collect()
    }
}

/// Columns of a terminal that a text takes.
fn width(text: &str) -> usize {
    console::measure_text_width(text)
}

/// Text of unknown origin (names of jobs, workers, errors) without signs that would steer the terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|sign| if sign.is_control() { ' ' } else { sign })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["NAME", ">FRAMES", "OWNER"]);
        table.row(["shöt".into(), "7".into(), "anna".into()]);
        table.row([
            "a longer\u{1b}[2J name".into(),
            "1200".into(),
            String::new(),
        ]);
        assert_eq!(
            table.lines(),
            [
                "NAME               FRAMES  OWNER",
                "shöt                    7  anna",
                "a longer [2J name    1200",
            ]
        );
    }
}
