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
        "Keys of an SSH access were revoked",
        "They are being removed from every server. See the revocation for what is proven, and for other ways in.",
    ),
    important(
        "access.exposed",
        "A revoked key may still work on a server",
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
        "server.state_changed",
        "A server's connectivity changed",
        "A test with the server's bound credential ended otherwise than the one before. See the server's state changes for both.",
    ),
    important(
        "server.host_key_mismatch",
        "A server shows another host key",
        "The host was set up anew, its address is another machine's now, or somebody stands between. Nothing is signed for it any more: tests, rotations and logins fail, and revocations wait. Compare the fingerprints with what the server's own console says, then approve the pinned key again or re-pin: keywright server host-key scan, approve, repin.",
    ),
    important(
        "server.host_key_resolved",
        "A server's host key is settled",
        "A fresh scan showed the host key, and somebody approved it or re-pinned. Logins are signed again, and what waited goes on. If none of your people did that, look into the audit log.",
    ),
    event(
        "invitation.created",
        "An operator invited somebody into your tenant",
        "Whoever has the invitation can become an owner of the tenant. If that is not expected, withdraw it and ask your operator.",
    ),
    important(
        "audit.alert",
        "The audit log raised an alert",
        "Something happened that the log is watched for. Look at its events (keywright audit list), find out who it was, and acknowledge the alert: keywright audit alerts.",
    ),
];

/// What is said of rotations that replace no key: the event, the kinds, the subject line, the sentence.
const OF_OTHER_KINDS: &[(&str, &[&str], &str, &str)] = &[
    (
        "rotation.started",
        &["PROVISION", "REGENERATE"],
        "A key is being installed",
        "A key is being made and installed on the servers of the access.",
    ),
    (
        "rotation.started",
        &["ADD_HOST"],
        "A server is being added to an SSH access",
        "The keys in use are being installed there; no key changes.",
    ),
    (
        "rotation.started",
        &["REMOVE_HOST"],
        "A server is being taken off an SSH access",
        "Every key of the access is being removed there; elsewhere they go on working.",
    ),
    (
        "rotation.succeeded",
        &["PROVISION", "REGENERATE"],
        "A new key is in use",
        "The key was proven on the servers. An owner or admin of the tenant can download it, unless its holder made it.",
    ),
    (
        "rotation.succeeded",
        &["ADD_HOST"],
        "A server was added to an SSH access",
        "The keys in use were proven there; no key changed.",
    ),
    (
        "rotation.succeeded",
        &["REMOVE_HOST"],
        "A server was taken off an SSH access",
        "The server was proven to refuse every key of the access.",
    ),
    (
        "rotation.failed",
        &["PROVISION", "REGENERATE"],
        "A key could not be installed",
        "The rotation ended without a key in use. See the rotation for the reason.",
    ),
    (
        "rotation.failed",
        &["ADD_HOST"],
        "A server could not be added to an SSH access",
        "The access keeps the servers and keys that it has. See the rotation for the reason.",
    ),
];

/// The subject line and the sentence; `kind` is the rotation's, where it is about one.
pub fn words(name: &str, kind: &str) -> (&'static str, &'static str) {
    let of_kind = OF_OTHER_KINDS.iter().find(|(event, kinds, ..)| *event == name && kinds.contains(&kind));
    match (of_kind, find(name)) {
        (Some((_, _, title, text)), _) => (title, text),
        (None, Some(event)) => (event.title, event.text),
        (None, None) => ("Something happened", ""),
    }
}

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
    fn no_old_key_is_said_to_work_where_there_is_none() {
        use crate::model::RotationKind::{AddHost, Provision, Regenerate, RemoveHost, Rotate};
        for event in ["rotation.started", "rotation.succeeded", "rotation.failed"] {
            assert!(words(event, Rotate.as_str()).1.contains(" old "), "{event}");
            for kind in [Provision, Regenerate, AddHost, RemoveHost] {
                // The removal of a host does not fail: it goes on until it is proven.
                if (event, kind) != ("rotation.failed", RemoveHost) {
                    assert!(!words(event, kind.as_str()).1.contains(" old "), "{event} {kind:?}");
                }
            }
        }
        assert_eq!(
            words("access.revoked", ""),
            ("Keys of an SSH access were revoked", find("access.revoked").unwrap().text)
        );
    }

    #[test]
    fn the_contract_lists_the_same_events() {
        let contract = include_str!("../../../../proto/keywright/lifecycle/v1/notification_service.proto");
        let line = contract.lines().find(|line| line.contains("Which events: `")).unwrap();
        let (listed, _) = line.split_once(';').unwrap();
        let listed: Vec<&str> = listed.split('`').skip(1).step_by(2).collect();
        assert_eq!(listed, names());
    }
}
