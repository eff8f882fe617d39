//! The settings of the running farm.

use std::sync::Arc;

use axum::extract::State;
use tessera_model::FarmSettings;
use tessera_wire::farm_settings::SettingsPatch;

use super::access::Client;
use super::app::App;
use super::extract::Json;
use super::problem::{Answer, applied};

pub(super) async fn all(State(app): State<Arc<App>>) -> Answer<Json<FarmSettings>> {
    let settings = app
        .engine
        .read(|scheduler, _| scheduler.settings().clone())
        .await?;
    Ok(Json(settings))
}

pub(super) async fn edit(
    State(app): State<Arc<App>>,
    client: Client,
    Json(patch): Json<SettingsPatch>,
) -> Answer<Json<FarmSettings>> {
    tracing::info!(user = %client.user.name, ?patch, "settings of the farm change");
    applied(app.engine.change_settings(patch).await?)?;
    all(State(app)).await
}
