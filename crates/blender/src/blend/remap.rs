//! Applies rules to a stored path. `_mapped` in the driver's `paths.py` does the same for what is loaded.

use std::path::PathBuf;

use crate::message::Remap;

/// Where the first rule that fits and leads to something has the path.
pub(super) fn mapped(stored: &str, rules: &[Remap]) -> Option<PathBuf> {
    let plain = stored.replace('\\', "/");
    rules.iter().find_map(|rule| {
        let prefix = rule.from.replace('\\', "/");
        let prefix = prefix.trim_end_matches('/');
        let head = plain.get(..prefix.len())?;
        let rest = &plain[prefix.len()..];
        // Paths of Windows have no case: drives, and shares of the network.
        let windows = prefix.as_bytes().get(1) == Some(&b':') || prefix.starts_with("//");
        let fits = if windows {
            head.eq_ignore_ascii_case(prefix)
        } else {
            head == prefix
        };
        if !fits || !(rest.is_empty() || rest.starts_with('/')) {
            return None;
        }
        let target = if rest.is_empty() {
            rule.to.clone()
        } else {
            rule.to.join(rest.trim_start_matches('/'))
        };
        target.exists().then_some(target)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_fit_whole_components_and_lead_to_something() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("tex")).unwrap();
        std::fs::write(dir.path().join("tex/a.png"), "").unwrap();
        let check = |from: &str, stored: &str, found: bool| {
            let rules = [Remap {
                from: from.into(),
                to: dir.path().into(),
            }];
            let expected = found.then(|| dir.path().join("tex/a.png"));
            assert_eq!(mapped(stored, &rules), expected, "{stored} by {from}");
        };
        check("/", "/tex/a.png", true);
        check("/home/u", "/home/u/tex/a.png", true);
        check("/home/u/", "/home/u/tex/a.png", true);
        check("/home/u", "/home/user/tex/a.png", false);
        check("/", "/tex/b.png", false);
        check("C:\\", "C:\\tex\\a.png", true);
        check("c:\\", "C:/tex/a.png", true);
        check("\\\\server\\share", "\\\\SERVER\\share\\tex\\a.png", true);
        check("/Home", "/home/tex/a.png", false);
    }
}
