//! Who is believed, and what is said of those who are not.

use tessera_client::{
    Access, Api, ApiError, ConnectError, Credentials, Trust, fingerprint_of, join_as_client,
};
use tessera_model::Role;
use tessera_wire::MANAGER_NAME;
use tessera_wire::pairing::{NameCheck, PairingCode, PairingLink};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::support::{Authority, TestFarm, TlsServer, days};

/// How a connection to `address` fails under this trust; none if the handshake works (the server then hangs up).
async fn failure(address: &str, trust: Trust) -> Option<ConnectError> {
    let api = Api::new(Access {
        addresses: vec![address.to_owned()],
        trust,
        credentials: Credentials::None,
    })
    .unwrap();
    match api.health().await {
        Err(ApiError::Connect(error)) => Some(error),
        Err(ApiError::Cut { .. }) => None,
        other => panic!("{other:?}"),
    }
}

fn trust(authority: &Authority, name_check: NameCheck) -> Trust {
    Trust::from_der(authority.certificate.der(), name_check)
}

#[tokio::test]
async fn only_the_farms_own_anchor_counts() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let (leaf, key) = ours.server(&[MANAGER_NAME], days(-1), days(1));
    let server = TlsServer::start(&[&leaf, &ours.certificate], &key).await;
    assert!(
        failure(&server.url(), trust(&ours, NameCheck::Farm))
            .await
            .is_none()
    );
    let stranger = failure(&server.url(), trust(&other, NameCheck::Farm))
        .await
        .unwrap();
    assert!(
        matches!(stranger, ConnectError::Stranger { .. }) && !stranger.may_pass(),
        "{stranger}"
    );
    // The farm's name does not make up for a host's, nor the other way round.
    let named = failure(&server.url(), trust(&ours, NameCheck::Host))
        .await
        .unwrap();
    assert!(
        matches!(&named, ConnectError::WrongName { expected, .. } if expected == "127.0.0.1"),
        "{named}"
    );
    assert!(named.to_string().contains(MANAGER_NAME), "{named}");
}

#[tokio::test]
async fn hosts_are_checked_where_the_owner_brought_the_certificate() {
    let root = Authority::new("the studio's root");
    let middle = root.intermediate("the studio's issuing CA");
    let (leaf, key) = middle.server(&["127.0.0.1"], days(-1), days(1));
    let server = TlsServer::start(&[&leaf, &middle.certificate, &root.certificate], &key).await;
    assert!(
        failure(&server.url(), trust(&root, NameCheck::Host))
            .await
            .is_none()
    );
    // A chain may be trusted by its middle, too.
    assert!(
        failure(&server.url(), trust(&middle, NameCheck::Host))
            .await
            .is_none()
    );
    let (leaf, key) = middle.server(&["render.studio"], days(-1), days(1));
    let server = TlsServer::start(&[&leaf, &middle.certificate], &key).await;
    assert!(matches!(
        failure(&server.url(), trust(&root, NameCheck::Host)).await,
        Some(ConnectError::WrongName { .. })
    ));
    let (alone, key) = Authority::openssl_like(&["127.0.0.1"]);
    let server = TlsServer::start(&[&alone], &key).await;
    assert!(
        failure(&server.url(), Trust::from_der(alone.der(), NameCheck::Host))
            .await
            .is_none()
    );
    assert!(matches!(
        failure(&server.url(), Trust::from_der(alone.der(), NameCheck::Farm)).await,
        Some(ConnectError::WrongName { .. })
    ));
}

#[tokio::test]
async fn times_are_said() {
    let ours = Authority::new("ours");
    let (leaf, key) = ours.server(&[MANAGER_NAME], days(-30), days(-3));
    let server = TlsServer::start(&[&leaf, &ours.certificate], &key).await;
    let expired = failure(&server.url(), trust(&ours, NameCheck::Farm))
        .await
        .unwrap();
    assert!(
        matches!(&expired, ConnectError::Expired { whose, .. } if whose.contains("the manager")),
        "{expired:?}"
    );
    let since = time::OffsetDateTime::from(days(-3)).date().to_string();
    assert!(
        expired.to_string().contains(&since) && expired.to_string().contains("clock"),
        "{expired}"
    );
    let (leaf, key) = ours.server(&[MANAGER_NAME], days(3), days(30));
    let server = TlsServer::start(&[&leaf, &ours.certificate], &key).await;
    assert!(matches!(
        failure(&server.url(), trust(&ours, NameCheck::Farm)).await,
        Some(ConnectError::NotYetValid { .. })
    ));
}

#[tokio::test]
async fn pairing_says_nothing_to_the_wrong_one() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let secret = [7; 10];
    let code = |authority: &Authority, name_check| PairingCode {
        fingerprint: fingerprint_of(authority.certificate.der()),
        name_check,
        secret,
    };
    let (leaf, key) = ours.server(&[MANAGER_NAME], days(-1), days(1));
    let server = TlsServer::start(&[&leaf, &ours.certificate], &key).await;
    let join = |code| {
        let link = PairingLink {
            address: Some(server.url()),
            code,
        };
        async move { join_as_client(&link, "here").await.unwrap_err().to_string() }
    };
    let wrong = join(code(&other, NameCheck::Farm)).await;
    assert!(
        wrong.contains("not the one the code is for") && wrong.contains(&server.url()),
        "{wrong}"
    );
    // The right certificate in the chain of one who was not issued by it: a copy proves nothing.
    let (thief, thief_key) = other.server(&[MANAGER_NAME], days(-1), days(1));
    let imitator = TlsServer::start(&[&thief, &ours.certificate], &thief_key).await;
    let link = PairingLink {
        address: Some(imitator.url()),
        code: code(&ours, NameCheck::Farm),
    };
    let copied = join_as_client(&link, "here").await.unwrap_err().to_string();
    assert!(copied.contains("does not belong to this farm"), "{copied}");
    // The right one is spoken to: the handshake works, and the connection ends only then.
    let right = join(code(&ours, NameCheck::Farm)).await;
    assert!(right.contains("was cut"), "{right}");
    let named = join(code(&ours, NameCheck::Host)).await;
    assert!(
        named.contains("is for") && named.contains("127.0.0.1"),
        "{named}"
    );
}

#[tokio::test]
async fn what_is_no_manager_is_called_so() {
    let ours = Authority::new("ours");
    let trust = || trust(&ours, NameCheck::Farm);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = format!("https://{}", listener.local_addr().unwrap());
    drop(listener);
    let refused = failure(&closed, trust()).await.unwrap();
    assert!(
        matches!(refused, ConnectError::Refused { .. }) && refused.may_pass(),
        "{refused}"
    );
    assert!(matches!(
        failure("https://nowhere.invalid:7373", trust()).await,
        Some(ConnectError::NoHost { .. })
    ));

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = format!("https://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 16];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let plain = failure(&plain, trust()).await.unwrap();
    assert!(matches!(plain, ConnectError::NotTls { .. }), "{plain}");

    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("https://{}", silent.local_addr().unwrap());
    let error = failure(&address, trust()).await.unwrap();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
}

#[tokio::test]
async fn a_farm_does_not_take_another_farms_worker() {
    let (ours, other) = (TestFarm::start().await, TestFarm::start().await);
    let link = other.link(tessera_model::PairingGrant::Worker).await;
    let worker = tessera_client::join_as_worker(&link, "w").await.unwrap();
    let access = Access {
        addresses: vec![ours.address()],
        trust: ours.trust(),
        credentials: Credentials::Certificate(worker.identity.clone()),
    };
    let api = Api::new(access).unwrap();
    let error = api
        .blobs_missing(&[tessera_blobs::Digest::of(b"x")])
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            ApiError::Connect(ConnectError::IdentityRefused { .. })
        ) && error.is_refused(),
        "{error:?}"
    );
    let error = api.link().await.unwrap_err();
    assert!(
        error
            .to_string()
            .contains("does not accept this worker's certificate"),
        "{error}"
    );
    // And a client with its own farm's certificate in hand does not speak to the other at all.
    let mut farm = join_as_client(&other.client_link(Role::Artist).await, "here")
        .await
        .unwrap()
        .0;
    farm.addresses = vec![ours.address()];
    let error = Api::new(farm.access()).unwrap().farm().await.unwrap_err();
    assert!(
        matches!(error, ApiError::Connect(ConnectError::Stranger { .. })),
        "{error:?}"
    );
}
