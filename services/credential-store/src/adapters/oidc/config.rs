//! The operator's file of identity providers. Whatever cannot hold is refused when the service starts, with the
//! provider and the setting that is wrong.

use crate::domain::login::{Place, Rule};
use keywright_domain::caller::Role;
use reqwest::Url;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

const MAX_PROVIDERS: usize = 16;
const MAX_RULES: usize = 200;
const MAX_TEXT: usize = 255;

/// Why the file is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the OIDC configuration {path} cannot be read: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("the OIDC configuration {path} is wrong: {detail}")]
    Wrong { path: PathBuf, detail: String },
}

/// A provider as the operator describes it.
#[derive(Debug, Clone)]
pub struct Settings {
    pub name: String,
    /// Compared with the token's, character by character.
    pub issuer: String,
    pub client_id: String,
    /// Further audiences whose tokens are accepted.
    pub audiences: Vec<String>,
    pub scopes: Vec<String>,
    pub ca_file: Option<PathBuf>,
    pub skew: Duration,
    pub name_claim: String,
    /// How long Keywright's token holds.
    pub lifetime: Duration,
    /// How long keys are used before they are asked for again.
    pub key_cache: Duration,
    /// Keys are asked for at most once in this time.
    pub key_refetch: Duration,
    pub rules: Vec<Rule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    provider: Vec<Provider>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    name: String,
    issuer: String,
    client_id: String,
    #[serde(default)]
    audiences: Vec<String>,
    #[serde(default = "scopes")]
    scopes: Vec<String>,
    ca_file: Option<PathBuf>,
    #[serde(default = "skew")]
    clock_skew_seconds: u64,
    #[serde(default = "name_claim")]
    name_claim: String,
    #[serde(default = "hours")]
    token_hours: u64,
    #[serde(default = "cache")]
    key_cache_seconds: u64,
    #[serde(default = "refetch")]
    key_refetch_seconds: u64,
    #[serde(default)]
    role: Vec<RoleRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleRule {
    claim: String,
    value: String,
    role: String,
    tenant: Option<String>,
    tenant_claim: Option<String>,
}

fn scopes() -> Vec<String> {
    ["openid", "profile", "email"].map(str::to_owned).to_vec()
}

fn skew() -> u64 {
    60
}

fn name_claim() -> String {
    "name".to_owned()
}

fn hours() -> u64 {
    12
}

fn cache() -> u64 {
    600
}

fn refetch() -> u64 {
    10
}

pub fn load(path: &Path) -> Result<Vec<Settings>, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|detail| ConfigError::Wrong { path: path.to_owned(), detail })
}

fn parse(text: &str) -> Result<Vec<Settings>, String> {
    let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
    if file.provider.is_empty() || file.provider.len() > MAX_PROVIDERS {
        return Err(format!("it must have 1 to {MAX_PROVIDERS} [[provider]]"));
    }
    let (mut names, mut issuers) = (BTreeSet::new(), BTreeSet::new());
    for provider in &file.provider {
        if !names.insert(provider.name.clone()) {
            return Err(format!("two providers have the name {:?}", provider.name));
        }
        if !issuers.insert(provider.issuer.clone()) {
            return Err(format!("two providers have the issuer {:?}", provider.issuer));
        }
    }
    file.provider
        .into_iter()
        .map(|provider| {
            let name = provider.name.clone();
            settings(provider).map_err(|detail| format!("provider {name:?}: {detail}"))
        })
        .collect()
}

fn settings(from: Provider) -> Result<Settings, String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if from.name.is_empty() || from.name.len() > 32 || !from.name.chars().all(plain) {
        return Err("name must have 1 to 32 of the characters a-z, 0-9 and -".to_owned());
    }
    endpoint(&from.issuer).map_err(|why| format!("issuer {why}"))?;
    if from.issuer.contains(['?', '#']) {
        return Err("issuer must have no query and no fragment".to_owned());
    }
    let texts = [("client_id", &from.client_id), ("name_claim", &from.name_claim)];
    let audiences = from.audiences.iter().map(|audience| ("audiences", audience));
    let scopes = from.scopes.iter().map(|scope| ("scopes", scope));
    for (what, text) in texts.into_iter().chain(audiences).chain(scopes) {
        word(what, text)?;
    }
    if from.scopes.iter().any(|scope| scope.contains(' ')) || !from.scopes.iter().any(|s| s == "openid") {
        return Err("scopes must be single words, \"openid\" among them".to_owned());
    }
    between("clock_skew_seconds", from.clock_skew_seconds, 0, 300)?;
    between("token_hours", from.token_hours, 1, 12)?;
    between("key_cache_seconds", from.key_cache_seconds, 1, 86_400)?;
    between("key_refetch_seconds", from.key_refetch_seconds, 1, from.key_cache_seconds)?;
    if from.role.is_empty() || from.role.len() > MAX_RULES {
        return Err(format!(
            "it must have 1 to {MAX_RULES} [[provider.role]]: without one nobody could log in"
        ));
    }
    let rules = from
        .role
        .into_iter()
        .enumerate()
        .map(|(at, from)| rule(from).map_err(|why| format!("role {}: {why}", at.saturating_add(1))))
        .collect::<Result<_, _>>()?;
    Ok(Settings {
        name: from.name,
        issuer: from.issuer,
        client_id: from.client_id,
        audiences: from.audiences,
        scopes: from.scopes,
        ca_file: from.ca_file,
        skew: Duration::from_secs(from.clock_skew_seconds),
        name_claim: from.name_claim,
        lifetime: Duration::from_secs(from.token_hours.saturating_mul(3600)),
        key_cache: Duration::from_secs(from.key_cache_seconds),
        key_refetch: Duration::from_secs(from.key_refetch_seconds),
        rules,
    })
}

fn rule(from: RoleRule) -> Result<Rule, String> {
    word("claim", &from.claim)?;
    word("value", &from.value)?;
    let place = match (from.tenant, from.tenant_claim) {
        (None, None) => Place::Platform,
        (Some(tenant), None) => {
            word("tenant", &tenant)?;
            Place::Tenant(tenant)
        }
        (None, Some(claim)) => {
            word("tenant_claim", &claim)?;
            Place::Claim(claim)
        }
        (Some(_), Some(_)) => return Err("it has both tenant and tenant_claim".to_owned()),
    };
    let role = Role::parse(&from.role);
    match (role, &place) {
        (Some(Role::TenantOwner | Role::TenantAdmin | Role::TenantMember), Place::Platform) => {
            Err(format!("{} is held in a tenant: add tenant or tenant_claim", from.role))
        }
        (Some(Role::Operator), Place::Tenant(_) | Place::Claim(_)) => {
            Err("operator is held on the platform: remove tenant and tenant_claim".to_owned())
        }
        (
            Some(
                role @ (Role::TenantOwner
                | Role::TenantAdmin
                | Role::TenantMember
                | Role::Operator
                | Role::Auditor),
            ),
            _,
        ) => Ok(Rule { claim: from.claim, value: from.value, role, place }),
        _ => Err(format!(
            "role {:?} must be one of tenant_owner, tenant_admin, tenant_member, operator, auditor",
            from.role
        )),
    }
}

fn word(what: &str, text: &str) -> Result<(), String> {
    if text.trim().is_empty() || text.len() > MAX_TEXT || text.chars().any(char::is_control) {
        return Err(format!("{what} must have 1 to {MAX_TEXT} characters, none of them a control character"));
    }
    Ok(())
}

fn between(what: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        Ok(())
    } else {
        Err(format!("{what} must be from {least} to {most}"))
    }
}

/// An address that may be asked: https, or http on this machine's own loopback.
pub fn endpoint(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "must be a URL")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must have no user name and no password");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err("must begin with https:// (http:// is for a loopback address alone)"),
    }
}

pub fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        [[provider]]
        name = "acme"
        issuer = "https://login.acme.example/"
        client_id = "keywright"

        [[provider.role]]
        claim = "groups"
        value = "admins"
        role = "tenant_admin"
        tenant_claim = "org"
    "#;

    #[test]
    fn a_short_file_has_the_documented_defaults() {
        let settings = parse(GOOD).unwrap().remove(0);
        assert_eq!((settings.skew.as_secs(), settings.lifetime.as_secs()), (60, 12 * 3600));
        assert_eq!((settings.key_cache.as_secs(), settings.key_refetch.as_secs()), (600, 10));
        assert_eq!(settings.scopes, ["openid", "profile", "email"]);
        assert_eq!(settings.issuer, "https://login.acme.example/", "kept as written");
    }

    #[test]
    fn what_cannot_hold_is_refused_by_name() {
        let with = |from: &str, to: &str| GOOD.replace(from, to);
        let provider = |line: &str| with("client_id = \"keywright\"", &format!("client_id = \"kw\"\n{line}"));
        for (text, says) in [
            (String::new(), "1 to 16 [[provider]]"),
            (with("https://", "http://"), "issuer must begin with https://"),
            (with("login.acme.example/", "u:p@login.acme.example/"), "no user name"),
            (with("acme.example/", "acme.example/?x=1"), "no query"),
            (with("\"acme\"", "\"A cme\""), "name must have"),
            (with("tenant_admin", "internal_service"), "must be one of"),
            (with("tenant_admin", "keywright"), "must be one of"),
            (with("tenant_admin", "operator"), "operator is held on the platform"),
            (with("tenant_claim = \"org\"", ""), "tenant_admin is held in a tenant"),
            (with("tenant_claim = \"org\"", "tenant = \"a\"\ntenant_claim = \"org\""), "both tenant and"),
            (with("value = \"admins\"", "value = \"\""), "role 1: value must have"),
            (with("value = \"admins\"", ""), "missing field `value`"),
            (with("claim = \"groups\"", "clame = \"groups\""), "unknown field `clame`"),
            (provider("clock_skew_seconds = 301"), "clock_skew_seconds must be from 0 to 300"),
            (provider("token_hours = 13"), "token_hours must be from 1 to 12"),
            (provider("key_refetch_seconds = 601"), "key_refetch_seconds must be from 1 to 600"),
            (provider("scopes = [\"email\"]"), "\"openid\" among them"),
            (format!("{GOOD}{GOOD}"), "two providers have the name"),
            (format!("{GOOD}{}", with("\"acme\"", "\"b\"")), "two providers have the issuer"),
        ] {
            let why = parse(&text).unwrap_err();
            assert!(why.contains(says), "{why:?} does not say {says:?}");
        }
    }

    #[test]
    fn http_is_for_loopback_alone() {
        for good in
            ["http://127.0.0.1:3000", "http://[::1]:3000/x", "http://localhost:1", "https://a.example"]
        {
            assert!(endpoint(good).is_ok(), "{good}");
        }
        for bad in [
            "http://a.example",
            "ftp://127.0.0.1",
            "file:///etc/passwd",
            "x",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(endpoint(bad).is_err(), "{bad}");
        }
    }
}
