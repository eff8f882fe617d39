//! The previews of a frame, or of parts of one: made here, of what was rendered here, so that nobody else has to look into a frame.
//!
//! That happens as a report is sealed, beside the next frame's render. A frame without previews is a frame.

use std::path::{Path, PathBuf};

use tessera_merge::{Display, Slice, part_previews, previews};
use tessera_model::FileRole;

use super::MadeFile;
use crate::failure::in_full;
use crate::part::slice;

/// Where the previews of a frame lie.
#[derive(Debug)]
pub(super) struct PreviewFiles {
    pub thumbnail: PathBuf,
    pub preview: PathBuf,
}

/// Makes the previews of a frame of these files into its folder, if it has any that can be shown; or those of parts of a frame of
/// so many columns and rows. Blocking.
pub(super) fn make(
    folder: &Path,
    files: &[MadeFile],
    part_of: Option<(u32, u32)>,
    display: Option<&Display>,
) -> Option<PreviewFiles> {
    let (name, made) = match part_of {
        Some(frame) => (
            &files.first()?.name,
            part_previews(&parts(files), frame, display),
        ),
        None => {
            let shown = shown(files)?;
            (&shown.name, previews(&shown.path, display))
        }
    };
    let made = match made {
        Ok(made) => made,
        Err(error) => {
            tracing::debug!("there is no preview of {name}: {}", in_full(&error));
            return None;
        }
    };
    let paths = PreviewFiles {
        thumbnail: folder.join("thumbnail.jpg"),
        preview: folder.join("preview.jpg"),
    };
    let written = std::fs::write(&paths.thumbnail, made.thumbnail)
        .and_then(|()| std::fs::write(&paths.preview, made.preview));
    match written {
        Ok(()) => Some(paths),
        Err(error) => {
            tracing::warn!("a preview of {name} cannot be written: {error}");
            None
        }
    }
}

fn parts(files: &[MadeFile]) -> Vec<Slice> {
    let part = |file: &MadeFile| match &file.role {
        FileRole::Slice {
            slice: of,
            rendered,
        } => Some(slice(file.path.clone(), of, *rendered)),
        _ => None,
    };
    files.iter().filter_map(part).collect()
}

/// The file that a frame is known by: its own, else that of its first view, else what a node wrote. Parts of frames are no frames.
fn shown(files: &[MadeFile]) -> Option<&MadeFile> {
    let rank = |file: &&MadeFile| match file.role {
        FileRole::Main => Some(0),
        FileRole::View(_) => Some(1),
        FileRole::Node(_) => Some(2),
        FileRole::Slice { .. } => None,
    };
    files
        .iter()
        .filter(|file| rank(file).is_some())
        .min_by_key(rank)
}
