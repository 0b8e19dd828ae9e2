//! Tests of many servers: what is recorded of them, which are begun next, and the driver.
//!
//! Invariants: a server has one result in a fleet test, however many replicas take part and whichever of them are killed;
//! over all replicas never more tests run at once than the plan allows, in all, on a host and in a network.

pub mod choose;
pub mod drive;
pub mod latency;
mod network;
pub mod results;

pub use network::network_of;

use crate::report::Status;
use keywright_domain::clock::Instant;
use keywright_domain::ids::{FleetTestId, ServerId, TenantId, TestId};
use latency::Latency;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A type whose values have names in the database.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($variant,)+ }

        impl $name {
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)+ }
            }
        }

        impl TryFrom<String> for $name {
            type Error = ();
            fn try_from(text: String) -> Result<Self, ()> {
                match text.as_str() { $($word => Ok(Self::$variant),)+ _ => Err(()) }
            }
        }
    };
}

words! {
    State {
        Running = "RUNNING",
        Finished = "FINISHED",
        Cancelled = "CANCELLED",
    }
}

words! {
    /// Who asks for a test: somebody, or the time that has come.
    Origin {
        Request = "REQUEST",
        // A round of servers whose heartbeat is due: nobody lists it, and it goes when it is through.
        Heartbeat = "HEARTBEAT",
    }
}

words! {
    TargetState {
        Pending = "PENDING",
        Running = "RUNNING",
        Tested = "TESTED",
        Skipped = "SKIPPED",
        Cancelled = "CANCELLED",
    }
}

/// Which servers; what is empty narrows nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    pub group: String,
    pub labels: BTreeMap<String, String>,
    pub server_ids: Vec<String>,
}

/// How many at once, over all replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    pub max_parallel: u32,
    pub max_per_host: u32,
    pub max_per_network: u32,
}

impl Plan {
    /// Where nothing else is asked for.
    pub const USUAL: Self = Self { max_parallel: 32, max_per_host: 2, max_per_network: 16 };
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetTest {
    pub id: FleetTestId,
    /// None: of all tenants.
    pub tenant: Option<TenantId>,
    pub origin: Origin,
    pub state: State,
    pub selector: Selector,
    pub plan: Plan,
    pub comment: String,
    pub created_by: String,
    pub created_at: Instant,
    pub finished_at: Option<Instant>,
    /// Once it is finished.
    pub latencies: Vec<Latency>,
}

/// A server of a fleet test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    pub position: i64,
    pub server: ServerId,
    pub tenant: TenantId,
    pub name: String,
    pub host: String,
    pub port: u16,
    pub network: Option<String>,
    pub state: TargetState,
    pub attempts: u32,
    pub result: TargetResult,
    pub started_at: Option<Instant>,
    pub finished_at: Option<Instant>,
}

impl Target {
    /// One that waits for its turn.
    pub fn waits(
        position: i64,
        (server, tenant): (ServerId, TenantId),
        name: String,
        host: String,
        port: u16,
    ) -> Self {
        Self {
            position,
            // A name's is found when its turn is near.
            network: host.parse::<IpAddr>().ok().map(network_of),
            server,
            tenant,
            name,
            host,
            port,
            state: TargetState::Pending,
            attempts: 0,
            result: TargetResult::default(),
            started_at: None,
            finished_at: None,
        }
    }
}

/// What became of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TargetResult {
    /// None: it was not tested.
    pub status: Option<Status>,
    pub failed_check: String,
    /// The check's code, or why it could not be tested.
    pub reason: String,
    pub message: String,
    pub test: Option<TestId>,
}

/// How many targets stand where; of the tested, how they ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts(pub Vec<(TargetState, Option<Status>, u32)>);

impl Counts {
    pub fn of(&self, state: TargetState) -> u32 {
        self.sum(|(there, ..)| *there == state)
    }

    pub fn ended(&self, status: Status) -> u32 {
        self.sum(|(_, there, _)| *there == Some(status))
    }

    pub fn all(&self) -> u32 {
        self.sum(|_| true)
    }

    fn sum(&self, counts: impl Fn(&(TargetState, Option<Status>, u32)) -> bool) -> u32 {
        self.0.iter().filter(|row| counts(row)).map(|(.., number)| number).sum()
    }
}
