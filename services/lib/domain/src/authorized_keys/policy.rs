//! The options that a policy may put on our lines, each as sshd wants it.
//!
//! Invariant: sshd refuses a line with one option that it does not understand, so none gets in that it would not:
//! known names only, with a value exactly where one belongs, and of its form.

use super::from::{self, BadPattern};
use super::options::{BadOption, LineOption};
use std::net::IpAddr;

/// Longest option; sshd reads lines of any length, people do not.
const MAX_OPTION: usize = 1024;
/// How many stand on a line at most.
pub const MAX_POLICY_OPTIONS: usize = 32;

/// What stands behind the name.
#[derive(Clone, Copy)]
enum Value {
    None,
    From,
    Command,
    Environment,
    PermitOpen,
    PermitListen,
}

/// Name, value, and whether it may stand there more than once.
const KNOWN: &[(&str, Value, bool)] = &[
    ("restrict", Value::None, false),
    ("from", Value::From, false),
    ("command", Value::Command, false),
    ("no-pty", Value::None, false),
    ("pty", Value::None, false),
    ("no-port-forwarding", Value::None, false),
    ("port-forwarding", Value::None, false),
    ("no-agent-forwarding", Value::None, false),
    ("agent-forwarding", Value::None, false),
    ("no-X11-forwarding", Value::None, false),
    ("X11-forwarding", Value::None, false),
    ("no-user-rc", Value::None, false),
    ("user-rc", Value::None, false),
    ("environment", Value::Environment, true),
    ("permitopen", Value::PermitOpen, true),
    ("permitlisten", Value::PermitListen, true),
];

/// Those that Dropbear knows; it refuses a line with any other.
const DROPBEAR: &[&str] = &[
    "restrict",
    "command",
    "no-pty",
    "no-port-forwarding",
    "no-agent-forwarding",
    "no-X11-forwarding",
    "permitopen",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PolicyOptionError {
    #[error("{0}")]
    NotAnOption(#[from] BadOption),
    #[error(
        "no such option, or not one for a policy; use restrict, from, command, environment, permitopen, permitlisten, [no-]pty, [no-]port-forwarding, [no-]agent-forwarding, [no-]X11-forwarding or [no-]user-rc"
    )]
    NotForPolicies,
    #[error("this option has no value")]
    ValueUnexpected,
    #[error("this option needs a value in double quotes, such as from=\"192.0.2.0/24\"")]
    ValueMissing,
    #[error("{0}")]
    From(#[from] BadPattern),
    #[error("not a variable; use environment=\"NAME=value\" with letters, digits and _ in the name")]
    Environment,
    #[error(
        "not a destination; use permitopen=\"host:port\", with [ ] around an IPv6 address and * for any port"
    )]
    PermitOpen,
    #[error("not a listener; use permitlisten=\"port\" or permitlisten=\"host:port\", with * for any port")]
    PermitListen,
    #[error("longer than 1,024 characters")]
    TooLong,
    #[error("sshd refuses a line on which this option stands twice")]
    Repeated,
    #[error("more than 32 options")]
    TooMany,
}

impl LineOption {
    /// One option of a policy, such as `restrict` or `from="192.0.2.0/24"`.
    pub fn parse_policy(text: &str) -> Result<Self, PolicyOptionError> {
        let option = Self::parse(text)?;
        if text.len() > MAX_OPTION {
            return Err(PolicyOptionError::TooLong);
        }
        let (_, value, _) = known(option.name()).ok_or(PolicyOptionError::NotForPolicies)?;
        match (value, option.value()) {
            (Value::None, _) if text.contains('=') => return Err(PolicyOptionError::ValueUnexpected),
            (Value::None, _) => {}
            (_, None) => return Err(PolicyOptionError::ValueMissing),
            (_, Some(value)) if value.is_empty() => return Err(PolicyOptionError::ValueMissing),
            (Value::From, Some(value)) => from::check(&value)?,
            (Value::Command, Some(_)) => {}
            (Value::Environment, Some(value)) => environment(&value)?,
            (Value::PermitOpen, Some(value)) => permit_open(&value)?,
            (Value::PermitListen, Some(value)) => permit_listen(&value)?,
        }
        Ok(option)
    }

    /// Dropbear refuses a line with an option that it does not know.
    pub fn is_known_to_dropbear(&self) -> bool {
        DROPBEAR.iter().any(|name| name.eq_ignore_ascii_case(self.name()))
    }
}

/// All options of a policy together; where it fails, at which one.
pub fn parse_policy_options<'a>(
    texts: impl IntoIterator<Item = &'a str>,
) -> Result<Vec<LineOption>, (usize, PolicyOptionError)> {
    let mut options: Vec<LineOption> = Vec::new();
    for (at, text) in texts.into_iter().enumerate() {
        if at >= MAX_POLICY_OPTIONS {
            return Err((at, PolicyOptionError::TooMany));
        }
        let option = LineOption::parse_policy(text).map_err(|error| (at, error))?;
        let repeats = known(option.name()).is_some_and(|(.., repeats)| *repeats);
        let again = |other: &LineOption| other.name().eq_ignore_ascii_case(option.name());
        if !repeats && options.iter().any(again) {
            return Err((at, PolicyOptionError::Repeated));
        }
        options.push(option);
    }
    Ok(options)
}

/// Whether a line with this option lets `address` in. Names in a `from` count for nothing: what they resolve to is
/// the host's affair. True for every other option.
pub fn from_contains(option: &LineOption, address: IpAddr) -> bool {
    if !option.name().eq_ignore_ascii_case("from") {
        return true;
    }
    option.value().is_some_and(|value| from::contains(&value, address))
}

fn known(name: &str) -> Option<&'static (&'static str, Value, bool)> {
    KNOWN.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name))
}

fn environment(value: &str) -> Result<(), PolicyOptionError> {
    let name = value.split_once('=').map(|(name, _)| name).unwrap_or_default();
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if plain { Ok(()) } else { Err(PolicyOptionError::Environment) }
}

fn permit_open(value: &str) -> Result<(), PolicyOptionError> {
    let fits = host_and_port(value).is_some_and(|(host, port)| is_host(host) && is_port(port));
    if fits { Ok(()) } else { Err(PolicyOptionError::PermitOpen) }
}

fn permit_listen(value: &str) -> Result<(), PolicyOptionError> {
    let fits =
        is_port(value) || host_and_port(value).is_some_and(|(host, port)| is_host(host) && is_port(port));
    if fits { Ok(()) } else { Err(PolicyOptionError::PermitListen) }
}

fn host_and_port(value: &str) -> Option<(&str, &str)> {
    match value.strip_prefix('[') {
        Some(rest) => rest.split_once("]:"),
        None => value.split_once(':').filter(|(_, port)| !port.contains(':')),
    }
}

fn is_host(host: &str) -> bool {
    !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.:*".contains(&byte))
}

fn is_port(port: &str) -> bool {
    port == "*"
        || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(text: &str) -> PolicyOptionError {
        LineOption::parse_policy(text).unwrap_err()
    }

    #[test]
    fn known_options_of_the_right_form_are_taken() {
        for good in [
            "restrict",
            "PTY",
            "no-X11-forwarding",
            "from=\"192.0.2.0/24,!192.0.2.7,2001:db8::/32,*.example.org\"",
            "command=\"/usr/bin/rsync --server, \\\"x\\\"\"",
            "environment=\"LANG=C\"",
            "permitopen=\"db.example.org:5432\"",
            "permitopen=\"[2001:db8::1]:*\"",
            "permitlisten=\"8080\"",
            "permitlisten=\"localhost:8080\"",
        ] {
            assert_eq!(LineOption::parse_policy(good).unwrap().as_str(), good);
        }
    }

    #[test]
    fn every_mistake_has_its_error() {
        assert_eq!(error("a b"), PolicyOptionError::NotAnOption(BadOption));
        assert_eq!(error("expiry-time=\"20300101\""), PolicyOptionError::NotAnOption(BadOption));
        for bad in
            ["cert-authority", "principals=\"root\"", "tunnel=\"1\"", "no-touch-required", "no-restrict"]
        {
            assert_eq!(error(bad), PolicyOptionError::NotForPolicies, "{bad}");
        }
        for bad in ["restrict=\"yes\"", "no-pty="] {
            assert_eq!(error(bad), PolicyOptionError::ValueUnexpected, "{bad}");
        }
        for bad in ["from", "command=", "command=ls", "command=\"\"", "command=\"a\"b\"c\""] {
            assert_eq!(error(bad), PolicyOptionError::ValueMissing, "{bad}");
        }
        for bad in ["environment=\"A B=1\"", "environment=\"LANG\""] {
            assert_eq!(error(bad), PolicyOptionError::Environment, "{bad}");
        }
        for bad in [
            "permitopen=\"host\"",
            "permitopen=\"host:0\"",
            "permitopen=\"2001:db8::1:22\"",
            "permitopen=\":1\"",
        ] {
            assert_eq!(error(bad), PolicyOptionError::PermitOpen, "{bad}");
        }
        assert_eq!(error("permitlisten=\"host:99999\""), PolicyOptionError::PermitListen);
        assert_eq!(error(&format!("command=\"{}\"", "x".repeat(MAX_OPTION))), PolicyOptionError::TooLong);
    }

    #[test]
    fn what_may_stand_once_stands_once() {
        let all = |texts: &[&str]| parse_policy_options(texts.iter().copied());
        assert_eq!(all(&["restrict", "environment=\"A=1\"", "environment=\"B=1\""]).unwrap().len(), 3);
        assert_eq!(all(&["from=\"10.0.0.1\"", "pty", "FROM=\"*\""]), Err((2, PolicyOptionError::Repeated)));
        assert_eq!(all(&["environment=\"A=1\""; 33]), Err((32, PolicyOptionError::TooMany)));
    }

    #[test]
    fn dropbear_knows_few() {
        let known = |text: &str| LineOption::parse_policy(text).unwrap().is_known_to_dropbear();
        assert!(known("restrict") && known("command=\"x\"") && !known("from=\"*\"") && !known("pty"));
    }
}
