//! The secrets that sign webhooks, in the form of Standard Webhooks.
//!
//! Invariant: no secret is stored. Each is derived from the installation's key (a file beside its other keys), the
//! target's id and a random salt in the target's row: who has the database alone, or the key alone, can sign nothing.

use aws_lc_rs::{hkdf, hmac};
use data_encoding::{BASE64, HEXLOWER};
use keywright_domain::clock::{Instant, NoRandomness, fill_random};
use keywright_domain::ids::NotificationTargetId;
use keywright_domain::secret::Secret;
use std::sync::Arc;

const LENGTH: usize = 32;

/// Makes the secrets.
#[derive(Clone)]
pub struct Keyring {
    key: Arc<Secret>,
}

impl Keyring {
    pub fn new(key: Secret) -> Self {
        Self { key: Arc::new(key) }
    }

    /// The 32 bytes of a target's secret, and a text that tells whether they are still the same.
    pub fn derive(&self, target: &NotificationTargetId, salt: &str) -> Option<(Secret, String)> {
        let salt = HEXLOWER.decode(salt.as_bytes()).ok()?;
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(self.key.expose());
        let part = |purpose: &[u8]| {
            let mut bytes = vec![0u8; LENGTH];
            let info = [b"keywright notification target", target.as_str().as_bytes(), purpose];
            extracted.expand(&info, hkdf::HKDF_SHA256).ok()?.fill(&mut bytes).ok()?;
            Some(bytes)
        };
        let check = HEXLOWER.encode(part(b"check")?.get(..8)?);
        Some((Secret::new(part(b"secret")?), check))
    }
}

pub fn salt() -> Result<String, NoRandomness> {
    let mut bytes = [0u8; LENGTH];
    fill_random(&mut bytes)?;
    Ok(HEXLOWER.encode(&bytes))
}

/// As the receiver is told it, once.
pub fn shown(secret: &Secret) -> Secret {
    Secret::from_text(format!("whsec_{}", BASE64.encode(secret.expose())))
}

/// `webhook-signature`: one of each secret, in their order.
pub fn sign_with_each(secrets: &[Secret], id: &str, at: Instant, body: &[u8]) -> String {
    let signatures: Vec<String> = secrets.iter().map(|secret| sign(secret, id, at, body)).collect();
    signatures.join(" ")
}

/// Over the id, the timestamp in seconds and the body.
pub fn sign(secret: &Secret, id: &str, at: Instant, body: &[u8]) -> String {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.expose()));
    context.update(format!("{id}.{}.", at.secs()).as_bytes());
    context.update(body);
    format!("v1,{}", BASE64.encode(context.sign().as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specifications_example() {
        let secret = Secret::new(BASE64.decode(b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap());
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            Instant::from_secs(1_614_265_330),
            br#"{"test": 2432232314}"#,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn a_secret_depends_on_the_key_the_target_and_the_salt() {
        let [one, other] = [1, 2].map(|byte| Keyring::new(Secret::new(vec![byte; LENGTH])));
        let [here, there] = [(); 2].map(|()| NotificationTargetId::random().unwrap());
        let [first, second] = [(); 2].map(|()| salt().unwrap());
        let of = |keyring: &Keyring, target, salt: &str| {
            let (secret, check) = keyring.derive(target, salt).unwrap();
            (secret.expose().to_vec(), check)
        };
        let mine = of(&one, &here, &first);
        assert_eq!(mine, of(&one, &here, &first));
        for another in [of(&other, &here, &first), of(&one, &there, &first), of(&one, &here, &second)] {
            assert!(another.0 != mine.0 && another.1 != mine.1);
        }
        assert!(one.derive(&here, "no salt").is_none());
    }
}
