//! Options of `store`.

use clap::{Args, Subcommand};

use super::FarmFlags;

/// `tessera store …`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  tessera store                what uses the space at the manager
  tessera job remove 12        a job goes with its files and results, and its space comes back
  tessera store collect        give back at once what nobody needs

What was sent within the last hour stays, whether or not a job needs it: an upload may go on."
)]
pub(crate) struct StoreFlags {
    /// What to do; shows what uses the space without
    #[command(subcommand)]
    pub(crate) action: Option<StoreAction>,
    #[command(flatten)]
    farm: FarmFlags,
}

/// What to do with the store.
#[derive(Debug, Subcommand)]
pub(crate) enum StoreAction {
    /// Give back the space of what no job and no upload needs
    Collect(FarmFlags),
}

impl StoreFlags {
    pub(super) fn farm(&self) -> &FarmFlags {
        match &self.action {
            Some(StoreAction::Collect(farm)) => farm,
            None => &self.farm,
        }
    }
}
