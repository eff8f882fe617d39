//! The block store in what a sweep sees: blocks by name, and when each was last put or asked about.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::convert::Infallible;

use tessera_blobs::{BlobRef, Digest, Live, Manifest, Missing, ReadError, missing_blocks};

#[derive(Debug, Default)]
pub(super) struct Vault {
    blocks: BTreeMap<Digest, Held>,
    epoch: u32,
}

#[derive(Debug)]
struct Held {
    bytes: Vec<u8>,
    touched: Cell<u32>,
}

impl Vault {
    /// As a process that opens it finds it.
    pub(super) fn reopen(&mut self) {
        self.epoch = 0;
        for held in self.blocks.values() {
            held.touched.set(0);
        }
    }

    pub(super) fn horizon(&mut self) -> u32 {
        self.epoch += 1;
        self.epoch
    }

    pub(super) fn put(&mut self, digest: Digest, bytes: &[u8]) {
        if !self.asked(&digest) {
            let held = Held {
                bytes: bytes.to_vec(),
                touched: Cell::new(self.epoch),
            };
            self.blocks.insert(digest, held);
        }
    }

    /// Whether it is here, for somebody who relies on it.
    fn asked(&self, digest: &Digest) -> bool {
        let held = self.blocks.get(digest);
        if let Some(held) = held {
            held.touched.set(self.epoch);
        }
        held.is_some()
    }

    /// Whether it is here, for nobody.
    pub(super) fn has(&self, digest: &Digest) -> bool {
        self.blocks.contains_key(digest)
    }

    pub(super) fn len(&self) -> usize {
        self.blocks.len()
    }

    #[expect(
        clippy::unnecessary_wraps,
        reason = "the shape of every source of blocks"
    )]
    pub(super) fn read(&self, digest: &Digest) -> Result<Option<Vec<u8>>, Infallible> {
        Ok(self.blocks.get(digest).map(|held| held.bytes.clone()))
    }

    pub(super) fn missing_of(&self, blobs: &[BlobRef]) -> Result<Missing, ReadError> {
        missing_blocks(
            blobs,
            |digest| self.asked(digest),
            |digest| self.read(digest),
        )
    }

    /// What is lacking of a tree, as the manager answers.
    pub(super) fn missing_of_tree(&self, root: &BlobRef) -> Result<Missing, ReadError> {
        let missing = self.missing_of(&[*root])?;
        if !missing.is_empty() {
            return Ok(missing);
        }
        let tree = Manifest::read(root, |digest| self.read(digest)).expect("its blocks are here");
        let blobs: Vec<BlobRef> = tree.blobs().copied().collect();
        self.missing_of(&blobs)
    }

    /// Takes what is neither live nor younger than the horizon; how many.
    pub(super) fn sweep(&mut self, horizon: u32, live: &Live) -> usize {
        let before = self.blocks.len();
        self.blocks
            .retain(|digest, held| held.touched.get() >= horizon || live.contains(digest));
        before - self.blocks.len()
    }
}
