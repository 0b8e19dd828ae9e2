//! Taking in a key that somebody supplies: two at a time and one of each tenant, off the async threads, with the checks
//! that were made.

use super::turns::Turns;
use crate::app::find;
use crate::app::secretly::secretly;
use crate::domain::version::Origin;
use crate::store;
use keywright_domain::ids::TenantId;
use keywright_domain::key::{self, KdfCaps, KeyError, MAX_KEY_TEXT, PublicKey};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Tx;
use std::time::Duration;

/// How long a key waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// What somebody supplied.
pub struct Supplied {
    pub private_key: Secret,
    /// Empty: none.
    pub passphrase: Secret,
    /// Empty: not stated. Otherwise it must be the key's own.
    pub public_key: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckName {
    Key,
    Passphrase,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckResult {
    Passed(&'static str),
    Failed(Failure),
    Skipped(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub name: CheckName,
    pub result: CheckResult,
}

/// A key that passed: what custody stores, and what everybody may know.
#[derive(Debug)]
pub struct Taken {
    pub stored: Secret,
    pub public: PublicKey,
    pub origin: Origin,
    pub checks: Vec<Check>,
}

/// A key that did not.
#[derive(Debug)]
pub struct Refused {
    pub failure: Failure,
    pub checks: Vec<Check>,
}

#[derive(Clone, Default)]
pub struct KeyIntake {
    turns: Turns,
}

impl KeyIntake {
    /// `tenant` is whose turn it takes; operators without a tenant share one.
    pub async fn take(&self, tenant: Option<&TenantId>, supplied: Supplied) -> Result<Taken, Box<Refused>> {
        if supplied.private_key.is_empty() {
            return Err(refused(Failure::violation("privateKey", "is required"), false));
        }
        if supplied.private_key.expose().len() > MAX_KEY_TEXT {
            return Err(refused(
                Failure::new(Reason::PayloadTooLarge, "The private key is larger than any key file."),
                false,
            ));
        }
        let busy =
            || refused(Failure::new(Reason::RateLimited, "Too many keys are being read at once."), false);
        let turn = self.turns.place(tenant.map_or("", TenantId::as_str));
        let place = tokio::time::timeout(PATIENCE, turn).await.map_err(|_| busy())?.map_err(|_| busy())?;
        let work = secretly(move || {
            let taken = take(&supplied);
            drop(place);
            taken
        });
        let broken = |_| refused(Failure::new(Reason::Internal, "The key could not be read."), false);
        work.await.map_err(broken)?.map_err(|error| {
            let is_passphrase = matches!(error, KeyError::PassphraseRequired | KeyError::PassphraseIncorrect);
            refused(failure(error), is_passphrase)
        })
    }
}

fn take(supplied: &Supplied) -> Result<Taken, KeyError> {
    let passphrase = Some(&supplied.passphrase).filter(|given| !given.is_empty());
    let intake = key::intake(&supplied.private_key, passphrase, &KdfCaps::default())?;
    if !supplied.public_key.trim().is_empty() {
        // A text that is no public key does not belong to the private one either.
        let sent = PublicKey::parse_openssh(&supplied.public_key).map_err(|_| KeyError::PublicKeyMismatch)?;
        intake.key.require_public(&sent)?;
    }
    let (origin, passphrase) = if intake.encrypted_at_intake {
        (Origin::Encrypted, CheckResult::Passed("The passphrase opened the key; it was dropped."))
    } else {
        (Origin::Plain, CheckResult::Skipped("The key is not encrypted."))
    };
    Ok(Taken {
        stored: intake.key.to_openssh()?,
        public: intake.key.public().clone(),
        origin,
        checks: vec![
            Check {
                name: CheckName::Key,
                result: CheckResult::Passed("The key is complete and strong enough."),
            },
            Check { name: CheckName::Passphrase, result: passphrase },
        ],
    })
}

fn refused(failure: Failure, is_passphrase: bool) -> Box<Refused> {
    let (key, passphrase) = if is_passphrase {
        (CheckResult::Passed("The key file is in a known form."), CheckResult::Failed(failure.clone()))
    } else {
        (CheckResult::Failed(failure.clone()), CheckResult::Skipped("The key was not read so far."))
    };
    let checks = vec![
        Check { name: CheckName::Key, result: key },
        Check { name: CheckName::Passphrase, result: passphrase },
    ];
    Box::new(Refused { failure, checks })
}

/// The error says what is wrong; the remedy is the reason's.
fn failure(error: KeyError) -> Failure {
    let text = error.to_string();
    let what = text.split(';').next().unwrap_or_default();
    let mut letters = what.chars();
    let first: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    Failure::new(error.reason(), format!("{first}{}.", letters.as_str()))
}

/// In the transaction that stores a key: one that was compromised never comes back, and a managed one stays apart.
pub(super) async fn refuse_known(tx: &mut Tx, public: &PublicKey) -> Result<(), Error> {
    let fingerprint = public.fingerprint();
    if store::version::is_compromised(tx, &fingerprint).await? {
        let refusal = Failure::new(Reason::KeyCompromised, "This key was revoked as compromised.");
        return Err(refusal.with("fingerprint", fingerprint.as_str()).into());
    }
    if store::credential::is_managed_key(tx, fingerprint.as_str()).await? {
        return Err(find::is_managed().with("fingerprint", fingerprint.as_str()).into());
    }
    Ok(())
}
