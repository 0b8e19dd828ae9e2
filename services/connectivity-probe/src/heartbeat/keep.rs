//! Keeps a test: in the server's history, and as its state.

use super::{ServerState, StateChange, note};
use crate::fleet::Origin;
use crate::store::{connectivity_test, server_state, state_change};
use crate::tester::Tested;
use keywright_storage::{Error, Tx};

/// In the transaction that records the result; whether the history keeps it. A test with another login than the bound one
/// says nothing of how the server is.
pub async fn keep(tx: &mut Tx, tested: &Tested, origin: Origin) -> Result<bool, Error> {
    let test = &tested.test;
    let (Some(id), true) = (&test.id, tested.is_bound()) else {
        connectivity_test::insert(tx, test).await?;
        return Ok(true);
    };
    let before = server_state::lock(tx, &tested.server).await?;
    let noted = note(before.as_ref().and_then(|state| state.last.as_ref()), test, id, origin);
    if noted.kept {
        connectivity_test::insert(tx, test).await?;
    }
    if let Some(last) = noted.last {
        let state = ServerState {
            server: tested.server.clone(),
            tenant: tested.tenant.clone(),
            name: tested.name.clone(),
            host: test.host.to_string(),
            port: test.port.get(),
            heartbeat: before.and_then(|state| state.heartbeat),
            last: Some(last),
            skipped: String::new(),
        };
        server_state::put(tx, &state).await?;
    }
    if let Some((from, to)) = noted.changed {
        let change = StateChange {
            test: id.clone(),
            server: tested.server.clone(),
            tenant: tested.tenant.clone(),
            name: tested.name.clone(),
            at: test.checked_at,
            from,
            to,
        };
        state_change::insert(tx, &change).await?;
    }
    Ok(noted.kept)
}
