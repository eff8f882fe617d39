//! From a .blend file to what a farm needs to render it: every file it uses, and the work to do.
//!
//! Blender itself says what a file depends on, so nothing is guessed; of sequences and caches only what the frames asked for read
//! is packed. Files keep the absolute paths they have here, without the leading `/`, so equal names in different folders stay
//! apart and relative paths need no change. What is missing is named with the datablock that uses it before a byte is sent. Blocks are
//! not copied: [`Origin`] reads them again as they are sent, and what changed meanwhile is noticed and packed anew, so what was
//! submitted is one state of the files and that is what renders. Files that stand as they did when they were packed last are
//! not even read, unless the farm lacks something of them.

mod ask;
mod bundle;
mod closure;
mod copies;
mod elastic;
mod error;
mod files;
mod hint;
mod path_map;
mod room;
mod scene;
mod stat_cache;
mod state;
mod submit;
mod textures;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use tessera_blender::{Build, Scan};
use tessera_blobs::{BlobRef, Manifest, Origin, TreePath};
use tessera_model::{FrameSet, JobSettings, Overrides, Series, Step};
use tessera_wire::api::Submit;
use tessera_wire::blob::to_model;

use crate::inputs::FrameInputs;
use crate::ledger::LedgerKey;
use crate::output::OutputPlan;
use crate::sources::Sources;

use copies::Copies;
use files::Memory;
use stat_cache::StatCache;
use state::State;

pub use bundle::{Bundle, BundleForm, all_there, bundle};
pub use closure::{Closure, ClosureFile, closure};
pub use error::{MissingFile, PackError};
pub use path_map::PathMap;
pub use submit::{SubmitError, send_packed, submit_packed};

/// How often files may change under the packing before it is given up: somebody saves now and then, not all the time.
const ATTEMPTS_MAX: u32 = 3;

/// What files were when they were read last, in the cache folder.
const STAT_CACHE: &str = "files";

/// What is to be packed, and how.
#[derive(Debug, Clone)]
pub struct PackOptions {
    /// The .blend.
    pub file: PathBuf,
    /// Frames; the file's range and step if none.
    pub frames: Option<FrameSet>,
    /// What differs from the file's settings.
    pub overrides: Overrides,
    /// `-o` as typed.
    pub output: Option<String>,
    /// What relative paths are relative to.
    pub cwd: PathBuf,
    /// Where files lie here that the scene names as another machine does.
    pub maps: Vec<PathMap>,
    /// Blenders of this machine, as [`tessera_blender::find`] finds them.
    pub builds: Vec<Build>,
    /// A folder for the logs of the Blender that reads the file; made if it is not there.
    pub log_dir: PathBuf,
    /// The user's folder for what can be made again. There it is remembered what files were when they were read last, so that those
    /// that stand as they did are not read again; nothing is if there is no such folder.
    pub cache_dir: Option<PathBuf>,
    /// Every file is read, whatever is remembered.
    pub read_all: bool,
    /// Textures travel inside of the .blend files.
    pub pack_textures: bool,
    /// Whether frames may be divided among workers, and by what.
    pub divide: Divide,
    /// Of a single frame that is divided by its samples: up to so many are to be added later.
    pub room: Option<u32>,
}

/// How frames may be divided among workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Divide {
    /// Where the farm finds that it pays, as it finds best.
    #[default]
    Auto,
    /// Not at all.
    Off,
    /// Where it pays, into tiles.
    Tiles,
    /// Where it pays, by ranges of samples; into tiles if these would make another picture.
    Samples,
    /// A few frames, whose tiles get samples as long as there is noise in them; into tiles if that cannot be.
    Noise,
    /// Every frame, into so many tiles.
    Grid {
        /// Side by side.
        columns: u32,
        /// One above the other.
        rows: u32,
    },
}

/// How far the packing is.
#[derive(Debug, Clone)]
pub enum PackStage {
    /// A Blender starts.
    Starting {
        /// Which.
        build: Build,
    },
    /// It opens the file.
    Opening,
    /// It looks for what the file uses.
    Scanning,
    /// Files are read and cut into blocks.
    Reading {
        /// Files read.
        files_done: u64,
        /// Files in all.
        files: u64,
        /// Bytes read.
        bytes_done: u64,
        /// Bytes in all.
        bytes: u64,
    },
    /// Blender makes copies of .blend files.
    Copying {
        /// The one in work, from 1.
        blend: usize,
        /// How many there are.
        blends: usize,
    },
}

/// A scene ready to be sent.
#[derive(Debug)]
pub struct Packed {
    /// Paths and contents.
    pub manifest: Manifest,
    /// The manifest itself as a file.
    pub root: BlobRef,
    /// The Blender that read it, as a farm calls it.
    pub build: tessera_model::Build,
    /// Where the blocks lie.
    pub origin: Arc<Origin>,
    /// The .blend in the tree.
    pub main_file: TreePath,
    /// The Blender that saved it; the patch is not known.
    pub file_version: Series,
    /// What to do: one step, whose frames may be narrowed to those that are missing.
    pub steps: Vec<Step>,
    /// Where frames go.
    pub output: OutputPlan,
    /// All that Blender said.
    pub scan: Scan,
    /// The scene that renders.
    pub scene: String,
    /// Files in the tree.
    pub files: u64,
    /// Their bytes, decompressed.
    pub bytes: u64,
    /// Files that were read for it; the others stand as they did when they were read last.
    pub files_read: u64,
    /// What the user should know, a sentence each.
    pub warnings: Vec<String>,
    /// What single frames are made of, besides what all are made of.
    pub inputs: FrameInputs,
    needed_by_all: BlobRef,
    options: PackOptions,
    /// Kept, since their blocks are still to be read.
    copies: Option<Copies>,
}

impl Packed {
    /// For a program that ends now: removes what was temporary, and leaves giving back the memory of thousands of files to the system,
    /// which does it at once.
    pub fn leave(mut self) {
        drop(self.copies.take());
        std::mem::forget(self);
    }

    /// Frames of the step.
    #[must_use]
    pub fn frames(&self) -> &FrameSet {
        &self.steps[0].frames
    }

    /// The user's files that it is made of, those that travel inside of others too. Blocking, as [`Sources::of`].
    #[must_use]
    pub fn sources(&self) -> Sources {
        let inside = self.copies.iter().flat_map(|copies| &copies.inside);
        Sources::of(&self.manifest).and(inside.cloned())
    }

    /// The request that submits it.
    #[must_use]
    pub fn submit(&self, settings: JobSettings) -> Submit {
        Submit {
            settings,
            manifest: to_model(&self.root),
            main_file: self.main_file.to_string(),
            file_version: self.file_version,
            steps: self.steps.clone(),
            client_note: self.output.to_note(),
        }
    }

    /// What the record of its frames is kept under, the same whatever frames are asked for.
    #[must_use]
    pub fn key(&self) -> LedgerKey {
        let overrides = self.steps[0].overrides();
        let in_order = self.steps[0].in_order.then_some(&self.steps[0].frames);
        LedgerKey::of(
            &self.needed_by_all,
            self.main_file.as_str(),
            overrides,
            &self.output,
            in_order,
            self.options.room,
        )
    }
}

/// Packs a scene. `tell` is called as it goes on.
///
/// # Errors
/// See [`PackError`]; nothing was sent.
pub async fn pack(options: &PackOptions, tell: impl FnMut(PackStage)) -> Result<Packed, PackError> {
    pack_but(options, None, tell).await
}

/// The same, with nothing believed of the file `but`, which turned out to be another than was remembered.
async fn pack_but(
    options: &PackOptions,
    but: Option<PathBuf>,
    mut tell: impl FnMut(PackStage),
) -> Result<Packed, PackError> {
    let file = absolute(&options.file, &options.cwd);
    let at = options.cache_dir.as_ref().map(|dir| dir.join(STAT_CACHE));
    let cache = tokio::task::spawn_blocking(move || {
        let mut cache = StatCache::open(at.as_deref());
        if let Some(path) = but {
            cache.forget(&path);
        }
        cache
    });
    let mut memory = Memory::new(cache.await?, options.read_all);
    let mut attempt = 1;
    let outcome = loop {
        match pack_once(options, &file, &mut memory, &mut tell).await {
            Err(PackError::Changing { path }) if attempt < ATTEMPTS_MAX => {
                tracing::debug!(
                    "{} changed while it was read, packing again",
                    path.display()
                );
                attempt += 1;
            }
            outcome => break outcome,
        }
    };
    // What was read is known next time, whether or not it could be packed. If it cannot be noted, it is read again then.
    let save = move || {
        if let Err(error) = memory.cache.save() {
            tracing::warn!("cannot remember which files were read: {error}");
        }
        memory
    };
    let memory = tokio::task::spawn_blocking(save).await?;
    // Giving back what thousands of files took is some milliseconds that nobody has to wait for.
    tokio::task::spawn_blocking(move || drop(memory));
    outcome
}

async fn pack_once(
    options: &PackOptions,
    file: &Path,
    memory: &mut Memory,
    tell: &mut impl FnMut(PackStage),
) -> Result<Packed, PackError> {
    let at = SystemTime::now();
    let state = State::of(file)?;
    let asked = ask::ask(options, file, tell).await?;
    let choice = scene::choose(options, file, &asked)?;
    let main = files::Asked {
        main: file,
        state,
        at,
    };
    // How they all stand is looked at first, which takes a while of very many.
    tell(PackStage::Reading {
        files_done: 0,
        files: 1 + asked.scan.files.len() as u64,
        bytes_done: 0,
        bytes: 0,
    });
    let mut read = files::read(main, &asked.scan, &options.maps, memory, tell).await?;
    let copies = match options.pack_textures {
        true => Some(textures::put_inside(&mut read, main, &asked, options, tell).await?),
        false => None,
    };
    // What Blender has saved anew only it and newer ones open.
    let saved_anew = copies
        .as_ref()
        .is_some_and(|copies| !copies.made.is_empty());
    let file_version = match saved_anew {
        true => asked.scan.saved_by.max(asked.build.version.series()),
        false => asked.scan.saved_by,
    };
    Ok(Packed {
        root: read.root,
        inputs: read.inputs,
        needed_by_all: read.needed_by_all,
        files: read.manifest.len() as u64,
        bytes: read.manifest.total_size(),
        files_read: read.files_read,
        manifest: read.manifest,
        origin: Arc::new(read.origin),
        main_file: read.main_file,
        file_version,
        build: (&asked.build).into(),
        steps: vec![choice.step],
        output: choice.output,
        scene: choice.scene,
        warnings: choice.warnings,
        scan: asked.scan,
        options: options.clone(),
        copies,
    })
}

/// A path made absolute by its letters: links stay links, since Blender resolves `//` by the path it was given.
fn absolute(path: &Path, cwd: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in cwd.join(path).components() {
        match part {
            std::path::Component::CurDir => {}
            std::path::Component::ParentDir => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}
