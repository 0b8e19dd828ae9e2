//! Who asks: the principal behind a request, as the exchanged token states it.

use crate::clock::Instant;
use crate::ids::{PrincipalId, TenantId, TokenId};
use crate::secret::Secret;
use std::sync::Arc;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)* _ => None }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ();
            fn try_from(text: String) -> Result<Self, ()> {
                Self::parse(&text).ok_or(())
            }
        }
    };
}

words! {
    /// What a principal may do is decided from its role and its tenant.
    Role {
        TenantOwner = "tenant_owner",
        TenantAdmin = "tenant_admin",
        TenantMember = "tenant_member",
        Operator = "operator",
        Auditor = "auditor",
        InternalService = "internal_service",
        /// One of Keywright's own services, working for itself.
        Keywright = "keywright",
    }
}

words! {
    /// What kind of principal it is: only a USER can download a key.
    PrincipalKind {
        User = "user",
        Service = "service",
        /// One of Keywright's own services.
        System = "system",
    }
}

words! {
    /// Keywright's own services, as they name themselves in tokens and peers.
    ServiceName {
        CredentialStore = "credential-store",
        KeyLifecycle = "key-lifecycle",
        ConnectivityProbe = "connectivity-probe",
        Audit = "audit",
        Gateway = "gateway",
    }
}

/// A verified caller.
#[derive(Debug, Clone)]
pub struct Caller {
    pub principal: Principal,
    /// The service of Keywright that sent the request on the principal's behalf.
    pub acting: Option<ServiceName>,
    pub request_id: String,
    pub trace_id: String,
    pub source_ip: String,
    pub user_agent: String,
    /// The client certificate of the connection at the edge: SHA-256 of its DER form; empty for none.
    pub client_certificate: String,
    /// When the identity service last saw that the principal's token holds, by its database's clock.
    pub vouched_at: Instant,
    /// The short-lived token that the request came with, to be exchanged for calls on the caller's behalf.
    pub bearer: Option<Arc<Secret>>,
}

/// A person, a program or a service of Keywright.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// A `prn_…` id, or the name of one of Keywright's services.
    pub id: String,
    pub kind: PrincipalKind,
    pub role: Role,
    /// The tenant that the role is held in; none for the platform's roles.
    pub tenant: Option<TenantId>,
    pub permissions: Vec<String>,
    /// The token that this request came with, where it was one of Keywright's own.
    pub token: Option<TokenId>,
    /// The work (rotation, revocation, test) that a service of Keywright does in the background.
    pub work: Option<String>,
}

impl Principal {
    pub fn person(id: &PrincipalId, role: Role, tenant: Option<TenantId>) -> Self {
        Self {
            id: id.to_string(),
            kind: PrincipalKind::User,
            role,
            tenant,
            permissions: Vec::new(),
            token: None,
            work: None,
        }
    }

    /// A service of Keywright, doing `work` that outlived the request which began it.
    pub fn service(name: ServiceName, work: Option<String>) -> Self {
        Self {
            id: name.as_str().to_owned(),
            kind: PrincipalKind::System,
            role: Role::Keywright,
            tenant: None,
            permissions: Vec::new(),
            token: None,
            work,
        }
    }

    /// Whether it is bound to one tenant.
    pub fn is_tenant_bound(&self) -> bool {
        self.tenant.is_some()
    }
}

impl Caller {
    /// For work that no request carries: recovery, grace end, schedules.
    pub fn background(name: ServiceName, work: &str) -> Self {
        Self {
            principal: Principal::service(name, Some(work.to_owned())),
            acting: Some(name),
            request_id: work.to_owned(),
            trace_id: String::new(),
            source_ip: String::new(),
            user_agent: String::new(),
            client_certificate: String::new(),
            vouched_at: Instant::from_micros(0),
            bearer: None,
        }
    }
}
