//! The rules that Keywright brings, one row a rule. An operator changes threshold and window, or switches one off.

use super::hours::Hours;
use super::rule::{Actors, Ending, Rule, Subject};
use jiff::civil::time;
use std::time::Duration;

/// A row.
struct BuiltIn {
    id: &'static str,
    description: &'static str,
    actions: &'static [&'static str],
    endings: &'static [Ending],
    reasons: &'static [&'static str],
    subject: Subject,
    actors: Actors,
    threshold: i64,
    window: u64,
    hours: Option<Hours>,
}

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const NIGHT: Hours = Hours::new(time(2, 0, 0, 0), time(6, 0, 0, 0));

const RULES: &[BuiltIn] = &[
    // Whoever cannot log in is not known: he is counted by where he comes from.
    BuiltIn {
        id: "failed-logins",
        description: "Log-ins from one address were refused, one after another",
        actions: &["session.login", "session.open", "invitation.redeem"],
        endings: &[Ending::Denied, Ending::Failed],
        reasons: &["UNAUTHENTICATED", "PERMISSION_DENIED", "INVITATION_NOT_FOUND"],
        subject: Subject::Source,
        actors: Actors::All,
        threshold: 5,
        window: 5 * MINUTE,
        hours: None,
    },
    BuiltIn {
        id: "second-download",
        description: "Somebody tried to download a private key that had been downloaded already",
        actions: &["access.download"],
        endings: &[],
        reasons: &["KEY_ALREADY_DOWNLOADED"],
        subject: Subject::Target,
        actors: Actors::All,
        threshold: 1,
        window: HOUR,
        hours: None,
    },
    // Programs work at night; nobody would look at an alert of each of them.
    BuiltIn {
        id: "night-access",
        description: "A person logged in, or used or took a key, between 02:00 and 06:00 of the tenant's day",
        actions: &[
            "session.login",
            "session.open",
            "access.download",
            "credential.sign_login",
            "credential.sign",
        ],
        endings: &[Ending::Succeeded],
        reasons: &[],
        subject: Subject::Actor,
        actors: Actors::People,
        threshold: 1,
        window: 4 * HOUR,
        hours: Some(NIGHT),
    },
    // Keywright's own work signs for whole fleets, and is logged by the wave.
    BuiltIn {
        id: "secret-uses",
        description: "More than 100 uses of secrets within a minute by one person or program",
        actions: &["credential.sign", "credential.sign_login", "credential.resolve", "custody.release"],
        endings: &[Ending::Succeeded],
        reasons: &[],
        subject: Subject::Actor,
        actors: Actors::Outside,
        threshold: 101,
        window: MINUTE,
        hours: None,
    },
    BuiltIn {
        id: "revoked-key",
        description: "A key that was revoked as compromised was offered again",
        actions: &["*"],
        endings: &[],
        reasons: &["KEY_COMPROMISED"],
        subject: Subject::Actor,
        actors: Actors::All,
        threshold: 1,
        window: HOUR,
        hours: None,
    },
    BuiltIn {
        id: "revoked-key-found",
        description: "A server's authorized_keys hold a key that was revoked as compromised",
        actions: &["server.revoked_key_found"],
        endings: &[],
        reasons: &[],
        subject: Subject::Target,
        actors: Actors::All,
        threshold: 1,
        window: HOUR,
        hours: None,
    },
    BuiltIn {
        id: "revoked-token",
        description: "An API token that was revoked was offered again",
        actions: &["token.revoked_use"],
        endings: &[],
        reasons: &[],
        subject: Subject::Target,
        actors: Actors::All,
        threshold: 1,
        window: HOUR,
        hours: None,
    },
    BuiltIn {
        id: "identity-mismatch",
        description: "A server showed another host key than its pinned one, or a token came without the certificate \
                      that it is bound to",
        actions: &["server.host_key_mismatch", "token.certificate_mismatch"],
        endings: &[],
        reasons: &[],
        subject: Subject::Target,
        actors: Actors::All,
        threshold: 1,
        window: HOUR,
        hours: None,
    },
    BuiltIn {
        id: "session-mismatch",
        description: "A login was to be signed in a session that is not proven to be the server's",
        actions: &["credential.sign_login"],
        endings: &[Ending::Denied],
        reasons: &["HOST_KEY_MISMATCH", "VALIDATION_FAILED"],
        subject: Subject::Actor,
        actors: Actors::All,
        threshold: 1,
        window: HOUR,
        hours: None,
    },
];

impl BuiltIn {
    fn rule(&self) -> Rule {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        Rule {
            id: self.id.to_owned(),
            description: self.description.to_owned(),
            actions: owned(self.actions),
            endings: self.endings.to_vec(),
            reasons: owned(self.reasons),
            subject: self.subject,
            actors: self.actors,
            threshold: self.threshold,
            window: Duration::from_secs(self.window),
            hours: self.hours,
            disabled: false,
            built_in: true,
        }
    }
}

/// As Keywright brings them.
pub fn all() -> Vec<Rule> {
    RULES.iter().map(BuiltIn::rule).collect()
}

pub fn find(id: &str) -> Option<Rule> {
    RULES.iter().find(|rule| rule.id == id).map(BuiltIn::rule)
}

#[cfg(test)]
mod tests {
    use super::super::rule::{MOST_ACTIONS, MOST_TIMES, is_id, is_pattern, is_reason};
    use super::*;
    use keywright_domain::reason::Reason;

    #[test]
    fn every_rule_is_one_that_an_operator_could_make_but_for_its_lists() {
        let mut ids: Vec<String> = all().into_iter().map(|rule| rule.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), RULES.len());
        for rule in all() {
            assert!(is_id(&rule.id) && rule.actions.len() <= MOST_ACTIONS, "{}", rule.id);
            assert!(rule.actions.iter().all(|pattern| is_pattern(pattern)), "{}", rule.id);
            assert!(rule.reasons.iter().all(|reason| is_reason(reason) && Reason::parse(reason).is_some()));
            assert!((1..=MOST_TIMES).contains(&rule.threshold));
            assert!(rule.description.chars().count() <= 200, "{}", rule.id);
        }
    }
}
