//! Codes, credentials, and the link they open.

use tessera_client::{
    Access, Api, Credentials, JoinError, LinkError, join_as_client, join_as_worker, renew,
};
use tessera_model::{Build, BuildKind, PairingGrant, Role, WorkerFacts};
use tessera_wire::PROTOCOL;
use tessera_wire::link::{FromWorker, ToWorker};
use tessera_wire::problem::ProblemKind;

use crate::support::{Authority, TestFarm, days};

pub fn facts() -> WorkerFacts {
    WorkerFacts {
        divides: true,
        slots: 1,
        threads: 1,
        cores: 1,
        memory_bytes: 1 << 30,
        os: "linux".into(),
        arch: "x86_64".into(),
        host: "here".into(),
        tags: Vec::new(),
        builds: vec![Build {
            version: "3.4.1".parse().unwrap(),
            hash: "h".into(),
            kind: BuildKind::Executable,
        }],
        gpus: Vec::new(),
        version: "0".into(),
        rest: None,
    }
}

#[tokio::test]
async fn a_client_joins_once_per_code() {
    let farm = TestFarm::start().await;
    let link = farm.client_link(Role::Artist).await;
    let (joined, user) = join_as_client(&link, "laptop").await.unwrap();
    assert_eq!((user.name.as_str(), user.role), ("ann", Role::Artist));
    assert_eq!(joined.trust, farm.trust());
    assert_eq!(joined.addresses[0], farm.address());
    let api = Api::new(joined.access()).unwrap();
    assert_eq!(api.farm().await.unwrap().user.as_str(), "ann");
    // An artist mints no codes, and a used code is worth nothing.
    assert_eq!(
        api.tokens().await.unwrap_err().kind(),
        Some(ProblemKind::Forbidden)
    );
    let Err(JoinError::Api(error)) = join_as_client(&link, "laptop").await else {
        panic!("a code was used twice")
    };
    assert_eq!(error.kind(), Some(ProblemKind::Code));
    assert!(error.is_refused());
}

#[tokio::test]
async fn codes_are_for_one_sort_of_member() {
    let farm = TestFarm::start().await;
    let error = join_as_client(&farm.link(PairingGrant::Worker).await, "x")
        .await
        .unwrap_err();
    println!("{error}");
    let error = join_as_worker(&farm.client_link(Role::Artist).await, "x")
        .await
        .unwrap_err();
    println!("{error}");
}

#[tokio::test]
async fn a_worker_joins_links_and_renews() {
    let some = [tessera_blobs::Digest::of(b"x")];
    let farm = TestFarm::start().await;
    let worker = join_as_worker(&farm.link(PairingGrant::Worker).await, "w1")
        .await
        .unwrap();
    assert_eq!(worker.name, "w1");
    assert!(worker.renew_at() > worker.issued_at && worker.renew_at() < worker.expires_at);
    let path = farm.dir.path().join("worker/farm.json");
    worker.save(&path).unwrap();
    assert_eq!(
        tessera_client::WorkerFarm::load(&path).unwrap().as_ref(),
        Some(&worker)
    );

    let api = Api::new(worker.access()).unwrap();
    let (mut sender, mut receiver) = api.link().await.unwrap().split();
    sender
        .send(&FromWorker::Hello {
            protocol: PROTOCOL,
            facts: facts(),
            holds: Vec::new(),
            peer: None,
            pyramids: false,
        })
        .await
        .unwrap();
    let Some(ToWorker::Welcome { worker: id, .. }) = receiver.next().await.unwrap() else {
        panic!("no welcome")
    };
    assert_eq!(id, worker.worker);

    let renewed = renew(&api, &worker).await.unwrap();
    assert_ne!(renewed.identity, worker.identity);
    let fresh = Api::new(renewed.access()).unwrap();
    fresh.blobs_missing(&some).await.unwrap();
    sender.close().await;
    assert!(receiver.next().await.unwrap_or(None).is_none());

    // A revoked certificate opens nothing.
    let serials: Vec<_> = farm
        .api()
        .certificates()
        .await
        .unwrap()
        .items
        .into_iter()
        .map(|certificate| certificate.serial)
        .collect();
    for serial in &serials {
        farm.api().revoke_certificate(serial).await.unwrap();
    }
    assert!(fresh.blobs_missing(&some).await.unwrap_err().is_refused());
    let Err(LinkError::Open(error)) = fresh.link().await else {
        panic!("a revoked certificate opened a link")
    };
    assert!(error.is_refused(), "{error}");
}

#[tokio::test]
async fn the_owners_certificate_is_checked_by_host() {
    let some = [tessera_blobs::Digest::of(b"x")];
    let root = Authority::new("the studio's root");
    let middle = root.intermediate("the studio's issuing CA");
    let (leaf, key) = middle.server(&["127.0.0.1"], days(-1), days(30));
    let dir = tempfile::tempdir().unwrap();
    let (chain_path, key_path) = (dir.path().join("chain.pem"), dir.path().join("key.pem"));
    std::fs::write(
        &chain_path,
        leaf.pem() + &middle.certificate.pem() + &root.certificate.pem(),
    )
    .unwrap();
    std::fs::write(&key_path, key.serialize_pem()).unwrap();
    let farm = TestFarm::with(Some((chain_path, key_path))).await;
    let (joined, _) = join_as_client(&farm.client_link(Role::Viewer).await, "here")
        .await
        .unwrap();
    assert_eq!(
        joined.trust.fingerprint().unwrap(),
        tessera_client::fingerprint_of(root.certificate.der())
    );
    let worker = join_as_worker(&farm.link(PairingGrant::Worker).await, "w")
        .await
        .unwrap();
    Api::new(worker.access())
        .unwrap()
        .blobs_missing(&some)
        .await
        .unwrap();
    // By another name of the same host, the certificate does not fit.
    let port = farm.running.addresses[0].port();
    let access = Access {
        addresses: vec![format!("https://localhost:{port}")],
        trust: joined.trust,
        credentials: Credentials::None,
    };
    let error = Api::new(access).unwrap().health().await.unwrap_err();
    assert!(error.to_string().contains("not for localhost"), "{error}");
}
