//! Hours of a tenant's day, by the wall clock of his zone: where a clock is put forward or back, the hours move with it.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use keywright_domain::clock::Instant;
use std::fmt;

/// From one time of the day to another, which is not in it; over midnight where it is the earlier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hours {
    from: Time,
    until: Time,
}

/// A zone, and whether it is the tenant's own: UTC stands for one that could not be read.
#[derive(Debug, Clone)]
pub struct Zone {
    pub zone: TimeZone,
    pub is_own: bool,
}

impl Zone {
    pub fn utc(is_own: bool) -> Self {
        Self { zone: TimeZone::UTC, is_own }
    }

    /// Of IANA.
    pub fn name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }
}

impl Hours {
    pub const fn new(from: Time, until: Time) -> Self {
        Self { from, until }
    }

    /// `HH:MM-HH:MM`.
    pub fn parse(text: &str) -> Option<Self> {
        let (from, until) = text.split_once('-')?;
        let (from, until) = (time(from)?, time(until)?);
        (from != until).then_some(Self { from, until })
    }

    pub fn contain(self, at: Instant, zone: &TimeZone) -> bool {
        let Ok(at) = jiff::Timestamp::from_microsecond(at.micros()) else { return false };
        let time = at.to_zoned(zone.clone()).time();
        if self.from < self.until {
            self.from <= time && time < self.until
        } else {
            self.from <= time || time < self.until
        }
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, until } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from.hour(), from.minute(), until.hour(), until.minute())
    }
}

fn time(text: &str) -> Option<Time> {
    let (hour, minute) = text.split_once(':')?;
    let number = |part: &str| {
        let plain = part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit());
        if plain { part.parse().ok() } else { None }
    };
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Instant {
        Instant::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn hours_are_read_strictly() {
        for good in ["02:00-06:00", "22:30-05:15", "23:00-00:00"] {
            assert_eq!(Hours::parse(good).unwrap().to_string(), good);
        }
        for bad in
            ["", "2:00-6:00", "02:00", "02:00-02:00", "24:00-02:00", "02:60-03:00", "+2:00-03:00", "a-b"]
        {
            assert_eq!(Hours::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn they_end_where_they_say_and_may_span_midnight() {
        let utc = TimeZone::UTC;
        let night = Hours::parse("02:00-06:00").unwrap();
        for (time, inside) in [
            ("2026-03-01T01:59:59.999999Z", false),
            ("2026-03-01T02:00:00Z", true),
            ("2026-03-01T05:59:59.999999Z", true),
            ("2026-03-01T06:00:00Z", false),
        ] {
            assert_eq!(night.contain(at(time), &utc), inside, "{time}");
        }
        let late = Hours::parse("22:00-02:00").unwrap();
        for (time, inside) in [
            ("2026-03-01T21:59:59Z", false),
            ("2026-03-01T22:00:00Z", true),
            ("2026-03-02T00:00:00Z", true),
            ("2026-03-02T02:00:00Z", false),
        ] {
            assert_eq!(late.contain(at(time), &utc), inside, "{time}");
        }
    }

    #[test]
    fn they_follow_the_wall_clock_of_the_zone_through_the_year() {
        let night = Hours::parse("02:00-06:00").unwrap();
        let zone = |name: &str| TimeZone::get(name).unwrap();
        for (name, time, inside) in [
            // Berlin: UTC+1 in winter, UTC+2 in summer.
            ("Europe/Berlin", "2026-01-15T00:59:59Z", false),
            ("Europe/Berlin", "2026-01-15T01:00:00Z", true),
            ("Europe/Berlin", "2026-01-15T05:00:00Z", false),
            ("Europe/Berlin", "2026-07-15T00:00:00Z", true),
            ("Europe/Berlin", "2026-07-15T03:59:59Z", true),
            ("Europe/Berlin", "2026-07-15T04:00:00Z", false),
            // Clocks go forward at 02:00: from 01:59:59 it is 03:00:00, and the night is an hour shorter.
            ("Europe/Berlin", "2026-03-29T00:59:59Z", false),
            ("Europe/Berlin", "2026-03-29T01:00:00Z", true),
            ("Europe/Berlin", "2026-03-29T04:00:00Z", false),
            // They go back at 03:00: 02:30 comes twice.
            ("Europe/Berlin", "2026-10-25T00:30:00Z", true),
            ("Europe/Berlin", "2026-10-25T01:30:00Z", true),
            ("Europe/Berlin", "2026-10-25T05:00:00Z", false),
            ("America/New_York", "2026-01-15T07:00:00Z", true),
            ("America/New_York", "2026-07-15T06:00:00Z", true),
            ("America/New_York", "2026-07-15T10:00:00Z", false),
        ] {
            assert_eq!(night.contain(at(time), &zone(name)), inside, "{name} {time}");
        }
    }
}
