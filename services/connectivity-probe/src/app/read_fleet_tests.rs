//! Reads tests of many servers and their targets, once or again and again.

use super::start_fleet_test::tenant_of;
use crate::fleet::{Counts, FleetTest, Target, TargetState};
use crate::report::Status;
use crate::store::{self, fleet_target, fleet_test};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{FleetTestId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::Page;
use keywright_storage::Db;

const ACTION: &str = "fleet_test.read";

#[derive(Clone)]
pub struct ReadFleetTests {
    pub db: Db,
    pub guard: Guard,
}

/// A fleet test and how many of its servers stand where.
#[derive(Debug, Clone)]
pub struct FleetTestView {
    pub test: FleetTest,
    pub counts: Counts,
}

/// What narrows a list of targets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Among {
    pub state: Option<TargetState>,
    pub status: Option<Status>,
}

impl ReadFleetTests {
    pub async fn list(
        &self,
        caller: &Caller,
        tenant: &str,
        size: i32,
        token: &str,
    ) -> Result<(Vec<FleetTestView>, String), Failure> {
        let tenant = tenant_of(caller, tenant)?;
        let about = tenant.as_ref().map_or("", TenantId::as_str);
        self.guard.allow(caller, ACTION, tenant.as_ref(), about, Reason::TenantNotFound).await?;
        let page = Page::parse(size, token, about)?;
        let mut reader = store::reader(&self.db).await?;
        let rows = fleet_test::page(&mut reader, tenant.as_ref(), &page).await?;
        let (rows, next) = page.cut(rows, |row| (row.created_at, row.id.to_string()));
        let mut views = Vec::with_capacity(rows.len());
        for test in rows {
            let counts = fleet_target::counts(&mut reader, &test.id).await?;
            views.push(FleetTestView { test, counts });
        }
        Ok((views, next))
    }

    /// The id, if it names one that the caller may read.
    pub async fn authorize(&self, caller: &Caller, id: &str) -> Result<FleetTestId, Failure> {
        find(&self.db, &self.guard, caller, ACTION, id).await.map(|test| test.id)
    }

    /// As it is now; for whoever was authorized.
    pub async fn view(&self, id: &FleetTestId) -> Result<FleetTestView, Failure> {
        let mut reader = store::reader(&self.db).await?;
        let test = fleet_test::find(&mut reader, id).await?;
        let test = test.ok_or_else(|| missing(id.as_str()))?;
        let counts = fleet_target::counts(&mut reader, id).await?;
        Ok(FleetTestView { test, counts })
    }

    /// In the order in which they are taken.
    pub async fn targets(
        &self,
        caller: &Caller,
        id: &str,
        among: Among,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Target>, String), Failure> {
        let id = self.authorize(caller, id).await?;
        let state = among.state.map_or("", TargetState::as_str);
        let status = among.status.map_or("", Status::as_str);
        let page = Page::parse(size, token, &format!("{id}|{state}|{status}"))?;
        let after = page.before.as_ref().map_or(0, |(position, _)| position.micros());
        let mut reader = store::reader(&self.db).await?;
        let rows = fleet_target::page(&mut reader, &id, (state, status), after, page.size).await?;
        Ok(page.cut(rows, |target| (Instant::from_micros(target.position), String::new())))
    }
}

/// A fleet test that the caller may do this with. Another tenant's does not exist for him.
pub async fn find(
    db: &Db,
    guard: &Guard,
    caller: &Caller,
    action: &str,
    id: &str,
) -> Result<FleetTest, Failure> {
    let known = FleetTestId::parse(id).map_err(|_| missing(id))?;
    let mut reader = store::reader(db).await?;
    let test = fleet_test::find(&mut reader, &known).await?;
    drop(reader);
    let test = test.ok_or_else(|| missing(id))?;
    guard.allow(caller, action, test.tenant.as_ref(), id, Reason::FleetTestNotFound).await?;
    Ok(test)
}

fn missing(id: &str) -> Failure {
    Failure::not_found(Reason::FleetTestNotFound, id)
}
