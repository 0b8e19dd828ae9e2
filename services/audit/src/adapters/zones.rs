//! Tenants' time zones, which credential-store keeps.

use crate::alerting::hours::Zone;
use jiff::tz::TimeZone;
use keywright_domain::caller::ServiceName;
use keywright_domain::ids::TenantId;
use keywright_proto::credential::ListDirectoryTenantsRequest;
use keywright_proto::credential::directory_service_client::DirectoryServiceClient;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How long a zone is taken for what it was.
const KNOWN_FOR: Duration = Duration::from_secs(300);
/// How long UTC stands for one that could not be read.
const UNKNOWN_FOR: Duration = Duration::from_secs(10);
/// Alerts do not wait for longer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Tenants of one question.
const AT_ONCE: usize = 500;

#[derive(Clone)]
pub struct Zones {
    outbound: Outbound,
    memory: Arc<Mutex<HashMap<TenantId, (Zone, Instant)>>>,
}

impl Zones {
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound, memory: Arc::default() }
    }

    /// As if credential-store had told it.
    #[cfg(test)]
    pub fn learn(&self, tenant: &TenantId, name: &str) {
        self.keep(tenant.clone(), &Zone { zone: TimeZone::get(name).unwrap(), is_own: true });
    }

    /// One for each of these tenants; UTC for one that cannot be read now.
    pub async fn of(&self, tenants: BTreeSet<TenantId>) -> HashMap<String, Zone> {
        let now = Instant::now();
        let mut zones = HashMap::new();
        let mut unknown = Vec::new();
        {
            let mut memory = self.memory.lock().unwrap_or_else(PoisonError::into_inner);
            memory.retain(|_, (_, until)| now < *until);
            for tenant in tenants {
                match memory.get(&tenant) {
                    Some((zone, _)) => {
                        zones.insert(tenant.to_string(), zone.clone());
                    }
                    None => unknown.push(tenant),
                }
            }
        }
        for some in unknown.chunks(AT_ONCE) {
            let found = match tokio::time::timeout(PATIENCE, self.ask(some)).await {
                Ok(Ok(found)) => found,
                Ok(Err(failure)) => {
                    tracing::warn!(reason = failure.reason.as_str(), "tenants' time zones are taken for UTC");
                    HashMap::new()
                }
                Err(_) => {
                    tracing::warn!("tenants' time zones are not told in time, and taken for UTC");
                    HashMap::new()
                }
            };
            for tenant in some {
                let zone = found.get(tenant.as_str()).cloned().unwrap_or_else(|| Zone::utc(false));
                self.keep(tenant.clone(), &zone);
                zones.insert(tenant.to_string(), zone);
            }
        }
        zones
    }

    fn keep(&self, tenant: TenantId, zone: &Zone) {
        let span = if zone.is_own { KNOWN_FOR } else { UNKNOWN_FOR };
        let Some(until) = Instant::now().checked_add(span) else { return };
        self.memory.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant, (zone.clone(), until));
    }

    async fn ask(&self, tenants: &[TenantId]) -> Result<HashMap<String, Zone>, Failure> {
        let tenant_ids = tenants.iter().map(ToString::to_string).collect();
        let message = ListDirectoryTenantsRequest { tenant_ids, ..Default::default() };
        let request = self.outbound.own_request(ServiceName::CredentialStore, None, message)?;
        let mut directory = DirectoryServiceClient::new(self.outbound.peer(ServiceName::CredentialStore));
        let items = directory.list_directory_tenants(request).await?.into_inner().items;
        let zone = |tenant: keywright_proto::credential::Tenant| {
            let zone = TimeZone::get(&tenant.time_zone).ok()?;
            Some((tenant.id, Zone { zone, is_own: true }))
        };
        Ok(items.into_iter().filter_map(zone).collect())
    }
}
