//! Reads the key files of every account; changes nothing and judges nothing.
//!
//! Invariant: what comes back is bounded in accounts, bytes and time; what an account's own process says is taken for
//! that account's files alone.

use std::time::Duration;

use keywright_domain::account::AccountName;
use keywright_domain::authorized_keys::MAX_FILE;
use keywright_ssh::ExecLimits;
use tracing::instrument;

use super::Host;
use super::answer::Answer;
use super::failure::{HostFailure, reason_of};
use super::script::{Operation, Script};
use crate::model::{Seen, SeenAccount, SeenFile};

pub(super) static SCAN: Operation = Operation {
    inner: &[("read_files", include_str!("scripts/scan_files.sh"))],
    parameters: &["from", "extra", "budget"],
    server: true,
    ..Operation::new("scan", include_str!("scripts/scan.sh"))
};
/// More than the script says.
const MOST_OUTPUT: usize = 16 * 1024 * 1024;
/// What the script lets itself run beyond the time in which it begins accounts, and some more.
const REST: Duration = Duration::from_secs(20);
pub const MOST_ACCOUNTS: usize = 1_000;
const LONGEST_PATH: usize = 400;
const LONGEST_NAME: usize = 64;
const MOST_FILES: usize = 16;

impl Host<'_> {
    /// `first`: accounts that are looked at before all others, wherever the host keeps them.
    #[instrument(skip_all)]
    /// `budget`: no account is begun after it.
    pub async fn scan(&self, first: &[AccountName], budget: Duration) -> Result<Seen, HostFailure> {
        let names: Vec<&str> = first.iter().map(AccountName::as_str).collect();
        let script = Script::for_host(&SCAN)
            .with("from", &self.shell.local_address())
            .with("extra", &names.join(" "))
            .with("budget", &budget.as_secs().to_string());
        let limits = ExecLimits { output: MOST_OUTPUT, deadline: budget.saturating_add(REST) };
        let answer = self.shell.run_within(&script, b"", limits).await?.done()?;
        Ok(seen(&answer))
    }
}

fn seen(answer: &Answer) -> Seen {
    let mut seen = Seen {
        other_ways: other_ways(answer),
        settings_read: answer.is("settings", "yes"),
        truncated: answer.is("truncated", "yes"),
        offset_seconds: offset(answer),
        ..Seen::default()
    };
    for (key, value) in answer.pairs() {
        if key == "account" {
            match account(value) {
                Some(account) if seen.accounts.len() < MOST_ACCOUNTS => seen.accounts.push(account),
                _ => seen.truncated = true,
            }
        } else if let Some(account) = seen.accounts.last_mut() {
            add(account, key, value);
        }
    }
    seen
}

/// `uid:name`.
fn account(value: &str) -> Option<SeenAccount> {
    let (uid, name) = value.split_once(':')?;
    let plain = !name.is_empty() && name.len() <= LONGEST_NAME && name.bytes().all(|b| b.is_ascii_graphic());
    let account = SeenAccount { name: name.to_owned(), uid: uid.parse().ok()?, ..SeenAccount::default() };
    plain.then_some(account)
}

fn add(account: &mut SeenAccount, key: &str, value: &str) {
    match key {
        "a.file" if account.files.len() < MOST_FILES => {
            account.files.push(SeenFile { path: path(value), bytes: Vec::new() });
        }
        "a.base64" | "a.hex" => {
            let Some(file) = account.files.last_mut() else { return };
            let decoded = match key {
                "a.hex" => data_encoding::HEXLOWER.decode(value.as_bytes()),
                _ => data_encoding::BASE64.decode(value.as_bytes()),
            };
            match decoded {
                Ok(bytes) if bytes.len() <= MAX_FILE => file.bytes = bytes,
                Ok(_) => {
                    let path = std::mem::take(&mut file.path);
                    account.files.pop();
                    unreadable(account, "too_large", &path);
                }
                // Cut off, or not what was asked for.
                _ => unreadable(account, "incomplete", ""),
            }
        }
        "a.unreadable" | "unreadable" => {
            let (word, path) = value.split_once(' ').unwrap_or((value, ""));
            unreadable(account, word, path);
        }
        _ => {}
    }
}

fn unreadable(account: &mut SeenAccount, word: &str, at: &str) {
    let Some(reason) = reason_of(word) else { return };
    if account.unreadable.len() < MOST_FILES {
        account
            .unreadable
            .push(format!("{}: {reason}", if at.is_empty() { "*".to_owned() } else { path(at) }));
    }
}

/// Printable and short.
fn path(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() && *c != '\u{fffd}').take(LONGEST_PATH).collect()
}

/// `+0200` as seconds.
pub(super) fn offset(answer: &Answer) -> i32 {
    let text = answer.get("offset").unwrap_or_default();
    let read = || {
        let digits = text.strip_prefix(['+', '-'])?;
        let (hours, minutes) = digits.split_at_checked(2)?;
        let (hours, minutes): (i32, i32) = (hours.parse().ok()?, minutes.parse().ok()?);
        let fits = (0..=14).contains(&hours) && (0..60).contains(&minutes);
        let seconds = hours.checked_mul(3600)?.checked_add(minutes.checked_mul(60)?)?;
        fits.then_some(if text.starts_with('-') { seconds.checked_neg()? } else { seconds })
    };
    read().unwrap_or(0)
}

/// Of the whole server: what holds for one account holds.
fn other_ways(answer: &Answer) -> Vec<&'static str> {
    let named = |name: &str| answer.all(name).any(|value| !matches!(value, "" | "none"));
    let yes = |name: &str| answer.all(name).any(|value| value == "yes");
    let told = answer.all("sshd_passwordauthentication").next().is_some();
    let asks = yes("sshd_kbdinteractiveauthentication") || yes("sshd_challengeresponseauthentication");
    let by_password = !told || yes("sshd_passwordauthentication");
    let some_password = !answer.is("password", "no");
    let some_empty = answer.is("empty", "yes");
    let found = [
        (named("sshd_authorizedkeyscommand"), "KEYS_COMMAND"),
        (named("sshd_trustedusercakeys"), "USER_CA"),
        (by_password && some_password, "PASSWORD"),
        (asks && yes("sshd_usepam"), "KEYBOARD_INTERACTIVE"),
        (by_password && some_empty && (!told || yes("sshd_permitemptypasswords")), "EMPTY_PASSWORDS"),
        (yes("sshd_hostbasedauthentication"), "HOST_BASED"),
    ];
    found.into_iter().filter_map(|(is, what)| is.then_some(what)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(lines: &str) -> Seen {
        seen(&Answer::parse(format!("@@keywright\n{lines}\nresult=done\n@@end\n").as_bytes()).unwrap())
    }

    #[test]
    fn an_account_speaks_for_itself_alone() {
        let seen =
            of("account=1001:eve\na.ready=yes\na.account=0:root\na.file=/home/eve/.ssh/authorized_keys\n\
                       a.base64=aGk=\na.truncated=yes\na.@@end\naccount=1002:bob\na.ready=yes");
        let names: Vec<&str> = seen.accounts.iter().map(|account| account.name.as_str()).collect();
        assert_eq!(names, ["eve", "bob"]);
        assert_eq!(seen.accounts[0].files[0].bytes, b"hi");
        assert!(seen.accounts[1].files.is_empty() && !seen.truncated);
    }

    #[test]
    fn a_file_that_came_cut_off_is_told_and_not_judged() {
        let seen = of(
            "account=7:a\na.file=/x\na.base64=aGk\naccount=8:b\na.unreadable=too_large /y\nunreadable=drop_failed",
        );
        assert_eq!(seen.accounts[0].unreadable, ["*: HOST_EDIT_FAILED"]);
        assert_eq!(seen.accounts[1].unreadable, ["/y: HOST_FILE_TOO_LARGE", "*: HOST_EDIT_FAILED"]);
    }

    #[test]
    fn more_accounts_than_are_kept_are_told() {
        let lines: Vec<String> = (0..1_200).map(|n| format!("account={n}:u{n}")).collect();
        let seen = of(&lines.join("\n"));
        assert!(seen.truncated && seen.accounts.len() == MOST_ACCOUNTS);
    }

    #[test]
    fn ways_in_follow_the_settings_and_the_passwords() {
        assert_eq!(of("password=yes\nempty=no").other_ways, ["PASSWORD"]);
        assert_eq!(of("sshd_passwordauthentication=no\npassword=yes\nempty=yes").other_ways, [""; 0]);
        let all = "sshd_passwordauthentication=no\nsshd_passwordauthentication=yes\nsshd_permitemptypasswords=yes\n\
                   sshd_usepam=yes\nsshd_kbdinteractiveauthentication=yes\nsshd_hostbasedauthentication=yes\n\
                   sshd_trustedusercakeys=/ca\nsshd_authorizedkeyscommand=/bin/x\npassword=yes\nempty=yes";
        assert_eq!(of(all).other_ways.len(), 6);
    }

    #[test]
    fn an_offset_is_read_or_none() {
        for (text, seconds) in [("+0200", 7200), ("-0330", -12600), ("+9900", 0), ("x", 0), ("", 0)] {
            let answer = Answer::parse(format!("@@keywright\noffset={text}\n@@end\n").as_bytes()).unwrap();
            assert_eq!(offset(&answer), seconds, "{text}");
        }
    }

    proptest! {
        #[test]
        fn whatever_a_host_says_is_bounded(lines in proptest::collection::vec("(a\\.)?(account|file|base64|hex|unreadable|truncated)=[ -~]{0,40}", 0..60)) {
            let seen = of(&lines.join("\n"));
            for account in seen.accounts {
                prop_assert!(account.files.len() <= MOST_FILES && account.unreadable.len() <= MOST_FILES);
            }
        }
    }
}
