//! What can be told, one row an event: its name as the contract lists it, the subject line, the sentence.

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    pub name: &'static str,
    pub title: &'static str,
    /// What happened and, where something is to be done, what.
    pub text: &'static str,
    /// A tenant without a target of its own hears of it by its contacts.
    pub important: bool,
}

const fn event(name: &'static str, title: &'static str, text: &'static str) -> Event {
    Event { name, title, text, important: false }
}

const fn important(name: &'static str, title: &'static str, text: &'static str) -> Event {
    Event { name, title, text, important: true }
}

/// The message that a test sends.
pub const TEST: Event = event(
    "notification.test",
    "A test message",
    "Somebody had Keywright send this to see whether it arrives.",
);

const EVENTS: &[Event] = &[
    event(
        "rotation.started",
        "A key rotation began",
        "A new key is being made and installed; the old one works.",
    ),
    event(
        "rotation.succeeded",
        "A new key is in use",
        "The new key was proven on the servers. Download it before the old one stops at the end of its grace period.",
    ),
    important(
        "rotation.failed",
        "A key rotation failed",
        "The rotation ended without a new key, and the old key still works. See the rotation for the reason.",
    ),
    event("rotation.due", "A key is due for rotation", "The key comes to its maximum age: rotate it."),
    important(
        "grace.ending",
        "An old key stops soon",
        "The grace period of the old key ends soon: whoever still uses it must take the new one.",
    ),
    event(
        "grace.extended",
        "An old key works longer",
        "The grace period was extended once, since the new key was not downloaded.",
    ),
    important(
        "key.expired",
        "A key is older than allowed",
        "The key still works and is past its maximum age: rotate it.",
    ),
    event(
        "access.revoked",
        "SSH access was revoked",
        "The keys of the access are being removed from every server.",
    ),
    important(
        "access.exposed",
        "A revoked key still works on a server",
        "A server could not be reached: the revoked key may still be accepted there. Keywright goes on trying.",
    ),
    event(
        "campaign.paused",
        "A campaign was paused",
        "No further target is begun until somebody resumes it.",
    ),
    event(
        "campaign.finished",
        "A campaign is finished",
        "Every target has ended. See the campaign for those that failed.",
    ),
    event(
        "drift.found",
        "Keys on a server are not as they should be",
        "The server holds other keys than those that Keywright put there.",
    ),
    event(
        "invitation.created",
        "An operator invited somebody into your tenant",
        "Whoever has the invitation can become an owner of the tenant. If that is not expected, withdraw it and ask your operator.",
    ),
];

pub fn find(name: &str) -> Option<&'static Event> {
    EVENTS.iter().chain([&TEST]).find(|event| event.name == name)
}

/// One that a target can ask for.
pub fn offered(name: &str) -> Option<&'static Event> {
    EVENTS.iter().find(|event| event.name == name)
}

pub fn names() -> Vec<&'static str> {
    EVENTS.iter().map(|event| event.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contract_lists_the_same_events() {
        let contract = include_str!("../../../../proto/keywright/lifecycle/v1/notification_service.proto");
        let line = contract.lines().find(|line| line.contains("Which events: `")).unwrap();
        let (listed, _) = line.split_once(';').unwrap();
        let listed: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, names());
    }
}
