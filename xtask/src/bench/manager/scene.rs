//! Bytes as small as may be: a tree of one file that nobody opens, and a picture that nobody looks at.

use anyhow::{Context as _, Result};
use tessera_blobs::{
    BlobRef, Content, EncodedBlock, Entry, EntryKind, FileEncoding, Manifest, TreePath, write_bytes,
};
use tessera_client::Api;
use tessera_model::{
    Blob, Build, BuildKind, FileRole, FrameFile, FrameResult, LeaseKey, Previews, ResultTimings,
    Timestamp, WorkerId,
};
use tessera_wire::blob::to_model;
use tessera_wire::link::FrameToRender;

pub(super) const MAIN_FILE: &str = "home/u/scene.blend";

/// What jobs and results name.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) manifest: Blob,
    picture: Blob,
    log: Blob,
    previews: Option<Previews>,
    blocks: Vec<EncodedBlock>,
}

impl Scene {
    pub(super) fn make() -> Result<Self> {
        Self::shown_as(None)
    }

    /// Each frame has this picture, a JPEG, as its thumbnail and its preview.
    pub(super) fn with_thumbnails(jpeg: &[u8]) -> Result<Self> {
        Self::shown_as(Some(jpeg))
    }

    fn shown_as(jpeg: Option<&[u8]>) -> Result<Self> {
        let mut blocks = Vec::new();
        let mut blob = |bytes: &[u8]| {
            write_bytes(bytes, Content::Other, |block| {
                blocks.push(block.encode());
                Ok::<_, std::io::Error>(())
            })
        };
        let file = blob(b"BLENDER-v402 a scene")?;
        let picture = blob(b"a picture")?;
        let log = blob(b"Fra:1 Mem:1M\nSaved\n")?;
        let jpeg = jpeg.map(&mut blob).transpose()?;
        let mut tree = Manifest::new();
        let entry = Entry {
            kind: EntryKind::File,
            blob: file,
            original_size: file.size,
            encoding: FileEncoding::Raw,
            executable: false,
        };
        tree.insert(TreePath::new(MAIN_FILE)?, entry)?;
        let manifest = tree.write(|block| {
            blocks.push(block.encode());
            Ok::<_, std::io::Error>(())
        })?;
        Ok(Self {
            manifest: to_model(&manifest),
            picture: to_model(&picture),
            log: to_model(&log),
            previews: jpeg.map(|jpeg| Previews {
                thumbnail: to_model(&jpeg),
                preview: to_model(&jpeg),
            }),
            blocks,
        })
    }

    pub(super) async fn send(&self, api: &Api) -> Result<()> {
        let sent = api.put_blocks(&self.blocks).await;
        sent.context("cannot send the scene")
    }

    /// What a worker reports of a frame: one picture and the usual log.
    pub(super) fn result(
        &self,
        worker: WorkerId,
        lease: LeaseKey,
        frame: FrameToRender,
    ) -> FrameResult {
        let timings = ResultTimings {
            transfer_us: 0,
            load_us: 0,
            sync_us: 1_200,
            render_us: 800_000,
            write_us: 1_900,
            idle_us: 1_800,
        };
        FrameResult {
            lease,
            position: frame.position,
            frame: frame.frame,
            worker,
            build: build(),
            device: "AMD EPYC 9R14".into(),
            persistent: true,
            files: vec![FrameFile {
                role: FileRole::Main,
                name: format!("{:04}.png", frame.frame),
                blob: self.picture,
            }],
            stdout: self.log,
            stderr: to_model(&BlobRef::empty()),
            timings,
            previews: self.previews.clone(),
            notes: Vec::new(),
            noisy: Vec::new(),
            at: Timestamp(0),
        }
    }
}

pub(super) fn build() -> Build {
    Build {
        version: "4.2.0".parse().expect("a version"),
        hash: "a51f293548ad".into(),
        kind: BuildKind::Executable,
    }
}
