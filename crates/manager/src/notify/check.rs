//! Receivers as they may be: whatever would fail with every notice is refused when it is set.

use lettre::message::Mailbox;
use reqwest::Url;
use tessera_model::{NoticeEvent, Receiver, ReceiverRecord, Secret, Way, check_name};
use tessera_wire::notify::ReceiverInput;

/// Longest name of a receiver, in bytes.
const NAME_MAX: usize = 64;

/// Longest text of a receiver: addresses are short, tokens may be long.
const TEXT_MAX: usize = 4096;

/// Most addresses of a mail.
const TO_MAX: usize = 50;

/// A receiver that cannot be.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(crate) struct ReceiverFault {
    /// What is wrong with what.
    what: String,
    /// What to do.
    pub(crate) hint: &'static str,
}

fn fault(what: impl Into<String>, hint: &'static str) -> ReceiverFault {
    let what = what.into();
    ReceiverFault { what, hint }
}

/// The receiver to record, with the secret of the one `before` where it may keep it.
///
/// # Errors
/// The first thing that cannot be.
pub(crate) fn checked(
    name: &str,
    input: ReceiverInput,
    before: Option<&ReceiverRecord>,
) -> Result<ReceiverRecord, ReceiverFault> {
    if name.len() > NAME_MAX {
        return Err(fault(
            format!("a receiver's name has at most {NAME_MAX} bytes"),
            "",
        ));
    }
    check_name(name).map_err(|reason| fault(reason, ""))?;
    if input.events.is_empty() || input.events.contains(&NoticeEvent::Test) {
        let all: Vec<&str> = NoticeEvent::ALL.iter().map(|event| event.name()).collect();
        return Err(fault(
            format!("a receiver is told of one or more of {}", all.join(", ")),
            "",
        ));
    }
    let mut events = input.events;
    events.sort_unstable();
    events.dedup();
    let secret = match input.secret {
        Some(text) => (!text.is_empty()).then_some(Secret(text)),
        None => before
            .filter(|before| input.way.keeps_secret_of(&before.receiver.way))
            .and_then(|before| before.secret.clone()),
    };
    check_way(&input.way, secret.as_ref())?;
    let receiver = Receiver {
        name: name.to_owned(),
        way: input.way,
        events,
        jobs: input.jobs,
    };
    Ok(ReceiverRecord { receiver, secret })
}

fn check_way(way: &Way, secret: Option<&Secret>) -> Result<(), ReceiverFault> {
    let of_chat = "make an incoming webhook there and give its address as the secret";
    match way {
        Way::Webhook { url } => check_url("the webhook's address", url)?,
        Way::Discord | Way::Slack => {
            let Some(Secret(url)) = secret else {
                let lacks = format!("{} needs the address of its webhook", way.kind());
                return Err(fault(lacks, of_chat));
            };
            // Not repeated in the answer: who has it can write there.
            check_url("the address of its webhook", url)
                .map_err(|_| fault("the address of its webhook is none", of_chat))?;
        }
        Way::Matrix { homeserver, room } => {
            check_url("the homeserver's address", homeserver)?;
            if !room.starts_with('!') {
                return Err(fault(
                    format!("'{room}' is no room"),
                    "a room's id begins with '!': it stands in the room's settings under Advanced",
                ));
            }
            if secret.is_none() {
                return Err(fault(
                    "matrix needs an access token",
                    "give that of the user who shall write there as the secret",
                ));
            }
        }
        Way::Email {
            server,
            user,
            from,
            to,
            ..
        } => {
            check_server(server)?;
            for address in std::iter::once(from).chain(to) {
                let parsed = address.parse::<Mailbox>();
                parsed.map_err(|error| fault(format!("'{address}' is no address: {error}"), ""))?;
            }
            if to.is_empty() || to.len() > TO_MAX {
                let what = format!("a mail goes to 1 to {TO_MAX} addresses, not {}", to.len());
                return Err(fault(what, ""));
            }
            if user.is_some() != secret.is_some() {
                return Err(fault(
                    "a user and a password belong together",
                    "give both, or none where the server wants none; a password given for another server or user is not kept",
                ));
            }
        }
    }
    let too_long = |text: &str| text.len() > TEXT_MAX || text.contains(char::is_control);
    let is_secret_bad = secret.is_some_and(|secret| too_long(&secret.0));
    let json = serde_json::to_string(way).expect("a plain enum is always JSON");
    if is_secret_bad || json.len() > 2 * TEXT_MAX {
        return Err(fault(
            format!("a secret has at most {TEXT_MAX} bytes and is one line"),
            "a line's end at the end of a file does not belong to it",
        ));
    }
    Ok(())
}

fn check_server(server: &str) -> Result<(), ReceiverFault> {
    let is_name =
        |sign: char| sign.is_ascii_alphanumeric() || matches!(sign, '.' | '-' | ':' | '_');
    if server.is_empty() || server.len() > 255 || !server.chars().all(is_name) {
        return Err(fault(
            format!("'{server}' is no name of a mail server"),
            "it is one like smtp.example.org, without a port",
        ));
    }
    Ok(())
}

fn check_url(what: &str, text: &str) -> Result<(), ReceiverFault> {
    let bad = |why: &str| {
        let hint = "it is one like https://example.org/hook";
        fault(format!("{what} cannot be '{text}': {why}"), hint)
    };
    let url = Url::parse(text).map_err(|error| bad(&error.to_string()))?;
    if !matches!(url.scheme(), "https" | "http") || !url.has_host() {
        return Err(bad("it begins with https:// or http://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(bad(
            "it must not have a user or a password in it, which would be shown",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn set(
        way: Value,
        secret: Option<&str>,
        before: Option<&ReceiverRecord>,
    ) -> Result<ReceiverRecord, ReceiverFault> {
        let input = json!({"way": way, "secret": secret});
        checked("studio", serde_json::from_value(input).unwrap(), before)
    }

    fn mail(server: &str, user: Option<&str>) -> Value {
        json!({"kind": "email", "server": server, "user": user, "from": "Farm <farm@x.org>", "to": ["anna@x.org"]})
    }

    #[test]
    fn a_secret_stays_until_it_would_go_elsewhere() {
        let first = set(mail("a", Some("u")), Some("hush"), None).unwrap();
        let again = set(mail("a", Some("u")), None, Some(&first)).unwrap();
        assert_eq!(again.secret, first.secret);
        let elsewhere = set(mail("b", Some("u")), None, Some(&first)).unwrap_err();
        assert!(elsewhere.to_string().contains("password"), "{elsewhere}");
        let hook = json!({"kind": "webhook", "url": "https://x.org/hook"});
        let signed = set(hook.clone(), Some("key"), None).unwrap();
        assert_eq!(set(hook, Some(""), Some(&signed)).unwrap().secret, None);
    }

    #[test]
    fn what_cannot_be_is_said() {
        let check = |way: Value, secret: Option<&str>, word: &str| {
            let error = set(way.clone(), secret, None).unwrap_err();
            let text = format!("{error}: {}", error.hint);
            assert!(text.contains(word), "{way}: {text}");
            assert!(!text.contains("hush"), "{text}");
        };
        check(
            json!({"kind": "webhook", "url": "ftp://x.org"}),
            None,
            "https://",
        );
        check(json!({"kind": "webhook", "url": "x.org"}), None, "x.org");
        check(
            json!({"kind": "webhook", "url": "https://u:p@x.org"}),
            None,
            "password",
        );
        check(json!({"kind": "discord"}), None, "incoming webhook");
        check(json!({"kind": "slack"}), Some("hush"), "is none");
        check(
            json!({"kind": "matrix", "homeserver": "https://x", "room": "#a:x"}),
            Some("t"),
            "'#a:x'",
        );
        check(
            json!({"kind": "matrix", "homeserver": "https://x", "room": "!a:x"}),
            None,
            "token",
        );
        check(mail("a b", None), None, "'a b'");
        check(mail("a", None), Some("hush"), "belong together");
        check(mail("a", Some("u")), Some("hush\n"), "one line");
        let mut nobody = mail("a", None);
        nobody["to"] = json!([]);
        check(nobody, None, "not 0");
        let mut wrong = mail("a", None);
        wrong["from"] = json!("farm");
        check(wrong, None, "'farm' is no address");
        let way = json!({"kind": "discord"});
        let input = json!({"way": way, "secret": "https://x.org/1", "events": []});
        let error = checked("a", serde_json::from_value(input).unwrap(), None).unwrap_err();
        assert!(error.to_string().contains("job_done"), "{error}");
    }
}
