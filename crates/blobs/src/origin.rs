//! The sender's side: where each block of the files it cut can be read again.
//!
//! A scene of 50 GB is not copied into a store to be sent. Cutting leaves, per block, its place in its file (some 60 bytes for
//! each MiB of textures); what the receiver asks for is read from there again and verified, since a file may change while it is
//! being sent. Lists and what has no file are held in memory.
//!
//! A file whose name is known from an earlier cut need not be read at all if the receiver has its blocks: it is taken as it is said
//! to be ([`Origin::add_known`]) and cut when something of it is asked for. What it then turns out to be is compared, so a
//! wrong word about it is noticed and never sent.

mod reader;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::convert::Infallible;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::blob_ref::BlobRef;
use crate::content::{Content, FileEncoding};
use crate::crew::cut_files;
use crate::cut::{Block, BlockRole, CutError, CutFile, write_bytes, write_file};
use crate::digest::Digest;
use crate::edit::Outline;
use crate::error::BoxError;
use crate::manifest::Manifest;
use reader::{OpenFile, not_as_it_was};

/// Where blocks of a set of files lie.
#[derive(Debug, Default)]
pub struct Origin {
    files: Vec<OriginFile>,
    places: Mutex<Places>,
    /// Held by whoever cuts known files, so that none is cut twice.
    learning: Mutex<()>,
}

#[derive(Debug)]
struct OriginFile {
    path: PathBuf,
    encoding: FileEncoding,
}

#[derive(Debug, Default)]
struct Places {
    /// Lists, and what has no file.
    held: HashMap<Digest, Box<[u8]>>,
    spans: HashMap<Digest, Span>,
    /// Of which blocks files are made whose edits are likely to be small, by their root.
    outlines: HashMap<Digest, (usize, Outline)>,
    /// Files that were not cut here, by the root they are said to have.
    known: HashMap<Digest, usize>,
}

/// Part of the plain form of a file. Small: a scene of 10 GB has 650,000 of them.
#[derive(Debug, Clone, Copy)]
struct Span {
    offset_bytes: u64,
    len_bytes: u32,
    file: u32,
}

/// A file that was cut, and where its blocks lie in it.
#[derive(Debug)]
pub struct FileBlocks {
    path: PathBuf,
    cut: CutFile,
    lists: Vec<(Digest, Box<[u8]>)>,
    spans: Vec<(Digest, Span)>,
}

impl FileBlocks {
    /// Cuts the file at `path`.
    ///
    /// # Errors
    /// See [`CutError`].
    pub fn of(path: &Path) -> Result<Self, CutError> {
        let (mut lists, mut spans) = (Vec::new(), Vec::new());
        let cut = write_file(path, |block| {
            match block.role() {
                BlockRole::List => lists.push((block.digest(), block.bytes().into())),
                BlockRole::Data { offset_bytes } => spans.push((
                    block.digest(),
                    Span {
                        offset_bytes,
                        len_bytes: length_of(block.bytes().len()),
                        file: 0,
                    },
                )),
            }
            Ok::<_, Infallible>(())
        })?;
        Ok(Self {
            path: path.to_owned(),
            cut,
            lists,
            spans,
        })
    }

    fn outline(&self) -> Outline {
        let blocks = self.spans.iter();
        let blocks = blocks.map(|(digest, span)| (*digest, span.len_bytes));
        Outline::new(self.cut.blob, blocks.collect())
    }

    /// What it is.
    #[must_use]
    pub fn cut(&self) -> &CutFile {
        &self.cut
    }
}

/// Blocks that could not be read again.
#[derive(Debug, thiserror::Error)]
pub enum OriginError {
    /// It never was in the files.
    #[error("block {digest} is not part of what is being sent")]
    Unknown {
        /// The block.
        digest: Digest,
    },
    /// The file changed after it was cut, or is gone.
    #[error("{} changed while it was being sent; send it again", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read any more.
    #[error(transparent)]
    Cut(#[from] CutError),
    /// The sink refused a block.
    #[error("block {digest} could not be passed on")]
    Sink {
        /// The block.
        digest: Digest,
        /// The sink's reason.
        source: BoxError,
    },
}

impl Origin {
    /// Of no files yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Cuts the file at `path` and remembers its blocks.
    ///
    /// # Errors
    /// See [`CutError`]; nothing of the file is remembered then.
    pub fn add_file(&mut self, path: &Path) -> Result<CutFile, CutError> {
        Ok(self.add(FileBlocks::of(path)?))
    }

    /// Remembers the blocks of a file that was cut.
    pub fn add(&mut self, blocks: FileBlocks) -> CutFile {
        let cut = blocks.cut;
        let file = self.file(&blocks.path, cut.encoding);
        lock(&self.places).add(blocks, file);
        cut
    }

    /// Takes the file at `path` for what it was when it was cut last. It is looked at when a block of it is wanted.
    pub fn add_known(&mut self, path: &Path, cut: &CutFile) {
        let file = self.file(path, cut.encoding);
        let mut places = lock(&self.places);
        let root = cut.blob.digest;
        match u32::try_from(cut.blob.size) {
            // A file of one block is that block.
            Ok(len_bytes) if cut.blob.depth == 0 => {
                places.spans.entry(root).or_insert(Span {
                    offset_bytes: 0,
                    len_bytes,
                    file: number_of(file),
                });
            }
            _ => {
                places.known.entry(root).or_insert(file);
            }
        }
    }

    /// The .blend file with this root, and of which blocks it is made; none if it is the root of none. A known file is cut.
    ///
    /// # Errors
    /// If a known file cannot be read, or is another by now.
    pub fn outline(&self, root: &Digest) -> Result<Option<(PathBuf, Outline)>, OriginError> {
        if lock(&self.places).known.contains_key(root) {
            self.learn(&[*root])?;
        }
        let places = lock(&self.places);
        let found = places.outlines.get(root);
        Ok(found.map(|(file, outline)| (self.files[*file].path.clone(), outline.clone())))
    }

    /// All .blend files that were cut by now, and of which blocks they are made.
    #[must_use]
    pub fn outlines(&self) -> Vec<(PathBuf, Outline)> {
        let places = lock(&self.places);
        let outlines = places.outlines.values();
        let outlines =
            outlines.map(|(file, outline)| (self.files[*file].path.clone(), outline.clone()));
        outlines.collect()
    }

    fn file(&mut self, path: &Path, encoding: FileEncoding) -> usize {
        self.files.push(OriginFile {
            path: path.to_owned(),
            encoding,
        });
        self.files.len() - 1
    }

    /// Cuts `bytes` as they stand and holds them.
    pub fn add_bytes(&mut self, bytes: &[u8], content: Content) -> BlobRef {
        let mut places = lock(&self.places);
        let Ok(blob) = write_bytes(bytes, content, |block| places.hold(&block));
        blob
    }

    /// Cuts a manifest and holds it.
    pub fn add_manifest(&mut self, manifest: &Manifest) -> BlobRef {
        let mut places = lock(&self.places);
        let Ok(blob) = manifest.write(|block| places.hold(&block));
        blob
    }

    /// Whether a block is among them, as far as they were cut.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        let places = lock(&self.places);
        places.has(digest) || places.known.contains_key(digest)
    }

    /// Bytes of a block, known without reading it. Not of blocks of files that were only [known](Self::add_known).
    #[must_use]
    pub fn block_len(&self, digest: &Digest) -> Option<usize> {
        let places = lock(&self.places);
        let held = places.held.get(digest).map(|bytes| bytes.len());
        held.or_else(|| Some(places.spans.get(digest)?.len_bytes as usize))
    }

    /// Reads the `wanted` blocks and hands each once to `sink`: first those held, then file by file, front to back, so that a
    /// compressed file is decompressed once.
    ///
    /// # Errors
    /// See [`OriginError`].
    pub fn read<E: Into<BoxError>>(
        &self,
        wanted: &[Digest],
        mut sink: impl FnMut(Digest, &[u8]) -> Result<(), E>,
    ) -> Result<(), OriginError> {
        let mut give = |digest: Digest, bytes: &[u8]| {
            sink(digest, bytes).map_err(|error| OriginError::Sink {
                digest,
                source: error.into(),
            })
        };
        self.learn(wanted)?;
        let mut spans = BTreeMap::new();
        let mut held = BTreeSet::new();
        {
            let places = lock(&self.places);
            for digest in wanted {
                if places.held.contains_key(digest) {
                    held.insert(*digest);
                } else if let Some(span) = places.spans.get(digest) {
                    spans.insert((span.file, span.offset_bytes), (*digest, *span));
                } else {
                    return Err(OriginError::Unknown { digest: *digest });
                }
            }
        }
        for digest in held {
            // Copied, so that nobody waits for the places while the sink does.
            let bytes = lock(&self.places).held.get(&digest).cloned();
            give(digest, &bytes.ok_or(OriginError::Unknown { digest })?)?;
        }
        let mut open: Option<(u32, OpenFile)> = None;
        for (digest, span) in spans.into_values() {
            let file = match &mut open {
                Some((number, file)) if *number == span.file => file,
                _ => {
                    let file = OpenFile::open(&self.files[span.file as usize])?;
                    &mut open.insert((span.file, file)).1
                }
            };
            let bytes = file.read(&span)?;
            if Digest::of(&bytes) != digest {
                return Err(OriginError::Changed {
                    path: file.path.clone(),
                });
            }
            give(digest, &bytes)?;
        }
        Ok(())
    }

    /// Cuts those known files that the `wanted` blocks may be of.
    fn learn(&self, wanted: &[Digest]) -> Result<(), OriginError> {
        let _alone = self.learning.lock().unwrap_or_else(PoisonError::into_inner);
        let lacking = |places: &Places| {
            let lacking = wanted.iter().filter(|digest| !places.has(digest));
            lacking.copied().collect::<Vec<_>>()
        };
        let roots: Vec<_> = {
            let places = lock(&self.places);
            let named = |digest: &Digest| Some((*digest, *places.known.get(digest)?));
            lacking(&places).iter().filter_map(named).collect()
        };
        self.cut_known(&roots, |_| false)?;
        // Who has a file's lists from a transfer that was cut asks for what is below them: it may be of any file.
        let rest: Vec<_> = {
            let places = lock(&self.places);
            if lacking(&places).is_empty() {
                return Ok(());
            }
            let known = places.known.iter().map(|(root, file)| (*root, *file));
            known.collect()
        };
        self.cut_known(&rest, |places| lacking(places).is_empty())
    }

    /// Cuts known files until it is `enough`.
    fn cut_known(
        &self,
        roots: &[(Digest, usize)],
        enough: impl Fn(&Places) -> bool,
    ) -> Result<(), OriginError> {
        let paths: Vec<_> = roots
            .iter()
            .map(|(_, file)| &self.files[*file].path)
            .collect();
        let mut outcome = Ok(());
        cut_files(&paths, |at, blocks| {
            let ((root, file), path) = (roots[at], paths[at]);
            let as_said = match blocks {
                Ok(blocks)
                    if blocks.cut.blob.digest == root
                        && blocks.cut.encoding == self.files[file].encoding =>
                {
                    blocks
                }
                Ok(_) => {
                    outcome = Err(OriginError::Changed { path: path.clone() });
                    return ControlFlow::Break(());
                }
                Err(error) => {
                    outcome = Err(not_as_it_was(path, error));
                    return ControlFlow::Break(());
                }
            };
            let mut places = lock(&self.places);
            places.add(as_said, file);
            places.known.remove(&root);
            match enough(&places) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        outcome
    }
}

impl Places {
    fn has(&self, digest: &Digest) -> bool {
        self.held.contains_key(digest) || self.spans.contains_key(digest)
    }

    fn hold(&mut self, block: &Block<'_>) -> Result<(), Infallible> {
        self.held
            .entry(block.digest())
            .or_insert_with(|| block.bytes().into());
        Ok(())
    }

    fn add(&mut self, blocks: FileBlocks, file: usize) {
        if blocks.cut.content == Content::Blend {
            let root = blocks.cut.blob.digest;
            self.outlines.insert(root, (file, blocks.outline()));
        }
        let file = number_of(file);
        for (digest, list) in blocks.lists {
            self.held.entry(digest).or_insert(list);
        }
        for (digest, span) in blocks.spans {
            self.spans.entry(digest).or_insert(Span { file, ..span });
        }
    }
}

fn lock(places: &Mutex<Places>) -> MutexGuard<'_, Places> {
    // Nothing in it is ever half done.
    places.lock().unwrap_or_else(PoisonError::into_inner)
}

fn number_of(file: usize) -> u32 {
    u32::try_from(file).expect("a manifest holds a million files")
}

fn length_of(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a block has at most MAX_BLOCK_BYTES")
}

#[cfg(test)]
mod tests;
