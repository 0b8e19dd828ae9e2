//! Lists the rules, and deletes one: an operator's goes, one that Keywright brings is as it was.

use crate::alerting::rule::Rule;
use crate::store::{alert_rule, watch};
use keywright_domain::caller::Caller;
use keywright_domain::ids::shown;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use tracing::instrument;

pub struct ListRules {
    pub db: Db,
    pub guard: Guard,
}

impl ListRules {
    /// Those that Keywright brings first.
    pub async fn run(&self, caller: &Caller) -> Result<Vec<Rule>, Failure> {
        self.guard.allow(caller, "audit.read", None, "", Reason::PermissionDenied).await?;
        Ok(alert_rule::list(&self.db).await?)
    }
}

pub struct DeleteRule {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
}

impl DeleteRule {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, id: &str) -> Result<(), Failure> {
        let missing = Reason::AlertRuleNotFound;
        self.guard.allow(caller, "audit.alert_rule", None, id, missing).await?;
        if !alert_rule::is_stored(&self.db, id).await? {
            return Err(Failure::not_found(missing, shown(id)));
        }
        let entry = Entry::new("audit.alert_rule").target(id).detail("step", "delete");
        let intent = self.audit.intend(caller, entry).await?;
        let done = self.db.serialized(|| self.delete(id, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &done).await;
        done
    }

    async fn delete(&self, id: &str, intent: &Intent) -> Result<(), Error> {
        let mut tx = self.db.begin(intent).await?;
        if !alert_rule::delete(&mut tx, id).await? {
            return Err(Failure::not_found(Reason::AlertRuleNotFound, shown(id)).into());
        }
        watch::forget(&mut tx, id).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        Ok(tx.commit().await?)
    }
}
