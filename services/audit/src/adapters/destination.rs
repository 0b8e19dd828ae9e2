//! Where events are sent, by its URL.

use super::otlp::Otlp;
use super::syslog::{Syslog, Transport};
use super::webhook::Hook;
use crate::store::record::Record;
use http::Uri;
use keywright_domain::clock::Instant;
use keywright_domain::secret::Secret;
use keywright_egress::{Lines, Target};
use std::borrow::Cow;
use std::sync::Arc;

/// Why something was not taken, in our words.
pub type Why = Cow<'static, str>;

pub enum Destination {
    Syslog(Syslog),
    Otlp(Otlp),
    Webhook(Hook),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadUrl {
    #[error(
        "must be syslog+tcp://host:port, syslog+tls://host:port, syslog+udp://host:port, otlp://host:port, otlps://host:port or an https:// URL"
    )]
    Scheme,
    #[error("must be scheme://host:port, without user, password and path")]
    NotAnAddress,
    #[error("is not usable as a webhook: it {0}")]
    Webhook(&'static str),
    #[error("is a webhook: it needs --audit-forward-secret-file")]
    NoSecret,
}

impl Destination {
    pub fn parse(url: &str, lines: &Lines, secret: Option<&Arc<Secret>>) -> Result<Self, BadUrl> {
        let (scheme, _) = url.split_once("://").ok_or(BadUrl::Scheme)?;
        let lines = lines.clone();
        let syslog = |transport| Ok(Self::Syslog(Syslog::new(lines.clone(), transport, address(url)?)));
        match scheme {
            "syslog+tcp" => syslog(Transport::Tcp),
            "syslog+tls" => syslog(Transport::Tls),
            "syslog+udp" => syslog(Transport::Udp),
            "otlp" | "otlps" => Ok(Self::Otlp(Otlp::new(lines, scheme == "otlps", address(url)?))),
            "http" | "https" => Ok(Self::Webhook(Hook::parse(url, lines, secret)?)),
            _ => Err(BadUrl::Scheme),
        }
    }

    /// Answers after the destination took them all.
    pub async fn send(&self, records: &[Record], now: Instant) -> Result<(), Why> {
        match self {
            Self::Syslog(syslog) => syslog.send(records).await,
            Self::Otlp(otlp) => otlp.send(records, now).await,
            Self::Webhook(hook) => hook.send(records, now).await,
        }
    }
}

fn address(url: &str) -> Result<Target, BadUrl> {
    let uri: Uri = url.parse().map_err(|_| BadUrl::NotAnAddress)?;
    let authority = uri.authority().ok_or(BadUrl::NotAnAddress)?;
    let is_bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    match authority.port_u16() {
        Some(port) if is_bare && port > 0 && !host.is_empty() && !authority.as_str().contains('@') => {
            Ok(Target::new(host, port))
        }
        _ => Err(BadUrl::NotAnAddress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Destination, BadUrl> {
        let lines = Lines::anywhere_but(Vec::new(), Vec::new());
        Destination::parse(url, &lines, Some(&Arc::new(Secret::new(vec![1; 32]))))
    }

    #[test]
    fn every_form_is_read() {
        for url in [
            "syslog+tcp://siem.example:601",
            "syslog+tls://siem.example:6514/",
            "syslog+udp://[::1]:514",
            "otlp://127.0.0.1:4317",
            "otlps://collector.example:4317",
            "https://siem.example/in?token=x",
            "http://127.0.0.1:8080",
        ] {
            assert!(parse(url).is_ok(), "{url}");
        }
        assert_eq!(address("syslog+udp://[::1]:514"), Ok(Target::new("::1", 514)));
    }

    #[test]
    fn what_is_no_destination_is_refused() {
        for (url, why) in [
            ("", BadUrl::Scheme),
            ("siem.example:514", BadUrl::Scheme),
            ("ftp://siem.example:21", BadUrl::Scheme),
            ("syslog://siem.example:514", BadUrl::Scheme),
            ("syslog+tcp://", BadUrl::NotAnAddress),
            ("syslog+tcp://siem.example", BadUrl::NotAnAddress),
            ("syslog+tcp://siem.example:0", BadUrl::NotAnAddress),
            ("syslog+tcp://siem.example:99999", BadUrl::NotAnAddress),
            ("syslog+tcp://user:word@siem.example:601", BadUrl::NotAnAddress),
            ("syslog+tls://siem.example:6514/path", BadUrl::NotAnAddress),
            ("otlp://:4317", BadUrl::NotAnAddress),
            (
                "https://user:word@a.example/",
                BadUrl::Webhook("must be without user information and fragment"),
            ),
        ] {
            assert_eq!(parse(url).err(), Some(why), "{url}");
        }
        let lines = Lines::anywhere_but(Vec::new(), Vec::new());
        let unsigned = Destination::parse("https://a.example/", &lines, None);
        assert_eq!(unsigned.err(), Some(BadUrl::NoSecret));
    }
}
