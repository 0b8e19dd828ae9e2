//! E-mail by an SMTP server that the operator chose. Encrypted always, but to this machine itself.
//!
//! Invariant: nothing that the server or the library says leaves this file; a failure is one of a few words of our own.

use crate::notify::Letter;
use keywright_domain::clock::Instant;
use keywright_domain::secret::Secret;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use std::net::IpAddr;
use std::time::{Duration, SystemTime};

/// The library knows no limit for an answer: each try as a whole has one (`notify::deliver`).
const CONNECTED: Duration = Duration::from_secs(10);

/// Why mail cannot be sent at all.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MailError {
    #[error("--smtp-url must be smtp://[user@]host[:port] or smtps://[user@]host[:port]")]
    Url,
    #[error("--smtp-from must be an e-mail address, or a name with one: Keywright <keywright@example.com>")]
    From,
    #[error(
        "--smtp-url names a user, so a password is needed: --smtp-password-file or KEYWRIGHT_SMTP_PASSWORD"
    )]
    Password,
    #[error("TLS cannot be set up for mail; is there a store of certificates on this machine?")]
    Tls,
}

/// Where mail goes, as the operator says it.
#[derive(Debug)]
pub struct MailSettings {
    pub url: String,
    pub from: String,
    pub password: Option<Secret>,
}

/// How the connection is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    FromTheStart,
    StartTls,
    /// Nobody else hears what this machine says to itself.
    None,
}

#[derive(Debug, PartialEq, Eq)]
struct Relay<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: u16,
    encryption: Encryption,
}

#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Mailer {
    pub fn new(settings: &MailSettings) -> Result<Self, MailError> {
        let relay = Relay::parse(&settings.url).ok_or(MailError::Url)?;
        let from: Mailbox = settings.from.parse().map_err(|_| MailError::From)?;
        let parameters = || TlsParameters::new(relay.host.to_owned()).map_err(|_| MailError::Tls);
        let tls = match relay.encryption {
            Encryption::FromTheStart => Tls::Wrapper(parameters()?),
            Encryption::StartTls => Tls::Required(parameters()?),
            Encryption::None => Tls::None,
        };
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(relay.host)
            .port(relay.port)
            .tls(tls)
            .timeout(Some(CONNECTED))
            .hello_name(ClientId::Domain(from.email.domain().to_owned()));
        if let Some(user) = relay.user {
            let password =
                settings.password.as_ref().and_then(Secret::expose_text).ok_or(MailError::Password)?;
            builder = builder.credentials(Credentials::new(user.to_owned(), password.to_owned()));
        }
        Ok(Self { transport: builder.build(), from })
    }

    pub async fn send(&self, id: &str, to: &str, letter: Letter, now: Instant) -> Result<(), &'static str> {
        let address: Address = to.parse().map_err(|_| "its address is no e-mail address")?;
        let at = Duration::from_secs(u64::try_from(now.secs()).unwrap_or_default());
        let automatic = HeaderName::new_from_ascii_str("Auto-Submitted");
        let mail = Message::builder()
            .from(self.from.clone())
            .to(Mailbox::new(None, address))
            .subject(letter.subject)
            .date(SystemTime::UNIX_EPOCH + at)
            // The same in every try: a receiver can tell a repetition.
            .message_id(Some(format!("<{id}@{}>", self.from.email.domain())))
            .raw_header(HeaderValue::new(automatic, "auto-generated".to_owned()))
            .header(ContentType::TEXT_PLAIN)
            .body(letter.text)
            .map_err(|_| "the message could not be made")?;
        match self.transport.send(mail).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_permanent() => Err("the mail server refuses the message or its receiver"),
            Err(error) if error.is_transient() => Err("the mail server says to try later"),
            Err(error) if error.is_timeout() => Err("the mail server does not answer in time"),
            Err(error) if error.is_tls() => Err("TLS with the mail server failed"),
            Err(_) => Err("the mail server cannot be reached, or cannot do what is needed"),
        }
    }
}

/// Whether mail can be addressed to it.
pub fn is_address(text: &str) -> bool {
    text.len() <= 254 && text.is_ascii() && text.parse::<Address>().is_ok()
}

impl<'a> Relay<'a> {
    fn parse(url: &'a str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        // A user's name may hold an @ of its own.
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let (host, port) = match host.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
                (host, Some(port.parse().ok()?))
            }
            _ => (host, None),
        };
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let odd = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '@' | '[' | ']');
        if host.is_empty()
            || host.contains(odd)
            || user.is_some_and(|user| user.is_empty() || user.contains(':'))
        {
            return None;
        }
        let (encryption, usual) = match scheme {
            "smtps" => (Encryption::FromTheStart, 465),
            "smtp" if is_loopback(host) => (Encryption::None, 25),
            "smtp" => (Encryption::StartTls, 587),
            _ => return None,
        };
        Some(Self { user, host, port: port.unwrap_or(usual), encryption })
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

    #[test]
    fn a_relay_is_encrypted_but_on_this_machine() {
        let relay =
            |url| Relay::parse(url).map(|relay| (relay.user, relay.host, relay.port, relay.encryption));
        let expected = Some((Some("me@a.example"), "mail.example", 587, Encryption::StartTls));
        assert_eq!(relay("smtp://me@a.example@mail.example"), expected);
        assert_eq!(
            relay("smtps://mail.example/"),
            Some((None, "mail.example", 465, Encryption::FromTheStart))
        );
        assert_eq!(relay("smtp://localhost:2525"), Some((None, "localhost", 2525, Encryption::None)));
        assert_eq!(relay("smtp://[::1]:2525"), Some((None, "::1", 2525, Encryption::None)));
        assert_eq!(relay("smtp://192.0.2.1:25"), Some((None, "192.0.2.1", 25, Encryption::StartTls)));
        for bad in [
            "mail.example",
            "http://mail.example",
            "smtp://",
            "smtp://u:p@mail.example",
            "smtp://a b",
            "smtp://a:x",
        ] {
            assert_eq!(relay(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_user_needs_a_password_and_a_sender_an_address() {
        let settings = |url: &str, from: &str| MailSettings {
            url: url.to_owned(),
            from: from.to_owned(),
            password: None,
        };
        let error = |settings| Mailer::new(&settings).err();
        assert_eq!(error(settings("smtp://u@localhost", "a@b.example")), Some(MailError::Password));
        assert_eq!(error(settings("smtp://localhost", "nobody")), Some(MailError::From));
        assert_eq!(error(settings("smtp://localhost", "Keywright <a@b.example>")), None);
    }

    #[test]
    fn an_address_is_one_line_of_text() {
        assert!(is_address("ops@example.com"));
        for bad in ["", "ops", "a@b\r\nBcc: c@d", "a b@example.com", "a@b, c@d"] {
            assert!(!is_address(bad), "{bad:?}");
        }
    }

    /// A mail server on this machine that answers each line from `script` in its order, and hangs up after the last.
    async fn scripted(script: &'static [&'static str]) -> Mailer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (socket, _) = listener.accept().await.unwrap();
            let mut socket = BufReader::new(socket);
            for answer in script {
                socket.write_all(format!("{answer}\r\n").as_bytes()).await.unwrap();
                let mut line = String::new();
                while socket.read_line(&mut line).await.is_ok_and(|read| read > 0) && is_body(&line) {
                    line.clear();
                }
            }
        });
        mailer(&url)
    }

    /// Lines that a server answers none of: what is between DATA and the dot.
    fn is_body(line: &str) -> bool {
        !["EHLO", "MAIL", "RCPT", "DATA", "QUIT", ".\r\n"].iter().any(|command| line.starts_with(command))
    }

    fn mailer(url: &str) -> Mailer {
        let from = "Keywright <keywright@example.com>".to_owned();
        Mailer::new(&MailSettings { url: url.to_owned(), from, password: None }).unwrap()
    }

    async fn sent(mailer: Mailer) -> Result<(), &'static str> {
        let letter = Letter { subject: "Rotated".to_owned(), text: "The key was rotated.".to_owned() };
        mailer.send("msg_1", "ops@example.com", letter, Instant::from_secs(1_700_000_000)).await
    }

    #[tokio::test]
    async fn what_a_mail_server_does_wrong_is_told_apart_in_our_own_words() {
        const HELLO: &str = "220 mail.example";
        const EHLO: &str = "250 mail.example";
        assert_eq!(sent(scripted(&[HELLO, EHLO, "250 a", "250 b", "354 c", "250 d"]).await).await, Ok(()));
        let refused = Err("the mail server refuses the message or its receiver");
        assert_eq!(sent(scripted(&[HELLO, EHLO, "250 a", "550 secret reason"]).await).await, refused);
        assert_eq!(
            sent(scripted(&[HELLO, EHLO, "250 a", "250 b", "354 c", "554 spam"]).await).await,
            refused
        );
        let later = Err("the mail server says to try later");
        assert_eq!(sent(scripted(&["421 too busy"]).await).await, later);
        assert_eq!(sent(scripted(&[HELLO, EHLO, "250 a", "451 greylisted"]).await).await, later);
        let broken = Err("the mail server cannot be reached, or cannot do what is needed");
        assert_eq!(sent(scripted(&["HTTP/1.1 400 Bad Request"]).await).await, broken);
        assert_eq!(sent(scripted(&[HELLO, EHLO, "250 a"]).await).await, broken, "it hangs up midway");
        let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert_eq!(sent(mailer(&format!("smtp://{nobody}"))).await, broken);
        assert_eq!(sent(mailer("smtps://localhost:1")).await, broken);
    }
}
