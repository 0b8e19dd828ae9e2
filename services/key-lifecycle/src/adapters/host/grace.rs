//! Who ends a key at the end of its grace: the host's sshd by itself, or Keywright by removing the line.
//!
//! Invariant: a key never ends before the promised instant. What is not certain about the host's time is added; where
//! the host cannot be trusted with it, Keywright ends the key.

use keywright_domain::authorized_keys::ExpiryTime;
use keywright_domain::clock::Instant;

/// A host whose clock is further off gets no end of its own.
pub const MAX_SKEW_SECS: i64 = 120;

/// How far the host's clock is ahead of ours (behind: negative), in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Skew {
    pub least: i64,
    pub most: i64,
}

impl Skew {
    /// `host` is a whole second that the host's clock showed between `before` and `after`.
    pub fn measured(host: Instant, before: Instant, after: Instant) -> Self {
        let least = host.micros().saturating_sub(after.micros());
        let most = host.micros().saturating_add(1_000_000).saturating_sub(before.micros());
        Self { least, most }
    }

    /// The middle of what is possible, for people.
    pub const fn micros(self) -> i64 {
        self.least.midpoint(self.most)
    }

    fn is_small(self) -> bool {
        self.micros().unsigned_abs() <= MAX_SKEW_SECS.unsigned_abs().saturating_mul(1_000_000)
    }
}

/// An instant in the host's local time, made by the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalTime {
    /// What was asked for, in the host's time.
    pub end: Instant,
    /// What the host makes of `text`; where clocks change it may differ.
    pub means: Instant,
    /// `YYYYMMDDHHMMSS`.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grace {
    Sshd(ExpiryTime),
    Keywright,
}

/// `server_version`: `OpenSSH_9.2p1`, also as `SSH-2.0-OpenSSH_9.2p1 …`. `local`: for servers before 9.1.
pub fn expiry_option(server_version: &str, until: Instant, skew: Skew, local: Option<&LocalTime>) -> Grace {
    let Some(version) = openssh_version(server_version).filter(|_| skew.is_small()) else {
        return Grace::Keywright;
    };
    let end = Instant::from_micros(until.micros().saturating_add(skew.most)).ceil_to_second();
    let text = match version {
        (9, 1..) | (10.., _) => utc(end),
        (7, 7..) | (8 | 9, _) => local.and_then(|local| trusted(local, end)),
        _ => None,
    };
    text.and_then(|text| ExpiryTime::parse(&text).ok()).map_or(Grace::Keywright, Grace::Sshd)
}

/// Good if it means what was asked, is not before the end and at most two seconds after it (its skew was measured
/// apart from ours).
fn trusted(local: &LocalTime, end: Instant) -> Option<String> {
    let late = local.end.micros().saturating_sub(end.micros());
    let fits = local.means == local.end && (0..=2_000_000).contains(&late);
    (fits && local.text.len() == 14).then(|| local.text.clone())
}

fn utc(end: Instant) -> Option<String> {
    let civil = jiff::Timestamp::from_microsecond(end.micros()).ok()?;
    Some(civil.strftime("%Y%m%d%H%M%SZ").to_string())
}

fn openssh_version(text: &str) -> Option<(u32, u32)> {
    let text = text.strip_prefix("SSH-2.0-").unwrap_or(text).strip_prefix("OpenSSH_")?;
    let (major, rest) = text.split_once('.')?;
    let minor: String = rest.chars().take_while(char::is_ascii_digit).collect();
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: Instant = Instant::from_secs(1_800_000_000); // 2027-01-15T08:00:00Z
    const NONE: Skew = Skew { least: 0, most: 0 };

    fn sshd(text: &str) -> Grace {
        Grace::Sshd(ExpiryTime::parse(text).unwrap())
    }

    #[test]
    fn new_servers_get_utc() {
        for version in ["OpenSSH_9.1", "SSH-2.0-OpenSSH_9.2p1 Debian-2", "OpenSSH_9.9p2", "OpenSSH_10.0p1"] {
            assert_eq!(expiry_option(version, T, NONE, None), sshd("20270115080000Z"), "{version}");
        }
    }

    #[test]
    fn others_are_ended_by_keywright() {
        for version in
            ["OpenSSH_7.6p1", "OpenSSH_6.6", "SSH-2.0-dropbear_2022.83", "OpenSSH_for_Windows_8.1", ""]
        {
            assert_eq!(expiry_option(version, T, NONE, None), Grace::Keywright, "{version}");
        }
    }

    #[test]
    fn older_servers_get_the_hosts_own_local_time_unless_the_clocks_change_then() {
        let local = |end, means| LocalTime { end, means, text: "20270115090000".into() };
        let with = |local: &LocalTime| expiry_option("OpenSSH_8.4p1", T, NONE, Some(local));
        assert_eq!(with(&local(T, T)), sshd("20270115090000"));
        assert_eq!(with(&local(T, Instant::from_secs(T.secs() - 3600))), Grace::Keywright);
        assert_eq!(with(&local(Instant::from_secs(T.secs() - 1), T)), Grace::Keywright);
        assert_eq!(expiry_option("OpenSSH_8.4p1", T, NONE, None), Grace::Keywright);
    }

    #[test]
    fn the_end_is_never_early_and_skew_is_added() {
        let just_after = Instant::from_micros(T.micros() + 1);
        assert_eq!(expiry_option("OpenSSH_9.2p1", just_after, NONE, None), sshd("20270115080001Z"));
        let ahead = Skew::measured(Instant::from_secs(105), Instant::from_secs(100), Instant::from_secs(101));
        assert_eq!(ahead, Skew { least: 4_000_000, most: 6_000_000 });
        assert_eq!(expiry_option("OpenSSH_9.2p1", T, ahead, None), sshd("20270115080006Z"));
        let behind = Skew { least: -61_000_000, most: -60_000_000 };
        assert_eq!(expiry_option("OpenSSH_9.2p1", T, behind, None), sshd("20270115075900Z"));
    }

    #[test]
    fn a_clock_that_is_far_off_is_not_trusted() {
        let off = |secs: i64| Skew { least: secs * 1_000_000, most: secs * 1_000_000 };
        assert_eq!(expiry_option("OpenSSH_9.2p1", T, off(121), None), Grace::Keywright);
        assert_eq!(expiry_option("OpenSSH_9.2p1", T, off(-121), None), Grace::Keywright);
        assert_ne!(expiry_option("OpenSSH_9.2p1", T, off(120), None), Grace::Keywright);
    }
}
