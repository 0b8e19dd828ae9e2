//! What a list holds now.

use crate::model::{ListState, Scope};
use crate::store::{self, Connection};
use keywright_domain::krl::RevokedKeys;
use keywright_storage::Error;

/// A list, read whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List {
    pub scope: Scope,
    pub state: ListState,
    pub keys: RevokedKeys,
}

impl List {
    pub fn etag(&self) -> String {
        self.state.etag(&self.scope)
    }

    pub fn binary(&self) -> Vec<u8> {
        self.keys.encode(&self.state.head(&self.scope.group))
    }

    pub fn text(&self) -> String {
        self.keys.text(&self.state.head(&self.scope.group))
    }
}

/// The list, and what it is called; a revocation that comes between the two readings makes it the newer one's.
pub async fn list(conn: &mut Connection, scope: &Scope) -> Result<List, Error> {
    loop {
        let before = store::krl::state(conn, scope).await?;
        let keys: RevokedKeys = store::krl::keys(conn, scope).await?.into_iter().collect();
        if current(conn, scope).await? == before {
            return Ok(List { scope: scope.clone(), state: before, keys });
        }
    }
}

pub async fn current(conn: &mut Connection, scope: &Scope) -> Result<ListState, Error> {
    store::krl::state(conn, scope).await
}
