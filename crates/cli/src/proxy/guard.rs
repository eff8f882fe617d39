//! Who may come through the loopback door.
//!
//! - The key in the printed link is good once, and turns into a cookie that scripts cannot read and that other sites'
//!   requests do not carry. Whoever finds the link later, in a history or a list of processes, finds it used.
//! - The host named by the request must be this very address: a name of the attacker's that resolves to 127.0.0.1 (DNS
//!   rebinding) is none.
//! - Cookies know no ports, so a page of another program on this machine counts as the same site; browsers say
//!   where a request comes from, and what does not come from this page or the user's own hand is refused.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::http::{HeaderMap, header};
use data_encoding::BASE64URL_NOPAD;

/// Bytes of randomness in key and cookie.
const SECRET_BYTES: usize = 32;

/// Path of the link that is good once; the key follows.
const ENTRY: &str = "/enter/";

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It opened the link: it gets the cookie.
    Welcome {
        /// Value of `Set-Cookie`.
        cookie: String,
    },
    /// It has the cookie.
    Known,
    /// It may not come in, and why.
    Refused(&'static str),
}

/// See the module.
#[derive(Debug)]
pub(super) struct Guard {
    port: u16,
    key: String,
    used: AtomicBool,
    cookie: String,
}

fn secret() -> Result<String, getrandom::Error> {
    let mut bytes = [0; SECRET_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// Equality in a time that says nothing about where two texts differ.
fn same(a: &str, b: &str) -> bool {
    let differing = a
        .bytes()
        .zip(b.bytes())
        .fold(0, |all, (a, b)| all | (a ^ b));
    a.len() == b.len() && differing == 0
}

impl Guard {
    pub(super) fn new(port: u16) -> Result<Self, getrandom::Error> {
        Ok(Self {
            port,
            key: secret()?,
            used: AtomicBool::new(false),
            cookie: secret()?,
        })
    }

    /// The link that is good once.
    pub(super) fn url(&self) -> String {
        format!("http://127.0.0.1:{}{ENTRY}{}", self.port, self.key)
    }

    /// The cookie's name holds the port, so that two of these do not take each other's away.
    fn cookie_name(&self) -> String {
        format!("tessera-{}", self.port)
    }

    fn host_is_ours(&self, host: &str) -> bool {
        [
            format!("127.0.0.1:{}", self.port),
            format!("localhost:{}", self.port),
        ]
        .iter()
        .any(|ours| ours == host)
    }

    fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
        headers.get(name).map(|value| value.to_str().unwrap_or(""))
    }

    pub(super) fn check(&self, path: &str, headers: &HeaderMap) -> Entry {
        let host = Self::text(headers, header::HOST.as_str()).unwrap_or("");
        if !self.host_is_ours(host) {
            return Entry::Refused("This address is not served here.\n");
        }
        let site = Self::text(headers, "sec-fetch-site");
        let origin = Self::text(headers, header::ORIGIN.as_str());
        let foreign_site = site.is_some_and(|site| !matches!(site, "same-origin" | "none"));
        let foreign_origin = origin.is_some_and(|origin| {
            !origin
                .strip_prefix("http://")
                .is_some_and(|host| self.host_is_ours(host))
        });
        if foreign_site || foreign_origin {
            return Entry::Refused("Requests of other pages are not served here.\n");
        }
        if let Some(key) = path.strip_prefix(ENTRY) {
            // The key is compared before it is used up: a wrong one must not lock the right one out.
            if same(key, &self.key) && !self.used.swap(true, Ordering::SeqCst) {
                return Entry::Welcome {
                    cookie: format!(
                        "{}={}; HttpOnly; SameSite=Strict; Path=/",
                        self.cookie_name(),
                        self.cookie
                    ),
                };
            }
            return Entry::Refused(
                "This link was used already or is wrong: run `tessera web` again.\n",
            );
        }
        let name = self.cookie_name();
        let known = headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .any(|(given, value)| given == name && same(value, &self.cookie));
        if known {
            Entry::Known
        } else {
            Entry::Refused("Open the link that `tessera web` printed; it is good once.\n")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    fn refused(guard: &Guard, path: &str, pairs: &[(&str, &str)]) {
        let entry = guard.check(path, &headers(pairs));
        assert!(
            matches!(entry, Entry::Refused(_)),
            "{path} {pairs:?}: {entry:?}"
        );
    }

    #[test]
    fn the_link_is_good_once_and_the_cookie_from_then_on() {
        let guard = Guard::new(5).unwrap();
        let host = ("host", "127.0.0.1:5");
        let path = guard
            .url()
            .strip_prefix("http://127.0.0.1:5")
            .unwrap()
            .to_owned();
        refused(&guard, "/", &[host]);
        refused(&guard, "/enter/", &[host]);
        refused(&guard, "/enter/wrong", &[host]);
        let Entry::Welcome { cookie } = guard.check(&path, &headers(&[host])) else {
            panic!("the right key is refused");
        };
        assert!(cookie.contains("HttpOnly; SameSite=Strict"), "{cookie}");
        refused(&guard, &path, &[host]);
        let cookie = cookie.split(';').next().unwrap();
        let other = format!("a=b; {cookie}; c=d");
        for cookie in [cookie, &other] {
            let entry = guard.check("/", &headers(&[host, ("cookie", cookie)]));
            assert_eq!(entry, Entry::Known);
        }
        refused(
            &guard,
            "/",
            &[host, ("cookie", &cookie[..cookie.len() - 1])],
        );
        refused(
            &guard,
            "/",
            &[("host", "evil.example:5"), ("cookie", cookie)],
        );
        refused(&guard, "/", &[("host", "127.0.0.1:6"), ("cookie", cookie)]);
        refused(&guard, "/", &[("cookie", cookie)]);
        for site in ["cross-site", "same-site"] {
            refused(
                &guard,
                "/",
                &[host, ("cookie", cookie), ("sec-fetch-site", site)],
            );
        }
        for origin in ["http://127.0.0.1:6", "null", "https://127.0.0.1:5"] {
            refused(&guard, "/", &[host, ("cookie", cookie), ("origin", origin)]);
        }
        let own = [
            host,
            ("cookie", cookie),
            ("origin", "http://127.0.0.1:5"),
            ("sec-fetch-site", "same-origin"),
        ];
        assert_eq!(guard.check("/x", &headers(&own)), Entry::Known);
    }

    #[test]
    fn a_key_of_another_host_name_is_not_used_up() {
        let guard = Guard::new(5).unwrap();
        let path = guard
            .url()
            .strip_prefix("http://127.0.0.1:5")
            .unwrap()
            .to_owned();
        refused(&guard, &path, &[("host", "evil.example")]);
        let entry = guard.check(&path, &headers(&[("host", "localhost:5")]));
        assert!(matches!(entry, Entry::Welcome { .. }));
    }
}
