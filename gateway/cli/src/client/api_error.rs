//! The gateway's errors: `google.rpc.Status` as JSON. Branches go by HTTP status and reason, never by text.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::fields;

#[derive(Debug)]
pub struct ApiError {
    pub http: u16,
    pub message: String,
    /// `ErrorInfo.reason`; empty if what answered is not a gateway.
    pub reason: String,
    /// Field and description of each violation.
    pub violations: Vec<(String, String)>,
    /// The facts of `ErrorInfo`, but for the reason in small letters.
    pub facts: Vec<(String, String)>,
    /// How long to wait, where the gateway says so.
    pub retry_after: String,
    pub request_id: Option<String>,
    raw: Value,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl ApiError {
    /// Reads an error's body. One that is not a Status (a proxy's page) is told by its HTTP status only.
    pub fn parse(http: u16, request_id: Option<String>, body: &str, had_token: bool) -> Self {
        let raw: Value = serde_json::from_str(body).unwrap_or(Value::Null);
        let mut error = Self {
            http,
            message: fields::text(&raw, "/message").to_owned(),
            reason: String::new(),
            violations: Vec::new(),
            facts: Vec::new(),
            retry_after: String::new(),
            request_id,
            raw: if raw.is_object() { raw.clone() } else { json!({"code": 2, "details": []}) },
        };
        for detail in fields::list(&raw, "/details") {
            error.read(detail);
        }
        if error.message.is_empty() {
            error.message = format!("HTTP status {http}, and not in the form of a Keywright gateway");
        }
        if http == 401 && !had_token {
            error.message.push_str(" (no token was sent: set KEYWRIGHT_TOKEN or run `keywright login`)");
        }
        error
    }

    fn read(&mut self, detail: &Value) {
        let kind = fields::text(detail, "/@type");
        if kind.ends_with("google.rpc.ErrorInfo") {
            fields::text(detail, "/reason").clone_into(&mut self.reason);
            let metadata = detail.pointer("/metadata").and_then(Value::as_object);
            let facts = metadata.into_iter().flatten().filter(|(name, _)| name.as_str() != "code");
            self.facts =
                facts.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect();
        } else if kind.ends_with("google.rpc.BadRequest") {
            self.violations.extend(fields::list(detail, "/fieldViolations").iter().map(|violation| {
                (
                    fields::text(violation, "/field").to_owned(),
                    fields::text(violation, "/description").to_owned(),
                )
            }));
        } else if kind.ends_with("google.rpc.RetryInfo") {
            fields::text(detail, "/retryDelay").clone_into(&mut self.retry_after);
        } else if kind.ends_with("google.rpc.RequestInfo") && self.request_id.is_none() {
            self.request_id = Some(fields::text(detail, "/requestId").to_owned());
        }
    }

    /// The Status as it came, with the request's id among the details.
    pub fn status(&self) -> Value {
        let mut status = self.raw.as_object().cloned().unwrap_or_default();
        status.insert("message".into(), Value::String(self.message.clone()));
        let details = status.entry("details").or_insert_with(|| Value::Array(Vec::new()));
        if let (Some(id), Some(details)) = (&self.request_id, details.as_array_mut())
            && !details
                .iter()
                .any(|detail| fields::text(detail, "/@type").ends_with("google.rpc.RequestInfo"))
        {
            let mut info = Map::new();
            info.insert("@type".into(), "type.googleapis.com/google.rpc.RequestInfo".into());
            info.insert("requestId".into(), id.as_str().into());
            details.push(Value::Object(info));
        }
        Value::Object(status)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &str = r#"{"code":9,"message":"2 servers use it. Unbind them first.","details":[
        {"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"CREDENTIAL_IN_USE","domain":"keywright","metadata":{"code":"credential_in_use","totalServers":"2"}},
        {"@type":"type.googleapis.com/google.rpc.BadRequest","fieldViolations":[{"field":"host","description":"is empty"}]}]}"#;

    #[test]
    fn a_status_is_read() {
        let error = ApiError::parse(409, Some("req_1".into()), BODY, true);
        assert_eq!(error.reason, "CREDENTIAL_IN_USE");
        assert_eq!(error.message, "2 servers use it. Unbind them first.");
        assert_eq!(error.violations, [("host".into(), "is empty".into())]);
        assert_eq!(error.facts, [("totalServers".into(), "2".into())]);
        let status = error.status();
        assert_eq!(status["code"], 9);
        assert_eq!(status["details"][0]["metadata"]["code"], "credential_in_use");
        assert_eq!(status["details"][2]["requestId"], "req_1");
    }

    #[test]
    fn a_proxys_page_is_told_by_its_status() {
        let error = ApiError::parse(502, None, "<html>bad gateway</html>", true);
        assert!(error.message.starts_with("HTTP status 502"));
        assert_eq!(error.reason, "");
    }

    #[test]
    fn a_missing_token_is_named() {
        let error = ApiError::parse(401, None, r#"{"code":16,"message":"Sign in."}"#, false);
        assert!(error.message.contains("KEYWRIGHT_TOKEN"));
    }
}
