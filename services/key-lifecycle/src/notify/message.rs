//! A message in the two forms in which it leaves: the body of a webhook, and a mail. The same every time that it is sent.

use super::events;
use crate::model::Delivery;
use keywright_domain::ids::TenantId;
use serde_json::json;
use std::fmt::Write;

/// `{type, timestamp, data}` of Standard Webhooks.
pub fn webhook(delivery: &Delivery) -> Vec<u8> {
    let (title, text) = words(delivery);
    let body = json!({
        "type": delivery.event,
        "timestamp": delivery.occurred_at.rfc3339(),
        "data": {
            "tenantId": delivery.tenant.as_ref().map_or("", TenantId::as_str),
            "subject": delivery.subject,
            "title": title,
            "text": text,
            "details": delivery.details,
        },
    });
    body.to_string().into_bytes()
}

/// What a mail says: its subject line and its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    pub subject: String,
    pub text: String,
}

pub fn letter(delivery: &Delivery) -> Letter {
    let (title, text) = words(delivery);
    let mut body = format!("{text}\n\n");
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            // No value can look like a line of ours; writing to a text does not fail.
            let _ = writeln!(body, "{name}: {}", value.replace(char::is_control, " "));
        }
    };
    line("event", &delivery.event);
    line("about", &delivery.subject);
    line("tenant", delivery.tenant.as_ref().map_or("", TenantId::as_str));
    line("at", &delivery.occurred_at.rfc3339());
    for (name, value) in &delivery.details {
        line(name, value);
    }
    body.push_str("\nSent by Keywright. Answers to this address are not read.\n");
    Letter { subject: format!("[Keywright] {title}"), text: body }
}

fn words(delivery: &Delivery) -> (&'static str, &'static str) {
    events::words(&delivery.event, delivery.details.get("kind").map_or("", String::as_str))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Recipient, Untold};
    use keywright_domain::clock::Instant;
    use keywright_domain::ids::MessageId;

    #[test]
    fn both_forms_say_what_happened_to_what() {
        let tenant = TenantId::random().unwrap();
        let notice = Untold {
            dedup: "d".to_owned(),
            event: "rotation.failed".to_owned(),
            tenant: Some(tenant.clone()),
            subject: "rot_x".to_owned(),
            details: [("server".to_owned(), "web\r\nBcc: you@example.com".to_owned())].into(),
            at: Instant::from_secs(1_700_000_000),
        };
        let to = Recipient::Contact("ops@example.com".to_owned());
        let delivery = Delivery::new(MessageId::random().unwrap(), to, &notice, notice.at);
        let body: serde_json::Value = serde_json::from_slice(&webhook(&delivery)).unwrap();
        assert_eq!(
            (&body["type"], &body["timestamp"], &body["data"]["tenantId"]),
            (&json!("rotation.failed"), &json!("2023-11-14T22:13:20.000000Z"), &json!(tenant.as_str()))
        );
        let letter = letter(&delivery);
        assert_eq!(letter.subject, "[Keywright] A key rotation failed");
        assert!(letter.text.contains("about: rot_x\n"), "{}", letter.text);
        assert!(letter.text.contains("server: web  Bcc: you@example.com\n"), "{}", letter.text);
    }

    #[test]
    fn a_wrong_host_key_is_told_with_both_keys_and_what_to_do() {
        let details = [("presented", "SHA256:wrong"), ("pinned", "SHA256:right"), ("host", "web.example:22")];
        let notice = Untold {
            dedup: "d".to_owned(),
            event: "server.host_key_mismatch".to_owned(),
            tenant: None,
            subject: "srv_x".to_owned(),
            details: details.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            at: Instant::from_secs(1_700_000_000),
        };
        let to = Recipient::Contact("ops@example.com".to_owned());
        let letter = letter(&Delivery::new(MessageId::random().unwrap(), to, &notice, notice.at));
        assert_eq!(letter.subject, "[Keywright] A server shows another host key");
        for said in ["about: srv_x\n", "presented: SHA256:wrong\n", "pinned: SHA256:right\n"] {
            assert!(letter.text.contains(said), "{}", letter.text);
        }
        for said in ["rotations and logins fail", "revocations wait", "host-key scan, approve, repin"] {
            assert!(letter.text.contains(said), "{}", letter.text);
        }
    }
}
