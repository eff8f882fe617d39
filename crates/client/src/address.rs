//! Addresses of managers as people write them, brought to one form: `https://HOST:PORT`.

use tessera_wire::DEFAULT_PORT;
use url::{Host, Url};

/// A text that is not an address of a manager.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is not the address of a manager: write it as https://HOST:{DEFAULT_PORT} ({why})"
)]
pub struct AddressError {
    /// As given.
    pub text: String,
    /// What is wrong.
    pub why: String,
}

/// Brings `HOST`, `HOST:PORT`, `IPv6`, `[IPv6]:PORT` or `https://…` to `https://HOST:PORT`.
///
/// # Errors
/// If it is none of these, or asks for a connection without TLS.
pub fn normalise_address(text: &str) -> Result<String, AddressError> {
    let bad = |why: &str| AddressError {
        text: text.to_owned(),
        why: why.to_owned(),
    };
    let trimmed = text.trim();
    let (scheme, rest) = trimmed.split_once("://").unwrap_or(("https", trimmed));
    if !scheme.eq_ignore_ascii_case("https") {
        return Err(bad("only https is spoken"));
    }
    let rest = match rest.parse::<std::net::Ipv6Addr>() {
        Ok(bare) => format!("[{bare}]"),
        Err(_) => rest.to_owned(),
    };
    let url = Url::parse(&format!("https://{rest}")).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.path(), "" | "/")
        || url.query().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return Err(bad("only a host and a port belong there"));
    }
    let host = match url.host() {
        Some(Host::Ipv6(ip)) => format!("[{ip}]"),
        Some(host) => host.to_string(),
        None => return Err(bad("there is no host")),
    };
    // A URL leaves its scheme's own port out, so 443 must be looked for in the text.
    let port = url
        .port()
        .unwrap_or(if rest.trim_end_matches('/').ends_with(":443") {
            443
        } else {
            DEFAULT_PORT
        });
    Ok(format!("https://{host}:{port}"))
}

/// Host and port of an address in the one form; the host of an IPv6 address without brackets.
pub(crate) fn host_and_port(address: &str) -> Result<(String, u16), AddressError> {
    let bad = || AddressError {
        text: address.to_owned(),
        why: "there is no host".to_owned(),
    };
    let url = Url::parse(address).map_err(|error| AddressError {
        text: address.to_owned(),
        why: error.to_string(),
    })?;
    let host = match url.host().ok_or_else(bad)? {
        Host::Ipv6(ip) => ip.to_string(),
        host => host.to_string(),
    };
    Ok((host, url.port_or_known_default().ok_or_else(bad)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, normal: Option<&str>) {
        assert_eq!(normalise_address(text).ok().as_deref(), normal, "{text}");
    }

    #[test]
    fn as_people_write_them() {
        check("render", Some("https://render:7373"));
        check("render:8000", Some("https://render:8000"));
        check(" https://render.lan/ ", Some("https://render.lan:7373"));
        check("https://10.0.0.1:443", Some("https://10.0.0.1:443"));
        check("HTTPS://Render:1", Some("https://render:1"));
        check("fd00::1", Some("https://[fd00::1]:7373"));
        check("[fd00::1]:9", Some("https://[fd00::1]:9"));
        check("http://render:7373", None);
        check("render/path", None);
        check("user@render", None);
        check("", None);
        check("render:99999", None);
    }

    #[test]
    fn parts() {
        assert_eq!(
            host_and_port("https://[fd00::1]:9"),
            Ok(("fd00::1".into(), 9))
        );
        assert_eq!(host_and_port("https://a:443"), Ok(("a".into(), 443)));
    }
}
