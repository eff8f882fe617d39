//! Becoming part of a farm: by its code, for its purpose, as long as it lives, and not by guessing.

use std::time::Duration;

use rcgen::KeyPair;
use tessera_model::{Change, PairingGrant, PairingRecord, Role, SecretHash, Timestamp};
use tessera_state::State;
use tessera_wire::api::{
    Farm as FarmInfo, NewPairing, PairReply, Pairing, Renewal, WorkerIdentity,
};
use tessera_wire::pairing::PairingLink;
use tessera_wire::problem::ProblemKind;
use tessera_wire::routes;

use crate::harness::{client_request, csr, secret_of, start, worker_request};

fn artist() -> PairingGrant {
    PairingGrant::Client {
        user: "ann".parse().unwrap(),
        role: Role::Artist,
    }
}

#[tokio::test]
async fn a_client_gets_the_role_of_its_code_and_the_code_is_used_up() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let wanted = NewPairing {
        grant: artist(),
        lifetime_s: 60,
        once: true,
    };
    let code: Pairing = farm.admin().json(routes::PAIRING_NEW, &[], &wanted).await;
    let link: PairingLink = code.links[0].parse().unwrap();
    assert_eq!(link.code.fingerprint, farm.running.fingerprint);
    assert_eq!(link.address.as_deref(), Some(farm.end().url.as_str()));
    let stranger = farm.end().api(None, None);
    let reply: PairReply = stranger
        .json(routes::PAIR, &[], &client_request(&code.code))
        .await;
    let PairReply::Client { token, role, .. } = reply else {
        panic!("{reply:?}");
    };
    assert_eq!(role, Role::Artist);
    let info: FarmInfo = farm
        .end()
        .api(Some(&token), None)
        .get(routes::FARM, &[])
        .await;
    assert_eq!(
        (info.name.as_str(), info.user.as_str()),
        ("test farm", "ann")
    );
    let again = stranger
        .problem(routes::PAIR, &[], &client_request(&code.code))
        .await;
    assert_eq!(again.kind, ProblemKind::Code);
}

#[tokio::test]
async fn a_code_for_many_is_used_by_many_and_names_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let code = farm.code(PairingGrant::Worker, false).await;
    let stranger = farm.end().api(None, None);
    let mut names = Vec::new();
    for _ in 0..3 {
        let key = KeyPair::generate().unwrap();
        let reply: PairReply = stranger
            .json(routes::PAIR, &[], &worker_request(&code.code, "box", &key))
            .await;
        let PairReply::Worker(identity) = reply else {
            panic!("{reply:?}");
        };
        names.push(identity.name);
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 3, "{names:?}");
}

#[tokio::test]
async fn a_code_is_good_for_its_farm_and_purpose_and_life_alone() {
    let folder = tempfile::tempdir().unwrap();
    // One that ended while the manager was away.
    let state = State::open(folder.path()).await.unwrap();
    let term = state.begin_term().await.unwrap();
    let secret = [7; 10];
    let ended = PairingRecord {
        hash: SecretHash(*blake3::hash(&secret).as_bytes()),
        grant: artist(),
        expires_at: Timestamp(1),
        once: false,
    };
    state
        .commit(term, &[Change::PairingAdded(ended)])
        .await
        .unwrap();
    state.close().await;
    drop(state);

    let farm = start(folder.path()).await;
    let stranger = farm.end().api(None, None);
    let check = async |request, kind, status| {
        let problem = stranger.problem(routes::PAIR, &[], &request).await;
        assert_eq!((problem.kind, problem.status), (kind, status), "{problem}");
    };
    let code = farm.code(artist(), true).await.code;
    let mut late = client_request(&code);
    late.secret = "07".repeat(10);
    check(late, ProblemKind::Code, 403).await;
    let mut short = client_request(&code);
    short.secret.pop();
    check(short, ProblemKind::Code, 403).await;
    let key = KeyPair::generate().unwrap();
    check(worker_request(&code, "w", &key), ProblemKind::Code, 403).await;
    let worker_code = farm.code(PairingGrant::Worker, true).await.code;
    check(client_request(&worker_code), ProblemKind::Code, 403).await;
    let mut old = client_request(&code);
    old.protocol = 0;
    check(old, ProblemKind::Version, 426).await;
    let mut broken = worker_request(&worker_code, "w", &key);
    broken.worker.as_mut().unwrap().csr = "nonsense".into();
    check(broken, ProblemKind::Invalid, 422).await;
    check(
        worker_request(&worker_code, "a\nb", &key),
        ProblemKind::Invalid,
        422,
    )
    .await;

    let other_folder = tempfile::tempdir().unwrap();
    let other = start(other_folder.path()).await;
    let foreign = other.code(artist(), true).await;
    let link: PairingLink = foreign.code.parse().unwrap();
    assert_ne!(link.code.fingerprint, farm.running.fingerprint);
    check(client_request(&foreign.code), ProblemKind::Code, 403).await;

    // None of the wrong tries has used the right ones up.
    let reply: PairReply = stranger
        .json(routes::PAIR, &[], &client_request(&code))
        .await;
    assert!(matches!(reply, PairReply::Client { .. }));
}

#[tokio::test]
async fn guessing_ends_after_some_tries() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let code = farm.code(artist(), true).await.code;
    let stranger = farm.end().api(None, None);
    let mut statuses = Vec::new();
    for guess in 0..12u8 {
        let mut request = client_request(&code);
        request.secret = format!("{guess:020x}");
        statuses.push(stranger.problem(routes::PAIR, &[], &request).await.status);
    }
    assert_eq!(statuses[..10], [403; 10]);
    assert_eq!(statuses[10..], [429; 2]);
    // Not even the right one is looked at now.
    let right = stranger
        .problem(routes::PAIR, &[], &client_request(&code))
        .await;
    assert_eq!(right.kind, ProblemKind::TooMany);
}

#[tokio::test]
async fn lifetimes_have_bounds_and_secrets_are_not_in_the_folder() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    for seconds in [0, 31 * 24 * 60 * 60] {
        let refused = farm
            .running
            .mint_pairing(PairingGrant::Worker, Duration::from_secs(seconds), true)
            .await
            .unwrap_err();
        assert_eq!(refused.kind, ProblemKind::Invalid);
    }
    let code = farm.code(artist(), true).await.code;
    let token = farm.token("u", Role::Viewer, None).await.token;
    let running = farm.running.clone();
    let dir = farm.dir.clone();
    farm.stop().await;
    let closed = running
        .mint_pairing(PairingGrant::Worker, Duration::from_secs(1), true)
        .await;
    assert_eq!(closed.unwrap_err().kind, ProblemKind::NotActive);
    let secrets = [
        token.as_bytes().to_vec(),
        secret_of(&code).into_bytes(),
        running.admin_token.into_bytes(),
    ];
    for entry in walk(&dir) {
        let bytes = std::fs::read(&entry).unwrap();
        for secret in &secrets {
            let found = bytes.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{} holds a secret", entry.display());
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(&entry).unwrap().permissions().mode();
            let is_key = entry
                .extension()
                .is_some_and(|extension| extension == "key");
            assert!(!is_key || mode & 0o077 == 0, "{} {mode:o}", entry.display());
        }
    }
}

fn walk(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(walk(&path));
        } else {
            files.push(path);
        }
    }
    files
}

#[tokio::test]
async fn a_worker_renews_its_certificate_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let mut member = farm.worker("w").await;
    let api = farm.end().api(None, Some(&member.certificate()));
    let key = KeyPair::generate().unwrap();
    let renewed: WorkerIdentity = api
        .json(routes::WORKER_CERTIFICATE, &[], &Renewal { csr: csr(&key) })
        .await;
    assert_eq!(
        (renewed.worker, &renewed.name),
        (member.identity.worker, &member.identity.name)
    );
    assert_ne!(renewed.certificate, member.identity.certificate);
    // A renewal that was lost on its way costs nothing: the old one is good until it ends.
    let _: WorkerIdentity = api
        .json(routes::WORKER_CERTIFICATE, &[], &Renewal { csr: csr(&key) })
        .await;
    member = crate::harness::Member {
        identity: renewed,
        key,
    };
    let fresh = farm.end().api(None, Some(&member.certificate()));
    let broken = fresh
        .problem(
            routes::WORKER_CERTIFICATE,
            &[],
            &Renewal { csr: "x".into() },
        )
        .await;
    assert_eq!(broken.kind, ProblemKind::Invalid);
}
