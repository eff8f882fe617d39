//! Options of `settings`.

use clap::{Args, Subcommand};

use super::FarmFlags;

/// `tessera settings …`.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  tessera settings                    all of them, with what they mean
  tessera settings set cap_percent=50 sample_ms=10s
  tessera settings set users.ada.slots_max=10 categories.film.priority=3 resources.nuke=4
  tessera settings unset users.ada resources.nuke cap_percent

They hold at once, and stay when the manager is started again. Changing them takes the role admin."
)]
pub(crate) struct SettingsFlags {
    /// What to change; shows them all without
    #[command(subcommand)]
    pub(crate) change: Option<SettingsChange>,
    #[command(flatten)]
    farm: FarmFlags,
}

/// A change of settings.
#[derive(Debug, Subcommand)]
pub(crate) enum SettingsChange {
    /// Give settings other values
    Set {
        /// What and how: cap_percent=50, sample_ms=10s, users.ada.slots_max=10
        #[arg(value_name = "NAME=VALUE", required = true)]
        values: Vec<String>,
        #[command(flatten)]
        farm: FarmFlags,
    },
    /// Set back to the default, or take out what is said of a user, category or resource
    Unset {
        /// What: cap_percent, users.ada, users.ada.slots_max
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        #[command(flatten)]
        farm: FarmFlags,
    },
}

impl SettingsFlags {
    pub(super) fn farm(&self) -> &FarmFlags {
        match &self.change {
            Some(SettingsChange::Set { farm, .. } | SettingsChange::Unset { farm, .. }) => farm,
            None => &self.farm,
        }
    }
}
