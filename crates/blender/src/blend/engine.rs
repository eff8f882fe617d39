//! Which render engine each scene asks for.
//!
//! Of an engine that is not there (an add-on's), Blender says after loading that it is its first one: such a scene would be
//! rendered by EEVEE without a word. The file still tells.

use std::path::Path;

use super::dna::Field;
use super::{BlendError, Unreadable, blocks};

/// The scenes of a file by name, with the identifiers of their engines as stored.
pub(crate) fn stored_engines(path: &Path) -> Result<Vec<(String, String)>, BlendError> {
    engines(path).map_err(|error| error.of(path))
}

fn engines(path: &Path) -> Result<Vec<(String, String)>, Unreadable> {
    let blocks = blocks::read(path)?;
    let id = blocks.field("Scene", &["id"])?;
    let name = inner(id, blocks.field("ID", &["name"])?);
    let render = blocks.field("Scene", &["r"])?;
    let engine = inner(render, blocks.field("RenderData", &["engine"])?);
    let mut found = Vec::new();
    for scene in &blocks.scenes {
        if let (Some(name), Some(engine)) = (scene.text(name)?, scene.text(engine)?) {
            // Names of datablocks begin with the two letters of their kind.
            found.push((name.trim_start_matches("SC").to_owned(), engine.to_owned()));
        }
    }
    Ok(found)
}

fn inner(outer: Field, inner: Field) -> Field {
    Field {
        offset: outer.offset + inner.offset,
        size: inner.size,
    }
}
