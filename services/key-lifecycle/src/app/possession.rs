//! Keys that their holder makes: a nonce to sign, and the proof that whoever brings a public key has its private half.
//!
//! Invariant: a nonce is good once, for 15 minutes, in its tenant; it is used up in the transaction that begins the
//! work, so that of two requests with one signature one begins.

use super::gates;
use crate::adapters::credential_store::CredentialStore;
use crate::model::Challenge;
use crate::store;
use keywright_domain::caller::{Caller, Role};
use keywright_domain::clock::fill_random;
use keywright_domain::ids::{ChallengeId, TenantId, shown};
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::time::Duration;
use tracing::instrument;

/// What a signature is for: one made for anything else proves nothing here.
pub const NAMESPACE: &str = "keywright-possession";
const LIFETIME: Duration = Duration::from_secs(15 * 60);
/// Open ones of one tenant.
const MOST_OPEN: i64 = 100;
const LONGEST_SIGNATURE: usize = 16 * 1024;

#[derive(Clone)]
pub struct CreateChallenge {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
}

impl CreateChallenge {
    #[instrument(skip_all, fields(tenant = shown(tenant)))]
    pub async fn run(&self, caller: &Caller, tenant: &str) -> Result<Challenge, Failure> {
        let tenant = gates::tenant(tenant)?;
        let missing = Reason::TenantNotFound;
        self.guard.allow(caller, "access.challenge", Some(&tenant), tenant.as_str(), missing).await?;
        if caller.principal.role == Role::Operator {
            self.store.require_tenant(caller, &tenant).await?;
        }
        let entry = Entry::new("access.challenge").tenant(Some(&tenant)).target(tenant.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let made = self.db.serialized(|| self.make(&tenant, &intent)).await;
        let result = made.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn make(&self, tenant: &TenantId, intent: &Intent) -> Result<Challenge, Error> {
        let mut random = [0u8; 32];
        fill_random(&mut random)?;
        let mut tx = self.db.begin(intent).await?;
        store::challenge::forget_old(&mut tx).await?;
        if store::challenge::open(tx.conn(), tenant).await? >= MOST_OPEN {
            let what = "Too many challenges of this tenant wait to be signed.";
            return Err(Failure::new(Reason::RateLimited, what).after(LIFETIME).into());
        }
        let challenge = Challenge {
            id: ChallengeId::random()?,
            tenant: tenant.clone(),
            nonce: data_encoding::BASE64URL_NOPAD.encode(&random),
            expires_at: tx.now().plus(LIFETIME),
        };
        store::challenge::insert(&mut tx, &challenge).await?;
        intent.done(&mut tx, Outcome::succeeded().with("challengeId", challenge.id.as_str())).await?;
        tx.commit().await?;
        Ok(challenge)
    }
}

/// A public key and its proof, as they were sent.
#[derive(Debug, Clone, Default)]
pub struct Offered {
    pub public_key: String,
    pub challenge: String,
    pub signature: String,
}

/// A key whose form was checked; whether its holder has the private half is proven where it is used.
#[derive(Debug)]
pub(super) struct ClientKey {
    pub(super) public: PublicKey,
    challenge: ChallengeId,
    signature: String,
}

impl Offered {
    /// None where Keywright is to make the key.
    pub(super) fn parse(self) -> Result<Option<ClientKey>, Failure> {
        if self.public_key.is_empty() {
            return match (self.challenge.is_empty(), self.signature.is_empty()) {
                (true, true) => Ok(None),
                _ => Err(Failure::violation("publicKey", "is missing, though a proof was sent")),
            };
        }
        let public = PublicKey::parse_openssh(&self.public_key).map_err(|error| {
            Failure::new(error.reason(), format!("The public key cannot be used: {error}."))
        })?;
        if self.signature.len() > LONGEST_SIGNATURE {
            return Err(Failure::violation("signature", "is larger than any signature"));
        }
        let missing = || Failure::not_found(Reason::ChallengeNotFound, &self.challenge);
        let challenge = ChallengeId::parse(&self.challenge).map_err(|_| missing())?;
        Ok(Some(ClientKey { public, challenge, signature: self.signature }))
    }
}

/// In the transaction that begins the work: the policy allows it, and the nonce is used up by the right signature.
pub(super) async fn prove(tx: &mut Tx, tenant: &TenantId, key: &ClientKey) -> Result<(), Error> {
    let missing = || Failure::not_found(Reason::ChallengeNotFound, key.challenge.as_str());
    let challenge = store::challenge::take(tx, tenant, &key.challenge).await?.ok_or_else(missing)?;
    let signed = key.public.verify_sshsig(NAMESPACE, challenge.nonce.as_bytes(), &key.signature);
    // `echo` and editors add a line end to what they sign.
    let with_line_end = || {
        let line = format!("{}\n", challenge.nonce);
        key.public.verify_sshsig(NAMESPACE, line.as_bytes(), &key.signature)
    };
    signed.or_else(|_| with_line_end()).map_err(|_| {
        let what = "The signature is not this key's over the nonce of the challenge.";
        Error::from(Failure::new(Reason::PossessionUnproven, what))
    })
}
