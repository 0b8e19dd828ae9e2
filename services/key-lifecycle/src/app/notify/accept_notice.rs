//! Takes a notice from another service of Keywright.
//!
//! Invariant: an operator's invitation into a tenant is accepted only if somebody of the tenant's own people is told of
//! it, and the message to them is written before the answer.

use crate::model::{Notice, Recipient};
use crate::notify::{events, fan_out};
use crate::store::{self, delivery::OWED};
use keywright_domain::caller::Caller;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome, Tx};
use std::collections::BTreeMap;
use tracing::instrument;

const LONGEST: usize = 500;
const MOST_DETAILS: usize = 20;

#[derive(Clone)]
pub struct AcceptNotice {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

/// As it is said.
#[derive(Debug)]
pub struct Said {
    pub event: String,
    pub tenant: String,
    pub subject: String,
    pub dedup: String,
    pub details: BTreeMap<String, String>,
}

impl AcceptNotice {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, said: Said) -> Result<(), Failure> {
        self.guard
            .allow(caller, "notification.append", None, &said.subject, Reason::PermissionDenied)
            .await?;
        let notice = parse(said)?;
        let entry = Entry::new("notification.append")
            .tenant(notice.tenant.as_ref())
            .target(&notice.subject)
            .detail("event", notice.event);
        let intent = self.audit.intend(caller, entry).await?;
        let result = self.db.serialized(|| self.write(&notice, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &result).await;
        result
    }

    async fn write(&self, notice: &Notice, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        store::notice::write(&mut tx, notice).await?;
        if notice.event == OWED {
            tell_now(&mut tx, notice).await?;
        }
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// No target can be removed between the notice and the message.
async fn tell_now(tx: &mut Tx, notice: &Notice) -> Result<(), Error> {
    let Some(untold) = store::notice::find_untold(tx.conn(), &notice.dedup).await? else { return Ok(()) };
    let own = match &notice.tenant {
        Some(tenant) => store::notification_target::of(tx.conn(), Some(tenant)).await?,
        None => Vec::new(),
    };
    if !own.iter().any(|target| fan_out::reaches_its_people(target, notice.event)) {
        return Err(Failure::new(
            Reason::PolicyForbids,
            "Nobody of the tenant would be told: it has no notification target that its own people added, that wants invitation.created and that its last message reached.",
        )
        .into());
    }
    let platform = store::notification_target::of(tx.conn(), None).await?;
    let recipients: Vec<Recipient> = own
        .iter()
        .chain(&platform)
        .filter(|target| fan_out::gets(target, notice.event))
        .map(fan_out::to)
        .collect();
    fan_out::tell(tx, &untold, &recipients).await
}

fn parse(said: Said) -> Result<Notice, Failure> {
    let text = |field: &str, text: &str| {
        let fits = text.chars().count() <= LONGEST && !text.chars().any(char::is_control);
        if fits { Ok(()) } else { Err(Failure::violation(field, "must be text of at most 500 characters")) }
    };
    let event = events::offered(&said.event)
        .ok_or_else(|| Failure::violation("event", "is none of the contract's events"))?;
    let tenant = match said.tenant.as_str() {
        "" => None,
        id => Some(TenantId::parse(id).map_err(|_| Failure::violation("tenantId", "is no id of a tenant"))?),
    };
    for (field, given) in [("subject", &said.subject), ("dedupId", &said.dedup)] {
        text(field, given)?;
        if given.is_empty() {
            return Err(Failure::violation(field, "is missing"));
        }
    }
    if said.details.len() > MOST_DETAILS {
        return Err(Failure::violation("details", "must be at most 20"));
    }
    for (name, value) in &said.details {
        text("details", name)?;
        text("details", value)?;
    }
    let mut notice = Notice::new(event.name, tenant.as_ref(), &said.subject);
    notice.dedup = format!("{}/{}", event.name, said.dedup);
    notice.details = said.details;
    Ok(notice)
}
