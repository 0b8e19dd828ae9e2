//! Downloads the active private key, as often as the policy allows (once by default): claim, release, outcome.
//!
//! Invariant: of any number of requests for one version, as many make a claim as the policy allows. Whoever made it may fetch again with the
//! claim's id until he acknowledges, for ten minutes; a request that handed nothing out leaves no claim behind.

use super::gates;
use crate::adapters::credential_store::{CredentialStore, Release};
use crate::model::{Access, Claim, Settings, Version, VersionState};
use crate::recovery;
use crate::store;
use keywright_domain::caller::{Caller, PrincipalKind};
use keywright_domain::ids::shown;
use keywright_domain::ids::{AccessId, ClaimId, TenantId, TokenId};
use keywright_domain::key::{KeyAlgorithm, PublicKey};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use std::time::Duration;
use tracing::instrument;

/// How long a claim may be fetched again.
const CLAIM_LIFETIME: Duration = Duration::from_secs(600);
const LONGEST_PASSPHRASE: usize = 1024;

#[derive(Clone)]
pub struct DownloadKey {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
}

/// As it was asked for.
#[derive(Debug)]
pub struct Download {
    pub tenant: String,
    pub access: String,
    pub confirmation: Option<String>,
    pub format: String,
    pub passphrase: Secret,
    pub claim: String,
}

/// The private key file.
#[derive(Debug)]
pub struct KeyFile {
    pub bytes: Secret,
    pub format: Format,
    pub claim: ClaimId,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    OpenSsh,
    Pem,
    Ppk,
}

impl Format {
    const fn as_str(self) -> &'static str {
        match self {
            Self::OpenSsh => "openssh",
            Self::Pem => "pem",
            Self::Ppk => "ppk",
        }
    }

    fn parse(text: &str) -> Result<Self, Failure> {
        match text {
            "" | "openssh" => Ok(Self::OpenSsh),
            "pem" => Ok(Self::Pem),
            "ppk" => Ok(Self::Ppk),
            _ => Err(Failure::violation("format", "must be openssh, pem or ppk")),
        }
    }
}

struct Wanted {
    tenant: TenantId,
    access: AccessId,
    format: Format,
    claim: Option<ClaimId>,
    has_passphrase: bool,
}

/// A claim that this request may use.
struct Claimed {
    access: Access,
    version: Version,
    claim: ClaimId,
    fresh: bool,
}

impl DownloadKey {
    #[instrument(skip_all, fields(access = shown(&asked.access)))]
    pub async fn run(&self, caller: &Caller, asked: Download) -> Result<KeyFile, Failure> {
        let (tenant, access) = gates::tenant_and_access(&asked.tenant, &asked.access)?;
        let missing = Reason::AccessNotFound;
        self.guard.allow(caller, "access.download", Some(&tenant), access.as_str(), missing).await?;
        recovery::refuse_while_active(&self.db).await?;
        if caller.principal.kind != PrincipalKind::User {
            return Err(Failure::new(Reason::PermissionDenied, "Only a person can download a private key."));
        }
        let wanted = self.parse(tenant, access, &asked).await?;
        let entry = Entry::new("access.download").tenant(Some(&wanted.tenant)).target(wanted.access.as_str());
        let intent = self.audit.intend(caller, entry.detail("format", wanted.format.as_str())).await?;
        let result = self.hand_out(caller, &wanted, &asked.passphrase, &intent).await;
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn parse(&self, tenant: TenantId, access: AccessId, asked: &Download) -> Result<Wanted, Failure> {
        let format = Format::parse(&asked.format)?;
        if asked.passphrase.expose().len() > LONGEST_PASSPHRASE {
            return Err(Failure::violation(
                "passphrase",
                format!("must have at most {LONGEST_PASSPHRASE} bytes"),
            ));
        }
        let claim = match asked.claim.as_str() {
            "" => None,
            text => Some(ClaimId::parse(text).map_err(|_| Failure::not_found(Reason::ClaimNotFound, text))?),
        };
        let mut reader = store::reader(&self.db).await?;
        gates::find(&mut reader, &tenant, &access).await?;
        gates::confirmed(asked.confirmation.as_deref(), &access)?;
        let versions = store::version::of(&mut reader, &access).await?;
        let mut active = versions.iter().filter(|version| version.state == VersionState::Active);
        let is_ed25519 = |key: &PublicKey| key.algorithm() == KeyAlgorithm::Ed25519;
        if format == Format::Pem && active.any(|active| active.public_key.as_ref().is_some_and(is_ed25519)) {
            return Err(Failure::new(
                Reason::FormatUnsupportedForKey,
                "OpenSSH cannot read an Ed25519 key in this format.",
            ));
        }
        let has_passphrase = !asked.passphrase.is_empty();
        Ok(Wanted { tenant, access, format, claim, has_passphrase })
    }

    async fn hand_out(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        passphrase: &Secret,
        intent: &Intent,
    ) -> Result<KeyFile, Failure> {
        let claimed = self.db.serialized(|| self.claim(caller, wanted, intent)).await?;
        let result = self.release(caller, wanted, passphrase, &claimed, intent).await;
        if result.is_err() && claimed.fresh {
            self.give_back(&claimed.claim).await;
        }
        result
    }

    /// Nothing was handed out.
    async fn give_back(&self, claim: &ClaimId) {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a claim is given back").await?;
            store::claim::give_back(&mut tx, claim).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        if done.await.is_err() {
            tracing::warn!(%claim, "a claim could not be given back");
        }
    }

    async fn claim(&self, caller: &Caller, wanted: &Wanted, intent: &Intent) -> Result<Claimed, Error> {
        let mut tx = self.db.begin(intent).await?;
        let access = gates::find_usable(tx.conn(), &wanted.tenant, &wanted.access).await?;
        if access.revoked_at.is_some() {
            return Err(Failure::new(Reason::AccessRevoked, "The access is revoked.").into());
        }
        let versions = store::version::of(tx.conn(), &access.id).await?;
        let active = versions.into_iter().find(|version| version.state == VersionState::Active);
        let Some(version) = active else {
            return Err(
                Failure::new(Reason::RotationInProgress, "The first key is still being installed.").into()
            );
        };
        let settings = store::policy::effective(tx.conn(), &access.tenant, Some(&access.id)).await?;
        let made = store::claim::of_version(tx.conn(), &version.id).await?;
        let own = |claim: &&Claim| {
            wanted.claim.as_ref() == Some(&claim.id)
                && claim.principal == caller.principal.id
                && claim.session == session(caller)
                && claim.is_open(tx.now())
        };
        if !wanted.has_passphrase && settings.passphrase_required {
            let what = "The policy asks for a passphrase of your own, which encrypts the file.";
            return Err(Failure::new(Reason::PassphraseRequired, what).into());
        }
        if let Some(claim) = made.iter().find(own).filter(|_| version.has_private_half()) {
            let claim = claim.id.clone();
            return Ok(Claimed { access, version, claim, fresh: false });
        }
        may_download(&version, &settings, &made)?;
        let claim = self.fresh(&mut tx, caller, &access, &version, wanted).await?;
        store::claim::insert(&mut tx, &claim).await?;
        store::access::touch(&mut tx, &access.id).await?;
        tx.commit().await?;
        Ok(Claimed { access, version, claim: claim.id, fresh: true })
    }

    /// A client may choose the id itself: then even an answer whose headers never came loses nothing. One of an earlier
    /// version is not an id for this one.
    async fn fresh(
        &self,
        tx: &mut keywright_storage::Tx,
        caller: &Caller,
        access: &Access,
        version: &Version,
        wanted: &Wanted,
    ) -> Result<Claim, Error> {
        let id = match &wanted.claim {
            Some(id) if store::claim::exists(tx.conn(), id).await? => {
                return Err(Failure::not_found(Reason::ClaimNotFound, id.as_str()).into());
            }
            Some(id) => id.clone(),
            None => ClaimId::random()?,
        };
        Ok(Claim {
            id,
            access: access.id.clone(),
            version: version.id.clone(),
            principal: caller.principal.id.clone(),
            session: session(caller),
            created_at: tx.now(),
            expires_at: tx.now().plus(CLAIM_LIFETIME),
            acknowledged_at: None,
        })
    }

    async fn release(
        &self,
        caller: &Caller,
        wanted: &Wanted,
        passphrase: &Secret,
        claimed: &Claimed,
        intent: &Intent,
    ) -> Result<KeyFile, Failure> {
        let release = Release {
            credential: &claimed.access.credential,
            version: &claimed.version.id,
            format: wanted.format.as_str(),
            passphrase,
        };
        let bytes = self.store.release(caller, release).await?;
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin(intent).await?;
            // A revocation that came meanwhile wins: the bytes stay here.
            let access = gates::find(tx.conn(), &wanted.tenant, &wanted.access).await?;
            if access.revoked_at.is_some() {
                return Err(Failure::new(Reason::AccessRevoked, "The access is revoked.").into());
            }
            let outcome = Outcome::succeeded().with("claimId", claimed.claim.as_str());
            let outcome = outcome.with("version", claimed.version.number.to_string());
            intent.done(&mut tx, outcome).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        done.await?;
        Ok(KeyFile { bytes, format: wanted.format, claim: claimed.claim.clone() })
    }
}

/// A further claim of the version may be made.
fn may_download(version: &Version, settings: &Settings, made: &[Claim]) -> Result<(), Failure> {
    if version.is_client_made() {
        let what = "The holder of this key made it and has its private half, which was never here.";
        return Err(Failure::new(Reason::KeyAlreadyDownloaded, what).with("clientMade", "true"));
    }
    let allowed = usize::try_from(settings.downloads_per_version).unwrap_or(usize::MAX);
    if made.len() < allowed && version.has_private_half() {
        return Ok(());
    }
    match made.last() {
        None => {
            let what = "The policy allows no download of this key: use it through the agent.";
            Err(Failure::new(Reason::PolicyForbids, what))
        }
        Some(last) => {
            let what = "This version of the key was downloaded as often as the policy allows.";
            let failure = Failure::new(Reason::KeyAlreadyDownloaded, what);
            Err(failure.with("downloadedAt", last.created_at.rfc3339()))
        }
    }
}

/// The token that the caller came with stands for his session.
pub(super) fn session(caller: &Caller) -> String {
    caller.principal.token.as_ref().map(TokenId::to_string).unwrap_or_default()
}
