//! What every command is given.

use tessera_client::Folders;

use crate::interrupt::Interrupt;
use crate::output::Output;
use crate::settings::Settings;

/// What every command is given.
#[derive(Debug)]
pub(crate) struct Context {
    /// Where this user's settings, data and caches are.
    pub(crate) folders: Folders,
    /// What is set.
    pub(crate) settings: Settings,
    /// Where it prints.
    pub(crate) output: Output,
    /// Whether the user has had enough.
    pub(crate) interrupt: Interrupt,
}

impl Context {
    /// How Blenders are looked for. What was found is remembered in the cache folder, for all commands together.
    pub(crate) fn blender_search(&self) -> tessera_blender::Search {
        tessera_blender::Search {
            paths: self.settings.blender.value.clone(),
            usual_places: true,
            cache: Some(self.folders.cache.join("blenders.json")),
        }
    }
}
