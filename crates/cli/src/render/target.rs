//! Where a job is rendered.

use tessera_client::Api;
use tessera_wire::line::LineKind;

use crate::farm::Connection;
use crate::private_farm::{self, PrivateFarm};

/// Where a job is rendered.
pub(crate) enum Target {
    /// On a farm.
    Farm(Connection),
    /// In this process.
    Private(PrivateFarm),
}

impl Target {
    /// The way there, failing after one try.
    pub(crate) fn api(&self) -> &Api {
        match self {
            Self::Farm(connection) => &connection.api,
            Self::Private(farm) => &farm.api,
        }
    }

    /// Its name for people.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Farm(connection) => &connection.farm.name,
            Self::Private(_) => private_farm::NAME,
        }
    }

    /// Whether it lives for this command alone.
    pub(crate) fn is_private(&self) -> bool {
        matches!(self, Self::Private(_))
    }

    /// What programs are told of it.
    pub(crate) fn line(&self) -> LineKind {
        LineKind::Farm {
            name: self.name().to_owned(),
            address: self.api().address().to_owned(),
            private: self.is_private(),
        }
    }
}
