//! Who is told of what happens: receivers of notifications, and how it goes with each.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Notice, NoticeEvent, Timestamp, UserName};

/// What must not be shown: a password, a key, an address that lets anyone in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(withheld)")
    }
}

/// How the connection to a mail server is kept secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MailTls {
    /// It begins with TLS (port 465).
    #[default]
    Tls,
    /// It begins without and must go on with it (port 587).
    Starttls,
    /// Not at all (port 25): for a server on the same machine or network.
    None,
}

impl MailTls {
    /// Where mail servers listen for it.
    #[must_use]
    pub fn usual_port(self) -> u16 {
        match self {
            Self::Tls => 465,
            Self::Starttls => 587,
            Self::None => 25,
        }
    }
}

/// Which way a receiver is told. What is secret in it, the receiver's `secret`, is not here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Way {
    /// An HTTP POST of the notice as JSON. Secret: the key with which it is signed, if it is to be.
    Webhook {
        /// Where to, `https://` or `http://`.
        url: String,
    },
    /// Mail by SMTP. Secret: the user's password.
    Email {
        /// Name of the mail server.
        server: String,
        /// Its port; the usual one of `tls` if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        port: Option<u16>,
        /// How it is kept secret.
        #[serde(default)]
        tls: MailTls,
        /// Who logs in there; nobody if none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<String>,
        /// Whom it is from: `farm@example.org` or `Farm <farm@example.org>`.
        from: String,
        /// Whom it goes to.
        to: Vec<String>,
    },
    /// A channel of Discord. Secret: the address of its webhook.
    Discord,
    /// A channel of Slack, or of whatever takes the same messages. Secret: the address of its incoming webhook.
    Slack,
    /// A room of Matrix. Secret: the access token of who writes there.
    Matrix {
        /// Address of the homeserver, `https://` or `http://`.
        homeserver: String,
        /// The room, `!id:server`.
        room: String,
    },
}

impl Way {
    /// Its kind in a word.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Webhook { .. } => "webhook",
            Self::Email { .. } => "email",
            Self::Discord => "discord",
            Self::Slack => "slack",
            Self::Matrix { .. } => "matrix",
        }
    }

    /// Whether a secret that was given for `other` may be used here: it must not get to anyone it was not given for.
    #[must_use]
    pub fn keeps_secret_of(&self, other: &Self) -> bool {
        match (self, other) {
            // What is signed with it travels, and never the key itself.
            (Self::Webhook { .. }, Self::Webhook { .. }) => true,
            (Self::Discord, Self::Discord) | (Self::Slack, Self::Slack) => true,
            (
                Self::Email {
                    server,
                    port,
                    tls,
                    user,
                    ..
                },
                Self::Email {
                    server: server_2,
                    port: port_2,
                    tls: tls_2,
                    user: user_2,
                    ..
                },
            ) => (server, port, tls, user) == (server_2, port_2, tls_2, user_2),
            (
                Self::Matrix { homeserver, .. },
                Self::Matrix {
                    homeserver: other, ..
                },
            ) => homeserver == other,
            _ => false,
        }
    }
}

/// Of whose jobs a receiver is told.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum WhoseJobs {
    /// Of everybody's.
    #[default]
    All,
    /// Of this user's.
    Owner(UserName),
    /// Only of jobs that name it.
    Named,
}

/// Who is told, of what, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Receiver {
    /// Its name, unique in the farm.
    pub name: String,
    /// How it is told.
    pub way: Way,
    /// Of what.
    pub events: Vec<NoticeEvent>,
    /// Of whose jobs. Jobs that name the receiver are always among them; workers and the store are nobody's.
    #[serde(default)]
    pub jobs: WhoseJobs,
}

impl Receiver {
    /// Whether this is for it.
    #[must_use]
    pub fn wants(&self, notice: &Notice, named: &[String]) -> bool {
        let is_told = match (&notice.job, &self.jobs) {
            (None, _) | (_, WhoseJobs::All) => true,
            (Some(job), WhoseJobs::Owner(owner)) => job.owner == *owner,
            (Some(_), WhoseJobs::Named) => false,
        };
        let named = named.contains(&self.name);
        self.events.contains(&notice.event) && (is_told || named)
    }
}

/// A receiver as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiverRecord {
    /// All that may be shown.
    pub receiver: Receiver,
    /// What may not.
    pub secret: Option<Secret>,
}

/// What did not arrive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TellingError {
    /// When.
    pub at: Timestamp,
    /// Why.
    pub text: String,
}

/// How it goes with a receiver.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Telling {
    /// What it is still to be told, the oldest first.
    pub waiting: Vec<Notice>,
    /// When something arrived last.
    pub delivered_at: Option<Timestamp>,
    /// What did not arrive last.
    pub error: Option<TellingError>,
    /// Notices it was never told: given up, or too many waited.
    pub lost: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{JobId, JobState, NoticeJob};

    fn notice(event: NoticeEvent, owner: Option<&str>) -> Notice {
        Notice {
            id: "1".into(),
            event,
            at: Timestamp(0),
            farm: String::new(),
            title: String::new(),
            text: String::new(),
            job: owner.map(|owner| NoticeJob {
                id: JobId(1),
                name: "shot".into(),
                owner: owner.parse().expect("a name"),
                state: JobState::Done,
                frames: 1,
                done: 1,
                failed: 0,
                submitted_at: Timestamp(0),
            }),
            workers: Vec::new(),
            link: None,
        }
    }

    #[test]
    fn each_is_told_what_it_asked_for() {
        let check = |jobs: WhoseJobs, owner, named: &[&str], told| {
            let receiver = Receiver {
                name: "studio".into(),
                way: Way::Discord,
                events: vec![NoticeEvent::JobDone, NoticeEvent::WorkerLost],
                jobs,
            };
            let named: Vec<String> = named.iter().map(|name| (*name).to_owned()).collect();
            let done = notice(NoticeEvent::JobDone, Some(owner));
            assert_eq!(receiver.wants(&done, &named), told, "{:?}", receiver.jobs);
            assert!(!receiver.wants(&notice(NoticeEvent::JobFailed, Some(owner)), &named));
            assert!(receiver.wants(&notice(NoticeEvent::WorkerLost, None), &[]));
        };
        let anna = || WhoseJobs::Owner("anna".parse().expect("a name"));
        check(WhoseJobs::All, "ben", &[], true);
        check(anna(), "anna", &[], true);
        check(anna(), "ben", &[], false);
        check(anna(), "ben", &["other", "studio"], true);
        check(WhoseJobs::Named, "anna", &[], false);
        check(WhoseJobs::Named, "anna", &["studio"], true);
    }

    #[test]
    fn a_secret_stays_with_whom_it_was_given_for() {
        let mail = |server: &str, to: &str| Way::Email {
            server: server.into(),
            port: None,
            tls: MailTls::Tls,
            user: Some("u".into()),
            from: "f@x".into(),
            to: vec![to.into()],
        };
        assert!(mail("a", "x@y").keeps_secret_of(&mail("a", "z@y")));
        assert!(!mail("b", "x@y").keeps_secret_of(&mail("a", "x@y")));
        assert!(!Way::Discord.keeps_secret_of(&Way::Slack));
    }

    #[test]
    fn what_is_shown_of_a_record_has_no_secret_in_it() {
        let record = ReceiverRecord {
            receiver: Receiver {
                name: "studio".into(),
                way: Way::Slack,
                events: vec![],
                jobs: WhoseJobs::All,
            },
            secret: Some(Secret("hush".into())),
        };
        assert!(!format!("{record:?}").contains("hush"));
    }
}
