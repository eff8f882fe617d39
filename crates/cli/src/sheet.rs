//! Everything about one thing: a heading, and lines of a name and a value.

use crate::table::printable;

/// See the module.
#[derive(Debug)]
pub(crate) struct Sheet(Vec<String>);

impl Sheet {
    /// One of this heading.
    pub(crate) fn new(heading: String) -> Self {
        Self(vec![heading])
    }

    /// Adds a line, if there is a value.
    pub(crate) fn say(&mut self, what: &str, value: impl AsRef<str>) {
        let value = value.as_ref();
        if !value.is_empty() {
            self.0.push(format!("  {what:<10} {}", printable(value)));
        }
    }

    /// All of it.
    pub(crate) fn text(&self) -> String {
        self.0.join("\n")
    }
}
