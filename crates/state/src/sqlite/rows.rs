//! Many rows as one parameter of a statement: a JSON array of arrays, which SQLite's `json_each` makes rows of again.
//!
//! So a statement is the same text however many rows it is about, is prepared once, and costs one turn of the connection.

use std::fmt::{Display, Write};

/// Rows in the making.
#[derive(Debug)]
pub(super) struct Rows {
    json: String,
}

impl Default for Rows {
    fn default() -> Self {
        Self::new()
    }
}

impl Rows {
    pub(super) fn new() -> Self {
        Self { json: "[".into() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.json.len() == 1
    }

    /// A row of `values`, each of which must be JSON as it displays itself: numbers are.
    pub(super) fn push<const N: usize>(&mut self, values: [&dyn Display; N]) {
        self.json.push('[');
        for value in values {
            write!(self.json, "{value},").expect("a string takes every text");
        }
        self.json.pop();
        self.json.push_str("],");
    }

    /// The parameter.
    pub(super) fn into_json(mut self) -> String {
        if !self.is_empty() {
            self.json.pop();
        }
        self.json.push(']');
        self.json
    }
}

/// A list of values as one parameter.
pub(super) fn list(values: impl IntoIterator<Item = impl Display>) -> String {
    let mut json = String::from("[");
    for value in values {
        write!(json, "{value},").expect("a string takes every text");
    }
    if json.len() > 1 {
        json.pop();
    }
    json.push(']');
    json
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_json() {
        let mut rows = Rows::new();
        assert!(rows.is_empty());
        assert_eq!(Rows::new().into_json(), "[]");
        rows.push([&1, &-2]);
        rows.push([&"null", &"\"01\""]);
        assert_eq!(rows.into_json(), r#"[[1,-2],[null,"01"]]"#);
        assert_eq!(list([1, 2]), "[1,2]");
        assert_eq!(list(Vec::<u32>::new()), "[]");
    }
}
