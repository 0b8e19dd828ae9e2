//! What one fresh connection proved, and when.

use crate::adapters::prober::Shown;
use keywright_domain::clock::Instant;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};

pub struct Receipt {
    pub shown: Shown,
    /// The database's time.
    pub proven_at: Instant,
}

impl Receipt {
    /// Ends the audited operation: a refusal that was proven is a success.
    pub async fn record(db: &Db, intent: &Intent, shown: Shown) -> Result<Self, Failure> {
        let outcome = Outcome::succeeded()
            .with("accepted", shown.accepted.to_string())
            .with("hostKey", shown.host_key.as_str())
            .with("address", shown.address.to_string())
            .with("sourcePort", shown.source_port.to_string());
        let recorded: Result<Instant, Error> = db
            .serialized(|| async {
                let mut tx = db.begin(intent).await?;
                let now = tx.now();
                intent.done(&mut tx, outcome.clone()).await?;
                tx.commit().await?;
                Ok(now)
            })
            .await;
        Ok(Self { shown, proven_at: recorded? })
    }
}
