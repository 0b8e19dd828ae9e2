//! The signature of a webhook, in the form of Standard Webhooks.

use aws_lc_rs::hmac;
use data_encoding::BASE64;
use keywright_domain::clock::Instant;
use keywright_domain::secret::Secret;

/// What stands before a secret's base64 where people see it.
const PREFIX: &str = "whsec_";

/// The lengths of a secret that the specification allows, in bytes.
const LENGTHS: std::ops::RangeInclusive<usize> = 24..=64;

/// As the receiver is told it.
pub fn shown(secret: &Secret) -> Secret {
    Secret::from_text(format!("{PREFIX}{}", BASE64.encode(secret.expose())))
}

/// Reads `whsec_` and the base64 of 24 to 64 bytes.
pub fn parse(text: &str) -> Option<Secret> {
    let secret = Secret::new(BASE64.decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?);
    LENGTHS.contains(&secret.expose().len()).then_some(secret)
}

/// `webhook-signature`: over the id, the timestamp in seconds and the body.
pub fn sign(secret: &Secret, id: &str, at: Instant, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose()));
    context.update(format!("{id}.{}.", at.secs()).as_bytes());
    context.update(body);
    format!("v1,{}", BASE64.encode(context.sign().as_ref()))
}

/// One of each secret, in their order.
pub fn sign_with_each(secrets: &[Secret], id: &str, at: Instant, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| sign(secret, id, at, body)).collect();
    signatures.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specifications_example() {
        let secret = parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Instant::from_secs(1_614_265_330),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_is_read_as_it_is_shown_and_nothing_else_is() {
        let secret = Secret::new(vec![7; 32]);
        let text = shown(&secret).expose_text().unwrap().to_owned();
        assert_eq!(parse(&text).unwrap().expose(), secret.expose());
        for bad in ["", "whsec_", "secret", "whsec_AAAA", &text[1..], &format!("{text}!"), &"A".repeat(64)] {
            assert!(parse(bad).is_none(), "{bad:?}");
        }
    }
}
