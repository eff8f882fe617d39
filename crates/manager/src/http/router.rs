//! The literal list of routes, each with its handler and its access. What is not on the list is not served.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use tessera_wire::routes::{self, Route};

use super::app::App;
use super::extract::JSON_MAX_BYTES;
use super::{
    access, blobs, edits, events, farm, files, identities, jobs, link, logs, pages, pair, previews,
    pyramids, receivers, results, settings, store, submit, upload, workers,
};

/// The handler of a route; none if the list has a route that nobody wrote.
fn handler(route: &Route) -> Option<MethodRouter<Arc<App>>> {
    Some(match *route {
        routes::HEALTH => get(farm::health),
        routes::READY => get(farm::ready),
        routes::UTILISATION => get(farm::utilisation),
        routes::METRICS => get(farm::metrics),
        routes::WORKERS_METRICS => get(farm::workers_metrics),
        routes::PAIR => post(pair::pair),
        routes::PAGE => get(pages::page),
        routes::ASSET => get(pages::asset),
        routes::FARM => get(farm::farm),
        routes::ROUTES => get(farm::routes),
        routes::OPENAPI => get(farm::openapi),
        routes::JOBS => get(jobs::list),
        routes::SUBMIT => post(submit::submit),
        routes::JOB => get(jobs::one),
        routes::JOB_EDIT => patch(jobs::edit),
        routes::JOB_ACT => post(jobs::act),
        routes::JOB_FETCHED => post(jobs::fetched),
        routes::JOB_REMOVE => delete(jobs::remove),
        routes::JOB_WHY => get(jobs::why),
        routes::FRAMES => get(jobs::frames),
        routes::RESULTS => get(jobs::results),
        routes::PARTS => get(jobs::parts),
        routes::ERRORS => get(jobs::errors),
        routes::JOURNAL => get(jobs::journal),
        routes::LOG => get(logs::log),
        routes::PREVIEW => get(previews::preview),
        routes::PYRAMID => get(pyramids::pyramid),
        routes::EVENTS => get(events::watch),
        routes::WORKERS => get(workers::list),
        routes::WORKER => get(workers::show),
        routes::WORKER_ACT => post(workers::act),
        routes::WORKER_WHY => get(workers::why),
        routes::SETTINGS => get(settings::all),
        routes::SETTINGS_EDIT => patch(settings::edit),
        routes::RECEIVERS => get(receivers::all),
        routes::RECEIVER_SET => put(receivers::set),
        routes::RECEIVER_REMOVE => delete(receivers::remove),
        routes::RECEIVER_TEST => post(receivers::test),
        routes::PAIRING_NEW => post(identities::new_pairing),
        routes::TOKENS => get(identities::tokens),
        routes::TOKEN_NEW => post(identities::new_token),
        routes::TOKEN_REVOKE => delete(identities::revoke_token),
        routes::CERTIFICATES => get(identities::certificates),
        routes::CERTIFICATE_REVOKE => delete(identities::revoke_certificate),
        routes::FILE_PUT => put(files::put),
        routes::FILE => get(files::get),
        routes::TREE_PUT => post(files::tree),
        routes::BLOBS_MISSING => post(blobs::missing),
        routes::BLOBS_NEEDED => post(blobs::needed),
        routes::BLOBS_PUT => put(upload::put),
        routes::BLOBS_SUMS => post(edits::sums),
        routes::BLOBS_EDIT => post(edits::apply),
        routes::BLOBS_FETCH => post(blobs::fetch),
        routes::STORE => get(store::report),
        routes::STORE_COLLECT => post(store::collect),
        routes::LINK => get(link::open),
        routes::WORKER_RESULT => post(results::done),
        routes::WORKER_FAILURE => post(results::failed),
        routes::WORKER_PARTS => get(results::parts),
        routes::WORKER_CERTIFICATE => post(pair::renew),
        _ => return None,
    })
}

/// Every route of the list, and nothing else.
pub(crate) fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes::ALL {
        let handler = handler(route).expect("a test holds that every listed route has a handler");
        let check = from_fn_with_state((Arc::clone(&app), route.access), access::check);
        router = router.route(route.path, handler.route_layer(check));
    }
    router
        .fallback(access::no_route)
        .method_not_allowed_fallback(access::no_route)
        .layer(DefaultBodyLimit::max(JSON_MAX_BYTES))
        .layer(from_fn(pages::harden))
        .with_state(app)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_route_has_a_handler() {
        for route in routes::ALL {
            assert!(
                handler(route).is_some(),
                "{:?} {}",
                route.method,
                route.path
            );
        }
    }
}
