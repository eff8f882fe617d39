//! Which trees were used, in the order of their last use: what decides which go first, also after a restart.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tessera_blobs::BlobRef;

/// Most trees remembered: each saving of a scene makes one. What stood below one that is forgotten goes first.
const TREES_MAX: usize = 1024;

/// The file is written at most this often while uses alone change it: whoever is cut off loses so much of the order at worst.
const SAVE_APART: Duration = Duration::from_secs(60);

/// What the file begins with.
const HEAD: &str = "tessera recent 1";

/// Trees by their manifests, the one used last first.
#[derive(Debug)]
pub(super) struct Recent {
    file: PathBuf,
    trees: VecDeque<BlobRef>,
    saved: Option<Instant>,
    changed: bool,
}

impl Recent {
    /// As the file has it. One that is not there or cannot be read costs the order, no more. Blocking.
    pub(super) fn load(file: PathBuf) -> Self {
        let trees = match fs::read_to_string(&file) {
            Ok(text) => parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => VecDeque::new(),
            Err(error) => {
                tracing::warn!(file = %file.display(), "what was used last is not known: {error}");
                VecDeque::new()
            }
        };
        Self {
            file,
            trees,
            saved: None,
            changed: false,
        }
    }

    pub(super) fn trees(&self) -> impl Iterator<Item = &BlobRef> {
        self.trees.iter()
    }

    /// A tree is used now. Blocking, now and then.
    pub(super) fn used(&mut self, tree: BlobRef) {
        if self.trees.front() != Some(&tree) {
            self.trees.retain(|known| *known != tree);
            self.trees.push_front(tree);
            self.trees.truncate(TREES_MAX);
            self.changed = true;
        }
        if self.saved.is_none_or(|saved| saved.elapsed() >= SAVE_APART) {
            self.save();
        }
    }

    /// Forgets trees of which nothing is kept.
    pub(super) fn retain(&mut self, keep: impl Fn(&BlobRef) -> bool) {
        let before = self.trees.len();
        self.trees.retain(keep);
        self.changed |= self.trees.len() < before;
    }

    /// Blocking.
    pub(super) fn save(&mut self) {
        if !self.changed {
            return;
        }
        self.saved = Some(Instant::now());
        match write(&self.file, &self.trees) {
            Ok(()) => self.changed = false,
            Err(error) => {
                tracing::warn!(file = %self.file.display(), "what was used last cannot be kept: {error}");
            }
        }
    }
}

fn parse(text: &str) -> VecDeque<BlobRef> {
    let mut lines = text.lines();
    if lines.next() != Some(HEAD) {
        return VecDeque::new();
    }
    lines
        .filter_map(|line| line.parse().ok())
        .take(TREES_MAX)
        .collect()
}

fn write(file: &Path, trees: &VecDeque<BlobRef>) -> io::Result<()> {
    let fresh = file.with_extension("new");
    let mut text = format!("{HEAD}\n");
    for tree in trees {
        text.push_str(&format!("{tree}\n"));
    }
    let mut out = File::create(&fresh)?;
    out.write_all(text.as_bytes())?;
    out.sync_data()?;
    fs::rename(&fresh, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(number: u64) -> BlobRef {
        BlobRef {
            digest: tessera_blobs::Digest::of(&number.to_le_bytes()),
            size: number + 1,
            depth: 1,
        }
    }

    #[test]
    fn the_order_of_use_survives() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("recent");
        let mut recent = Recent::load(file.clone());
        for number in [1, 2, 3, 1, 1] {
            recent.used(tree(number));
        }
        recent.save();
        let again = Recent::load(file.clone());
        assert_eq!(again.trees, [tree(1), tree(3), tree(2)]);
        for number in 0..2 * TREES_MAX as u64 {
            recent.used(tree(number));
        }
        assert_eq!(recent.trees.len(), TREES_MAX);
        // What is damaged is left out, what is none is nothing.
        fs::write(&file, format!("{HEAD}\n{}\nrubbish\n", tree(5))).unwrap();
        assert_eq!(Recent::load(file.clone()).trees, [tree(5)]);
        fs::write(&file, "tessera recent 2\n").unwrap();
        assert!(Recent::load(file).trees.is_empty());
    }
}
