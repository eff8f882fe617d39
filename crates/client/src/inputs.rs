//! What single frames are made of: files of sequences and caches that not every frame needs.
//!
//! Such files travel only for the frames asked for, so the tree of a scene differs with the frames. Whether a frame that was
//! rendered earlier is still this scene's must not: it is, if what all frames need is the same, and what this frame needs
//! besides. The first is named by the ledger's key, the second by a digest for each frame.

use std::collections::BTreeMap;

use tessera_blobs::{BlobRef, Digest, Manifest, TreePath};
use tessera_model::FrameSet;

/// By frame, a digest of the files that it needs besides those that all frames need.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrameInputs(BTreeMap<i32, Digest>);

impl FrameInputs {
    /// Of files by their places in the tree, each with the frames that need it. The order of the files counts.
    pub(crate) fn of<'a>(
        files: impl IntoIterator<Item = (&'a TreePath, &'a BlobRef, &'a FrameSet)>,
    ) -> Self {
        let mut inputs = BTreeMap::new();
        for (path, blob, frames) in files {
            let file = Digest::of(format!("{path}\0{blob}").as_bytes());
            for frame in frames.iter() {
                let before: &[u8] = inputs
                    .get(&frame)
                    .map_or(&[], |known: &Digest| known.as_bytes());
                let both = [before, file.as_bytes()].concat();
                inputs.insert(frame, Digest::of(&both));
            }
        }
        Self(inputs)
    }

    /// What names the files of a frame; `None` if it needs no more than all do.
    pub(crate) fn of_frame(&self, frame: i32) -> Option<&Digest> {
        self.0.get(&frame)
    }
}

/// The tree without the files that only some frames need.
pub(crate) fn needed_by_all(
    manifest: &Manifest,
    limited: &BTreeMap<TreePath, FrameSet>,
) -> BlobRef {
    let mut rest = Manifest::new();
    for (path, entry) in manifest.iter() {
        if !limited.contains_key(path) {
            rest.insert(path.clone(), *entry)
                .expect("a part of a manifest is no larger than it and has no path twice");
        }
    }
    rest.blob_ref()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tessera_blobs::{Content, write_bytes};

    #[test]
    fn frames_are_told_apart_by_their_own_files_only() {
        let blob = |contents: &[u8]| {
            let Ok(blob) = write_bytes(contents, Content::Other, |_| Ok::<_, Infallible>(()));
            blob
        };
        let paths = ["f1", "f2", "f3"].map(|name| TreePath::new(name).unwrap());
        let (old, new) = (blob(b"old"), blob(b"new"));
        let few: [FrameSet; 2] = ["1,2", "2"].map(|text| text.parse().unwrap());
        let more: [FrameSet; 3] = ["1,2", "2,3", "3"].map(|text| text.parse().unwrap());
        let of = |blobs: &[&BlobRef], frames: &[FrameSet]| {
            FrameInputs::of(
                paths
                    .iter()
                    .zip(blobs)
                    .zip(frames)
                    .map(|((path, blob), frames)| (path, *blob, frames)),
            )
        };
        let first = of(&[&old, &old], &few);
        let wider = of(&[&old, &old, &old], &more);
        for frame in [1, 2] {
            assert_eq!(
                first.of_frame(frame),
                wider.of_frame(frame),
                "frame {frame}"
            );
        }
        assert_eq!(first.of_frame(3), None);
        let changed = of(&[&old, &new, &old], &more);
        assert_eq!(changed.of_frame(1), wider.of_frame(1));
        assert_ne!(changed.of_frame(2), wider.of_frame(2));
        assert_ne!(changed.of_frame(3), wider.of_frame(3));
    }
}
