//! Why a call failed, and what to do about it.

use std::time::Duration;

use keywright_proto::common::ErrorReason;
use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Who says why, in `google.rpc.ErrorInfo`.
const DOMAIN: &str = "keywright";
/// To wait before trying again where nobody says how long.
const PAUSE: Duration = Duration::from_secs(1);

/// A call that failed. Branch on [`Error::reason`], never on the message.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {message}")]
pub struct Error {
    /// `Unspecified` where Keywright did not answer, or with a reason that this client does not know.
    pub reason: ErrorReason,
    /// The reason's name, such as `CREDENTIAL_NOT_FOUND`.
    pub name: String,
    /// For a person, with the remedy.
    pub message: String,
    /// Field and description of each part of the request that cannot be.
    pub violations: Vec<(String, String)>,
    advice: Advice,
}

/// Whether the same call can succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Not without somebody doing something: see the message.
    Never,
    /// After this long.
    After(Duration),
    /// After reading again what it was about.
    AfterReading,
}

impl Error {
    pub fn advice(&self) -> Advice {
        self.advice
    }

    pub(crate) fn from_status(status: &Status) -> Self {
        let details = status.get_error_details();
        let info = details.error_info().filter(|info| info.domain == DOMAIN);
        let known =
            info.and_then(|info| ErrorReason::from_str_name(&format!("ERROR_REASON_{}", info.reason)));
        let advice = match (info, status.code()) {
            (_, Code::Aborted) => Advice::AfterReading,
            (Some(_), _) => match details.retry_info().and_then(|retry| retry.retry_delay) {
                Some(delay) => Advice::After(delay),
                None => Advice::Never,
            },
            // The way to Keywright, not Keywright.
            (None, Code::Unavailable | Code::Unknown | Code::DeadlineExceeded | Code::Cancelled) => {
                Advice::After(PAUSE)
            }
            (None, _) => Advice::Never,
        };
        let violations = details.bad_request().map(|bad| bad.field_violations.clone()).unwrap_or_default();
        Self {
            reason: known.unwrap_or(ErrorReason::Unspecified),
            name: info.map_or_else(|| format!("{:?}", status.code()), |info| info.reason.clone()),
            message: status.message().to_owned(),
            violations: violations.into_iter().map(|it| (it.field, it.description)).collect(),
            advice,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic_types::ErrorDetails;

    fn told(reason: &str, code: Code, delay: Option<Duration>) -> Error {
        let mut details = ErrorDetails::with_error_info(reason, DOMAIN, std::collections::HashMap::new());
        if delay.is_some() {
            details.set_retry_info(delay);
        }
        details.add_bad_request_violation("purpose", "is missing");
        Error::from_status(&Status::with_error_details(code, "No.", details))
    }

    #[test]
    fn the_reason_and_the_advice_are_the_servers() {
        let limited = told("RATE_LIMITED", Code::ResourceExhausted, Some(Duration::from_secs(3)));
        assert_eq!(
            (limited.reason, limited.advice()),
            (ErrorReason::RateLimited, Advice::After(Duration::from_secs(3)))
        );
        let denied = told("RESOLVE_NOT_ALLOWED", Code::FailedPrecondition, None);
        assert_eq!((denied.reason, denied.advice()), (ErrorReason::ResolveNotAllowed, Advice::Never));
        assert_eq!(denied.violations, [("purpose".to_owned(), "is missing".to_owned())]);
        assert_eq!(told("REVISION_MISMATCH", Code::Aborted, None).advice(), Advice::AfterReading);
        let newer = told("NOT_YET_THOUGHT_OF", Code::FailedPrecondition, None);
        assert_eq!((newer.reason, newer.name.as_str()), (ErrorReason::Unspecified, "NOT_YET_THOUGHT_OF"));
    }

    #[test]
    fn a_server_that_is_not_there_is_tried_again() {
        for code in [Code::Unavailable, Code::DeadlineExceeded] {
            let gone = Error::from_status(&Status::new(code, "gone"));
            assert_eq!((gone.reason, gone.advice()), (ErrorReason::Unspecified, Advice::After(PAUSE)));
        }
        assert_eq!(Error::from_status(&Status::new(Code::Unimplemented, "?")).advice(), Advice::Never);
    }
}
