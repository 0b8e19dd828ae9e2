//! A refusal that is tried again and again is not as many entries of the log: the first is logged at once, those that
//! are the same within a minute are counted, and the count is one entry at its end.

use keywright_domain::reason::Reason;
use keywright_proto::audit::RecordIntentRequest;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// More different ones than this are logged one by one.
const MOST: usize = 10_000;

#[derive(Default)]
pub(crate) struct Denials(Mutex<HashMap<String, Seen>>);

struct Seen {
    until: Instant,
    /// How often since the first, with the last of them.
    repeated: Option<(u32, Repeated)>,
}

/// What is logged of the repetitions.
#[derive(Debug, Clone)]
pub(crate) struct Repeated {
    pub(crate) record: RecordIntentRequest,
    pub(crate) reason: Reason,
}

#[derive(Debug, PartialEq)]
pub(crate) enum Noted {
    /// To be logged.
    First,
    Counted,
    /// The first repetition: the count under this key is to be told then.
    CountedUntil(String, Instant),
}

impl Denials {
    pub(crate) fn note(&self, record: &RecordIntentRequest, reason: Reason, now: Instant) -> Noted {
        let key = key(record, reason);
        let mut all = self.lock();
        if let Some(seen) = all.get_mut(&key)
            && (now < seen.until || seen.repeated.is_some())
        {
            let before = seen.repeated.as_ref().map(|(count, _)| *count);
            let last = Repeated { record: record.clone(), reason };
            seen.repeated = Some((before.unwrap_or(0).saturating_add(1), last));
            return if before.is_none() { Noted::CountedUntil(key, seen.until) } else { Noted::Counted };
        }
        if all.len() >= MOST {
            all.retain(|_, seen| now < seen.until || seen.repeated.is_some());
        }
        if all.len() < MOST
            && let Some(until) = now.checked_add(WINDOW)
        {
            all.insert(key, Seen { until, repeated: None });
        }
        Noted::First
    }

    /// The repetitions under a key, which are to be logged now.
    pub(crate) fn take(&self, key: &str) -> Option<Repeated> {
        self.lock().remove(key).and_then(told)
    }

    /// All repetitions: the process ends.
    pub(crate) fn take_all(&self) -> Vec<Repeated> {
        self.lock().drain().filter_map(|(_, seen)| told(seen)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn told(seen: Seen) -> Option<Repeated> {
    let (count, mut last) = seen.repeated?;
    last.record.details.insert("repeated".to_owned(), count.to_string());
    Some(last)
}

/// The same caller, who is refused the same for the same reason.
fn key(record: &RecordIntentRequest, reason: Reason) -> String {
    let details: Vec<String> = record.details.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let parts = [&record.actor, &record.action, &record.tenant_id, &record.target, &record.source_ip];
    let parts: Vec<&str> = parts.into_iter().map(String::as_str).collect();
    format!("{}\n{}\n{}", parts.join("\n"), reason.as_str(), details.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denial(actor: &str, target: &str) -> RecordIntentRequest {
        RecordIntentRequest {
            actor: actor.to_owned(),
            action: "access.download".to_owned(),
            target: target.to_owned(),
            ..Default::default()
        }
    }

    #[test]
    fn what_is_the_same_is_counted_for_a_minute() {
        let (denials, now) = (Denials::default(), Instant::now());
        let note =
            |record: &RecordIntentRequest, at| denials.note(record, Reason::PermissionDenied, now + at);
        let (mine, others) = (denial("prn_a", "acc_a"), denial("prn_b", "acc_a"));

        assert_eq!(note(&mine, Duration::ZERO), Noted::First);
        assert_eq!(note(&others, Duration::ZERO), Noted::First);
        assert_eq!(note(&denial("prn_a", "acc_b"), Duration::ZERO), Noted::First);
        let Noted::CountedUntil(key, until) = note(&mine, Duration::from_secs(1)) else { panic!() };
        assert_eq!(until, now + WINDOW);
        assert_eq!(note(&mine, Duration::from_secs(59)), Noted::Counted);
        // Late, but not told yet: it is not lost.
        assert_eq!(note(&mine, Duration::from_secs(61)), Noted::Counted);

        let told = denials.take(&key).unwrap();
        assert_eq!((told.record.details["repeated"].as_str(), told.record.actor.as_str()), ("3", "prn_a"));
        assert!(denials.take(&key).is_none());
        assert_eq!(note(&mine, Duration::from_secs(62)), Noted::First);
        assert_eq!(
            note(&others, Duration::from_secs(62)),
            Noted::First,
            "nothing was repeated in its minute"
        );
        assert!(denials.take_all().is_empty());
    }

    #[test]
    fn another_reason_is_another_denial() {
        let (denials, now, mine) = (Denials::default(), Instant::now(), denial("prn_a", "acc_a"));
        assert_eq!(denials.note(&mine, Reason::PermissionDenied, now), Noted::First);
        assert_eq!(denials.note(&mine, Reason::AccessNotFound, now), Noted::First);
        let mut other = mine.clone();
        other.details.insert("deniedBy".to_owned(), "limit-download".to_owned());
        assert_eq!(denials.note(&other, Reason::PermissionDenied, now), Noted::First);
    }

    #[test]
    fn memory_is_bounded_and_nothing_is_left_out() {
        let (denials, now) = (Denials::default(), Instant::now());
        for number in 0..MOST + 10 {
            let one = denial("prn_a", &number.to_string());
            assert_eq!(denials.note(&one, Reason::PermissionDenied, now), Noted::First);
        }
        assert_eq!(denials.lock().len(), MOST);
        let again = denial("prn_a", &(MOST + 5).to_string());
        assert_eq!(denials.note(&again, Reason::PermissionDenied, now), Noted::First);
        let later = now + WINDOW;
        assert_eq!(denials.note(&again, Reason::PermissionDenied, later), Noted::First);
        assert_eq!(denials.lock().len(), 1, "what is over is forgotten");
    }
}
