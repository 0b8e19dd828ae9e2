//! The checks of an ID token beside its signature (OpenID Connect Core 3.1.3.7): whose it is, for whom, and when.

use super::config::Settings;
use crate::domain::login::Claims;
use jsonwebtoken::{Algorithm, Header};
use keywright_domain::clock::Instant;
use serde_json::Value;
use std::time::Duration;

/// Longer ones are not looked at.
pub const MAX_TOKEN: usize = 16 * 1024;
/// A token that was issued earlier is not for a login, whatever its expiry.
const OLDEST: Duration = Duration::from_secs(24 * 3600);
const MAX_SUBJECT: usize = 255;

/// The algorithm and key id of a token that may be one: no critical extension, no other type of JWT.
pub fn header(header: &Header) -> Result<(Algorithm, Option<&str>), &'static str> {
    if header.typ.as_deref().is_some_and(|kind| !kind.eq_ignore_ascii_case("jwt")) {
        return Err("it is no ID token");
    }
    if header.crit.is_some() {
        return Err("it has extensions that are not understood");
    }
    if !super::keys::ALGORITHMS.contains(&header.alg) {
        return Err("it is not signed by an asymmetric key");
    }
    Ok((header.alg, header.kid.as_deref()))
}

/// Who it is about and when it ends, if everything holds. The signature and the issuer were checked before.
pub fn check(
    claims: &Claims,
    settings: &Settings,
    nonce: &str,
    now: Instant,
) -> Result<(String, Instant), &'static str> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    if text("iss") != Some(settings.issuer.as_str()) {
        return Err("its issuer is another one");
    }
    audience(claims, settings)?;
    let expires = time(claims, "exp")?.ok_or("it has no expiry")?;
    let issued = time(claims, "iat")?.ok_or("it does not say when it was issued")?;
    if expires.plus(settings.skew) <= now {
        return Err("it has expired");
    }
    if issued > now.plus(settings.skew) || time(claims, "nbf")?.is_some_and(|at| at > now.plus(settings.skew))
    {
        return Err("it is of the future; compare the clocks");
    }
    if issued.plus(OLDEST).plus(settings.skew) <= now {
        return Err("it was issued more than a day ago");
    }
    if text("nonce").unwrap_or_default() != nonce {
        return Err("its nonce is not the one of this login");
    }
    let subject = text("sub").filter(|subject| !subject.is_empty() && subject.len() <= MAX_SUBJECT);
    Ok((subject.ok_or("it names no subject")?.to_owned(), expires))
}

/// Every audience is one that the operator named, and so is the authorized party.
fn audience(claims: &Claims, settings: &Settings) -> Result<(), &'static str> {
    let ours = |value: &Value| {
        value.as_str().is_some_and(|name| {
            name == settings.client_id || settings.audiences.iter().any(|known| known == name)
        })
    };
    let wrong = Err("it is for another audience");
    match claims.get("aud") {
        Some(Value::Array(all)) if !all.is_empty() => {
            if !all.iter().all(ours) {
                return wrong;
            }
            if all.len() > 1 && !claims.contains_key("azp") {
                return Err("it has several audiences and names no authorized party");
            }
        }
        Some(one) if ours(one) => {}
        _ => return wrong,
    }
    match claims.get("azp") {
        Some(party) if !ours(party) => Err("it was issued to another party"),
        _ => Ok(()),
    }
}

/// Seconds since the epoch; fractions are cut off. Absent is none, anything else is refused.
fn time(claims: &Claims, name: &str) -> Result<Option<Instant>, &'static str> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = || value.as_i64().or_else(|| value.to_string().split_once('.')?.0.parse().ok());
    whole()
        .filter(|secs| (0..=253_402_300_799).contains(secs))
        .map(|secs| Some(Instant::from_secs(secs)))
        .ok_or("one of its times is not a time")
}

#[cfg(test)]
mod tests {
    use super::super::testing::settings;
    use super::*;
    use serde_json::json;

    const NOW: i64 = 1_700_000_000;

    fn good() -> Value {
        json!({"iss": "https://login.example", "sub": "u1", "aud": "keywright", "exp": NOW + 300, "iat": NOW,
               "nonce": "n"})
    }

    fn checked(claims: &Value) -> Result<(String, Instant), &'static str> {
        check(claims.as_object().unwrap(), &settings(), "n", Instant::from_secs(NOW))
    }

    #[track_caller]
    fn with(name: &str, value: Value, accepted: bool) {
        let mut claims = good();
        claims[name] = value.clone();
        assert_eq!(checked(&claims).is_ok(), accepted, "{name} = {value}");
    }

    #[test]
    fn the_edges_of_the_skew_are_exact() {
        // The skew is 60 seconds.
        with("exp", json!(NOW - 59), true);
        with("exp", json!(NOW - 60), false);
        with("iat", json!(NOW + 60), true);
        with("iat", json!(NOW + 61), false);
        with("nbf", json!(NOW + 60), true);
        with("nbf", json!(NOW + 61), false);
        with("iat", json!(NOW - 86_459), true);
        with("iat", json!(NOW - 86_460), false);
    }

    #[test]
    fn times_are_numbers_of_this_age() {
        with("exp", json!(1_700_000_300.75), true);
        for bad in [json!("1700000300"), json!(-1), json!(null), json!(1e300), json!(u64::MAX), json!([])] {
            with("exp", bad.clone(), false);
            with("iat", bad.clone(), false);
            with("nbf", bad, false);
        }
    }

    #[test]
    fn audience_and_party_are_ours_alone() {
        with("aud", json!(["keywright"]), true);
        with("aud", json!("other"), false);
        with("aud", json!(["keywright", "other"]), false);
        with("aud", json!([]), false);
        with("aud", json!({"keywright": 1}), false);
        with("aud", json!(["keywright", "keywright-web"]), false);
        with("azp", json!("keywright"), true);
        with("azp", json!("keywright-web"), true);
        with("azp", json!("other"), false);
        with("azp", json!(null), false);
        let mut several = good();
        several["aud"] = json!(["keywright", "keywright-web"]);
        several["azp"] = json!("keywright");
        assert!(checked(&several).is_ok());
    }

    #[test]
    fn issuer_nonce_and_subject_are_exact() {
        with("iss", json!("https://login.example/"), false);
        with("iss", json!(["https://login.example"]), false);
        with("nonce", json!("m"), false);
        with("nonce", json!(null), false);
        with("sub", json!(""), false);
        with("sub", json!(7), false);
        with("sub", json!("x".repeat(255)), true);
        with("sub", json!("x".repeat(256)), false);
        for name in ["iss", "sub", "aud", "exp", "iat", "nonce"] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(name);
            assert!(checked(&claims).is_err(), "without {name}");
        }
        let unasked = check(good().as_object().unwrap(), &settings(), "", Instant::from_secs(NOW));
        assert!(unasked.is_err(), "a nonce that nobody sent");
    }
}
