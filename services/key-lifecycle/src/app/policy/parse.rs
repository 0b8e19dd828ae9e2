//! Settings as they were sent, and the checks that make them settings. Every field that is wrong is named at once.

use crate::model::{DriftAction, OwnSettings, WEEKDAYS, Window};
use keywright_domain::authorized_keys::{LineOption, from_contains, parse_policy_options};
use keywright_domain::key::KeyAlgorithm;
use keywright_runtime::failure::{Failure, Violation};
use std::net::IpAddr;
use std::time::Duration;

const MINUTE: u64 = 60;
const DAY: u64 = 24 * 3600;
const MOST_DOWNLOADS: u32 = 10;

/// As it was sent; a span that is none (negative) is an error of its field.
#[derive(Debug, Clone, Default)]
pub struct AskedSettings {
    pub key_algorithm: Option<String>,
    pub maximum_age: Option<Result<Duration, ()>>,
    pub grace_period: Option<Result<Duration, ()>>,
    pub automatic_rotation: Option<bool>,
    pub rotation_window: Option<AskedWindow>,
    pub line_options: Option<Vec<String>>,
    pub downloads_per_version: Option<i32>,
    pub forget_after_download: Option<bool>,
    pub passphrase_required: Option<bool>,
    pub client_made_required: Option<bool>,
    pub promote_with_outstanding: Option<bool>,
    /// None inside: a word that does not exist.
    pub drift_action: Option<Option<DriftAction>>,
}

/// An empty one is always open.
#[derive(Debug, Clone, Default)]
pub struct AskedWindow {
    pub weekdays: Vec<String>,
    pub start: String,
    pub length: Option<Result<Duration, ()>>,
}

impl AskedSettings {
    /// `egress`: from where our proofs come, which every line has to let in.
    pub fn parse(self, egress: &[IpAddr]) -> Result<OwnSettings, Failure> {
        let mut wrong = Wrong::default();
        let own = OwnSettings {
            key_algorithm: self.key_algorithm.and_then(|name| wrong.algorithm(&name)),
            maximum_age: self.maximum_age.and_then(|span| {
                wrong.span("maximumAge", span, 30 * DAY..=365 * DAY, "must be from 30 to 365 days")
            }),
            grace_period: self
                .grace_period
                .and_then(|span| wrong.span("gracePeriod", span, 0..=7 * DAY, "must be from 0 to 7 days")),
            automatic_rotation: self.automatic_rotation,
            rotation_window: self.rotation_window.and_then(|window| wrong.window(&window)),
            line_options: self.line_options.and_then(|options| wrong.options(&options, egress)),
            downloads_per_version: self.downloads_per_version.and_then(|count| wrong.downloads(count)),
            forget_after_download: self.forget_after_download,
            passphrase_required: self.passphrase_required,
            client_made_required: self.client_made_required,
            promote_with_outstanding: self.promote_with_outstanding,
            drift_action: self
                .drift_action
                .and_then(|action| wrong.unless(action, "driftAction", "must be observe or repair")),
        };
        wrong.0.map_or(Ok(own), Err)
    }
}

/// The first violation makes the failure; the others join it.
#[derive(Default)]
struct Wrong(Option<Failure>);

impl Wrong {
    fn say(&mut self, field: &str, description: impl Into<String>) {
        let (field, description) = (format!("policy.{field}"), description.into());
        match &mut self.0 {
            None => self.0 = Some(Failure::violation(&field, description)),
            Some(failure) => failure.violations.push(Violation { field, description }),
        }
    }

    fn unless<T>(&mut self, value: Option<T>, field: &str, description: &str) -> Option<T> {
        if value.is_none() {
            self.say(field, description);
        }
        value
    }

    fn algorithm(&mut self, name: &str) -> Option<KeyAlgorithm> {
        self.unless(KeyAlgorithm::parse(name).ok(), "keyAlgorithm", "is not one of those listed")
    }

    fn span(
        &mut self,
        field: &str,
        span: Result<Duration, ()>,
        range: std::ops::RangeInclusive<u64>,
        description: &str,
    ) -> Option<Duration> {
        let whole = span.ok().filter(|span| span.subsec_nanos() == 0 && range.contains(&span.as_secs()));
        self.unless(whole, field, description)
    }

    fn downloads(&mut self, count: i32) -> Option<u32> {
        let count = u32::try_from(count).ok().filter(|count| *count <= MOST_DOWNLOADS);
        self.unless(count, "downloadsPerVersion", "must be from 0 to 10")
    }

    fn window(&mut self, asked: &AskedWindow) -> Option<Option<Window>> {
        if asked.weekdays.is_empty() && asked.start.is_empty() && asked.length.is_none() {
            return Some(None);
        }
        let weekdays = self.weekdays(&asked.weekdays);
        let start = self.unless(minute(&asked.start), "rotationWindow.start", "must be a time such as 02:30");
        let length = asked.length.unwrap_or(Err(()));
        let range = 15 * MINUTE..=DAY;
        let length = self.span("rotationWindow.length", length, range, "must be from 15 minutes to 24 hours");
        Some(Some(Window { weekdays: weekdays?, start_minute: start?, length: length? }))
    }

    fn weekdays(&mut self, names: &[String]) -> Option<Vec<u8>> {
        let mut days = Vec::new();
        for name in names {
            let day = (0u8..).zip(WEEKDAYS).find(|(_, known)| known == name).map(|(day, _)| day);
            match day {
                Some(day) if !days.contains(&day) => days.push(day),
                _ => {
                    self.say(
                        "rotationWindow.weekdays",
                        "must be mon, tue, wed, thu, fri, sat or sun, each once",
                    );
                    return None;
                }
            }
        }
        days.sort_unstable();
        Some(days)
    }

    fn options(&mut self, texts: &[String], egress: &[IpAddr]) -> Option<Vec<LineOption>> {
        let options = match parse_policy_options(texts.iter().map(String::as_str)) {
            Ok(options) => options,
            Err((at, error)) => {
                self.say(&format!("lineOptions.options[{at}]"), error.to_string());
                return None;
            }
        };
        for (at, option) in options.iter().enumerate() {
            if let Some(address) = egress.iter().find(|address| !from_contains(option, **address)) {
                let remedy = format!("must let in {address}, from where Keywright proves its keys: add it");
                self.say(&format!("lineOptions.options[{at}]"), remedy);
                return None;
            }
        }
        Some(options)
    }
}

/// Minutes after midnight.
fn minute(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |digits: &str, below: u16| {
        let two = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse::<u16>().ok().filter(|number| two && *number < below)
    };
    Some(number(hours, 24)?.saturating_mul(60).saturating_add(number(minutes, 60)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(asked: AskedSettings) -> Vec<String> {
        let failure = asked.parse(&[]).unwrap_err();
        failure.violations.into_iter().map(|violation| violation.field).collect()
    }

    fn window(days: &[&str], start: &str, minutes: u64) -> AskedWindow {
        AskedWindow {
            weekdays: days.iter().map(|day| (*day).to_owned()).collect(),
            start: start.to_owned(),
            length: Some(Ok(Duration::from_secs(minutes * 60))),
        }
    }

    #[test]
    fn every_wrong_field_is_named_at_once() {
        let asked = AskedSettings {
            key_algorithm: Some("ssh-dss".to_owned()),
            maximum_age: Some(Ok(Duration::from_secs(29 * DAY))),
            grace_period: Some(Err(())),
            downloads_per_version: Some(11),
            drift_action: Some(None),
            line_options: Some(vec!["expiry-time=\"2030\"".to_owned()]),
            ..Default::default()
        };
        assert_eq!(
            fields(asked),
            [
                "policy.keyAlgorithm",
                "policy.maximumAge",
                "policy.gracePeriod",
                "policy.lineOptions.options[0]",
                "policy.downloadsPerVersion",
                "policy.driftAction"
            ]
        );
    }

    #[test]
    fn the_edges_hold() {
        let asked = AskedSettings {
            maximum_age: Some(Ok(Duration::from_secs(365 * DAY))),
            grace_period: Some(Ok(Duration::ZERO)),
            downloads_per_version: Some(0),
            rotation_window: Some(window(&["sun", "mon"], "23:59", 24 * 60)),
            ..Default::default()
        };
        let own = asked.parse(&[]).unwrap();
        let window = own.rotation_window.unwrap().unwrap();
        assert_eq!((window.weekdays, window.start_minute), (vec![0, 6], 1439));
        assert_eq!(own.downloads_per_version, Some(0));
        let half = Duration::from_millis(500);
        let asked = AskedSettings { grace_period: Some(Ok(half)), ..Default::default() };
        assert_eq!(fields(asked), ["policy.gracePeriod"]);
    }

    #[test]
    fn an_empty_window_is_always_open_and_half_a_window_is_none() {
        let any = AskedSettings { rotation_window: Some(AskedWindow::default()), ..Default::default() };
        assert_eq!(any.parse(&[]).unwrap().rotation_window, Some(None));
        for (wrong, field) in [
            (window(&["monday"], "02:00", 60), "policy.rotationWindow.weekdays"),
            (window(&["mon", "mon"], "02:00", 60), "policy.rotationWindow.weekdays"),
            (window(&[], "24:00", 60), "policy.rotationWindow.start"),
            (window(&[], "2:00", 60), "policy.rotationWindow.start"),
            (window(&[], "+2:00", 60), "policy.rotationWindow.start"),
            (window(&[], "02:00", 14), "policy.rotationWindow.length"),
            (window(&[], "02:00", 1441), "policy.rotationWindow.length"),
        ] {
            assert_eq!(fields(AskedSettings { rotation_window: Some(wrong), ..Default::default() }), [field]);
        }
    }

    #[test]
    fn a_from_lets_our_own_addresses_in() {
        let egress: Vec<IpAddr> = ["192.0.2.1", "2001:db8::1"].iter().map(|it| it.parse().unwrap()).collect();
        let asked = |from: &str| AskedSettings {
            line_options: Some(vec!["restrict".to_owned(), format!("from=\"{from}\"")]),
            ..Default::default()
        };
        assert!(asked("192.0.2.0/24,2001:db8::/32").parse(&egress).is_ok());
        assert!(asked("198.51.100.7").parse(&[]).is_ok(), "nobody said where we come from");
        for (from, missing) in [
            ("192.0.2.0/24", "2001:db8::1"),
            ("*,!192.0.2.1", "192.0.2.1"),
            ("*.example.org,2001:db8::1", "192.0.2.1"),
        ] {
            let failure = asked(from).parse(&egress).unwrap_err();
            let violation = &failure.violations[0];
            assert_eq!(violation.field, "policy.lineOptions.options[1]");
            assert!(violation.description.contains(missing), "{from}: {}", violation.description);
        }
    }
}
