//! Refusals: whatever went wrong leaves as `google.rpc.Status`, as JSON for REST and as a gRPC status otherwise.
//!
//! Invariant: only statuses that carry a reason of ours are shown. Everything else (a transport's error, a decoder's
//! text) is replaced by the reason that fits its code, so no driver text leaves.

use crate::{
    body::{self, Body},
    ports::{DOMAIN, Failure, Violation},
};
use http::{HeaderValue, Response, StatusCode, header};
use keywright_domain::reason::Reason;
use keywright_proto::pool;
use prost_reflect::{DynamicMessage, ReflectMessage, Value};
use std::time::Duration;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// A refusal on its way to a REST client.
#[derive(Debug)]
pub struct Refusal {
    status: Status,
    /// Where HTTP knows better than the reason's table: 405 and 415.
    http: Option<StatusCode>,
    /// The methods that a known path takes.
    allow: Option<HeaderValue>,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status, http: None, allow: None }
    }
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        failure.to_status().into()
    }
}

impl Refusal {
    pub fn method_not_allowed(methods: &str) -> Self {
        let failure = said(
            Reason::ValidationFailed,
            format!("This path does not take this method. Use one of: {methods}."),
        );
        Self {
            status: failure.to_status(),
            http: Some(StatusCode::METHOD_NOT_ALLOWED),
            allow: HeaderValue::from_str(methods).ok(),
        }
    }

    pub fn unsupported_media_type() -> Self {
        let failure = said(
            Reason::ValidationFailed,
            "The body is not JSON. Send JSON, with Content-Type: application/json.",
        );
        Self { status: failure.to_status(), http: Some(StatusCode::UNSUPPORTED_MEDIA_TYPE), allow: None }
    }

    #[cfg(test)]
    pub fn status_json(&self) -> serde_json::Value {
        json(&self.status)
    }

    /// The answer to a REST client.
    pub fn into_response(self) -> Response<Body> {
        let status = ours(self.status);
        let http = self.http.unwrap_or_else(|| http_status(&status));
        let mut response = body::json(http, &json(&status));
        let headers = response.headers_mut();
        if let Some(delay) = status.get_details_retry_info().and_then(|info| info.retry_delay) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(delay)));
        }
        if http == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow {
            headers.insert(header::ALLOW, allow);
        }
        response
    }
}

/// A failure with a message that names its own remedy.
pub fn said(reason: Reason, message: impl Into<String>) -> Failure {
    let mut failure = Failure::new(reason, "");
    failure.message = message.into();
    failure
}

/// No such path.
pub fn route_not_found() -> Failure {
    said(Reason::RouteNotFound, "There is no such route. See /api/openapi.json for those that exist.")
}

/// No such RPC for anybody outside: what gRPC says where REST says 404.
pub fn unimplemented() -> Status {
    let details = ErrorDetails::with_error_info(
        Reason::RouteNotFound.as_str(),
        DOMAIN,
        [("code".to_owned(), Reason::RouteNotFound.as_str().to_lowercase())],
    );
    Status::with_error_details(
        Code::Unimplemented,
        "There is no such RPC here. Reflection lists those that exist.",
        details,
    )
}

pub fn too_large(limit: usize) -> Failure {
    Failure::new(Reason::PayloadTooLarge, format!("The request is larger than {limit} bytes."))
}

pub fn too_late() -> Failure {
    Failure::new(Reason::DeadlineExceeded, "The request took too long.")
}

/// What is wrong with the request, field by field.
pub fn invalid(violations: Vec<Violation>) -> Failure {
    let message = match violations.as_slice() {
        [Violation { field, description }] if !field.is_empty() => format!("{field} {description}."),
        [Violation { description, .. }] => format!("{description}."),
        _ => "The request is not valid.".to_owned(),
    };
    let mut failure = Failure::new(Reason::ValidationFailed, message);
    failure.violations = violations;
    failure
}

/// The reason that one of Keywright's own statuses carries.
pub fn reason_of(status: &Status) -> Option<Reason> {
    let info = status.get_details_error_info()?;
    if info.domain == DOMAIN { Reason::parse(&info.reason) } else { None }
}

/// `status` itself if it is one of ours, otherwise what its code means here.
pub fn ours(status: Status) -> Status {
    if reason_of(&status).is_some() {
        return status;
    }
    if status.code() == Code::Unimplemented {
        return unimplemented();
    }
    Failure::from_status(&status).to_status()
}

/// The HTTP status: the reason's where there is one, otherwise the code's.
pub fn http_status(status: &Status) -> StatusCode {
    let number = match reason_of(status) {
        Some(reason) => reason.http_status(),
        None => match status.code() {
            Code::Ok => 200,
            Code::InvalidArgument | Code::OutOfRange => 400,
            Code::Unauthenticated => 401,
            Code::PermissionDenied => 403,
            Code::NotFound | Code::Unimplemented => 404,
            Code::AlreadyExists | Code::FailedPrecondition | Code::Aborted => 409,
            Code::ResourceExhausted => 429,
            Code::Unavailable => 503,
            Code::DeadlineExceeded | Code::Cancelled => 504,
            Code::Unknown | Code::Internal | Code::DataLoss => 500,
        },
    };
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// `{code, message, details}`: the details that the descriptor pool knows, each with its `@type`, the reason first.
pub fn json(status: &Status) -> serde_json::Value {
    let details = details(status).unwrap_or_default();
    serde_json::json!({ "code": i32::from(status.code()), "message": status.message(), "details": details })
}

fn details(status: &Status) -> Option<Vec<serde_json::Value>> {
    let descriptor = pool().get_message_by_name("google.rpc.Status")?;
    let decoded = DynamicMessage::decode(descriptor, status.details()).ok()?;
    let list = decoded.get_field_by_name("details")?;
    let mut details: Vec<_> =
        list.as_list()?.iter().filter_map(Value::as_message).filter_map(detail).collect();
    details.sort_by_key(|detail| detail.get("reason").is_none());
    Some(details)
}

/// An `Any` of a type that nobody here knows says nothing to a client either: left out.
fn detail(any: &DynamicMessage) -> Option<serde_json::Value> {
    debug_assert_eq!(any.descriptor().full_name(), "google.protobuf.Any");
    serde_json::to_value(any).ok()
}

fn whole_seconds(delay: Duration) -> u64 {
    delay.as_secs().saturating_add(u64::from(delay.subsec_nanos() > 0)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_of_ours_is_shown_and_a_foreign_text_is_not() {
        let kept =
            ours(Failure::new(Reason::CredentialInUse, "In use.").with("totalServers", "2").to_status());
        let shown = json(&kept);
        assert_eq!(shown["code"], 9);
        assert!(shown["message"].as_str().unwrap().starts_with("In use. "));
        assert_eq!(shown["details"][0]["@type"], "type.googleapis.com/google.rpc.ErrorInfo");
        assert_eq!(shown["details"][0]["metadata"]["code"], "credential_in_use");
        assert_eq!(shown["details"][0]["metadata"]["totalServers"], "2");
        assert_eq!(http_status(&kept), 409);

        for code in 1..=16 {
            let replaced = ours(Status::new(Code::from(code), "connect to 10.0.0.7 refused"));
            assert!(!json(&replaced).to_string().contains("10.0.0.7"));
            assert!(reason_of(&replaced).is_some(), "{code}");
        }
    }

    #[test]
    fn every_reason_answers_its_own_http_status() {
        for reason in Reason::ALL {
            let response = Refusal::from(Failure::new(*reason, "text")).into_response();
            assert_eq!(response.status(), reason.http_status(), "{reason}");
            let retriable = matches!(reason.retry(), keywright_domain::reason::Retry::AfterDelay);
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), retriable, "{reason}");
        }
    }

    #[test]
    fn http_knows_better_twice() {
        let response = Refusal::method_not_allowed("GET, POST").into_response();
        assert_eq!(
            (response.status(), response.headers()["allow"].to_str().unwrap()),
            (StatusCode::METHOD_NOT_ALLOWED, "GET, POST")
        );
        assert_eq!(Refusal::unsupported_media_type().into_response().status(), 415);
    }
}
