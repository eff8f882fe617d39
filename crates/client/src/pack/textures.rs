//! Textures inside of the .blend files on their way to the farm, as Blender packs them.
//!
//! The files of the scene were read as they are, and that names its record: frames come out the same either way. What travels is
//! another tree, with copies in the places of the .blend files and without the textures that are in them.

use std::collections::BTreeSet;
use std::path::PathBuf;

use tessera_blender::FileKind;
use tessera_blobs::{Entry, Manifest, cut_files};

use super::ask::Asked;
use super::copies::{self, Changes, Copies};
use super::files::{self, Files, tree_paths, unchanged};
use super::{PackError, PackOptions, PackStage};

/// Makes the tree of `read` one of copies with textures inside. Blocks are read from the copies as long as those are kept.
pub(super) async fn put_inside(
    read: &mut Files,
    main: files::Asked<'_>,
    asked: &Asked,
    options: &PackOptions,
    tell: &mut impl FnMut(PackStage),
) -> Result<Copies, PackError> {
    let libraries = asked.scan.files.iter();
    let libraries = libraries.filter(|file| file.kind == FileKind::Library && file.exists);
    let blends: Vec<PathBuf> = [main.main.to_owned()]
        .into_iter()
        .chain(libraries.map(|file| file.path.clone()))
        .collect();
    let changes = Changes {
        root: None,
        textures: true,
        maps: &options.maps,
    };
    let place = options.cache_dir.clone();
    let place = place.unwrap_or_else(std::env::temp_dir);
    let copies = copies::make(
        &blends,
        changes,
        &asked.build,
        &place,
        &options.log_dir,
        tell,
    )
    .await?;
    // What Blender read meanwhile is what was read before.
    let states = read.states.clone();
    tokio::task::spawn_blocking(move || unchanged(&states)).await??;

    let paths: Vec<_> = copies.made.iter().map(|(_, copy)| copy.clone()).collect();
    let cut = tokio::task::spawn_blocking(move || {
        let mut cut = Vec::new();
        cut_files(&paths, |at, blocks| {
            cut.push((at, blocks));
            std::ops::ControlFlow::Continue(())
        });
        cut
    });
    let mut manifest = Manifest::new();
    for (at, blocks) in cut.await? {
        let blocks = blocks.map_err(|error| PackError::Cut { error })?;
        let entry = Entry::file(&read.origin.add(blocks));
        for place in tree_paths(&copies.made[at].0, &options.maps)? {
            manifest.insert(place, entry)?;
        }
    }
    let mut inside = BTreeSet::new();
    for path in &copies.inside {
        inside.extend(tree_paths(path, &options.maps)?);
    }
    for (path, entry) in read.manifest.iter() {
        if manifest.get(path).is_none() && !inside.contains(path) {
            manifest.insert(path.clone(), *entry)?;
        }
    }
    read.root = read.origin.add_manifest(&manifest);
    read.manifest = manifest;
    Ok(copies)
}
