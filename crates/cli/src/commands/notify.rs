//! `tessera notify`: who is told of what happens on the farm.

use std::io::Read;
use std::path::Path;

use anyhow::{Context as _, Result};
use tessera_client::Api;
use tessera_model::{Way, WhoseJobs};
use tessera_wire::line::LineKind;
use tessera_wire::notify::{DEFAULT_EVENTS, ReceiverInfo, ReceiverInput};

use crate::context::Context;
use crate::exit::{Status, stop};
use crate::flags::{NotifyCommand, OrNone, ReceiverFlags, WayFlags};
use crate::table::Table;
use crate::{farm, moment};

/// Longest file of which the first line is read.
const SECRET_FILE_MAX: u64 = 64 << 10;

pub(super) async fn run(context: &Context, command: &NotifyCommand) -> Result<Status> {
    let api = farm::need(context)?.api;
    match command {
        NotifyCommand::List(_) => list(context, &api).await,
        NotifyCommand::Add(flags) => {
            if find(&api, &flags.name).await?.is_some() {
                let text = format!(
                    "there is a receiver '{}' already: `tessera notify change` changes it",
                    flags.name
                );
                return Err(stop(Status::Usage, text));
            }
            set(context, &api, flags, None).await
        }
        NotifyCommand::Change(flags) => {
            let before = find(&api, &flags.name).await?.ok_or_else(|| {
                let text = format!(
                    "there is no receiver '{}': `tessera notify list` lists them",
                    flags.name
                );
                stop(Status::Usage, text)
            })?;
            set(context, &api, flags, Some(&before)).await
        }
        NotifyCommand::Remove { names, .. } => remove(context, &api, names).await,
        NotifyCommand::Test { name, .. } => test(context, &api, name).await,
    }
}

async fn find(api: &Api, name: &str) -> Result<Option<ReceiverInfo>> {
    let all = api.receivers().await?.items;
    Ok(all.into_iter().find(|info| info.receiver.name == name))
}

async fn list(context: &Context, api: &Api) -> Result<Status> {
    let mut table = Table::new(&["NAME", "TOLD BY", "OF", "JOBS", ">WAITING", "LAST"]);
    for info in api.receivers().await?.items {
        table.row(row(&info));
        let receiver = Box::new(info);
        context.output.line(LineKind::Receiver { receiver });
    }
    if table.is_empty() {
        context
            .output
            .note("Nobody is told of anything. `tessera notify add --help` says how to.");
    } else {
        for line in table.lines() {
            context.output.text(&line);
        }
    }
    Ok(Status::Done)
}

fn row(info: &ReceiverInfo) -> [String; 6] {
    let receiver = &info.receiver;
    let events: Vec<&str> = receiver.events.iter().map(|event| event.name()).collect();
    [
        receiver.name.clone(),
        way_text(&receiver.way, info.has_secret),
        events.join(";"),
        match &receiver.jobs {
            WhoseJobs::All => "all".to_owned(),
            WhoseJobs::Owner(user) => format!("of={user}"),
            WhoseJobs::Named => "named".to_owned(),
        },
        info.waiting.to_string(),
        last(info),
    ]
}

fn way_text(way: &Way, has_secret: bool) -> String {
    match way {
        Way::Webhook { url } if has_secret => format!("webhook {url}, signed"),
        Way::Webhook { url } => format!("webhook {url}"),
        Way::Email { server, to, .. } => format!("mail to {} by {server}", to.join(", ")),
        Way::Discord => "discord".to_owned(),
        Way::Slack => "slack".to_owned(),
        Way::Matrix { homeserver, room } => format!("matrix {room} by {homeserver}"),
    }
}

/// How the last went, and what was lost ever.
fn last(info: &ReceiverInfo) -> String {
    let lost = match info.lost {
        0 => String::new(),
        lost => format!("; {lost} lost"),
    };
    let error = info.error.as_ref();
    let error = error.filter(|error| info.delivered_at.is_none_or(|at| at < error.at));
    match (error, info.delivered_at) {
        (Some(error), _) => {
            let at = moment::absolute(error.at);
            format!("failed {at}: {}{lost}", error.text)
        }
        (None, Some(at)) => format!("arrived {}{lost}", moment::absolute(at)),
        (None, None) => "nothing yet".to_owned(),
    }
}

async fn set(
    context: &Context,
    api: &Api,
    flags: &ReceiverFlags,
    before: Option<&ReceiverInfo>,
) -> Result<Status> {
    let before = before.map(|info| &info.receiver);
    let way = way(&flags.way, before.map(|receiver| &receiver.way));
    let events = before.map_or(DEFAULT_EVENTS.into(), |receiver| receiver.events.clone());
    let jobs = before.map_or(WhoseJobs::All, |receiver| receiver.jobs.clone());
    let input = ReceiverInput {
        way: way.map_err(|reason| stop(Status::Usage, reason))?,
        events: flags.events.clone().unwrap_or(events),
        jobs: flags.jobs.clone().unwrap_or(jobs),
        secret: match (&flags.secret, &flags.secret_file) {
            (Some(secret), _) => Some(secret.clone()),
            (None, Some(file)) => Some(secret_in(file)?),
            (None, None) => None,
        },
    };
    let info = api.set_receiver(&flags.name, &input).await?;
    let name = &info.receiver.name;
    let text = format!(
        "'{name}' is told by {}. `tessera notify test {name}` tries it.",
        way_text(&info.receiver.way, info.has_secret)
    );
    let receiver = Box::new(info.clone());
    context
        .output
        .result(text, || LineKind::Receiver { receiver });
    Ok(Status::Done)
}

/// The first line of a file.
fn secret_in(file: &Path) -> Result<String> {
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .take(SECRET_FILE_MAX)
            .read_to_string(&mut text)
    } else {
        let open = std::fs::File::open(file);
        open.and_then(|file| file.take(SECRET_FILE_MAX).read_to_string(&mut text))
    };
    read.with_context(|| format!("the secret in '{}' cannot be read", file.display()))?;
    let secret = text.lines().next().unwrap_or_default().trim();
    if secret.is_empty() {
        let text = format!("the first line of '{}' is empty", file.display());
        return Err(stop(Status::Usage, text));
    }
    Ok(secret.to_owned())
}

/// How it is to be told: what the flags name, and the rest as it was.
fn way(flags: &WayFlags, before: Option<&Way>) -> Result<Way, String> {
    let mail_flags = [
        ("--server", flags.server.is_some()),
        ("--tls", flags.tls.is_some()),
        ("--user", flags.user.is_some()),
        ("--from", flags.from.is_some()),
    ];
    let other = |of: &str| {
        let mut named = mail_flags.iter().filter(|(_, is_named)| *is_named);
        let mail = named
            .next()
            .map(|(name, _)| *name)
            .filter(|_| of != "email");
        let room = flags
            .room
            .as_ref()
            .map(|_| "--room")
            .filter(|_| of != "matrix");
        mail.or(room)
            .map(|name| format!("{name} means nothing for {of}"))
    };
    let way = if let Some(url) = &flags.webhook {
        Way::Webhook { url: url.clone() }
    } else if flags.discord {
        Way::Discord
    } else if flags.slack {
        Way::Slack
    } else if flags.email.is_some()
        || (matches!(before, Some(Way::Email { .. })) && flags.matrix.is_none())
    {
        mail(flags, before)?
    } else if flags.matrix.is_some() || matches!(before, Some(Way::Matrix { .. })) {
        matrix(flags, before)?
    } else {
        before.cloned().ok_or(
            "how is it to be told? --webhook URL, --email ADDRESS, --discord, --slack or --matrix URL",
        )?
    };
    match other(way.kind()) {
        Some(wrong) => Err(wrong),
        None => Ok(way),
    }
}

fn mail(flags: &WayFlags, before: Option<&Way>) -> Result<Way, String> {
    let mut way = match before {
        Some(way @ Way::Email { .. }) => way.clone(),
        _ => Way::Email {
            server: String::new(),
            port: None,
            tls: flags.tls.unwrap_or_default(),
            user: None,
            from: String::new(),
            to: Vec::new(),
        },
    };
    let Way::Email {
        server,
        port,
        tls,
        user,
        from,
        to,
    } = &mut way
    else {
        unreachable!("just made one");
    };
    if let Some(named) = &flags.server {
        // `[::1]:25` and `host:25` have a port, `host` and `::1` none.
        let (host, named_port) = match named.rsplit_once(':') {
            Some((host, digits)) if !host.contains(':') || host.ends_with(']') => {
                let bad = |_| format!("'{digits}' in '{named}' is no port");
                (host, Some(digits.parse().map_err(bad)?))
            }
            _ => (named.as_str(), None),
        };
        *server = host.trim_matches(['[', ']']).to_owned();
        *port = named_port;
    }
    *tls = flags.tls.unwrap_or(*tls);
    if let Some(OrNone(named)) = &flags.user {
        *user = named.clone();
    }
    if let Some(named) = &flags.from {
        *from = named.clone();
    }
    if let Some(named) = &flags.email {
        *to = named.iter().map(|to| to.trim().to_owned()).collect();
    }
    for (flag, text) in [("--server HOST", &*server), ("--from ADDRESS", &*from)] {
        if text.is_empty() {
            return Err(format!("a mail needs {flag}"));
        }
    }
    Ok(way)
}

fn matrix(flags: &WayFlags, before: Option<&Way>) -> Result<Way, String> {
    let was = match before {
        Some(Way::Matrix { homeserver, room }) => Some((homeserver, room)),
        _ => None,
    };
    let homeserver = flags.matrix.as_ref().or(was.map(|was| was.0));
    let room = flags.room.as_ref().or(was.map(|was| was.1));
    match (homeserver, room) {
        (Some(homeserver), Some(room)) => Ok(Way::Matrix {
            homeserver: homeserver.clone(),
            room: room.clone(),
        }),
        _ => Err("Matrix needs --matrix URL and --room '!id:server'".to_owned()),
    }
}

async fn remove(context: &Context, api: &Api, names: &[String]) -> Result<Status> {
    for name in names {
        api.remove_receiver(name).await?;
        let removed = || LineKind::ReceiverRemoved { name: name.clone() };
        context
            .output
            .result(format!("'{name}' is told nothing any more"), removed);
    }
    Ok(Status::Done)
}

async fn test(context: &Context, api: &Api, name: &str) -> Result<Status> {
    let report = api.test_receiver(name).await?;
    let line = LineKind::ReceiverTested {
        name: name.to_owned(),
        report: report.clone(),
    };
    context.output.line(line);
    if !report.delivered {
        let text = format!("the test for '{name}' did not arrive: {}", report.answer);
        return Err(stop(Status::Failed, text));
    }
    let text = format!("the test for '{name}' arrived: {}", report.answer);
    context.output.text(&text);
    Ok(Status::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;
    use tessera_model::MailTls;

    fn parsed(line: &str, before: Option<&Way>) -> Result<Way, String> {
        let words = ["tessera", "notify", "add", "name"].into_iter();
        let flags = crate::flags::Flags::try_parse_from(words.chain(line.split_whitespace()));
        match flags.map_err(|error| error.to_string())?.command {
            crate::flags::Command::Notify(NotifyCommand::Add(flags)) => way(&flags.way, before),
            other => panic!("{other:?}"),
        }
    }

    fn email(server: &str, port: Option<u16>, user: Option<&str>, to: &[&str]) -> Way {
        Way::Email {
            server: server.into(),
            port,
            tls: MailTls::Starttls,
            user: user.map(str::to_owned),
            from: "f@x".into(),
            to: to.iter().map(|to| (*to).to_owned()).collect(),
        }
    }

    #[test]
    fn what_is_not_named_stays() {
        let first = parsed(
            "--email a@x;b@x --server mail.x:2525 --tls starttls --from f@x --user u",
            None,
        );
        let first = first.unwrap();
        assert_eq!(
            first,
            email("mail.x", Some(2525), Some("u"), &["a@x", "b@x"])
        );
        let then = parsed("--email c@x --user none", Some(&first)).unwrap();
        assert_eq!(then, email("mail.x", Some(2525), None, &["c@x"]));
        let then = parsed("--server [::1]:25", Some(&first)).unwrap();
        assert_eq!(then, email("::1", Some(25), Some("u"), &["a@x", "b@x"]));
        assert_eq!(parsed("", Some(&first)), Ok(first.clone()));
        assert_eq!(parsed("--slack", Some(&first)), Ok(Way::Slack));
        let room = parsed("--matrix https://m --room !a:m", None).unwrap();
        let other = parsed("--room !b:m", Some(&room)).unwrap();
        assert!(matches!(other, Way::Matrix { room, .. } if room == "!b:m"));
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        let check = |line: &str, word: &str| {
            let error = parsed(line, None).unwrap_err();
            assert!(error.contains(word), "{line}: {error}");
        };
        check("", "--webhook URL");
        check("--discord --slack", "cannot be used with");
        check("--email a@x --from f@x", "--server HOST");
        check("--email a@x --server s:x --from f@x", "'x' in 's:x'");
        check("--matrix https://m", "--room");
        check("--discord --user u", "--user means nothing for discord");
        check(
            "--webhook https://x --room !a:b",
            "--room means nothing for webhook",
        );
        check("--discord --events job_don", "job_done");
        check("--discord --jobs anna", "of=USER");
    }
}
