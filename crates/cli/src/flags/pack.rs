//! Options of `pack`.

use std::path::PathBuf;

use clap::Args;
use tessera_client::PathMap;
use tessera_model::FrameSet;

/// `tessera pack`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  tessera pack shot.blend                  every file that it needs, who needs it, and what is missing
  tessera pack shot.blend -o shot          all of them in the folder shot, which opens in Blender wherever it is put
  tessera pack shot.blend -o shot.zip      the same as an archive; or .tar.zst
  tessera pack shot.blend -f 1..24 -o cut  of sequences and caches only what these frames need

Files keep their places to each other. What names files by absolute paths is saved anew by Blender with relative ones;
everything else is copied as it is. Exit status 1 if something is missing.")]
pub(crate) struct PackFlags {
    /// The .blend file
    #[arg(value_name = "FILE.blend")]
    pub(crate) file: PathBuf,
    /// Folder or archive (.zip, .tar.zst) to make; only shows what is needed if not given
    #[arg(short, long, value_name = "DIR|ARCHIVE")]
    pub(crate) output: Option<PathBuf>,
    /// Frames for which files of sequences and caches are taken: 1..24, 1,5,9; the file's own range if not given
    #[arg(short, long, allow_hyphen_values = true)]
    pub(crate) frames: Option<FrameSet>,
    /// Go on without files that are missing
    #[arg(long)]
    pub(crate) allow_missing: bool,
    /// Put textures into the .blend files, as Blender packs them
    #[arg(long)]
    pub(crate) pack_textures: bool,
    /// Where files lie here that the scene names as another computer does: 'C:\proj=/mnt/proj'; repeatable
    #[arg(long = "map-path", value_name = "FROM=TO")]
    pub(crate) map_path: Vec<PathMap>,
    /// Blender to read the file with (an executable, or a Python that can import bpy); repeatable
    #[arg(long, value_name = "PATH")]
    pub(crate) blender: Vec<PathBuf>,
}
