//! An attacker's view: every route of the list that the server itself reports, as every sort of party.

use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use reqwest::StatusCode;
use serde_json::json;
use tessera_model::Role;
use tessera_wire::api::{CertificateInfo, Page};
use tessera_wire::routes::{self, Access, Method, Route};

use crate::harness::{Api, Farm, problem_of, start};

/// The list as the server reports it, compared with the one in the code.
async fn reported(farm: &Farm) -> Vec<Route> {
    let list: Vec<serde_json::Value> = farm.admin().get(routes::ROUTES, &[]).await;
    let known: Vec<serde_json::Value> = routes::ALL.iter().map(|route| json!(route)).collect();
    assert_eq!(list, known);
    routes::ALL.to_vec()
}

/// Tries a route with parameters that name nothing and a body that means nothing.
async fn attempt(api: &Api, route: Route) -> Result<StatusCode, reqwest::Error> {
    let params = vec!["1"; route.path.matches('{').count()];
    let mut request = api.to(route, &params);
    if route.method != Method::Get {
        request = request.json(&json!({}));
    }
    let response = request.send().await?;
    let status = response.status();
    if status == StatusCode::UNAUTHORIZED {
        assert!(response.headers().contains_key("www-authenticate"));
    }
    if status.is_client_error() {
        problem_of(response).await;
    }
    Ok(status)
}

/// Every route answers `refused` where `allowed` says no, and anything but a refusal where it says yes.
async fn check(
    name: &str,
    farm: &Farm,
    api: &Api,
    refused: StatusCode,
    allowed: impl Fn(Access) -> bool,
) {
    for route in reported(farm).await {
        let status = attempt(api, route).await.unwrap();
        let what = format!("{name}: {:?} {}: {status}", route.method, route.path);
        if allowed(route.access) {
            assert!(!matches!(status.as_u16(), 401 | 403 | 500..), "{what}");
        } else {
            assert_eq!(status, refused, "{what}");
        }
    }
}

fn is_public(access: Access) -> bool {
    access == Access::Public
}

fn client_may(role: Role) -> impl Fn(Access) -> bool {
    move |access| match access {
        Access::Public => true,
        Access::Client(least) | Access::ClientOrWorker(least) => role >= least,
        Access::Worker => false,
    }
}

fn worker_may(access: Access) -> bool {
    !matches!(access, Access::Client(_))
}

#[test]
fn the_public_routes_are_these_and_no_others() {
    let public: Vec<&str> = routes::ALL
        .iter()
        .filter(|route| route.access == Access::Public)
        .map(|route| route.path)
        .collect();
    assert_eq!(
        public,
        [
            "/api/v1/health",
            "/api/v1/ready",
            "/api/v1/pair",
            "/",
            "/assets/{file}"
        ]
    );
}

#[tokio::test]
async fn who_has_no_good_token_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let end = farm.end();
    let refused = StatusCode::UNAUTHORIZED;
    check("no token", &farm, &end.api(None, None), refused, is_public).await;
    let wrong = format!("tsr_{}", "A".repeat(43));
    for token in ["", "x", wrong.as_str(), &farm.running.admin_token[1..]] {
        check(
            token,
            &farm,
            &end.api(Some(token), None),
            refused,
            is_public,
        )
        .await;
    }
    let ended = farm.token("late", Role::Admin, Some(0)).await;
    check(
        "an ended token",
        &farm,
        &end.api(Some(&ended.token), None),
        refused,
        is_public,
    )
    .await;
    let void = farm.token("gone", Role::Admin, None).await;
    let api = end.api(Some(&void.token), None);
    check(
        "a good token",
        &farm,
        &api,
        StatusCode::FORBIDDEN,
        client_may(Role::Admin),
    )
    .await;
    farm.admin()
        .to(routes::TOKEN_REVOKE, &[&void.info.id])
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    check("a revoked token", &farm, &api, refused, is_public).await;

    let other_folder = tempfile::tempdir().unwrap();
    let other = start(other_folder.path()).await;
    let foreign = end.api(Some(&other.running.admin_token), None);
    check("another farm's token", &farm, &foreign, refused, is_public).await;
    // And the other farm is not even spoken to: its certificate is not the known one.
    let mut stranger = end.clone();
    stranger.url = other.end().url;
    assert!(
        attempt(&stranger.api(None, None), routes::HEALTH)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn each_role_gets_its_own_routes() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    for role in [Role::Viewer, Role::Artist, Role::Admin] {
        let api = farm.client("u", role).await;
        check(
            &role.to_string(),
            &farm,
            &api,
            StatusCode::FORBIDDEN,
            client_may(role),
        )
        .await;
    }
}

#[tokio::test]
async fn a_workers_certificate_opens_workers_routes_until_it_is_revoked() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let member = farm.worker("w").await;
    let api = farm.end().api(None, Some(&member.certificate()));
    check("a worker", &farm, &api, StatusCode::FORBIDDEN, worker_may).await;
    // A wrong token is not made good by a certificate beside it.
    let both = farm.end().api(Some("tsr_x"), Some(&member.certificate()));
    check("both", &farm, &both, StatusCode::UNAUTHORIZED, is_public).await;

    let list: Page<CertificateInfo> = farm.admin().get(routes::CERTIFICATES, &[]).await;
    assert_eq!(
        (list.items.len(), list.items[0].worker_name.as_str()),
        (1, "w")
    );
    farm.admin()
        .to(routes::CERTIFICATE_REVOKE, &[&list.items[0].serial])
        .send()
        .await
        .unwrap()
        .error_for_status()
        .unwrap();
    check(
        "a revoked certificate",
        &farm,
        &api,
        StatusCode::UNAUTHORIZED,
        is_public,
    )
    .await;
    let fresh = farm.end().api(None, Some(&member.certificate()));
    check(
        "the same, anew",
        &farm,
        &fresh,
        StatusCode::UNAUTHORIZED,
        is_public,
    )
    .await;
}

#[tokio::test]
async fn a_foreign_or_ended_certificate_does_not_even_connect() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let other_folder = tempfile::tempdir().unwrap();
    let other = start(other_folder.path()).await;
    let stranger = other.worker("w").await;
    // The same worker number, signed by an authority of the same name.
    let _ = farm.worker("w").await;
    let api = farm.end().api(None, Some(&stranger.certificate()));
    for route in reported(&farm).await {
        assert!(attempt(&api, route).await.is_err(), "{}", route.path);
    }

    let authority = farm_authority(&farm);
    let ended = issue(&authority, "worker-1", -1, true);
    let api = farm.end().api(None, Some(&ended));
    for route in reported(&farm).await {
        assert!(attempt(&api, route).await.is_err(), "{}", route.path);
    }
    // Signed by the farm and yet not in its record: as after the authority's key was stolen and a copy put back.
    let unknown = issue(&authority, "worker-1", 1, true);
    let api = farm.end().api(None, Some(&unknown));
    check(
        "not recorded",
        &farm,
        &api,
        StatusCode::UNAUTHORIZED,
        is_public,
    )
    .await;
    // A certificate for servers is none for workers.
    let server = issue(&authority, "worker-1", 1, false);
    let api = farm.end().api(None, Some(&server));
    assert!(attempt(&api, routes::LINK).await.is_err());
}

fn farm_authority(farm: &Farm) -> Issuer<'static, KeyPair> {
    let read = |name| std::fs::read_to_string(farm.dir.join(name)).unwrap();
    let key = KeyPair::from_pem(&read("ca.key")).unwrap();
    Issuer::from_ca_cert_pem(&read("ca.pem"), key).unwrap()
}

fn issue(
    authority: &Issuer<'static, KeyPair>,
    name: &str,
    ends_in_days: i64,
    client: bool,
) -> (String, String) {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let now = time::OffsetDateTime::from_unix_timestamp(now.as_secs().cast_signed()).unwrap();
    params.not_before = now - time::Duration::days(10);
    params.not_after = now + time::Duration::days(ends_in_days);
    params.extended_key_usages = vec![if client {
        ExtendedKeyUsagePurpose::ClientAuth
    } else {
        ExtendedKeyUsagePurpose::ServerAuth
    }];
    let key = KeyPair::generate().unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

#[tokio::test]
async fn a_self_made_authority_of_the_same_name_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::OrganizationName, "Tessera");
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "test farm farm authority");
    let forged = Issuer::new(params, key);
    let api = farm
        .end()
        .api(None, Some(&issue(&forged, "worker-1", 1, true)));
    assert!(attempt(&api, routes::LINK).await.is_err());
}

#[tokio::test]
async fn what_is_not_on_the_list_is_not_there_and_strangers_do_not_learn_even_that() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let (admin, stranger) = (farm.admin(), farm.end().api(None, None));
    for path in [
        "/api/v1/nothing",
        "/api/v2/jobs",
        "/api",
        "/.git/config",
        "/assets",
        "//",
        "/api/v1/jobs/",
    ] {
        let url = format!("{}{path}", farm.end().url);
        let known = admin
            .client
            .get(&url)
            .bearer_auth(&farm.running.admin_token)
            .send()
            .await
            .unwrap();
        assert_eq!(problem_of(known).await.status, 404, "{path}");
        let unknown = stranger.client.get(&url).send().await.unwrap();
        assert_eq!(problem_of(unknown).await.status, 401, "{path}");
    }
    let url = format!("{}/api/v1/health", farm.end().url);
    let wrong_method = stranger.client.delete(&url).send().await.unwrap();
    assert_eq!(problem_of(wrong_method).await.status, 401);
}

#[tokio::test]
async fn pages_hold_no_secret_and_answers_say_what_a_browser_may_do() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let api = farm.end().api(None, None);
    let page = api.to(routes::PAGE, &[]).send().await.unwrap();
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "text/html; charset=utf-8");
    let policy = header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(header("x-content-type-options"), "nosniff");
    let text = page.text().await.unwrap();
    for inline in ["<style", "style=", "onclick=", "onload=", "javascript:"] {
        assert!(!text.contains(inline), "{inline}");
    }
    let assets: Vec<&str> = text
        .split('"')
        .filter(|part| part.starts_with("/assets/"))
        .collect();
    assert!(assets.len() >= 3, "{assets:?}");
    for asset in assets {
        let url = format!("{}{asset}", api.url);
        let response = api.client.get(&url).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::OK, "{asset}");
    }
    assert_eq!(
        api.to(routes::ASSET, &["none.js"])
            .send()
            .await
            .unwrap()
            .status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn the_apis_page_loads_nothing_that_is_not_the_managers() {
    let folder = tempfile::tempdir().unwrap();
    let farm = start(folder.path()).await;
    let stranger = farm.end().api(None, None);
    let page = stranger.to(routes::ASSET, &["api.html"]).send().await;
    let page = page.unwrap();
    assert_eq!(page.headers()["content-type"], "text/html; charset=utf-8");
    let text = page.text().await.unwrap();
    for other in ["<style", "style=", "onclick=", "http:", "https:", "//"] {
        assert!(!text.contains(other), "{other}");
    }
    let named: Vec<&str> = text
        .split('"')
        .filter_map(|part| part.strip_prefix("/assets/"))
        .collect();
    assert!(named.contains(&"api.js") && named.contains(&"api.css"));
    for file in named {
        let answer = stranger.to(routes::ASSET, &[file]).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{file}");
    }
    // What it shows takes a token.
    let answer = stranger.to(routes::OPENAPI, &[]).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let viewer = farm.client("vic", Role::Viewer).await;
    let document: serde_json::Value = viewer.get(routes::OPENAPI, &[]).await;
    assert_eq!(document, tessera_wire::openapi::document());
}
