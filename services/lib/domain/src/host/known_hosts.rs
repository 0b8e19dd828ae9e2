//! Host keys as people supply them: bare key lines, or lines of a known_hosts file.
//!
//! Invariant: a key is taken from a known_hosts line only if that line names this very host and port.

use super::{HostName, Port};
use crate::key::{KeyError, PublicKey};
use aws_lc_rs::hmac;

/// More is not a list of host keys.
const MAX_TEXT: usize = 64 * 1024;
const MAX_KEYS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HostKeyTextError {
    #[error("line {line} is no host key; use lines such as `ssh-ed25519 AAAA...` or lines of known_hosts")]
    Line { line: usize, source: KeyError },
    #[error("line {line} names a certificate authority; pin the host's own keys instead")]
    CertAuthority { line: usize },
    #[error("line {line} revokes a key of this host; leave revoked keys out")]
    Revoked { line: usize },
    #[error("none of the lines names this host and port; send its own lines, or bare key lines")]
    OtherHosts,
    #[error("the text is too large; send the lines of this host alone")]
    TooLarge,
}

/// The keys for `host` and `port`, without repetitions, in the order given. Empty text gives none.
pub fn host_keys(text: &str, host: &HostName, port: Port) -> Result<Vec<PublicKey>, HostKeyTextError> {
    if text.len() > MAX_TEXT {
        return Err(HostKeyTextError::TooLarge);
    }
    let mut keys = Vec::new();
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
        match marker {
            "" => {}
            "cert-authority" => return Err(HostKeyTextError::CertAuthority { line }),
            _ => return Err(HostKeyTextError::Revoked { line }),
        }
        let key =
            PublicKey::parse_openssh(key_text).map_err(|source| HostKeyTextError::Line { line, source })?;
        if !keys.contains(&key) {
            keys.push(key);
        }
        if keys.len() > MAX_KEYS {
            return Err(HostKeyTextError::TooLarge);
        }
    }
    if keys.is_empty() && others { Err(HostKeyTextError::OtherHosts) } else { Ok(keys) }
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
        if matches(pattern.to_ascii_lowercase().as_bytes(), wanted.as_bytes()) {
            if negated {
                return false;
            }
            found = true;
        }
    }
    found
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

    fn keys(text: &str, host: &str, port: i64) -> Result<Vec<PublicKey>, HostKeyTextError> {
        host_keys(text, &HostName::parse(host).unwrap(), Port::try_from(port).unwrap())
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
    fn authorities_revocations_and_garbage_are_errors_with_their_line() {
        let key = key_line();
        assert_eq!(
            keys(&format!("\n@cert-authority web {key}"), "web", 22),
            Err(HostKeyTextError::CertAuthority { line: 2 })
        );
        assert_eq!(keys(&format!("@revoked * {key}"), "web", 22), Err(HostKeyTextError::Revoked { line: 1 }));
        assert!(matches!(keys("ssh-ed25519 AAAA", "web", 22), Err(HostKeyTextError::Line { line: 1, .. })));
        assert!(matches!(
            keys("web ssh-dss AAAA", "web", 22),
            Err(HostKeyTextError::Line { line: 1, source: KeyError::Unsupported })
        ));
    }
}
