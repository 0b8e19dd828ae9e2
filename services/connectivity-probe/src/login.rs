//! The user name of a login.

use std::fmt;

/// 1 to 255 bytes without control characters: what an SSH user-authentication request can name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginName(String);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadLoginName;

impl BadLoginName {
    /// For the violation of the field that held it.
    pub const DESCRIPTION: &'static str = "must have 1 to 255 bytes and no control characters";
}

const MAX: usize = 255;

impl LoginName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LoginName {
    type Error = BadLoginName;
    fn try_from(text: String) -> Result<Self, BadLoginName> {
        let fits = !text.is_empty() && text.len() <= MAX && !text.chars().any(char::is_control);
        if fits { Ok(Self(text)) } else { Err(BadLoginName) }
    }
}

impl fmt::Display for LoginName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_name_is_what_a_request_can_carry() {
        for good in ["root", "svc deploy", "Ärger", "user@realm", &"u".repeat(255)] {
            assert_eq!(LoginName::try_from(good.to_owned()).unwrap().as_str(), good);
        }
        for bad in ["", "a\n", "a\0b", &"u".repeat(256)] {
            assert!(LoginName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
    }
}
