//! What waits for a manager, and what is told meanwhile.

use std::time::Duration;

use futures_util::StreamExt;
use tessera_client::{ApiError, EventFilter, Outage, Retry};
use tessera_wire::event::What;
use tokio::sync::mpsc;

use crate::support::{Proxy, TestFarm};

#[tokio::test]
async fn a_restart_is_survived_and_told() {
    let farm = TestFarm::start().await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let retry = Retry::forever().telling(move |outage| {
        let text = match outage {
            Outage::Lost { error } => format!("lost: {error}"),
            Outage::Back { .. } => "back".to_owned(),
            _ => "?".to_owned(),
        };
        tell.send(text).unwrap();
    });
    let api = farm.api().retrying(retry);
    let (seen, mut events) = mpsc::unbounded_channel();
    let watching = api.clone();
    let watch = tokio::spawn(async move {
        let mut stream = watching.events(EventFilter {
            job: None,
            since: Some(0),
        });
        while let Some(event) = stream.next().await {
            seen.send(event).unwrap();
        }
    });
    // Something to see, and proof that the stream is open.
    assert!(matches!(
        events.recv().await.unwrap().unwrap().what,
        What::Resync
    ));
    let left = farm.stop().await;
    assert!(told.recv().await.unwrap().starts_with("lost: "));
    let farm = TestFarm::again(left).await;
    // The token of a cleanly stopped manager is void: the stream ends with a refusal instead of waiting for ever.
    let end = events.recv().await.unwrap();
    assert!(
        matches!(&end, Err(error) if error.is_refused())
            || matches!(&end, Ok(event) if matches!(event.what, What::Resync)),
        "{end:?}"
    );
    watch.abort();
    farm.stop().await;
}

#[tokio::test]
async fn an_outage_is_told_once_however_many_wait() {
    let farm = TestFarm::start().await;
    let proxy = Proxy::to(farm.running.addresses[0]).await;
    let (tell, mut told) = mpsc::unbounded_channel();
    let retry = Retry::forever().telling(move |outage| {
        tell.send(matches!(outage, Outage::Back { .. })).unwrap();
    });
    let api = farm.api_at(proxy.url()).retrying(retry);
    let mut events = api.events(EventFilter::default());
    // The stream is open once a pairing made now could be seen in it; any answer will do to know that the way is up.
    api.farm().await.unwrap();
    let next = tokio::spawn(async move { events.next().await });
    let left = farm.stop().await;
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let api = api.clone();
            tokio::spawn(async move { api.health().await })
        })
        .collect();
    assert_eq!(told.recv().await, Some(false));
    // One that waits and is dropped leaves no outage behind.
    drop(tokio::time::timeout(Duration::from_millis(1), api.farm()).await);
    let farm = TestFarm::again(left).await;
    assert_eq!(told.recv().await, Some(true));
    for request in waiting {
        request.await.unwrap().unwrap();
    }
    next.abort();
    farm.stop().await;
}

#[tokio::test]
async fn patience_is_bounded_where_it_is_asked_to_be() {
    let farm = TestFarm::start().await;
    let api = farm.api();
    api.farm().await.unwrap();
    farm.stop().await;
    let error = api
        .retrying(Retry::for_at_most(Duration::from_millis(700)))
        .farm()
        .await
        .unwrap_err();
    assert!(
        matches!(error, ApiError::Connect(_)) && error.is_unreachable(),
        "{error}"
    );
}

#[tokio::test]
async fn the_next_address_is_tried() {
    let farm = TestFarm::start().await;
    let access = tessera_client::Access {
        addresses: vec!["https://127.0.0.1:1".into(), farm.address()],
        trust: farm.trust(),
        credentials: tessera_client::Credentials::Token(farm.running.admin_token.clone()),
    };
    let api = tessera_client::Api::new(access).unwrap();
    api.farm().await.unwrap();
    assert_eq!(api.address(), farm.address());
    assert!(api.traffic().received_bytes > 0);
}
