//! Replaces what the platform, a tenant or an access says about its keys. The revision guards it.

use super::read::{PolicyView, load};
use super::{AskedSettings, Subject};
use crate::adapters::credential_store::CredentialStore;
use crate::app::gates;
use crate::model::OwnSettings;
use crate::store;
use keywright_domain::caller::Caller;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use std::net::IpAddr;
use tracing::instrument;

/// Of a setting in the log, in characters.
const LONGEST_VALUE: usize = 2_000;

#[derive(Clone)]
pub struct UpdatePolicy {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub store: CredentialStore,
    /// From which hosts see us come; none where nobody said them: then the edit of each host finds out.
    pub egress: Vec<IpAddr>,
}

impl UpdatePolicy {
    #[instrument(skip_all, fields(subject = subject.target()))]
    pub async fn run(
        &self,
        caller: &Caller,
        subject: &Subject,
        asked: Option<AskedSettings>,
        revision: &str,
    ) -> Result<PolicyView, Failure> {
        let tenant = subject.tenant();
        self.guard.allow(caller, "policy.update", tenant, subject.target(), subject.missing()).await?;
        let asked = asked.ok_or_else(|| Failure::violation("policy", "is missing"))?;
        let own = asked.parse(&self.egress)?;
        if let Subject::Tenant(tenant) = subject {
            self.store.require_tenant(caller, tenant).await?;
        }
        let entry = Entry::new("policy.update").tenant(tenant).target(subject.target());
        let intent = self.audit.intend(caller, entry.detail("settings", own.names().join(" "))).await?;
        let written =
            self.db.serialized(|| self.write(&caller.principal.id, subject, &own, revision, &intent)).await;
        let result = written.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn write(
        &self,
        by: &str,
        subject: &Subject,
        own: &OwnSettings,
        revision: &str,
        intent: &Intent,
    ) -> Result<PolicyView, Error> {
        let mut tx = self.db.begin(intent).await?;
        if let Subject::Access(tenant, access) = subject {
            gates::find(tx.conn(), tenant, access).await?;
        }
        let before = load(tx.conn(), subject).await?;
        if !revision.is_empty() && revision != before.revision() {
            let failure = Failure::new(Reason::RevisionMismatch, "The policy was changed meanwhile.");
            return Err(failure.with("revision", before.revision()).into());
        }
        if before.policy.as_ref().map(|policy| &policy.own) != Some(own) {
            store::policy::put(&mut tx, subject.tenant(), subject.access(), own, by).await?;
        }
        if before.policy.as_ref().and_then(|policy| policy.own.line_options.as_ref())
            != own.line_options.as_ref()
        {
            store::line_options::changed(&mut tx, subject.tenant(), subject.access()).await?;
        }
        let after = load(tx.conn(), subject).await?;
        let earlier = before.policy.map(|policy| policy.own).unwrap_or_default();
        let outcome = Outcome::succeeded().with("revision", after.revision());
        let told = own.changes(&earlier).into_iter().fold(outcome, |outcome, (name, from, to)| {
            outcome.with(name, format!("{} -> {}", short(&from), short(&to)))
        });
        intent.done(&mut tx, told).await?;
        tx.commit().await?;
        Ok(after)
    }
}

/// The log holds entries of a limited size.
fn short(value: &str) -> String {
    if value.chars().count() <= LONGEST_VALUE {
        return value.to_owned();
    }
    value.chars().take(LONGEST_VALUE).chain("…".chars()).collect()
}

impl PolicyView {
    /// 0 before it ever said anything.
    pub fn revision(&self) -> String {
        self.policy.as_ref().map_or(0, |policy| policy.revision).to_string()
    }
}
