//! What a list of servers or credentials is narrowed to.

use keywright_domain::ids::TenantId;

#[derive(Debug, Clone)]
pub struct Filter {
    /// None: every tenant's.
    pub tenant: Option<TenantId>,
    /// For `LIKE .. ESCAPE '!'`, in lower case.
    pub pattern: String,
}
