//! Which farm a command speaks to.
//!
//! In this order: the address or name given by flag or variable, the farm this user connected to, the
//! manager this user runs on this machine. Credentials belong to the choice; nothing is ever tried at a farm that
//! this user has none for.

use std::time::Duration;

use anyhow::Result;
use tessera_client::{Api, ApiError, ChosenBy, Farm, Retry, Wanted, choose_farm};
use tessera_wire::store::StoreLevel;

use crate::context::Context;
use crate::exit::{Status, stop};

/// How long a command that only asks or tells waits for a manager that is away: a restart takes less.
const PATIENCE: Duration = Duration::from_secs(4);

/// A farm and the way to it.
#[derive(Debug)]
pub(crate) struct Connection {
    /// The farm.
    pub(crate) farm: Farm,
    /// Why this one.
    pub(crate) chosen: ChosenBy,
    /// The way to it.
    pub(crate) api: Api,
}

fn wanted(context: &Context) -> Wanted {
    let client = &context.settings.client;
    Wanted {
        manager: client.manager.value.clone(),
        farm: client.farm.value.clone(),
        token: client.token.value.clone(),
        farm_ca: client.farm_ca.value.clone(),
    }
}

/// The farm, if this user has one.
pub(crate) fn find(context: &Context) -> Result<Option<Connection>> {
    let Some((farm, chosen)) = choose_farm(&context.folders, &wanted(context))? else {
        return Ok(None);
    };
    let api = Api::new(farm.access())?
        .limited(context.settings.bandwidth())
        .retrying(Retry::for_at_most(PATIENCE));
    Ok(Some(Connection { farm, chosen, api }))
}

/// Says that what the farm or this user may store is nearly used up, before it is.
pub(crate) fn warn_of_quota(context: &Context, farm: &tessera_wire::api::Farm) {
    let nearly = |what: &str| {
        context.output.warn(format!(
            "what {what} may store is nearly used up: `tessera store` shows what uses the space, `tessera job remove` gives it back"
        ));
    };
    if farm.store == StoreLevel::Warning {
        nearly("the farm");
    }
    if farm.own_store == StoreLevel::Warning {
        nearly("you");
    }
}

/// The farm, for a command that is nothing without one.
pub(crate) fn need(context: &Context) -> Result<Connection> {
    find(context)?.ok_or_else(|| {
        stop(
            Status::Refused,
            "no farm is connected and no manager of yours runs on this machine: run `tessera connect CODE` with a code \
             from the farm's admin, or start a farm with `tessera manager`",
        )
    })
}

impl Connection {
    /// A manager on this machine that was stopped and started again has a new token: the same farm with it, if that is
    /// what happened.
    pub(crate) fn renewed(&self, context: &Context, error: &ApiError) -> Option<Self> {
        if self.chosen != ChosenBy::LocalManager || !error.is_refused() {
            return None;
        }
        find(context)
            .ok()
            .flatten()
            .filter(|found| found.farm.trust.anchor_pem == self.farm.trust.anchor_pem)
            .filter(|found| found.farm.token != self.farm.token)
    }
}
