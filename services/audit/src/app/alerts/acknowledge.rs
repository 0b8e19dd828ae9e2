//! Acknowledges an alert: somebody has seen it and deals with it. What comes after is a new alert.

use crate::alerting::alert::{Alert, State};
use crate::store::alert;
use keywright_domain::caller::Caller;
use keywright_domain::ids::{TenantId, shown};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

const ACTION: &str = "audit.alert";
const LONGEST_COMMENT: usize = 500;

pub struct AcknowledgeAlert {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl AcknowledgeAlert {
    /// The alert as it is then; one that is acknowledged already stays as it is.
    #[instrument(skip_all, fields(alert = shown(id)))]
    pub async fn run(&self, caller: &Caller, id: &str, comment: &str) -> Result<Alert, Failure> {
        let missing = || Failure::not_found(Reason::AlertNotFound, id);
        let found = alert::find(&self.db, id).await?.ok_or_else(missing)?;
        let tenant = TenantId::parse(&found.tenant).ok();
        self.guard.allow(caller, ACTION, tenant.as_ref(), id, Reason::AlertNotFound).await?;
        let comment = comment.trim();
        if comment.chars().count() > LONGEST_COMMENT || comment.chars().any(|c| c.is_control() && c != '\n') {
            return Err(Failure::violation("comment", "must be text of at most 500 characters"));
        }
        if found.state == State::Acknowledged {
            return Ok(found);
        }
        let entry = Entry::new(ACTION)
            .tenant(tenant.as_ref())
            .target(id)
            .comment(comment)
            .detail("rule", found.rule.as_str());
        let intent = self.audit.intend(caller, entry).await?;
        let by = caller.principal.id.as_str();
        let done =
            self.db.serialized(|| self.acknowledge(id, by, comment, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &done).await;
        done?;
        alert::find(&self.db, id).await?.ok_or_else(missing)
    }

    async fn acknowledge(&self, id: &str, by: &str, comment: &str, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        alert::acknowledge(&mut tx, id, by, comment).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        Ok(tx.commit().await?)
    }
}
