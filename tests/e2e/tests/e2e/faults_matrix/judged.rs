//! What the key files of an account hold in the end, line by line and key by key.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use keywright_e2e::{KeyFile, Sshd};
use keywright_kit::TestHost;

use super::scene::Scene;

/// After it the script that reads the host's clock ends itself.
const LONGEST_LOOK: SignedDuration = SignedDuration::from_secs(31);

/// The keys of an access that a host has, and no other.
#[derive(Clone, Copy, Default)]
pub struct Ours<'a> {
    pub in_use: Option<&'a KeyFile>,
    /// It ends then.
    pub in_grace: Option<(&'a KeyFile, Timestamp)>,
}

impl Scene {
    /// Each of them stands there once, and no other key that the account's accesses have ever had; the one in its grace
    /// says its end where sshd keeps to it. Foreign lines are untouched, and nothing lies beside the file.
    pub async fn judge(&self, host: &TestHost, account: &str, ours: Ours<'_>, what: &str) {
        self.assert_nothing_foreign_changed(host, account, what).await;
        let file = String::from_utf8(host.read_authorized_keys(account).unwrap_or_default()).unwrap();
        let told = format!("{what}\n{file}");
        let lines = |blob: &str| -> Vec<&str> { file.lines().filter(|line| line.contains(blob)).collect() };
        let is_ours = |line: &&str| line.contains("keywright:acc_") && !line.starts_with('#');
        let mut expected = Vec::new();
        if let Some(key) = ours.in_use {
            let blob = key.blob();
            assert!(matches!(lines(&blob)[..], [line] if end_of(line).is_none()), "the key in use: {told}");
            expected.push(blob);
        }
        if let Some((key, end)) = ours.in_grace {
            let blob = key.blob();
            let [line] = lines(&blob)[..] else { panic!("the key in its grace: {told}") };
            match (self.world.sshd, end_of(line)) {
                // Never before it; and later by no more than the look took in which the host's clock was read.
                (Sshd::OpenSsh, Some(says)) => {
                    assert!(says >= end && says <= end + LONGEST_LOOK, "{end} is its end: {told}");
                }
                (Sshd::Dropbear, None) => {}
                (_, says) => panic!("the key in its grace ends {says:?}: {told}"),
            }
            expected.push(blob);
        }
        assert_eq!(file.lines().filter(is_ours).count(), expected.len(), "lines of ours: {told}");
        for public in self.gates.public_keys(account).await {
            let blob = public.split(' ').nth(1).unwrap();
            let times = file.matches(blob).count();
            assert_eq!(times, usize::from(expected.iter().any(|key| key == blob)), "{blob}: {told}");
        }
    }
}

/// The end that a line tells sshd.
fn end_of(line: &str) -> Option<Timestamp> {
    let (_, rest) = line.split_once("expiry-time=\"")?;
    let (digits, _) = rest.split_once("Z\"").expect("an end in universal time");
    let time = DateTime::strptime("%Y%m%d%H%M%S", digits).expect("an end");
    Some(time.to_zoned(TimeZone::UTC).expect("an end").timestamp())
}
