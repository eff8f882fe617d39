//! What tags, categories and counted resources may be called.

/// Whether a tag, a category or a resource may have this name: lists of names are written `a;b`, settings `name=value`, and a
/// name that could be read as either would mean something else where it is typed again. What was stored before is not asked.
///
/// # Errors
/// What a name is, in words for a person.
pub fn check_name(name: &str) -> Result<(), String> {
    let separates = |sign: char| matches!(sign, ';' | ',' | '=') || sign.is_control();
    if !name.is_empty() && name.trim() == name && !name.contains(separates) {
        return Ok(());
    }
    Err(format!(
        "'{}' cannot be a name: a name is not empty, has no ';' (which separates names), no ',', no '=' and no control \
         characters in it, and no blanks around it",
        name.escape_debug()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_not_lists() {
        for good in ["a", "film.v2", "two words", "R&D (3)", "größe"] {
            assert_eq!(check_name(good), Ok(()));
        }
        for bad in ["", " ", "a;b", "a,b", "a=b", " a", "a ", "a\nb", "a\u{7}"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert!(check_name("a\n").unwrap_err().starts_with("'a\\n' cannot"));
    }
}
