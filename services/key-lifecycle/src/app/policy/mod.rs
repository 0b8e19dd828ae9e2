//! Policies: read with the origin of each setting, and replaced level by level.

mod parse;
mod read;
mod update;

pub use parse::{AskedSettings, AskedWindow};
pub use read::{PolicyView, ReadPolicy};
pub use update::UpdatePolicy;

use super::gates;
use keywright_domain::ids::{AccessId, TenantId};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;

/// The target of the platform's policy in the audit log.
const PLATFORM: &str = "platform";

/// Whose policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Platform,
    Tenant(TenantId),
    Access(TenantId, AccessId),
}

impl Subject {
    pub fn tenant_of(id: &str) -> Result<Self, Failure> {
        gates::tenant(id).map(Self::Tenant)
    }

    pub fn access_of(tenant: &str, access: &str) -> Result<Self, Failure> {
        gates::tenant_and_access(tenant, access).map(|(tenant, access)| Self::Access(tenant, access))
    }

    const fn tenant(&self) -> Option<&TenantId> {
        match self {
            Self::Platform => None,
            Self::Tenant(tenant) | Self::Access(tenant, _) => Some(tenant),
        }
    }

    const fn access(&self) -> Option<&AccessId> {
        match self {
            Self::Access(_, access) => Some(access),
            Self::Platform | Self::Tenant(_) => None,
        }
    }

    fn target(&self) -> &str {
        match self {
            Self::Platform => PLATFORM,
            Self::Tenant(tenant) => tenant.as_str(),
            Self::Access(_, access) => access.as_str(),
        }
    }

    /// For whoever may not know that it exists.
    const fn missing(&self) -> Reason {
        match self {
            Self::Platform => Reason::PermissionDenied,
            Self::Tenant(_) => Reason::TenantNotFound,
            Self::Access(..) => Reason::AccessNotFound,
        }
    }
}
