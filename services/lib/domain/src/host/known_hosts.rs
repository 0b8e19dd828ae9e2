//! Host keys as people supply them: bare key lines, or lines of a known_hosts file.
//!
//! Invariant: a key is taken from a known_hosts line only if that line names this very host and port.

use super::{HostName, KnownHost, Port};
use crate::key::{KeyError, PublicKey};
use aws_lc_rs::hmac;
use std::net::IpAddr;

/// More is not a list of host keys.
const MAX_TEXT: usize = 64 * 1024;
const MAX_KEYS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyTextError {
    #[error("line {line} is no host key; use lines such as `ssh-ed25519 AAAA...` or lines of known_hosts")]
    Line { line: usize, source: KeyError },
    #[error("line {line} revokes a key of this host; leave revoked keys out")]
    Revoked { line: usize },
    #[error("none of the lines names this host and port; send its own lines, or bare key lines")]
    OtherHosts,
    #[error("the text is too large; send the lines of this host alone")]
    TooLarge,
}

/// The keys and authorities for `host` and `port`, without repetitions, in the order given. Empty text gives none.
pub fn host_keys(text: &str, host: &HostName, port: Port) -> Result<KnownHost, HostKeyTextError> {
    if text.len() > MAX_TEXT {
        return Err(HostKeyTextError::TooLarge);
    }
    let mut known = KnownHost::default();
    let mut others = false;
    for (line, content) in (1..).zip(text.lines()) {
        let content = content.trim();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        let (marker, rest) = match content.strip_prefix('@') {
            Some(marked) => marked.split_once([' ', '\t']).unwrap_or((marked, "")),
            None => ("", content),
        };
        let first = rest.split_ascii_whitespace().next().unwrap_or_default();
        let key_text = if crate::key::is_key_name(first) {
            rest
        } else {
            if !names(first, host, port) {
                others = true;
                continue;
            }
            rest.trim_start().get(first.len()..).unwrap_or_default()
        };
        let list = match marker {
            "" => &mut known.keys,
            "cert-authority" => &mut known.authorities,
            _ => return Err(HostKeyTextError::Revoked { line }),
        };
        let key =
            PublicKey::parse_openssh(key_text).map_err(|source| HostKeyTextError::Line { line, source })?;
        if !list.contains(&key) {
            list.push(key);
        }
        if list.len() > MAX_KEYS {
            return Err(HostKeyTextError::TooLarge);
        }
    }
    if known.is_empty() && others { Err(HostKeyTextError::OtherHosts) } else { Ok(known) }
}

/// sshd(8), SSH_KNOWN_HOSTS FILE FORMAT: patterns with commas, `!`, `*` and `?`, or one hashed name.
fn names(patterns: &str, host: &HostName, port: Port) -> bool {
    let wanted = match port {
        Port::SSH => host.to_string(),
        other => format!("[{host}]:{other}"),
    };
    if let Some(hashed) = patterns.strip_prefix("|1|") {
        return hashed_is(hashed, &wanted).unwrap_or(false);
    }
    let mut found = false;
    for pattern in patterns.split(',') {
        let (negated, pattern) = match pattern.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, pattern),
        };
        // `[host]:22` is the same as `host`.
        let pattern = pattern.strip_prefix('[').and_then(|rest| rest.strip_suffix("]:22")).unwrap_or(pattern);
        let pattern = plain_address(pattern).unwrap_or_else(|| pattern.to_ascii_lowercase());
        if matches(pattern.as_bytes(), wanted.as_bytes()) {
            if negated {
                return false;
            }
            found = true;
        }
    }
    found
}

/// An address, with or without a port, in the one spelling that a [`HostName`] has: ssh writes down what it was called
/// with. `None` for names and patterns.
fn plain_address(pattern: &str) -> Option<String> {
    let (name, port) = match pattern.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((name, port)) => (name, Some(port)),
        None => (pattern, None),
    };
    let address = name.parse::<IpAddr>().ok()?.to_canonical();
    Some(port.map_or_else(|| address.to_string(), |port| format!("[{address}]:{port}")))
}

fn hashed_is(hashed: &str, wanted: &str) -> Option<bool> {
    let (salt, tag) = hashed.split_once('|')?;
    let decode = |text: &str| data_encoding::BASE64.decode(text.as_bytes()).ok();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &decode(salt)?);
    Some(hmac::verify(&key, wanted.as_bytes(), &decode(tag)?).is_ok())
}

/// Without recursion, so that no pattern costs more than the product of the lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0usize, 0usize);
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p = p.saturating_add(1);
            }
            Some(wanted) if *wanted == b'?' || wanted == byte => {
                p = p.saturating_add(1);
                t = t.saturating_add(1);
            }
            _ => match star {
                Some((at, from)) => {
                    let next = from.saturating_add(1);
                    star = Some((at, next));
                    (p, t) = (at.saturating_add(1), next);
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{GenerateSpec, PrivateKey};
    use std::process::Command;

    fn key_line() -> String {
        PrivateKey::generate(GenerateSpec::Ed25519).unwrap().public().openssh()
    }

    fn known(text: &str, host: &str, port: i64) -> Result<KnownHost, HostKeyTextError> {
        host_keys(text, &HostName::parse(host).unwrap(), Port::try_from(port).unwrap())
    }

    fn keys(text: &str, host: &str, port: i64) -> Result<Vec<PublicKey>, HostKeyTextError> {
        known(text, host, port).map(|known| known.keys)
    }

    #[test]
    fn an_authority_is_taken_where_it_stands_for_the_host() {
        let (own, authority) = (key_line(), key_line());
        let text = format!("web {own}\n@cert-authority *.example.org,web {authority} ca@example.org\n");
        let found = known(&text, "web", 22).unwrap();
        assert_eq!(found.keys.iter().map(PublicKey::openssh).collect::<Vec<_>>(), [own]);
        assert_eq!(found.authorities.iter().map(PublicKey::openssh).collect::<Vec<_>>(), [authority]);
        assert!(matches!(known(&text, "db", 22), Err(HostKeyTextError::OtherHosts)));
    }

    #[test]
    fn bare_lines_and_own_lines_are_taken_and_others_are_not() {
        let (bare, own, foreign) = (key_line(), key_line(), key_line());
        let text =
            format!("# hosts\r\n\r\n{bare} root@web\r\nWEB,10.0.0.7 {own}\r\nother {foreign}\r\n{bare}\n");
        let found: Vec<_> = keys(&text, "web", 22).unwrap().iter().map(PublicKey::openssh).collect();
        assert_eq!(found, [bare, own]);
        assert_eq!(keys(&format!("other {foreign}"), "web", 22), Err(HostKeyTextError::OtherHosts));
        assert_eq!(keys("", "web", 22), Ok(vec![]));
    }

    #[test]
    fn the_port_counts() {
        let line = format!("[web]:2222 {}", key_line());
        assert_eq!(keys(&line, "web", 2222).unwrap().len(), 1);
        assert_eq!(keys(&line, "web", 22), Err(HostKeyTextError::OtherHosts));
        assert_eq!(keys(&format!("[web]:22 {}", key_line()), "web", 22).unwrap().len(), 1);
    }

    #[test]
    fn an_ipv6_address_is_known_in_every_spelling() {
        let key = key_line();
        for (name, host, port) in [
            ("[::1]:2222", "::1", 2222),
            ("::1", "::1", 22),
            ("[::1]:22", "::1", 22),
            ("web,[2001:db8::7]:2222", "2001:db8::7", 2222),
            ("[2001:DB8:0:0::7]:2222", "2001:db8::7", 2222),
            ("2001:0db8::0007", "2001:db8::7", 22),
            ("::ffff:10.0.0.7", "10.0.0.7", 22),
        ] {
            let found = keys(&format!("{name} {key}"), host, port);
            assert_eq!(found.map(|keys| keys.len()), Ok(1), "{name}");
        }
        for (name, host, port) in
            [("[::1]:2222", "::1", 22), ("::1", "::1", 2222), ("[::2]:2222", "::1", 2222)]
        {
            let found = keys(&format!("{name} {key}"), host, port);
            assert_eq!(found, Err(HostKeyTextError::OtherHosts), "{name}");
        }
        let all_but_one = format!("2001:db8::*,!2001:db8:0::7 {key}");
        assert!(keys(&all_but_one, "2001:db8::8", 22).is_ok());
        assert!(keys(&all_but_one, "2001:db8::7", 22).is_err());
    }

    #[test]
    fn patterns_and_their_negation_are_honoured() {
        let line = format!("*.example.org,!db.example.org {}", key_line());
        assert_eq!(keys(&line, "web.example.org", 22).unwrap().len(), 1);
        assert!(keys(&line, "db.example.org", 22).is_err());
        assert!(matches(b"w?b*", b"web.example") && !matches(b"w?b", b"webs") && matches(b"**", b""));
    }

    #[test]
    fn a_file_hashed_by_ssh_keygen_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("known_hosts");
        std::fs::write(&file, format!("[web]:2222 {}\n", key_line())).unwrap();
        assert!(Command::new("ssh-keygen").arg("-Hf").arg(&file).output().unwrap().status.success());
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("|1|"));
        assert_eq!(keys(&text, "web", 2222).unwrap().len(), 1);
        assert!(keys(&text, "web", 22).is_err());
    }

    #[test]
    fn revocations_and_garbage_are_errors_with_their_line() {
        let key = key_line();
        assert_eq!(
            keys(&format!("\n@revoked * {key}"), "web", 22),
            Err(HostKeyTextError::Revoked { line: 2 })
        );
        assert!(matches!(keys("ssh-ed25519 AAAA", "web", 22), Err(HostKeyTextError::Line { line: 1, .. })));
        assert!(matches!(
            keys("web ssh-dss AAAA", "web", 22),
            Err(HostKeyTextError::Line { line: 1, source: KeyError::Unsupported })
        ));
    }
}
