//! Rounds: the servers whose heartbeat is due, tested together as a fleet test that nobody asked for.

use super::{ServerState, next_beat};
use crate::fleet::{FleetTest, Origin, Plan, Selector, State, Target};
use crate::store::{self, fleet_target, fleet_test, server_state};
use keywright_domain::caller::ServiceName;
use keywright_domain::clock::fill_random;
use keywright_domain::ids::FleetTestId;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;

/// Servers of one round.
const MOST_SERVERS: i64 = 500;
/// Rounds that run at once: a server that hangs holds up its own round only.
const MOST_ROUNDS: i64 = 4;

#[derive(Clone)]
pub struct Rounds {
    pub db: Db,
}

impl Rounds {
    /// Of whatever is due, on any replica; each server is in one round at a time.
    pub async fn begin(&self) -> Result<(), Failure> {
        let now = self.db.now().await?;
        let mut reader = store::reader(&self.db).await?;
        let due = server_state::due(&mut reader, now, 1).await?;
        drop(reader);
        if due.is_empty() {
            return Ok(());
        }
        Ok(self.db.serialized(|| self.begin_one()).await?)
    }

    async fn begin_one(&self) -> Result<(), Error> {
        let mut tx = self.db.begin_internal("a round of heartbeats").await?;
        let now = tx.now();
        if fleet_test::rounds(tx.conn()).await? >= MOST_ROUNDS {
            return Ok(());
        }
        let due = server_state::due(tx.conn(), now, MOST_SERVERS).await?;
        if due.is_empty() {
            return Ok(());
        }
        let test = FleetTest {
            id: FleetTestId::random().map_err(Failure::from)?,
            tenant: None,
            origin: Origin::Heartbeat,
            state: State::Running,
            selector: Selector::default(),
            plan: Plan::USUAL,
            comment: String::new(),
            created_by: ServiceName::ConnectivityProbe.as_str().to_owned(),
            created_at: now,
            finished_at: None,
            latencies: Vec::new(),
        };
        fleet_test::insert(&mut tx, &test).await?;
        for (position, state) in (1i64..).zip(due) {
            if let Some(heartbeat) = &state.heartbeat {
                let next = next_beat(heartbeat.next_at, now, heartbeat.interval, lot()?);
                server_state::set_next(&mut tx, &state.server, next).await?;
            }
            fleet_target::insert(&mut tx, &test.id, &target(position, state)).await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

fn target(position: i64, state: ServerState) -> Target {
    Target::waits(position, (state.server, state.tenant), state.name, state.host, state.port)
}

/// From 0 to 1.
fn lot() -> Result<f64, Error> {
    let mut drawn = [0u8; 2];
    fill_random(&mut drawn).map_err(Failure::from)?;
    Ok(f64::from(u16::from_le_bytes(drawn)) / f64::from(u16::MAX))
}
