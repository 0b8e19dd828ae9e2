//! The secrets that sign webhooks.
//!
//! Invariant: no secret is stored. Each is derived from the installation's key (a file beside its other keys), the
//! target's id and a random salt in the target's row: who has the database alone, or the key alone, can sign nothing.

use aws_lc_rs::hkdf;
use data_encoding::HEXLOWER;
use keywright_domain::clock::{NoRandomness, fill_random};
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

#[cfg(test)]
mod tests {
    use super::*;

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
