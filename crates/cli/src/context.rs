//! What every command is given.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared};
use tessera_blender::Found;
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
    /// Why `tessera.toml` cannot be used, of the one command that goes on without it.
    pub(crate) settings_fault: Option<String>,
    /// Where it prints.
    pub(crate) output: Output,
    /// Whether the user has had enough.
    pub(crate) interrupt: Interrupt,
}

/// A look at this machine's Blenders, made once however many wait for it: asking one that is new here takes a second.
pub(crate) type Looking = Shared<BoxFuture<'static, Arc<Found>>>;

impl Context {
    /// Looks for this machine's Blenders, as soon as somebody waits for it.
    pub(crate) fn look(&self) -> Looking {
        let search = self.blender_search();
        async move { Arc::new(tessera_blender::find(&search).await) }
            .boxed()
            .shared()
    }

    /// How Blenders are looked for. What was found is remembered in the cache folder, for all commands together.
    pub(crate) fn blender_search(&self) -> tessera_blender::Search {
        tessera_blender::Search {
            paths: self.settings.blender.value.clone(),
            usual_places: true,
            cache: Some(self.folders.cache.join("blenders.json")),
        }
    }
}
