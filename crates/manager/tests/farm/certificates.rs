//! The owner's certificate in place of the farm's own.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use tessera_manager::{ManagerError, OwnCertificate};
use tessera_model::PairingGrant;
use tessera_wire::api::Farm as FarmInfo;
use tessera_wire::pairing::{NameCheck, PairingLink};
use tessera_wire::routes;

use crate::harness::{config, start_with};

struct Owner {
    folder: tempfile::TempDir,
    own: OwnCertificate,
    root_pem: String,
}

/// Root, intermediate, and a certificate for `names`; the chain given holds all three.
fn owner(names: &[&str]) -> Owner {
    let folder = tempfile::tempdir().unwrap();
    let authority = |name: &str| {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        (params, KeyPair::generate().unwrap())
    };
    let (root, root_key) = authority("root");
    let root_certificate = root.self_signed(&root_key).unwrap();
    let root = Issuer::new(root, root_key);
    let (middle, middle_key) = authority("middle");
    let middle_certificate = middle.signed_by(&middle_key, &root).unwrap();
    let middle = Issuer::new(middle, middle_key);
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(names)
        .unwrap()
        .signed_by(&key, &middle)
        .unwrap();
    let own = OwnCertificate {
        chain: folder.path().join("chain.pem"),
        key: folder.path().join("key.pem"),
    };
    let chain = certificate.pem() + &middle_certificate.pem() + &root_certificate.pem();
    std::fs::write(&own.chain, chain).unwrap();
    std::fs::write(&own.key, key.serialize_pem()).unwrap();
    Owner {
        folder,
        own,
        root_pem: root_certificate.pem(),
    }
}

#[tokio::test]
async fn the_owners_chain_is_shown_and_workers_still_get_the_farms_certificates() {
    let owner = owner(&["127.0.0.1", "render.example", "*.example"]);
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.certificate = Some(owner.own.clone());
    let farm = start_with(config).await.unwrap();
    assert_eq!(farm.running.name_check, NameCheck::Host);
    let port = farm.running.addresses[0].port();
    let mut names = farm.running.urls.clone();
    names.sort();
    assert_eq!(
        names,
        [
            format!("https://127.0.0.1:{port}"),
            format!("https://render.example:{port}")
        ]
    );
    // Whoever trusts the owner's root, as the operating system might, connects.
    let mut end = farm.end();
    end.anchor_pem = owner.root_pem.clone();
    let _: FarmInfo = end
        .api(Some(&farm.running.admin_token), None)
        .get(routes::FARM, &[])
        .await;
    let code = farm.code(PairingGrant::Worker, true).await;
    let link: PairingLink = code.links[0].parse().unwrap();
    assert_eq!(link.code.name_check, NameCheck::Host);
    assert_eq!(link.code.fingerprint, farm.running.fingerprint);
    let member = farm.worker("w").await;
    let api = end.api(None, Some(&member.certificate()));
    let problem = api
        .problem(routes::WORKER_RESULT, &[], &serde_json::json!({}))
        .await;
    assert_eq!(problem.status, 422);
    farm.stop().await;
}

#[tokio::test]
async fn one_that_cannot_be_used_is_refused_at_start() {
    let owner = owner(&["render.example"]);
    let folder = tempfile::tempdir().unwrap();
    let wrong_key = owner.folder.path().join("wrong.pem");
    std::fs::write(&wrong_key, KeyPair::generate().unwrap().serialize_pem()).unwrap();
    let mut config = config(folder.path());
    config.certificate = Some(OwnCertificate {
        key: wrong_key,
        ..owner.own.clone()
    });
    let error = start_with(config.clone()).await.err().unwrap();
    assert!(matches!(error, ManagerError::Certificate { .. }), "{error}");
    config.certificate = Some(OwnCertificate {
        chain: owner.folder.path().join("none"),
        ..owner.own.clone()
    });
    let error = start_with(config).await.err().unwrap().to_string();
    assert!(error.contains("none"), "{error}");
}
