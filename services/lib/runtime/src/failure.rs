//! The one form in which a service says no: a reason from the table, a message with the remedy, facts.

use keywright_domain::ids::shown;
use keywright_domain::reason::{Code, Reason, Retry};
use keywright_storage as storage;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::time::Duration;
use tonic_types::{ErrorDetails, StatusExt};

/// The domain of `google.rpc.ErrorInfo`.
pub const DOMAIN: &str = "keywright";

/// What the client is to wait before it tries again.
const RETRY_DELAY: Duration = Duration::from_secs(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The field's path in the REST form, for example `confirmation.credentialId`.
    pub field: String,
    pub description: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    pub reason: Reason,
    /// What failed and what to do about it, for a person.
    pub message: String,
    pub metadata: BTreeMap<String, String>,
    pub violations: Vec<Violation>,
    /// How long to wait before trying again, where it is known better than by the reason.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// `message` says what failed; the reason's remedy is added.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let mut message = message.into();
        let remedy = reason.remedy();
        if !message.contains(remedy) {
            message.push(' ');
            message.push_str(remedy);
        }
        Self { reason, message, metadata: BTreeMap::new(), violations: Vec::new(), retry_after: None }
    }

    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.metadata.insert(key.to_owned(), value.into());
        self
    }

    #[must_use]
    pub fn after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// One field that is missing, malformed or unknown.
    pub fn violation(field: &str, description: impl Into<String>) -> Self {
        let description = description.into();
        let mut failure = Self::new(Reason::ValidationFailed, format!("{field}: {description}."));
        failure.violations.push(Violation { field: field.to_owned(), description });
        failure
    }

    /// An object that does not exist for this caller.
    pub fn not_found(reason: Reason, id: &str) -> Self {
        Self::new(reason, "There is no such object for you.").with("id", shown(id))
    }

    pub fn is(&self, reason: Reason) -> bool {
        self.reason == reason
    }

    pub fn to_status(&self) -> tonic::Status {
        let mut metadata: HashMap<String, String> = self.metadata.clone().into_iter().collect();
        metadata.insert("code".to_owned(), self.reason.as_str().to_ascii_lowercase());
        let mut details = ErrorDetails::with_error_info(self.reason.as_str(), DOMAIN, metadata);
        for violation in &self.violations {
            details.add_bad_request_violation(&violation.field, &violation.description);
        }
        if self.reason.retry() == Retry::AfterDelay {
            details.set_retry_info(Some(self.retry_after.unwrap_or(RETRY_DELAY)));
        }
        if let (Code::NotFound, Some(id)) = (self.reason.code(), self.metadata.get("id")) {
            let kind = self.reason.as_str().trim_end_matches("_NOT_FOUND").to_ascii_lowercase();
            details.set_resource_info(kind, id, "", "");
        }
        tonic::Status::with_error_details(grpc_code(self.reason.code()), self.message.clone(), details)
    }

    /// What a peer answered. Without our own detail it is a fault of transport: unavailable, or past its deadline.
    pub fn from_status(status: &tonic::Status) -> Self {
        let details = status.get_error_details();
        let reason = details
            .error_info()
            .filter(|info| info.domain == DOMAIN)
            .and_then(|info| Reason::parse(&info.reason));
        match reason {
            Some(reason) => {
                let metadata = details.error_info().map(|info| info.metadata.clone()).unwrap_or_default();
                let violations =
                    details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
                Self {
                    reason,
                    message: status.message().to_owned(),
                    metadata: metadata.into_iter().filter(|(key, _)| key != "code").collect(),
                    violations: violations
                        .into_iter()
                        .map(|v| Violation { field: v.field, description: v.description })
                        .collect(),
                    retry_after: details
                        .retry_info()
                        .and_then(|info| info.retry_delay)
                        .filter(|delay| *delay != RETRY_DELAY),
                }
            }
            None => match status.code() {
                tonic::Code::DeadlineExceeded | tonic::Code::Cancelled => {
                    Self::new(Reason::DeadlineExceeded, "A service of Keywright did not answer in time.")
                }
                tonic::Code::Unavailable | tonic::Code::Unknown => {
                    Self::new(Reason::ServiceUnavailable, "A service of Keywright could not be reached.")
                }
                tonic::Code::OutOfRange | tonic::Code::ResourceExhausted => {
                    Self::new(Reason::PayloadTooLarge, "The message is too large.")
                }
                _ => Self::new(Reason::Internal, "A service of Keywright answered unexpectedly."),
            },
        }
    }
}

fn grpc_code(code: Code) -> tonic::Code {
    match code {
        Code::InvalidArgument => tonic::Code::InvalidArgument,
        Code::NotFound => tonic::Code::NotFound,
        Code::AlreadyExists => tonic::Code::AlreadyExists,
        Code::FailedPrecondition => tonic::Code::FailedPrecondition,
        Code::Aborted => tonic::Code::Aborted,
        Code::Unavailable => tonic::Code::Unavailable,
        Code::DeadlineExceeded => tonic::Code::DeadlineExceeded,
        Code::Unauthenticated => tonic::Code::Unauthenticated,
        Code::PermissionDenied => tonic::Code::PermissionDenied,
        Code::ResourceExhausted => tonic::Code::ResourceExhausted,
        Code::Internal => tonic::Code::Internal,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.message)
    }
}

impl std::error::Error for Failure {}

impl From<Failure> for tonic::Status {
    fn from(failure: Failure) -> Self {
        failure.to_status()
    }
}

impl From<tonic::Status> for Failure {
    fn from(status: tonic::Status) -> Self {
        Self::from_status(&status)
    }
}

/// A service's errors are a `Failure`, or the database's.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Refused(Failure),
    #[error("the database failed")]
    Storage(#[source] storage::Error),
}

impl Error {
    /// What the caller is told; a database's own words stay inside.
    pub fn into_failure(self) -> Failure {
        match self {
            Self::Refused(failure) => failure,
            Self::Storage(storage::Error::Exists(_)) => {
                Failure::new(Reason::AlreadyExists, "It exists already.")
            }
            Self::Storage(storage::Error::Corrupt(column)) => {
                tracing::error!(column, "a stored value cannot be read");
                Failure::new(Reason::Internal, "A stored value cannot be read.")
            }
            Self::Storage(error) => {
                tracing::warn!(kind = storage_kind(&error), "the database failed");
                Failure::new(Reason::StorageUnavailable, "The database does not answer.")
            }
        }
    }
}

fn storage_kind(error: &storage::Error) -> &'static str {
    match error {
        storage::Error::Again(_) => "contention",
        storage::Error::Exists(_) => "exists",
        storage::Error::Unavailable(_) => "unavailable",
        storage::Error::Migration(_) => "migration",
        storage::Error::Corrupt(_) => "corrupt",
    }
}

impl storage::Retriable for Error {
    fn again(&self) -> bool {
        matches!(self, Self::Storage(error) if error.again())
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl From<storage::Error> for Error {
    fn from(error: storage::Error) -> Self {
        Self::Storage(error)
    }
}

impl From<keywright_domain::clock::NoRandomness> for Error {
    fn from(_: keywright_domain::clock::NoRandomness) -> Self {
        Self::Refused(Failure::new(Reason::Internal, "The operating system gave no random bytes."))
    }
}

impl From<keywright_domain::clock::NoRandomness> for Failure {
    fn from(_: keywright_domain::clock::NoRandomness) -> Self {
        Self::new(Reason::Internal, "The operating system gave no random bytes.")
    }
}

impl From<storage::Unanswered> for Failure {
    fn from(_: storage::Unanswered) -> Self {
        Self::new(Reason::Internal, "A write to the database ended without an answer.")
    }
}

impl From<storage::Error> for Failure {
    fn from(error: storage::Error) -> Self {
        Error::from(error).into_failure()
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        error.into_failure()
    }
}

impl From<Error> for tonic::Status {
    fn from(error: Error) -> Self {
        error.into_failure().to_status()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire() {
        for reason in Reason::ALL {
            let sent = Failure::new(*reason, "It failed.").with("totalServers", "2");
            let got = Failure::from_status(&sent.to_status());
            assert_eq!(got, sent);
        }
        let sent = Failure::violation("confirmation.credentialId", "is missing");
        assert_eq!(Failure::from_status(&sent.to_status()), sent);
    }

    #[test]
    fn the_reasons_of_the_contract_and_of_the_table_are_the_same() {
        let proto: Vec<String> = keywright_proto::pool()
            .get_enum_by_name("keywright.common.v1.ErrorReason")
            .unwrap()
            .values()
            .skip(1)
            .map(|v| v.name().trim_start_matches("ERROR_REASON_").to_owned())
            .collect();
        for name in &proto {
            assert!(Reason::parse(name).is_some(), "{name} is missing in the table");
        }
        assert_eq!(proto.len(), Reason::ALL.len());
    }
}
