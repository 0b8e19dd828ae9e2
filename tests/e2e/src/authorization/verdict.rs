//! What an answer says about authorization, whatever it says beyond it.

use std::fmt;

use keywright_proto::{AuditClass, Exposure};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::rpc::Rpc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It got past the decision.
    Allowed,
    /// Nobody is asked who he is.
    Open,
    /// 403.
    Denied,
    /// 404, the same as for what does not exist.
    Hidden,
    /// 401.
    Unauthenticated,
    /// There is no such RPC here.
    Unreachable,
    /// Nobody has written it.
    Unimplemented,
    /// 404, but not the same as for what does not exist.
    Leaking,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Allowed => "yes",
            Self::Open => "open",
            Self::Denied => "403",
            Self::Hidden => "404",
            Self::Unauthenticated => "401",
            Self::Unreachable => "none",
            Self::Unimplemented => "UNIMPLEMENTED",
            Self::Leaking => "LEAKING",
        })
    }
}

/// The reason of one of Keywright's own errors.
pub fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Of an answer that does not depend on what exists. `None`: that one has to be asked too.
pub fn of(rpc: &Rpc, answer: &Result<(), Status>) -> Option<Verdict> {
    let Err(status) = answer else { return Some(passed(rpc)) };
    let unheard_of = status.code() == Code::Unimplemented;
    Some(match status.code() {
        Code::Unimplemented if reason(status) == "ROUTE_NOT_FOUND" => {
            if rpc.rule.exposure == Exposure::Public { Verdict::Unimplemented } else { Verdict::Unreachable }
        }
        _ if unheard_of => Verdict::Unimplemented,
        _ if rpc.rule.audit_class == AuditClass::Public => Verdict::Open,
        Code::Unauthenticated => Verdict::Unauthenticated,
        Code::PermissionDenied => Verdict::Denied,
        Code::NotFound => return None,
        Code::Unavailable if is_of_the_operation(status) => Verdict::Allowed,
        Code::Unavailable | Code::Unknown | Code::Internal => panic!("{}: {status:?}", rpc.name()),
        _ => Verdict::Allowed,
    })
}

/// Whether it was the operation that something was missing for, and not the way to it.
fn is_of_the_operation(status: &Status) -> bool {
    !["", "SERVICE_UNAVAILABLE", "AUDIT_UNAVAILABLE", "STORAGE_UNAVAILABLE"]
        .contains(&reason(status).as_str())
}

/// Of a 404, by what the same caller is told of what does not exist.
pub fn compared(rpc: &Rpc, answer: &Status, nonexistent: &Result<(), Status>) -> Verdict {
    match nonexistent {
        Err(other) if other.code() == Code::NotFound && reason(other) == reason(answer) => {
            if other.message() == answer.message() { Verdict::Hidden } else { Verdict::Leaking }
        }
        // It was told about something in what exists.
        _ => passed(rpc),
    }
}

fn passed(rpc: &Rpc) -> Verdict {
    if rpc.rule.audit_class == AuditClass::Public { Verdict::Open } else { Verdict::Allowed }
}
