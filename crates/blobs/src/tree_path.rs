//! A path inside a tree of files, safe to create on any system.
//!
//! Manifests come from other machines, and a path in one is an instruction to write a file. So a path is checked once, when it
//! becomes a [`TreePath`], against the rules of every system at once: what Linux would take but Windows would read as a device,
//! another drive or another name is refused everywhere, because a tree packed here may be opened there.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest path, in bytes of UTF-8: leaves room for the root in Linux's limit of 4096.
pub const MAX_PATH_BYTES: usize = 1024;
/// Longest part between two slashes, in bytes: the limit of Linux's file systems (NTFS's is 255 UTF-16 units, never less).
pub const MAX_PART_BYTES: usize = 255;
/// Deepest nesting: far more than any project has, few enough to create and remove without care.
pub const MAX_PARTS: usize = 64;

/// Names that Windows opens as devices, whatever folder they stand in and whatever extension follows.
const WINDOWS_DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];

/// A relative path with forward slashes that means one file, inside the root, on every system. Ordered by its bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(String);

/// A path that is refused, and why.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("path {path:?} cannot be part of a file tree: {reason}")]
pub struct TreePathError {
    /// The refused path (cut off if it is over-long).
    pub path: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

impl TreePath {
    /// Checks `path`.
    ///
    /// # Errors
    /// Names the first rule that it breaks.
    pub fn new(path: &str) -> Result<Self, TreePathError> {
        match check(path) {
            Ok(()) => Ok(Self(path.to_owned())),
            Err(reason) => Err(TreePathError {
                path: path.chars().take(MAX_PATH_BYTES).collect(),
                reason,
            }),
        }
    }

    /// `path` with what the rules refuse written as `%XX`, so that a file with an unlucky name (`aux.png`, `wood:v2.png`, `tail.`)
    /// can still travel; a lawful path is left as it is. Empty, `.` and `..` parts stay refused, and so does what is too long.
    ///
    /// # Errors
    /// Names the rule that escaping cannot mend.
    pub fn escaped(path: &str) -> Result<Self, TreePathError> {
        Self::new(
            &path
                .split('/')
                .map(escape_part)
                .collect::<Vec<_>>()
                .join("/"),
        )
    }

    /// The path as text, with `/` between its parts.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its parts, folders first.
    pub fn parts(&self) -> impl Iterator<Item = &str> {
        self.0.split('/')
    }

    /// The last part.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0
            .rsplit('/')
            .next()
            .expect("a split yields at least one part")
    }

    /// Where it lies when the tree is put under `root`, with this system's separators.
    #[must_use]
    pub fn under(&self, root: &Path) -> PathBuf {
        let mut full = root.to_path_buf();
        full.extend(self.parts());
        full
    }
}

fn check(path: &str) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("it is empty");
    }
    if path.len() > MAX_PATH_BYTES {
        return Err("it is longer than 1024 bytes");
    }
    if path.starts_with('/') {
        return Err("it is absolute");
    }
    if path.bytes().filter(|sign| *sign == b'/').count() >= MAX_PARTS {
        return Err("it is nested deeper than 64 folders");
    }
    path.split('/').try_for_each(check_part)
}

fn check_part(part: &str) -> Result<(), &'static str> {
    if part.is_empty() {
        return Err("it has an empty part");
    }
    if part == "." || part == ".." {
        return Err("it has a part '.' or '..'");
    }
    if part.len() > MAX_PART_BYTES {
        return Err("it has a part longer than 255 bytes");
    }
    for sign in part.chars() {
        match sign {
            '\0' => return Err("it has a NUL character"),
            '\\' => return Err("it has a backslash; parts are divided by '/'"),
            ':' => return Err("it has a colon, which on Windows means a drive or a stream"),
            sign if sign.is_control() => return Err("it has a control character"),
            _ => {}
        }
    }
    if part.ends_with(['.', ' ']) {
        return Err("it has a part ending in a dot or a space, which Windows drops");
    }
    if is_windows_device(part) {
        return Err("it has a part that Windows opens as a device (CON, NUL, COM1 …)");
    }
    Ok(())
}

/// Windows looks at what stands before the first dot, without trailing spaces, in any case: `nul.tar.gz` is the null device.
fn is_windows_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part);
    let stem = stem.trim_end_matches(' ');
    if WINDOWS_DEVICES
        .iter()
        .any(|device| stem.eq_ignore_ascii_case(device))
    {
        return true;
    }
    let Some((name, port)) = stem.split_at_checked(3) else {
        return false;
    };
    if !["COM", "LPT"]
        .iter()
        .any(|port| name.eq_ignore_ascii_case(port))
    {
        return false;
    }
    // The superscript digits count as digits there.
    matches!(
        port,
        "0" | "1" | "2" | "3" | "4" | "5" | "6" | "7" | "8" | "9" | "¹" | "²" | "³"
    )
}

fn escape_part(part: &str) -> String {
    if check_part(part).is_ok() || part.is_empty() || part == "." || part == ".." {
        return part.to_owned();
    }
    let device = is_windows_device(part);
    let last = part.chars().count() - 1;
    let mut escaped = String::with_capacity(part.len() + 2);
    for (at, sign) in part.chars().enumerate() {
        let unlawful = matches!(sign, '\\' | ':') || sign.is_control();
        let dropped = at == last && matches!(sign, '.' | ' ');
        if unlawful || dropped || (device && at == 0) {
            for byte in sign.encode_utf8(&mut [0; 4]).bytes() {
                escaped.push_str(&format!("%{byte:02X}"));
            }
        } else {
            escaped.push(sign);
        }
    }
    escaped
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TreePath {
    type Err = TreePathError;
    fn from_str(path: &str) -> Result<Self, Self::Err> {
        Self::new(path)
    }
}

impl TryFrom<String> for TreePath {
    type Error = TreePathError;
    fn try_from(path: String) -> Result<Self, Self::Error> {
        Self::new(&path)
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

// Lets maps of paths be asked by text; sound, since order and hash are those of the text.
impl std::borrow::Borrow<str> for TreePath {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TreePath {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_paths_are_taken() {
        let long = "x".repeat(MAX_PART_BYTES);
        for good in [
            "a",
            "scene.blend",
            "tex/wood.png",
            "_abs/home/ü/日本語.exr",
            ".hidden",
            "a b/c d",
            "com/lpt/console",
            "COM10",
            "nullable.txt",
            "-rf",
            "~",
            "what?.png",
            "a*b",
            &long,
        ] {
            assert_eq!(TreePath::new(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn hostile_paths_are_refused() {
        let long_part = "x".repeat(MAX_PART_BYTES + 1);
        let long_path = ["x".repeat(200).as_str(); 6].join("/");
        let deep = ["d"; MAX_PARTS + 1].join("/");
        for bad in [
            "",
            "/",
            "/etc/passwd",
            "..",
            "../a",
            "a/..",
            "a/../b",
            ".",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "//host/share",
            "a\0b",
            "a\\b",
            "..\\a",
            "C:",
            "C:/a",
            "c:a",
            "a:stream",
            "a/C:/b",
            "CON",
            "con",
            "a/NUL",
            "nul.txt",
            "Nul .txt",
            "a/com1/b",
            "LPT9.tar.gz",
            "COM¹",
            "aux",
            "PRN.x",
            "conin$",
            "a.",
            "a /b",
            "a./b",
            "a\nb",
            "a\u{7f}",
            &long_part,
            &long_path,
            &deep,
        ] {
            assert!(TreePath::new(bad).is_err(), "{bad:?}");
            let json = serde_json::to_string(bad).unwrap();
            assert!(
                serde_json::from_str::<TreePath>(&json).is_err(),
                "{bad:?} in JSON"
            );
        }
    }

    #[test]
    fn unlucky_names_are_escaped_and_lawful_ones_left() {
        for (name, expected) in [
            ("a/b.png", "a/b.png"),
            ("aux.png", "%61ux.png"),
            ("x/wood:v2", "x/wood%3Av2"),
            ("tail. ", "tail.%20"),
            ("tail..", "tail.%2E"),
            ("a\\b", "a%5Cb"),
        ] {
            assert_eq!(TreePath::escaped(name).unwrap().as_str(), expected);
        }
        for bad in ["../a", "/a", "a//b", "", "."] {
            assert!(TreePath::escaped(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn it_stays_under_its_root() {
        let path = TreePath::new("a/b.png").unwrap();
        assert_eq!(
            path.under(Path::new("/root")),
            Path::new("/root").join("a").join("b.png")
        );
        assert_eq!(path.file_name(), "b.png");
        assert_eq!(path.parts().collect::<Vec<_>>(), ["a", "b.png"]);
    }
}
