//! credential-store's directory in pages: tenants and servers for background work and overviews.

use super::credential_store::{CredentialStore, Server, server, unreadable};
use keywright_domain::ids::TenantId;
use keywright_proto::credential as proto;
use keywright_runtime::failure::Failure;
use std::collections::BTreeMap;

/// What the lifecycle needs to know of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub id: TenantId,
    /// Empty where the platform gave none.
    pub external_id: String,
    pub name: String,
    pub state: TenantState,
    /// Of IANA.
    pub time_zone: String,
    pub labels: BTreeMap<String, String>,
    /// E-mail addresses.
    pub contacts: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TenantState {
    Active,
    /// Nothing new is done for it.
    Suspended,
    Deleted,
}

/// One page of a list; `next` is empty at the end.
#[derive(Debug, Clone)]
pub struct Listed<T> {
    pub items: Vec<T>,
    pub next: String,
}

/// Which servers; empty text narrows nothing.
#[derive(Debug, Clone, Default)]
pub struct Servers {
    pub tenant: Option<TenantId>,
    pub group: String,
    pub managed_only: bool,
}

impl CredentialStore {
    /// Found by part of id, external id or name (empty text: all), newest first, without the deleted ones; `size` up to 500.
    pub async fn tenants(&self, search: &str, size: i32, token: &str) -> Result<Listed<Tenant>, Failure> {
        self.ask_tenants(proto::ListDirectoryTenantsRequest {
            search: search.to_owned(),
            page_size: size,
            page_token: token.to_owned(),
            ..Default::default()
        })
        .await
    }

    /// Those of these that ever were, deleted ones too; at most 500.
    pub async fn tenants_named(&self, ids: &[TenantId]) -> Result<Vec<Tenant>, Failure> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let tenant_ids = ids.iter().map(ToString::to_string).collect();
        let message = proto::ListDirectoryTenantsRequest { tenant_ids, ..Default::default() };
        Ok(self.ask_tenants(message).await?.items)
    }

    async fn ask_tenants(
        &self,
        message: proto::ListDirectoryTenantsRequest,
    ) -> Result<Listed<Tenant>, Failure> {
        let request = self.own(None, message)?;
        let answer = self.directory().list_directory_tenants(request).await?.into_inner();
        let items: Option<Vec<_>> = answer.items.into_iter().map(tenant).collect();
        Ok(Listed { items: items.ok_or_else(|| unreadable("tenant"))?, next: answer.next_page_token })
    }

    /// Oldest first; `size` up to 500.
    pub async fn servers(&self, among: &Servers, size: i32, token: &str) -> Result<Listed<Server>, Failure> {
        let message = proto::ListDirectoryServersRequest {
            tenant_id: among.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
            group: among.group.clone(),
            managed_only: among.managed_only,
            page_size: size,
            page_token: token.to_owned(),
        };
        let request = self.own(None, message)?;
        let answer = self.directory().list_directory_servers(request).await?.into_inner();
        let items: Option<Vec<_>> = answer.items.into_iter().map(server).collect();
        Ok(Listed { items: items.ok_or_else(|| unreadable("server"))?, next: answer.next_page_token })
    }
}

fn tenant(found: proto::Tenant) -> Option<Tenant> {
    Some(Tenant {
        id: TenantId::parse(&found.id).ok()?,
        state: match found.state() {
            proto::TenantState::Active => TenantState::Active,
            proto::TenantState::Suspended => TenantState::Suspended,
            proto::TenantState::Deleted | proto::TenantState::Unspecified => TenantState::Deleted,
        },
        external_id: found.external_id,
        name: found.name,
        time_zone: found.time_zone,
        labels: found.labels.into_iter().collect(),
        contacts: found.contacts,
    })
}
