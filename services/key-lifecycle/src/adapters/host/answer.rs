//! What a script said: `key=value` lines between a first and a last line of ours.
//!
//! Invariants: whatever a login shell prints before is skipped; without the last line there is no answer; a host that says
//! a million short things does not get a million times the room that they took on the way.

use keywright_domain::reason::Reason;

use super::failure::{HostFailure, reason_of};

const BEGIN: &str = "@@keywright";
const END: &str = "@@end";
/// Lines; more than any script of ours says of a host with a thousand accounts.
const MOST: usize = 65_536;

#[derive(Debug, Default)]
pub(super) struct Answer(Vec<(String, String)>);

impl Answer {
    pub(super) fn parse(stdout: &[u8]) -> Result<Self, HostFailure> {
        let text = String::from_utf8_lossy(stdout);
        let mut lines = text.lines();
        let mut login = None;
        loop {
            match lines.next() {
                Some(BEGIN) => break,
                Some(line) => login = line.strip_prefix("login=").map(str::to_owned).or(login),
                // The script never began: root's own shell always does.
                None if login.is_some_and(|uid| uid != "0") => {
                    return Err(HostFailure::refused(Reason::SudoUnavailable));
                }
                None => return Err(HostFailure::refused(Reason::HostEditFailed)),
            }
        }
        let mut pairs = Vec::new();
        for line in lines {
            if line == END {
                return Ok(Self(pairs));
            }
            if pairs.len() >= MOST {
                return Err(HostFailure::refused(Reason::HostEditFailed));
            }
            if let Some((key, value)) = line.split_once('=') {
                pairs.push((key.to_owned(), value.to_owned()));
            }
        }
        Err(HostFailure::refused(Reason::HostEditFailed))
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.all(key).next()
    }

    pub(super) fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// In the order in which they were said.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Takes out what a script that the account could have changed said: after `token=directory`, up to `token=`.
    pub(super) fn take_apart(&mut self, token: &str) -> Vec<(String, Self)> {
        let (mut own, mut apart) = (Vec::new(), Vec::<(String, Self)>::new());
        let mut inside = false;
        for (key, value) in std::mem::take(&mut self.0) {
            if key == token {
                inside = !value.is_empty();
                if inside {
                    apart.push((value, Self::default()));
                }
                continue;
            }
            match apart.last_mut() {
                Some((_, section)) if inside => section.0.push((key, value)),
                _ => own.push((key, value)),
            }
        }
        self.0 = own;
        apart
    }

    /// Cut in parts that begin with this key, each named by its value; what comes before the first is left out.
    pub(super) fn parts(self, name: &str) -> Vec<(String, Self)> {
        let mut parts: Vec<(String, Self)> = Vec::new();
        for (key, value) in self.0 {
            if key == name {
                parts.push((value, Self::default()));
            } else if let Some((_, part)) = parts.last_mut() {
                part.0.push((key, value));
            }
        }
        parts
    }

    pub(super) fn number<N: std::str::FromStr>(&self, key: &str) -> Option<N> {
        self.get(key)?.parse().ok()
    }

    pub(super) fn is(&self, key: &str, value: &str) -> bool {
        self.get(key) == Some(value)
    }

    /// The answer, if its result is `done`.
    pub(super) fn done(self) -> Result<Self, HostFailure> {
        let result = self.get("result").unwrap_or_default();
        if result == "superseded" {
            let found = self.number("found").unwrap_or(u64::MAX);
            return Err(HostFailure::Superseded { found });
        }
        match reason_of(result) {
            None => Ok(self),
            Some(reason) => Err(HostFailure::refused(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::hosts::failure;

    fn reason(text: &str) -> Reason {
        failure(Answer::parse(text.as_bytes()).and_then(Answer::done).unwrap_err()).reason
    }

    #[test]
    fn noise_before_is_skipped() {
        let answer = Answer::parse(b"Welcome!\nlogin=0\n@@keywright\na=b=c\nresult=done\n@@end\n").unwrap();
        assert_eq!(answer.done().unwrap().get("a"), Some("b=c"));
    }

    #[test]
    fn a_script_that_never_began_or_never_ended_is_no_answer() {
        assert_eq!(reason("login=1000\n"), Reason::SudoUnavailable);
        assert_eq!(reason("login=0\n"), Reason::HostEditFailed);
        assert_eq!(reason(""), Reason::HostEditFailed);
        assert_eq!(reason("login=0\n@@keywright\nresult=done\n"), Reason::HostEditFailed);
        assert_eq!(reason("@@keywright\n@@end\n"), Reason::HostEditFailed);
        assert_eq!(reason("@@keywright\nresult=disk_full\n@@end\n"), Reason::HostFileDiskFull);
    }

    /// Whatever an account's process prints, it stands for files of that account's directory alone.
    #[test]
    fn what_an_account_could_have_said_is_kept_apart() {
        let text = b"@@keywright\nuid=7\nt1=/home/a/.ssh\nfile=/home/a/.ssh/k\nuid=0\nstate=absent\nfile=/etc/k\nresult=x\n\
                     t1=\nt1=/etc/keys\nfile=/etc/keys/a\nstate=absent\n\nt1=\nresult=done\n@@end\n";
        let mut answer = Answer::parse(text).unwrap();
        let sections = answer.take_apart("t1");
        let answer = answer.done().unwrap();
        assert_eq!((answer.get("uid"), answer.get("state"), answer.get("file")), (Some("7"), None, None));
        let names: Vec<&str> = sections.iter().map(|(directory, _)| directory.as_str()).collect();
        assert_eq!(names, ["/home/a/.ssh", "/etc/keys"]);
        let files: Vec<Vec<String>> = sections
            .into_iter()
            .map(|(_, section)| section.parts("file").into_iter().map(|(file, _)| file).collect())
            .collect();
        assert_eq!(files, [vec!["/home/a/.ssh/k".to_owned(), "/etc/k".into()], vec!["/etc/keys/a".into()]]);
    }

    #[test]
    fn a_host_that_says_too_much_is_no_answer() {
        let said = |lines: usize| format!("@@keywright\n{}result=done\n@@end\n", "a=\n".repeat(lines));
        assert!(Answer::parse(said(MOST - 1).as_bytes()).is_ok());
        assert_eq!(reason(&said(MOST)), Reason::HostEditFailed);
    }

    #[test]
    fn a_newer_revision_is_told() {
        let answer = Answer::parse(b"@@keywright\nfound=9\nresult=superseded\n@@end\n").unwrap();
        assert!(matches!(answer.done(), Err(HostFailure::Superseded { found: 9 })));
    }
}
