//! Starting where it cannot, and what it leaves behind.

use std::path::Path;

use tessera_manager::{LocalFile, ManagerError};
use tessera_wire::api::Farm as FarmInfo;
use tessera_wire::routes;

use crate::harness::{End, config, start, start_with};

async fn refused(config: tessera_manager::ManagerConfig) -> ManagerError {
    start_with(config).await.err().expect("it started")
}

#[tokio::test]
async fn a_taken_port_and_a_taken_folder_are_named() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let farm = start(one.path()).await;
    let mut same_port = config(two.path());
    same_port.listen = farm.running.addresses.clone();
    let error = refused(same_port).await;
    assert!(matches!(error, ManagerError::PortTaken { .. }), "{error}");
    let error = refused(config(one.path())).await.to_string();
    assert!(
        error.contains("another manager") && error.contains("--data"),
        "{error}"
    );
    // Neither has left anything that keeps the other from starting.
    drop(start(two.path()).await);
    farm.stop().await;
    start(one.path()).await.stop().await;
}

#[tokio::test]
async fn a_damaged_folder_is_said_to_be() {
    let check = async |break_it: &dyn Fn(&Path), part: &str| {
        let folder = tempfile::tempdir().unwrap();
        start(folder.path()).await.stop().await;
        break_it(folder.path());
        let error = refused(config(folder.path())).await.to_string();
        assert!(error.contains(part), "{error}");
    };
    let write = |name: &'static str| {
        move |dir: &Path| std::fs::write(dir.join(name), "x".repeat(8192)).unwrap()
    };
    check(&write("farm.json"), "farm.json").await;
    check(&write("ca.pem"), "ca.pem").await;
    check(&write("ca.key"), "ca.key").await;
    check(
        &|dir| std::fs::remove_file(dir.join("ca.key")).unwrap(),
        "ca.key",
    )
    .await;
    check(&write("record.sqlite3"), "record.sqlite3").await;
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = refused(config(&file.path().join("data"))).await.to_string();
    assert!(error.contains("data"), "{error}");
}

#[tokio::test]
async fn a_lost_server_certificate_is_made_anew_and_nobody_has_to_pair_again() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let anchor = farm.running.anchor_pem.clone();
    farm.stop().await;
    std::fs::write(folder.path().join("server.pem"), "x").unwrap();
    let farm = start(folder.path()).await;
    assert_eq!(farm.running.anchor_pem, anchor);
    let _: FarmInfo = farm.admin().get(routes::FARM, &[]).await;
}

#[tokio::test]
async fn the_local_file_is_there_while_it_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config/local-manager.json");
    let read =
        || -> LocalFile { serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap() };
    let with_file = || {
        let mut config = config(&folder.path().join("data"));
        config.local_file = Some(path.clone());
        config
    };
    let farm = start_with(with_file()).await.unwrap();
    let first = read();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    assert_eq!(
        (first.pid, first.name.as_str()),
        (std::process::id(), "test farm")
    );
    let end = End {
        url: first.addresses[0].clone(),
        anchor_pem: first.anchor_pem.clone(),
    };
    let info: FarmInfo = end
        .api(Some(&first.token), None)
        .get(routes::FARM, &[])
        .await;
    assert_eq!(
        (info.user.as_str(), info.role),
        ("owner", tessera_model::Role::Admin)
    );
    assert!(!format!("{first:?}{:?}", farm.running).contains(&first.token));
    farm.stop().await;
    assert!(!path.exists());
    // A clean end voids the token; one left behind by a killed manager goes on.
    let farm = start_with(with_file()).await.unwrap();
    let second = read();
    assert_ne!(second.token, first.token);
    farm.stop().await;
    std::fs::write(&path, serde_json::to_string(&second).unwrap()).unwrap();
    let farm = start_with(with_file()).await.unwrap();
    assert_eq!(read().token, second.token);
    farm.stop().await;
    std::fs::write(&path, "{").unwrap();
    let farm = start_with(with_file()).await.unwrap();
    assert_ne!(read().token, second.token);
    farm.stop().await;
}

#[tokio::test]
async fn it_listens_on_both_families_and_only_for_the_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path());
    config.listen = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    config.allow_from = vec!["192.0.2.0/24".parse().unwrap()];
    let farm = start_with(config).await.unwrap();
    assert_eq!(farm.running.addresses.len(), 2);
    for address in &farm.running.addresses {
        let mut end = farm.end();
        end.url = format!("https://{address}");
        let _: FarmInfo = end
            .api(Some(&farm.running.admin_token), None)
            .get(routes::FARM, &[])
            .await;
    }
    assert_eq!(
        farm.running.loopback_url.as_deref(),
        Some(farm.end().url.as_str())
    );
}
