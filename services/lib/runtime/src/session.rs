//! What the gateway and the identity service agree on about a console session: the form of its secret, the cookie
//! that carries it, and the token against forged requests.
//!
//! Invariant: a request that a foreign page made a browser send is never taken for its user's.

use crate::failure::Failure;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use http::{HeaderMap, header};
use keywright_domain::reason::Reason;

/// The cookie of a session.
pub const COOKIE: &str = "keywright_session";

/// The header that everything but a read must carry.
pub const CSRF_HEADER: &str = "keywright-csrf";

/// How a session's secret begins.
pub const PREFIX: &str = "kwses-";

/// Characters of a session's secret: the prefix and 25 bytes in base32.
const LENGTH: usize = 46;

/// Whether a text has the form of a session's secret.
pub fn is_secret(text: &str) -> bool {
    text.len() == LENGTH
        && text.strip_prefix(PREFIX).is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_alphanumeric()))
}

/// The session's token against forged requests. It follows from the secret and does not lead back to it.
pub fn csrf_of(secret: &str) -> String {
    HEXLOWER.encode(digest(&SHA256, format!("keywright csrf {secret}").as_bytes()).as_ref())
}

/// The session's secret in the cookies of a request, if there is one.
pub fn cookie_of(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let pairs = cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.filter(|(name, _)| *name == COOKIE).map(|(_, value)| value).find(|value| is_secret(value))
}

/// Refuses a request of a session that another site may have made the browser send. `reads` for GET and HEAD.
pub fn check_origin(secret: &str, reads: bool, headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if text("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return Err(forged("Another site made your browser send this."));
    }
    let host = text("host").unwrap_or_default();
    let at_home = |origin: &str| {
        origin.split_once("://").is_some_and(|(_, authority)| authority.eq_ignore_ascii_case(host))
    };
    if text("origin").is_some_and(|origin| !at_home(origin)) {
        return Err(forged("Another site made your browser send this."));
    }
    if reads {
        return Ok(());
    }
    let given = text(CSRF_HEADER).unwrap_or_default();
    verify_slices_are_equal(given.as_bytes(), csrf_of(secret).as_bytes())
        .map_err(|_| forged("The header keywright-csrf is missing, or is not this session's."))
}

fn forged(message: &str) -> Failure {
    Failure::new(Reason::PermissionDenied, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "kwses-abcdefghijklmnopqrstuvwxyz234567abcdefgh";

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn the_cookie_is_found_among_others() {
        let theirs = format!("theme=dark; {COOKIE}={SECRET}; a=b");
        assert_eq!(cookie_of(&headers(&[("cookie", &theirs)])), Some(SECRET));
        let split = format!("{COOKIE}={SECRET}");
        assert_eq!(cookie_of(&headers(&[("cookie", "a=b"), ("cookie", &split)])), Some(SECRET));
        for none in ["", "keywright_session", "keywright_session=kwses-short", "other_keywright_session=x"] {
            assert_eq!(cookie_of(&headers(&[("cookie", none)])), None, "{none}");
        }
    }

    #[test]
    fn a_read_needs_no_header_and_everything_else_the_right_one() {
        let csrf = csrf_of(SECRET);
        assert!(check_origin(SECRET, true, &headers(&[])).is_ok());
        assert!(check_origin(SECRET, false, &headers(&[])).is_err());
        assert!(check_origin(SECRET, false, &headers(&[(CSRF_HEADER, &csrf)])).is_ok());
        for wrong in ["", "0", SECRET, &csrf[1..], &csrf.to_uppercase()] {
            assert!(check_origin(SECRET, false, &headers(&[(CSRF_HEADER, wrong)])).is_err(), "{wrong}");
        }
    }

    #[test]
    fn another_site_is_refused_even_where_it_reads() {
        let csrf = csrf_of(SECRET);
        let with = |more: &[(&'static str, &str)]| {
            let mut all = headers(&[(CSRF_HEADER, &csrf), ("host", "keys.example:8480")]);
            all.extend(headers(more));
            check_origin(SECRET, true, &all)
        };
        assert!(with(&[("sec-fetch-site", "same-origin"), ("origin", "https://keys.example:8480")]).is_ok());
        assert!(with(&[("sec-fetch-site", "none")]).is_ok());
        for site in ["cross-site", "same-site", "?"] {
            assert!(with(&[("sec-fetch-site", site)]).is_err(), "{site}");
        }
        for origin in
            ["null", "https://evil.example", "https://keys.example:8481", "https://evil.keys.example:8480"]
        {
            assert!(with(&[("origin", origin)]).is_err(), "{origin}");
        }
    }
}
