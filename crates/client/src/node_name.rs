//! Whether a file can be one that a file-output node writes.
//!
//! Its name comes from another machine, and the node's folder is often the one the .blend lies in. So a name is believed only if
//! it is made of what the packing Blender said of the node's slots: the slot's text, the frame's number, a view's suffix, an
//! extension of images; a name like `scene.blend` never is.

use std::collections::BTreeMap;

use crate::output::IMAGE_EXTENSIONS;

/// Digits of the frame's number in a name without `#`.
const DIGITS: usize = 4;

/// Whether `name`, relative to the node's folder, is what one of `slots` makes of `frame`. `views` are the scene's, with what
/// their names get.
pub(crate) fn fits(
    slots: &[String],
    views: &BTreeMap<String, String>,
    frame: i32,
    name: &str,
) -> bool {
    let parsed: Vec<_> = slots.iter().map(|slot| Slot::read(slot)).collect();
    let levels = parsed.iter().map(|slot| slot.up).max().unwrap_or(0);
    let parts: Vec<&str> = name.split('/').collect();
    parsed.iter().any(|slot| {
        // A node whose slots lead up has its folder further up: the folders between come first.
        let between = levels - slot.up;
        parts
            .get(between..)
            .is_some_and(|parts| slot.makes(parts, views, frame))
    })
}

/// The file name of one input, as a path below the node's own folder.
struct Slot {
    /// Folders that it leads up and out of the node's own.
    up: usize,
    folders: Vec<String>,
    name: String,
}

impl Slot {
    fn read(slot: &str) -> Self {
        let slot = slot.replace('\\', "/");
        let (folder, name) = slot.rsplit_once('/').unwrap_or(("", &slot));
        let (mut up, mut folders) = (0, Vec::new());
        for part in folder.split('/') {
            match part {
                "" | "." => {}
                ".." if folders.pop().is_none() => up += 1,
                ".." => {}
                part => folders.push(part.to_owned()),
            }
        }
        Self {
            up,
            folders,
            name: name.to_owned(),
        }
    }

    fn makes(&self, parts: &[&str], views: &BTreeMap<String, String>, frame: i32) -> bool {
        let Some((name, folders)) = parts.split_last() else {
            return false;
        };
        let folders_fit = folders.len() == self.folders.len()
            && folders
                .iter()
                .zip(&self.folders)
                .all(|(folder, pattern)| matches(pattern, folder));
        folders_fit
            && self.names(views, frame).iter().any(|pattern| {
                let whole = |end: &str| matches(&format!("{pattern}{end}"), name);
                whole("")
                    || IMAGE_EXTENSIONS
                        .iter()
                        .any(|known| whole(&format!(".{known}")))
            })
    }

    /// Every name without its extension that the slot can give a frame: with and without the extension somebody typed into it.
    fn names(&self, views: &BTreeMap<String, String>, frame: i32) -> Vec<String> {
        let end = self.name.rfind('#').map_or(self.name.len(), |at| at + 1);
        let start = self.name[..end].trim_end_matches('#').len();
        let digits = if end > start { end - start } else { DIGITS };
        let sign = if frame < 0 { "-" } else { "" };
        let head = format!(
            "{}{sign}{:0digits$}",
            &self.name[..start],
            frame.unsigned_abs()
        );
        let tail = &self.name[end..];
        let typed = tail.rsplit_once('.').filter(|(_, known)| is_image(known));
        let stems = [Some(tail), typed.map(|(stem, _)| stem)];
        let suffixes = || views.values().map(String::as_str).chain([""]);
        let mut names = Vec::new();
        for stem in stems.into_iter().flatten() {
            names.extend(suffixes().map(|view| format!("{head}{stem}{view}")));
        }
        names
    }
}

fn is_image(extension: &str) -> bool {
    IMAGE_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str())
}

/// Whether a text is what a pattern makes: letter by letter, but that a template in braces (Blender 5 and later) stands for
/// anything and doubled braces for one.
fn matches(pattern: &str, text: &str) -> bool {
    let mut literals = vec![String::new()];
    let mut rest = pattern;
    while let Some(letter) = rest.chars().next() {
        let doubled = rest.starts_with("{{") || rest.starts_with("}}");
        let template = rest.find('}').filter(|_| letter == '{' && !doubled);
        if let Some(end) = template {
            literals.push(String::new());
            rest = &rest[end + 1..];
            continue;
        }
        let last = literals.last_mut().expect("begins with one");
        last.push(letter);
        rest = &rest[if doubled { 2 } else { letter.len_utf8() }..];
    }
    let [first, between @ .., last] = literals.as_slice() else {
        // Before Blender 5 braces are letters like others.
        return text == literals[0] || text == pattern;
    };
    let inner = text
        .strip_prefix(first.as_str())
        .and_then(|text| text.strip_suffix(last.as_str()));
    let Some(mut inner) = inner else {
        return text == pattern;
    };
    for literal in between {
        match inner.split_once(literal.as_str()) {
            Some((_, after)) => inner = after,
            None => return text == pattern,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(slots: &[&str], frame: i32, name: &str, good: bool) {
        let slots: Vec<_> = slots.iter().map(ToString::to_string).collect();
        let views = BTreeMap::from([("left".to_owned(), "_L".to_owned())]);
        assert_eq!(fits(&slots, &views, frame, name), good, "{slots:?} {name}");
    }

    #[test]
    fn names_that_slots_make() {
        for (slot, name) in [
            ("Image", "Image0007.png"),
            ("", "0007.exr"),
            ("Image", "Image0007_L.exr"),
            ("a##_b", "a07_b.png"),
            ("a##_b.png", "a07_b.jpg"),
            ("a##_b.png", "a07_b_L.png"),
            ("a.png", "a.png0007.png"),
            ("sub/./x", "sub/x0007.tif"),
            ("x", "x0007"),
            ("{scene_name}_x", "Scene_x0007.png"),
            ("{a}_{b}x#", "1_2_x7.png"),
            ("{{a}}", "{a}0007.png"),
            ("{{a}}", "{{a}}0007.png"),
        ] {
            check(&[slot], 7, name, true);
        }
        check(&["../up", "deep/x"], 7, "up0007.png", true);
        check(&["../up", "deep/x"], 7, "own/deep/x0007.png", true);
        check(&["n"], -7, "n-0007.png", true);
        check(&["n"], 123_456, "n123456.png", true);
    }

    #[test]
    fn names_that_no_slot_makes() {
        for name in [
            "scene.blend",
            "Image0007.blend",
            "Image0007",
            "Image0008.png",
            "Image07.png",
            "sub/a07.png",
            "a07.png.blend",
            "textures/wood0007.png",
            "",
        ] {
            check(&["a##", "{x}b"], 7, name, false);
        }
        check(&["x"], 7, "deep/x0007.png", false);
        check(&["x"], 7, "x0007_R.png", false);
        check(&["../x"], 7, "own/x0007.png", false);
    }
}
