//! Replaces a saved credential's key in place. No server is touched, and nothing is proven.
//!
//! Order: the credential exists and is the caller's; the material parses; the confirmation is the id; the usage is
//! read; use is acknowledged; one guarded write, which reads the usage again in its own transaction.

use super::certificate;
use super::intake::{Check, KeyIntake, Supplied, Taken, refuse_known};
use super::read::{usage, usage_in};
use crate::app::custody::shelf::Shelf;
use crate::app::find;
use crate::app::replayed::first_answer;
use crate::domain::credential::Credential;
use crate::domain::text;
use crate::domain::version::{State, Version};
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::ids::VersionId;
use keywright_domain::ids::shown;
use keywright_domain::key::Certificate;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::idempotency::{Answer, keep, replay};
use keywright_storage::idempotency::Scope;
use keywright_storage::{Db, Intent, Outcome, Tx};
use tracing::instrument;

const ACTION: &str = "credential.rotate";

pub struct RotateCredential {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub intake: KeyIntake,
    pub shelf: Shelf,
}

pub struct Rotation {
    pub credential_id: String,
    pub supplied: Supplied,
    /// None: it stays as it is.
    pub username: Option<String>,
    pub clear_username: bool,
    pub confirmation: String,
    pub acknowledged: bool,
    /// Empty: not stated.
    pub expected_usage_revision: String,
    /// Of the new key; empty: none.
    pub certificate: String,
}

/// What the write needs, once the material is durable.
struct Write<'a> {
    credential: &'a Credential,
    gate: Gate<'a>,
    username: &'a NewUsername,
    version: Version,
    certificate: Option<Certificate>,
    checks: &'a [Check],
}

#[derive(Clone, Copy)]
struct Gate<'a> {
    acknowledged: bool,
    expected_revision: Option<&'a str>,
}

enum NewUsername {
    Keep,
    Set(Option<String>),
}

impl RotateCredential {
    /// `answer` encodes the credential and the checks for the replay of the same request.
    #[instrument(skip_all, fields(credential = shown(&rotation.credential_id)))]
    pub async fn run<T, A>(
        &self,
        caller: &Caller,
        rotation: Rotation,
        scope: Option<Scope>,
        answer: A,
    ) -> Result<T, Failure>
    where
        T: Answer,
        A: Fn(&Credential, &[Check]) -> T,
    {
        let credential = find::saved(&self.db, &self.guard, caller, ACTION, &rotation.credential_id).await?;
        let entry = Entry::new(ACTION).tenant(credential.tenant.as_ref()).target(credential.id.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.rotate(&credential, rotation, scope.as_ref(), &intent, answer).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn rotate<T, A>(
        &self,
        credential: &Credential,
        rotation: Rotation,
        scope: Option<&Scope>,
        intent: &Intent,
        answer: A,
    ) -> Result<T, Failure>
    where
        T: Answer,
        A: Fn(&Credential, &[Check]) -> T,
    {
        let username = new_username(rotation.username.as_deref(), rotation.clear_username)?;
        let certificate = certificate::parse(&rotation.certificate)?;
        let Taken { stored, public, origin, checks } = self
            .intake
            .take(credential.tenant.as_ref(), rotation.supplied)
            .await
            .map_err(|refused| refused.failure)?;
        certificate::require_of(&public, certificate.as_ref())?;
        find::confirmed(&rotation.confirmation, credential.id.as_str())?;
        if let Some(first) = first_answer(&self.db, intent, scope).await? {
            return Ok(first);
        }
        let gate = Gate {
            acknowledged: rotation.acknowledged,
            expected_revision: Some(rotation.expected_usage_revision.as_str())
                .filter(|text| !text.is_empty()),
        };
        let seen = usage(&self.db, &credential.id).await?;
        seen.allow_rotation(gate.acknowledged, gate.expected_revision)?;
        let id = VersionId::random()?;
        if let Err(failure) = self.shelf.store(&id, stored).await {
            self.shelf.discard(&id).await;
            return Err(failure);
        }
        let version = Version {
            id: id.clone(),
            number: 0,
            state: State::Active,
            origin,
            public,
            compromised_at: None,
            destroyed_at: None,
            created_at: credential.created_at,
        };
        let write = Write { credential, gate, username: &username, version, certificate, checks: &checks };
        let written = self.write(&write, scope, intent, answer).await;
        match &written {
            Ok(Written { replaced: Some(old), .. }) => self.shelf.bury(old).await,
            _ => self.shelf.discard(&id).await,
        }
        written.map(|written| written.answer)
    }

    async fn write<T, A>(
        &self,
        write: &Write<'_>,
        scope: Option<&Scope>,
        intent: &Intent,
        answer: A,
    ) -> Result<Written<T>, Failure>
    where
        T: Answer,
        A: Fn(&Credential, &[Check]) -> T,
    {
        let written: Result<Written<T>, Error> = self
            .db
            .serialized(|| async {
                let mut tx = self.db.begin(intent).await?;
                if let Some(first) = replay(&mut tx, scope).await? {
                    intent.done(&mut tx, Outcome::succeeded().with("replayed", "true")).await?;
                    tx.commit().await?;
                    return Ok(Written { answer: first, replaced: None });
                }
                let (rotated, old) = self.replace(&mut tx, write).await?;
                let answer = answer(&rotated, write.checks);
                keep(&mut tx, scope, &answer).await?;
                let fingerprint = write.version.public.fingerprint();
                intent.done(&mut tx, Outcome::succeeded().with("fingerprint", fingerprint.as_str())).await?;
                tx.commit().await?;
                Ok(Written { answer, replaced: Some(old) })
            })
            .await;
        Ok(written?)
    }

    /// The gate and the write, in one transaction.
    async fn replace(&self, tx: &mut Tx, write: &Write<'_>) -> Result<(Credential, VersionId), Error> {
        let id = &write.credential.id;
        let now = find::credential_in(tx, id).await?;
        usage_in(tx, id).await?.allow_rotation(write.gate.acknowledged, write.gate.expected_revision)?;
        refuse_known(tx, &write.version.public).await?;
        let old = now.current.ok_or_else(|| find::no_version(id.as_str()))?;
        let version = Version {
            number: store::version::next_number(tx, id).await?,
            created_at: tx.now(),
            ..write.version.clone()
        };
        store::version::set_state(tx, &old.id, State::Retired).await?;
        store::version::insert(tx, id, &version).await?;
        self.shelf.adopt(tx, &version.id).await?;
        let username = match write.username {
            NewUsername::Keep => now.username,
            NewUsername::Set(username) => username.clone(),
        };
        let certificate = write.certificate.as_ref();
        store::credential::rotated(tx, id, &version.id, certificate, username.as_deref()).await?;
        store::server::forget_tests_of(tx, id).await?;
        self.shelf.doom(tx, &old.id).await?;
        Ok((find::credential_in(tx, id).await?, old.id))
    }
}

struct Written<T> {
    answer: T,
    /// The version whose key was replaced; none where an earlier answer was given.
    replaced: Option<VersionId>,
}

fn new_username(given: Option<&str>, clear: bool) -> Result<NewUsername, Failure> {
    match (given, clear) {
        (Some(_), true) => Err(Failure::violation("username", "cannot be both given and cleared")),
        (None, true) => Ok(NewUsername::Set(None)),
        (None, false) => Ok(NewUsername::Keep),
        (Some(given), false) => match text::username("username", given)? {
            Some(username) => Ok(NewUsername::Set(Some(username))),
            None => Err(Failure::violation("username", "is empty; send null or clearUsername to remove it")),
        },
    }
}
