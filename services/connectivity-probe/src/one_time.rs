//! A key for one operation: taken in off the async threads, kept in memory, wiped with the identity that holds it.
//!
//! Invariant: at most two key derivations run at once, whoever asks.

use crate::login::LoginName;
use crate::report::{CheckName, Facts, Fault, Progress};
use keywright_domain::key::{self, KdfCaps, KeyError};
use keywright_domain::secret::Secret;
use keywright_ssh::Identity;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;

const AT_ONCE: usize = 2;

/// What the caller sent.
pub struct GivenKey {
    pub private_key: Secret,
    pub passphrase: Secret,
}

#[derive(Clone)]
pub struct Intake {
    places: Arc<Semaphore>,
}

impl Default for Intake {
    fn default() -> Self {
        Self { places: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

impl Intake {
    /// The checks `key` and `passphrase`; none if one of them failed.
    pub async fn open(
        &self,
        progress: &mut Progress,
        given: GivenKey,
        username: &LoginName,
    ) -> Option<Identity> {
        let started = Instant::now();
        let taken = match self.places.clone().acquire_owned().await {
            Err(_) => Err(KeyError::Internal),
            Ok(place) => tokio::task::spawn_blocking(move || {
                let _place = place;
                key::intake(&given.private_key, Some(&given.passphrase), &KdfCaps::default())
            })
            .await
            .unwrap_or(Err(KeyError::Internal)),
        };
        let took = started.elapsed();
        match taken {
            Ok(taken) => {
                let mut facts = key_facts(taken.key.public());
                facts.push(("format", taken.format.as_str().to_owned()));
                progress.passed(CheckName::Key, "The private key can be read.", took, facts);
                let said = if taken.encrypted_at_intake {
                    "The passphrase opens the key."
                } else {
                    "The key is not encrypted."
                };
                progress.passed(CheckName::Passphrase, said, Duration::ZERO, Vec::new());
                Some(Identity::one_time(username.as_str(), taken.key))
            }
            Err(error @ (KeyError::PassphraseRequired | KeyError::PassphraseIncorrect)) => {
                progress.passed(CheckName::Key, "The text is an encrypted private key.", took, Vec::new());
                progress.failed(CheckName::Passphrase, fault(error), Duration::ZERO);
                None
            }
            Err(error) => {
                progress.failed(CheckName::Key, fault(error), took);
                None
            }
        }
    }
}

/// What may be known of a key.
pub fn key_facts(key: &key::PublicKey) -> Facts {
    vec![
        ("algorithm", key.algorithm().to_string()),
        ("bits", key.bits().to_string()),
        ("fingerprint", key.fingerprint().to_string()),
    ]
}

/// A key error says what is wrong and, after a semicolon, what to do.
fn fault(error: KeyError) -> Fault {
    let text = error.to_string();
    let (what, remedy) = text.split_once("; ").unwrap_or((&text, error.reason().remedy()));
    Fault {
        code: error.reason().as_str(),
        message: sentence(what),
        remedy: sentence(remedy),
        facts: Vec::new(),
    }
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let mut sentence: String = chars.next().into_iter().flat_map(char::to_uppercase).chain(chars).collect();
    if !sentence.ends_with('.') {
        sentence.push('.');
    }
    sentence
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CheckStatus;
    use keywright_kit::{KeyType, keygen};

    async fn opened(private_key: String, passphrase: &str) -> (Option<Identity>, Vec<(CheckStatus, String)>) {
        let mut progress = Progress::default();
        let given = GivenKey {
            private_key: Secret::from_text(private_key),
            passphrase: Secret::from_text(passphrase.to_owned()),
        };
        let name = LoginName::try_from("root".to_owned()).unwrap();
        let identity = Intake::default().open(&mut progress, given, &name).await;
        let checks = progress.finish().checks().iter().take(2).map(|c| (c.status, c.code.clone())).collect();
        (identity, checks)
    }

    #[tokio::test]
    async fn what_is_wrong_with_a_key_stands_at_the_check_it_belongs_to() {
        let key = keygen(KeyType::Ed25519, "correct horse").await.unwrap();
        let (identity, checks) = opened(key.private_text(), "correct horse").await;
        assert_eq!(checks.iter().filter(|(status, _)| *status == CheckStatus::Passed).count(), 2);
        assert_eq!(identity.unwrap().public_key.fingerprint().to_string(), key.fingerprint().await);

        for (text, passphrase, at, code) in [
            (key.private_text(), "", 1, "PASSPHRASE_REQUIRED"),
            (key.private_text(), "wrong", 1, "PASSPHRASE_INCORRECT"),
            (key.public_line(), "", 0, "PUBLIC_KEY_GIVEN"),
            ("rubbish".to_owned(), "", 0, "KEY_UNPARSABLE"),
        ] {
            let (identity, checks) = opened(text, passphrase).await;
            assert!(identity.is_none());
            assert_eq!(checks[at], (CheckStatus::Failed, code.to_owned()));
        }
    }

    #[test]
    fn a_key_error_becomes_a_message_and_a_remedy() {
        let fault = fault(KeyError::PassphraseIncorrect);
        assert_eq!(fault.message, "The passphrase does not open this key.");
        assert_eq!(fault.remedy, "Check it.");
    }
}
