//! How many automatic rotations run at once: what is overdue after a missed window or a downtime never runs all
//! together.

use crate::store::{self, Connection};
use keywright_domain::ids::{AccessId, ServerId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error as Refused, Failure};
use keywright_storage::{Error, Tx};
use std::collections::HashMap;

/// Of the whole installation.
pub const MOST: usize = 20;
pub const MOST_OF_TENANT: usize = 5;
pub const MOST_ON_HOST: usize = 2;

/// What runs, counted before the promotion: a host that is down must not hold a place for days.
#[derive(Debug, Default)]
pub struct Caps {
    all: usize,
    tenants: HashMap<TenantId, usize>,
    hosts: HashMap<ServerId, usize>,
}

impl Caps {
    pub async fn read(conn: &mut Connection) -> Result<Self, Error> {
        let mut caps = Self::default();
        for (tenant, access) in store::schedule::running(conn).await? {
            let servers = servers(conn, &access).await?;
            caps.take(&tenant, &servers);
        }
        Ok(caps)
    }

    pub fn has_room(&self, tenant: &TenantId, servers: &[ServerId]) -> bool {
        let on = |server: &ServerId| self.hosts.get(server).copied().unwrap_or_default();
        self.all < MOST
            && self.tenants.get(tenant).copied().unwrap_or_default() < MOST_OF_TENANT
            && servers.iter().all(|server| on(server) < MOST_ON_HOST)
    }

    pub fn take(&mut self, tenant: &TenantId, servers: &[ServerId]) {
        self.all = self.all.saturating_add(1);
        let more = |count: &mut usize| *count = count.saturating_add(1);
        more(self.tenants.entry(tenant.clone()).or_default());
        for server in servers {
            more(self.hosts.entry(server.clone()).or_default());
        }
    }

    pub const fn is_full(&self) -> bool {
        self.all >= MOST
    }
}

/// In the transaction that starts one: what this process counted before, another may have taken meanwhile.
pub async fn refuse_if_full(tx: &mut Tx, tenant: &TenantId, access: &AccessId) -> Result<(), Refused> {
    let servers = servers(tx.conn(), access).await?;
    if Caps::read(tx.conn()).await?.has_room(tenant, &servers) {
        return Ok(());
    }
    Err(Failure::new(Reason::RotationInProgress, "Enough automatic rotations run now.").into())
}

pub async fn servers(conn: &mut Connection, access: &AccessId) -> Result<Vec<ServerId>, Error> {
    Ok(store::access::hosts(conn, access).await?.into_iter().map(|host| host.server).collect())
}
