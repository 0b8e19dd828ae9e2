//! When a key's automatic rotation is to begin: pure, from its age, its window and a number of its own.
//!
//! Invariant: the same access gets the same answer on every replica and after every restart; accesses of one age are
//! spread over the time that there is.

use crate::model::Window;
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use keywright_domain::clock::Instant;
use sha2::{Digest, Sha256};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Without a window, rotations are spread over this time before the maximum age ends; with one, over its openings in
/// [`WEEK`], so that a weekly window is met.
const SPREAD: Duration = Duration::from_secs(3 * 24 * 3600);
const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);
/// After a missed time, work begins spread over the first part of an opening.
const CATCH_UP: Duration = Duration::from_secs(3600);

/// An access's own number: the same everywhere, evenly spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lot(u64);

impl Lot {
    pub fn of(id: &str) -> Self {
        let digest = Sha256::digest(id.as_bytes());
        let first = digest.iter().take(8);
        Self(first.fold(0u64, |number, byte| (number << 8) | u64::from(*byte)))
    }

    fn among(self, count: usize) -> usize {
        let count = u64::try_from(count).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.0.checked_rem(count).unwrap_or(0)).unwrap_or(0)
    }

    /// A moment within `span`, in whole seconds, below its end.
    fn within(self, span: Duration) -> Duration {
        Duration::from_secs(self.0.checked_rem(span.as_secs().max(1)).unwrap_or(0))
    }
}

/// One time that a window is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    pub from: Instant,
    pub until: Instant,
}

/// When the rotation of a key whose maximum age ends at `end` is to begin.
pub fn planned(end: Instant, window: Option<&Window>, zone: &TimeZone, lot: Lot) -> Instant {
    let Some(window) = window else {
        return end.minus(SPREAD).plus(lot.within(SPREAD));
    };
    let mut openings = openings(window, zone, end.minus(WEEK), end);
    openings.retain(|opening| opening.from < end);
    match openings.get(lot.among(openings.len())) {
        Some(opening) => opening.from.plus(Lot(lot.0.rotate_right(32)).within(span(*opening))),
        None => end,
    }
}

/// Whether the rotation may begin now. `planned` has passed; who missed its own opening is spread over the next.
pub fn may_begin(now: Instant, planned: Instant, window: Option<&Window>, zone: &TimeZone, lot: Lot) -> bool {
    if now < planned {
        return false;
    }
    let Some(window) = window else { return true };
    let open = openings(window, zone, now.minus(DAY.saturating_mul(2)), now);
    let Some(opening) = open.into_iter().find(|opening| opening.from <= now && now < opening.until) else {
        return false;
    };
    let own = opening.from <= planned;
    own || opening.from.plus(lot.within(span(opening).min(CATCH_UP))) <= now
}

fn span(opening: Opening) -> Duration {
    between(opening.from, opening.until)
}

/// None where `until` is not later.
pub fn between(from: Instant, until: Instant) -> Duration {
    let micros = until.micros().saturating_sub(from.micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

/// Every opening that begins from `from` to `to`, in order. A local time that a clock change leaves out is the time
/// that much later; one that comes twice is the first; the length is real time.
pub fn openings(window: &Window, zone: &TimeZone, from: Instant, to: Instant) -> Vec<Opening> {
    let (Some(first), Some(last)) = (date(from, zone), date(to, zone)) else { return Vec::new() };
    let Some(start) = start(window) else { return Vec::new() };
    let mut found = Vec::new();
    let mut day = first;
    while day <= last {
        let weekday = u8::try_from(day.weekday().to_monday_zero_offset()).unwrap_or(0);
        if window.weekdays.is_empty() || window.weekdays.contains(&weekday) {
            let local = day.to_datetime(start);
            if let Ok(opens) = zone.to_ambiguous_zoned(local).compatible() {
                let opens = Instant::from_micros(opens.timestamp().as_microsecond());
                if from <= opens && opens <= to {
                    found.push(Opening { from: opens, until: opens.plus(window.length) });
                }
            }
        }
        match day.checked_add(1.day()) {
            Ok(next) => day = next,
            Err(_) => break,
        }
    }
    found
}

fn date(at: Instant, zone: &TimeZone) -> Option<Date> {
    let at = Timestamp::from_microsecond(at.micros()).ok()?;
    Some(at.to_zoned(zone.clone()).date())
}

fn start(window: &Window) -> Option<Time> {
    let hour = i8::try_from(window.start_minute / 60).ok()?;
    let minute = i8::try_from(window.start_minute % 60).ok()?;
    Time::new(hour, minute, 0, 0).ok()
}

/// The zone of a tenant; UTC where its name is not known here.
pub fn zone(name: &str) -> TimeZone {
    TimeZone::get(name).unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(text: &str) -> Instant {
        Instant::from_micros(text.parse::<Timestamp>().unwrap().as_microsecond())
    }

    fn window(weekdays: &[u8], start: &str, minutes: u64) -> Window {
        let (hour, minute) = start.split_once(':').unwrap();
        Window {
            weekdays: weekdays.to_vec(),
            start_minute: hour.parse::<u16>().unwrap() * 60 + minute.parse::<u16>().unwrap(),
            length: Duration::from_secs(minutes * 60),
        }
    }

    fn shown(openings: &[Opening]) -> Vec<String> {
        openings.iter().map(|opening| opening.from.rfc3339()).collect()
    }

    #[test]
    fn a_gap_moves_the_opening_on_and_an_hour_that_comes_twice_opens_once() {
        let berlin = zone("Europe/Berlin");
        let nightly = window(&[], "02:30", 60);
        // 2026-03-29: 02:00 to 03:00 does not exist.
        let spring = openings(&nightly, &berlin, at("2026-03-28T00:00:00Z"), at("2026-03-31T00:00:00Z"));
        assert_eq!(
            shown(&spring),
            ["2026-03-28T01:30:00.000000Z", "2026-03-29T01:30:00.000000Z", "2026-03-30T00:30:00.000000Z"]
        );
        // 2026-10-25: 02:00 to 03:00 comes twice.
        let autumn = openings(&nightly, &berlin, at("2026-10-24T12:00:00Z"), at("2026-10-26T12:00:00Z"));
        assert_eq!(shown(&autumn), ["2026-10-25T00:30:00.000000Z", "2026-10-26T01:30:00.000000Z"]);
        assert!(autumn.iter().all(|opening| span(*opening) == Duration::from_secs(3600)));
    }

    #[test]
    fn a_window_over_midnight_is_open_on_the_next_day() {
        let late = window(&[4], "23:00", 180);
        let zone = zone("UTC");
        let planned = at("2026-05-01T00:00:00Z");
        // 2026-05-08 is a Friday.
        let lot = Lot(0);
        assert!(!may_begin(at("2026-05-08T22:59:59Z"), planned, Some(&late), &zone, lot));
        assert!(may_begin(at("2026-05-08T23:00:00Z"), planned, Some(&late), &zone, lot));
        assert!(may_begin(at("2026-05-09T01:59:59Z"), planned, Some(&late), &zone, lot));
        assert!(!may_begin(at("2026-05-09T02:00:00Z"), planned, Some(&late), &zone, lot));
    }

    #[test]
    fn a_weekly_window_is_met_before_the_age_ends() {
        let weekly = window(&[6], "03:00", 120);
        let zone = zone("America/New_York");
        for day in 1..=28 {
            let end = at(&format!("2026-06-{day:02}T12:00:00Z"));
            let planned = planned(end, Some(&weekly), &zone, Lot::of("acc_a"));
            assert!(end.minus(WEEK) <= planned && planned <= end.plus(Duration::from_secs(7200)));
            assert!(may_begin(planned, planned, Some(&weekly), &zone, Lot::of("acc_a")));
        }
    }

    #[test]
    fn many_accesses_are_spread() {
        let end = at("2026-06-15T00:00:00Z");
        let mut hours = [0usize; 72];
        for number in 0..7200 {
            let planned = planned(end, None, &TimeZone::UTC, Lot::of(&format!("acc_{number}")));
            let since = planned.secs() - end.minus(SPREAD).secs();
            hours[usize::try_from(since / 3600).unwrap()] += 1;
        }
        assert!(hours.iter().all(|count| (50..=160).contains(count)), "{hours:?}");
    }

    #[test]
    fn an_unknown_zone_is_utc() {
        assert_eq!(zone("Mars/Olympus"), TimeZone::UTC);
    }

    proptest! {
        #[test]
        fn what_is_planned_is_in_time_and_allowed(
            id in "[a-z0-9]{8}",
            hours in 0i64..200_000,
            days in proptest::collection::btree_set(0u8..7, 0..4),
            start in 0u16..1440,
            minutes in 15u64..=1440,
            name in proptest::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia",
            ]),
        ) {
            let end = at("2020-01-01T00:00:00Z").plus(Duration::from_secs(u64::try_from(hours).unwrap() * 3600));
            let window = Window {
                weekdays: days.into_iter().collect(),
                start_minute: start,
                length: Duration::from_secs(minutes * 60),
            };
            let (zone, lot) = (zone(name), Lot::of(&id));
            let when = planned(end, Some(&window), &zone, lot);
            prop_assert!(end.minus(WEEK) <= when && when < end.plus(DAY));
            prop_assert!(may_begin(when, when, Some(&window), &zone, lot));
            let free = planned(end, None, &zone, lot);
            prop_assert!(end.minus(SPREAD) <= free && free < end);
            prop_assert_eq!(free, planned(end, None, &zone, Lot::of(&id)));
        }

        #[test]
        fn after_a_missed_time_the_next_opening_is_used_within_the_hour(
            id in "[a-z0-9]{8}", start in 0u16..1440, minutes in 15u64..=600,
        ) {
            let window = Window {
                weekdays: vec![2], start_minute: start, length: Duration::from_secs(minutes * 60),
            };
            let (zone, lot) = (zone("Europe/Berlin"), Lot::of(&id));
            let missed = at("2026-02-01T00:00:00Z");
            let next = openings(&window, &zone, at("2026-03-02T00:00:00Z"), at("2026-03-08T00:00:00Z"))[0];
            prop_assert!(!may_begin(next.from.minus(Duration::from_secs(1)), missed, Some(&window), &zone, lot));
            let latest = next.from.plus(span(next).min(CATCH_UP));
            prop_assert!(may_begin(latest.minus(Duration::from_secs(1)), missed, Some(&window), &zone, lot));
        }
    }
}
