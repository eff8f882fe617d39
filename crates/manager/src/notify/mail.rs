//! The notice as a mail.

use lettre::message::{Mailbox, header::ContentType};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use tessera_model::{MailTls, Notice, Way};

use super::post::{PostError, TRY_MAX, chain};

/// What the mail server answered when it took it.
pub(super) async fn send(
    way: &Way,
    password: Option<&str>,
    notice: &Notice,
) -> Result<String, PostError> {
    let Way::Email {
        server,
        port,
        tls,
        user,
        from,
        to,
    } = way
    else {
        return Err(PostError::lasting("it is not told by mail"));
    };
    let message = message(from, to, notice)?;
    let parameters = || {
        let parameters = TlsParameters::new(server.clone());
        parameters.map_err(|error| PostError::lasting(chain(&error)))
    };
    let secrecy = match tls {
        MailTls::Tls => Tls::Wrapper(parameters()?),
        MailTls::Starttls => Tls::Required(parameters()?),
        MailTls::None => Tls::None,
    };
    let mut transport = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(server)
        .port(port.unwrap_or(tls.usual_port()))
        .tls(secrecy)
        .timeout(Some(TRY_MAX));
    if let (Some(user), Some(password)) = (user, password) {
        transport = transport.credentials(Credentials::new(user.clone(), password.to_owned()));
    }
    let sent = transport.build().send(message).await;
    let answer = sent.map_err(|error| PostError {
        is_final: error.is_permanent(),
        text: chain(&error),
    })?;
    let words: Vec<&str> = answer.message().collect();
    Ok(format!("{} {}", answer.code(), words.join(" ")))
}

fn message(from: &str, to: &[String], notice: &Notice) -> Result<Message, PostError> {
    let address = |text: &str| {
        let parsed = text.parse::<Mailbox>();
        parsed.map_err(|error| PostError::lasting(format!("'{text}' is no address: {error}")))
    };
    let from = address(from)?;
    let mut builder = Message::builder()
        // The same at every try: mail programs show one of two.
        .message_id(Some(format!("<{}@{}>", notice.id, from.email.domain())))
        .from(from)
        .subject(format!("[{}] {}", notice.farm, notice.title));
    for to in to {
        builder = builder.to(address(to)?);
    }
    let mut text = notice.text.clone();
    if let Some(link) = &notice.link {
        text = format!("{text}\n\n{link}");
    }
    builder
        .header(ContentType::TEXT_PLAIN)
        .body(text + "\n")
        .map_err(|error| PostError::lasting(chain(&error)))
}
