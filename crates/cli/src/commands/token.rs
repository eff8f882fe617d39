//! `tessera token`: who may use the farm.

use anyhow::Result;
use tessera_model::PairingGrant;
use tessera_wire::api::{NewPairing, NewToken, TokenInfo};
use tessera_wire::line::LineKind;

use super::cert::code_text;
use crate::context::Context;
use crate::exit::Status;
use crate::flags::{TokenCommand, TokenCreateFlags};
use crate::table::Table;
use crate::{farm, moment};

/// How long a code for `tessera connect` is good for unless told otherwise: to be read out or mailed the same day.
const CODE_LIFETIME_S: u64 = 24 * 3600;

pub(super) async fn run(context: &Context, command: &TokenCommand) -> Result<Status> {
    match command {
        TokenCommand::List(_) => list(context).await,
        TokenCommand::Create(flags) if flags.code => create_code(context, flags).await,
        TokenCommand::Create(flags) => create_token(context, flags).await,
        TokenCommand::Revoke { tokens, .. } => revoke(context, tokens).await,
    }
}

async fn list(context: &Context) -> Result<Status> {
    let connection = farm::need(context)?;
    let mut table = Table::new(&["TOKEN", "USER", "ROLE", "CREATED", "ENDS", "NOTE"]);
    for token in connection.api.tokens().await?.items {
        table.row(row(&token));
        context.output.line(LineKind::Token { token });
    }
    if table.is_empty() {
        context.output.note("There are no tokens. `tessera token create --user NAME --code` makes a code to connect with.");
    } else {
        for line in table.lines() {
            context.output.text(&line);
        }
    }
    Ok(Status::Done)
}

fn row(token: &TokenInfo) -> [String; 6] {
    [
        token.id.clone(),
        token.user.to_string(),
        token.role.to_string(),
        moment::absolute(token.created_at),
        ends(token),
        token.note.clone(),
    ]
}

/// When it ends, and whether that was before now.
fn ends(token: &TokenInfo) -> String {
    match token.expires_at {
        None => "never".to_owned(),
        Some(end) if end <= moment::now() => format!("ended {}", moment::absolute(end)),
        Some(end) => moment::absolute(end),
    }
}

async fn create_token(context: &Context, flags: &TokenCreateFlags) -> Result<Status> {
    let connection = farm::need(context)?;
    let wish = NewToken {
        user: flags.user.clone(),
        role: flags.role,
        note: flags.note.clone(),
        lifetime_s: flags.lifetime.lifetime.map(|span| span.as_secs()),
    };
    let token = connection.api.new_token(&wish).await?;
    let until = token.info.expires_at.map_or_else(String::new, |end| {
        format!(", good until {}", moment::absolute(end))
    });
    context.output.note(format!(
        "Token {} for {} ({}{until}). It is shown this once; scripts set TESSERA_TOKEN to it:",
        token.info.id, token.info.user, token.info.role
    ));
    context
        .output
        .result(token.token.clone(), || LineKind::NewToken { token });
    Ok(Status::Done)
}

async fn create_code(context: &Context, flags: &TokenCreateFlags) -> Result<Status> {
    let connection = farm::need(context)?;
    let wish = NewPairing {
        grant: PairingGrant::Client {
            user: flags.user.clone(),
            role: flags.role,
        },
        lifetime_s: flags
            .lifetime
            .lifetime
            .map_or(CODE_LIFETIME_S, |span| span.as_secs()),
        once: true,
    };
    let pairing = connection.api.new_pairing(&wish).await?;
    let heading = format!("{} becomes a client ({}) by:", flags.user, flags.role);
    context.output.result(
        code_text(&heading, "tessera connect", &pairing, true),
        || LineKind::Pairing {
            pairing: pairing.clone(),
        },
    );
    Ok(Status::Done)
}

async fn revoke(context: &Context, tokens: &[String]) -> Result<Status> {
    let connection = farm::need(context)?;
    for token in tokens {
        connection.api.revoke_token(token).await?;
        let id = token.clone();
        context
            .output
            .result(format!("token {token} is void"), || LineKind::Revoked {
                id,
            });
    }
    Ok(Status::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_model::{Role, Timestamp};

    #[test]
    fn the_list_says_until_when_and_whether_it_is_over() {
        let check = |expires_at, shown: &str| {
            let token = TokenInfo {
                id: "t".into(),
                user: "anna".parse().unwrap(),
                role: Role::Viewer,
                note: String::new(),
                created_at: Timestamp(0),
                expires_at,
            };
            assert_eq!(ends(&token), shown);
        };
        check(None, "never");
        check(Some(Timestamp(60_000)), "ended 1970-01-01 00:01 UTC");
        check(Some(Timestamp(32_503_680_000_000)), "3000-01-01 00:00 UTC");
    }
}
