//! A customer of the platform, and what may be said of it.

use super::text::name;
use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;
use keywright_runtime::failure::Failure;
use std::collections::BTreeMap;

const MAX_EXTERNAL_ID: usize = 100;
const MAX_CONTACTS: usize = 20;
const MAX_ADDRESS: usize = 254;
const MAX_LABELS: usize = 32;
const MAX_LABEL_KEY: usize = 63;
const MAX_LABEL_VALUE: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Active,
    /// Nothing new is done for it; what ends goes on to end.
    Suspended,
    /// Only its id is left.
    Deleted,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
        }
    }
}

impl TryFrom<String> for State {
    type Error = ();
    fn try_from(text: String) -> Result<Self, ()> {
        [Self::Active, Self::Suspended, Self::Deleted].into_iter().find(|it| it.as_str() == text).ok_or(())
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    pub particulars: Particulars,
    pub state: State,
    pub revision: i64,
    pub created_at: Instant,
}

/// What the platform says of a tenant, and may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Particulars {
    pub name: String,
    pub external_id: Option<String>,
    /// Of IANA.
    pub time_zone: String,
    /// E-mail addresses.
    pub contacts: Vec<String>,
    pub labels: BTreeMap<String, String>,
}

impl Particulars {
    pub fn parse_name(text: &str) -> Result<String, Failure> {
        name("name", text)
    }

    /// Empty text is none.
    pub fn parse_external_id(text: &str) -> Result<Option<String>, Failure> {
        match text.trim() {
            "" => Ok(None),
            id if id.chars().count() <= MAX_EXTERNAL_ID && !id.chars().any(char::is_control) => {
                Ok(Some(id.to_owned()))
            }
            _ => Err(Failure::violation(
                "externalId",
                "must have at most 100 characters, none of them a control character",
            )),
        }
    }

    /// UTC where nothing is said.
    pub fn parse_time_zone(text: &str) -> Result<String, Failure> {
        match text.trim() {
            "" => Ok("UTC".to_owned()),
            zone if jiff::tz::TimeZone::get(zone).is_ok() => Ok(zone.to_owned()),
            _ => Err(Failure::violation("timeZone", "must be an IANA time zone, for example Europe/Berlin")),
        }
    }

    pub fn parse_contacts(given: Vec<String>) -> Result<Vec<String>, Failure> {
        if given.len() > MAX_CONTACTS {
            return Err(Failure::violation("contacts", "must be at most 20"));
        }
        let mut contacts: Vec<String> = Vec::new();
        for text in &given {
            let address = text.trim();
            if !is_address(address) {
                return Err(Failure::violation("contacts", "must be e-mail addresses"));
            }
            if !contacts.iter().any(|there| there == address) {
                contacts.push(address.to_owned());
            }
        }
        Ok(contacts)
    }

    pub fn parse_labels(given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, Failure> {
        let fits =
            |text: &str, most: usize| text.chars().count() <= most && !text.chars().any(char::is_control);
        let well_formed = |(key, value): (&String, &String)| {
            !key.is_empty() && fits(key, MAX_LABEL_KEY) && fits(value, MAX_LABEL_VALUE)
        };
        if given.len() > MAX_LABELS || !given.iter().all(well_formed) {
            return Err(Failure::violation(
                "labels",
                "must be at most 32, with keys of 1 to 63 and values of at most 255 characters",
            ));
        }
        Ok(given)
    }
}

fn is_address(text: &str) -> bool {
    text.split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'))
        && text.len() <= MAX_ADDRESS
        && !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contacts_are_addresses_each_once() {
        let parse =
            |given: &[&str]| Particulars::parse_contacts(given.iter().map(|t| (*t).to_owned()).collect());
        assert_eq!(parse(&[" a@b.example ", "a@b.example"]).unwrap(), ["a@b.example"]);
        let long = format!("{}@b.example", "a".repeat(250));
        for bad in ["", "a", "@b", "a@", "a b@c", "a@b@c", "a\n@b", long.as_str()] {
            assert_eq!(parse(&[bad]).unwrap_err().violations[0].field, "contacts", "{bad:?}");
        }
        assert!(parse(&["a@b"; 21]).is_err());
    }

    #[test]
    fn labels_have_their_limits() {
        let parse =
            |key: &str, value: &str| Particulars::parse_labels([(key.to_owned(), value.to_owned())].into());
        assert!(parse(&"k".repeat(63), &"v".repeat(255)).is_ok());
        for (key, value) in [("", "v"), (&"k".repeat(64), "v"), ("k", &"v".repeat(256)), ("k", "a\u{0}")] {
            assert!(parse(key, value).is_err(), "{key} {value}");
        }
        assert!(
            Particulars::parse_labels((0..33).map(|n| (n.to_string(), String::new())).collect()).is_err()
        );
    }

    #[test]
    fn an_external_id_may_be_none_and_a_zone_is_known() {
        assert_eq!(Particulars::parse_external_id(" ").unwrap(), None);
        assert_eq!(Particulars::parse_external_id(" a ").unwrap().as_deref(), Some("a"));
        assert!(Particulars::parse_external_id(&"x".repeat(101)).is_err());
        assert_eq!(Particulars::parse_time_zone("").unwrap(), "UTC");
        assert!(Particulars::parse_time_zone("Mars/Olympus").is_err());
    }
}
