//! Has a server tested again and again.

use crate::adapters::directory::{Directory, Server};
use crate::heartbeat::{Heartbeat, LONGEST, SHORTEST, ServerState};
use crate::store::server_state;
use crate::tester::refuse_inactive;
use keywright_domain::caller::Caller;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Intent, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tracing::instrument;

const ACTION: &str = "heartbeat.set";

pub struct SetHeartbeat {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub directory: Directory,
    /// Of whoever begins what is due.
    pub wake: Arc<Notify>,
}

impl SetHeartbeat {
    /// `interval`: None where it is no time at all.
    #[instrument(skip_all)]
    pub async fn run(
        &self,
        caller: &Caller,
        server: &str,
        interval: Option<Duration>,
    ) -> Result<ServerState, Failure> {
        let server = super::server(&self.directory, &self.guard, caller, ACTION, server).await?;
        let (tenant, target) = (&server.tenant, server.id.as_str());
        let interval = interval.filter(|span| (SHORTEST..=LONGEST).contains(span));
        let interval = interval.ok_or_else(|| {
            Failure::violation("interval", "must be from a minute to seven days, as in \"300s\"")
        })?;
        refuse_inactive(&server)?;
        let entry = Entry::new(ACTION)
            .tenant(Some(tenant))
            .target(target)
            .detail("intervalSeconds", interval.as_secs().to_string());
        let intent = self.audit.intend(caller, entry).await?;
        let set = self.db.serialized(|| self.set(&server, interval, &intent)).await.map_err(Failure::from);
        self.audit.conclude(&self.db, &intent, &set).await;
        self.wake.notify_one();
        set
    }

    async fn set(&self, server: &Server, interval: Duration, intent: &Intent) -> Result<ServerState, Error> {
        let mut tx = self.db.begin(intent).await?;
        let now = tx.now();
        let before = server_state::lock(&mut tx, &server.id).await?;
        let (heartbeat, last) = before.map(|state| (state.heartbeat, state.last)).unwrap_or_default();
        // What is as it was keeps its time.
        let heartbeat = heartbeat.filter(|there| there.interval == interval).unwrap_or(Heartbeat {
            interval,
            set_at: now,
            next_at: now,
        });
        let state = ServerState { heartbeat: Some(heartbeat), last, ..ServerState::unknown(server) };
        server_state::put(&mut tx, &state).await?;
        intent.done(&mut tx, Outcome::succeeded()).await?;
        tx.commit().await?;
        Ok(state)
    }
}
