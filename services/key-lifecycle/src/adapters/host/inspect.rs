//! Reads facts about a host and an account; changes nothing.

use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::reason::Reason;
use std::collections::HashMap;
use std::net::IpAddr;
use tracing::instrument;

use super::Host;
use super::answer::Answer;
use super::edit::token;
use super::facts::{Account, Drop, Facts, KeysFile, ResidualAccess, ServerKind};
use super::failure::HostFailure;
use super::files::{KeysFileContent, contents};
use super::grace::{LocalTime, Skew};
use super::script::{Operation, Script};

pub(super) static INSPECT: Operation = Operation {
    inner: &[("read_file", include_str!("scripts/read.sh"))],
    parameters: &["from", "epoch", "until", "greeting", "token"],
    server: true,
    own: true,
    ..Operation::new("inspect", include_str!("scripts/inspect.sh"))
};
const DEFAULT_FILE: &str = ".ssh/authorized_keys";
/// Files of one account. Each is read and edited: a host that names more would be worked on for ever.
const MOST_FILES: usize = 32;
/// Of a file's path: it stands in errors.
const LONGEST_PATH: usize = 1024;
const SECOND_DEFAULT_FILE: &str = ".ssh/authorized_keys2";

impl Host<'_> {
    /// The facts alone.
    pub async fn inspect(&self, account: &AccountName) -> Result<Facts, HostFailure> {
        Ok(self.facts_of(account, None, "").await?.0)
    }

    /// The facts, and the key files as far as they could be read in the same call.
    /// `until`: an end for which the host's local time is wanted.
    pub(super) async fn look(
        &self,
        account: &AccountName,
        until: Option<Instant>,
    ) -> Result<(Facts, HashMap<String, KeysFileContent>), HostFailure> {
        let token = token()?;
        let (facts, sections) = self.facts_of(account, until, &token).await?;
        Ok((facts, contents(sections)))
    }

    #[instrument(skip_all)]
    async fn facts_of(
        &self,
        account: &AccountName,
        until: Option<Instant>,
        token: &str,
    ) -> Result<(Facts, Vec<(String, Answer)>), HostFailure> {
        let before = self.clock.now();
        let greeting = self.shell.server_version();
        let script = Script::new(account, &INSPECT)
            .with("from", &self.shell.local_address())
            .with("epoch", &before.secs().to_string())
            .with("until", &until.map(|end| end.ceil_to_second().secs().to_string()).unwrap_or_default())
            .with("greeting", if greeted(greeting).is_some() { "yes" } else { "no" })
            .with("token", token);
        let mut answer = self.shell.run(&script, b"").await?;
        let sections = answer.take_apart(token);
        let answer = answer.done()?;
        let mut facts = facts(account, &answer, before, self.clock.now(), greeting);
        facts.seen = facts.seen.or_else(|| self.shell.local_address().parse().ok());
        if facts.files.len() > MOST_FILES {
            return Err(HostFailure::refused(Reason::HostEditFailed));
        }
        Ok((facts, sections))
    }
}

fn facts(name: &AccountName, answer: &Answer, before: Instant, after: Instant, greeting: &str) -> Facts {
    let account = answer.is("exists", "yes").then(|| account(answer)).flatten();
    let server = server_kind(answer, greeting);
    let settings_read = answer.is("settings", "yes");
    let host_time: Option<Instant> = answer.number("now").map(Instant::from_secs);
    Facts {
        files: account.as_ref().map(|account| files(name, account, answer, server)).unwrap_or_default(),
        residual: residual(answer, settings_read),
        version: version(answer, greeting),
        revoked_keys: answer.get("sshd_revokedkeys").is_some_and(|path| path.starts_with('/')),
        skew: host_time.map(|host| Skew::measured(host, before, after)),
        local_end: local_end(answer),
        drop: drop_of(answer),
        seen: answer
            .get("seen")
            .and_then(|address| address.parse().ok())
            .map(|address: IpAddr| address.to_canonical()),
        strict_modes: server == ServerKind::Dropbear || answer.is("sshd_strictmodes", "yes"),
        account,
        server,
        settings_read,
    }
}

fn account(answer: &Answer) -> Option<Account> {
    Some(Account {
        uid: answer.number("uid")?,
        gid: answer.number("gid")?,
        home: answer.get("home")?.to_owned(),
        shell: answer.get("shell")?.to_owned(),
    })
}

fn server_kind(answer: &Answer, greeting: &str) -> ServerKind {
    let greeted = |name: &str| greeting.contains(name);
    match answer.get("server") {
        Some("openssh") => ServerKind::OpenSsh,
        Some("dropbear") => ServerKind::Dropbear,
        _ if greeted("OpenSSH") => ServerKind::OpenSsh,
        _ if greeted("dropbear") => ServerKind::Dropbear,
        _ => ServerKind::Unknown,
    }
}

fn version(answer: &Answer, greeting: &str) -> Option<String> {
    greeted(greeting)
        .or_else(|| answer.get("sshd_version"))
        .filter(|version| !version.is_empty())
        .map(str::to_owned)
}

/// The version in the server's identification.
fn greeted(greeting: &str) -> Option<&str> {
    greeting.strip_prefix("SSH-2.0-").and_then(|rest| rest.split(' ').next())
}

fn files(name: &AccountName, account: &Account, answer: &Answer, server: ServerKind) -> Vec<KeysFile> {
    let set = answer.get("sshd_authorizedkeysfile").or_else(|| answer.get("reads"));
    let patterns: Vec<&str> = match (set, server) {
        (Some(set), _) => set.split_whitespace().filter(|pattern| *pattern != "none").collect(),
        (None, ServerKind::OpenSsh) => vec![DEFAULT_FILE, SECOND_DEFAULT_FILE],
        (None, ServerKind::Dropbear | ServerKind::Unknown) => vec![DEFAULT_FILE],
    };
    let mut files: Vec<KeysFile> = Vec::new();
    for path in patterns.iter().filter_map(|pattern| expand(pattern, name, account)) {
        if files.len() > MOST_FILES {
            break;
        }
        if !files.iter().any(|file| file.path == path) {
            files.push(KeysFile { path });
        }
    }
    files
}

/// `%h`, `%u`, `%U`, `%%`; relative to the home. A path that does not stay where it says is left out.
fn expand(pattern: &str, name: &AccountName, account: &Account) -> Option<String> {
    let mut path = String::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        match (char, char == '%') {
            (_, true) => match chars.next()? {
                'h' => path.push_str(&account.home),
                'u' => path.push_str(name.as_str()),
                'U' => path.push_str(&account.uid.to_string()),
                '%' => path.push('%'),
                _ => return None,
            },
            (char, false) => path.push(char),
        }
    }
    if !path.starts_with('/') {
        path = format!("{}/{path}", account.home);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let plain = path.len() <= LONGEST_PATH && !path.chars().any(char::is_control);
    let straight = plain && path.starts_with('/') && parts.len() > 1 && !parts.contains(&"..");
    straight.then(|| format!("/{}", parts.join("/")))
}

fn residual(answer: &Answer, settings_read: bool) -> Vec<ResidualAccess> {
    let setting = |name: &str| answer.get(name).unwrap_or_default();
    let named = |name: &str| !matches!(setting(name), "" | "none");
    let yes = |name: &str| setting(name) == "yes";
    let asked = yes("sshd_usepam")
        && (yes("sshd_kbdinteractiveauthentication") || yes("sshd_challengeresponseauthentication"));
    let asks_password = !settings_read || yes("sshd_passwordauthentication") || asked;
    let has_password = match answer.get("password") {
        Some("set" | "unknown") => true,
        Some("empty") => !settings_read || yes("sshd_permitemptypasswords"),
        _ => false,
    };
    let found = [
        (named("sshd_authorizedkeyscommand"), ResidualAccess::KeysCommand),
        (named("sshd_trustedusercakeys"), ResidualAccess::UserCa),
        (asks_password && has_password, ResidualAccess::Password),
    ];
    found.into_iter().filter_map(|(is, what)| is.then_some(what)).collect()
}

fn local_end(answer: &Answer) -> Option<LocalTime> {
    let of: i64 = answer.number("local_of")?;
    let back: i64 = answer.number("local_back")?;
    let text = answer.get("local")?.to_owned();
    Some(LocalTime { end: Instant::from_secs(of), means: Instant::from_secs(back), text })
}

fn drop_of(answer: &Answer) -> Drop {
    match answer.get("drop") {
        Some("root" | "self") => Drop::NotNeeded,
        Some("setpriv") => Drop::Setpriv,
        Some("su") => Drop::Su,
        Some("chroot") => Drop::Chroot,
        _ => Drop::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(lines: &str) -> Answer {
        Answer::parse(format!("@@keywright\n{lines}\n@@end\n").as_bytes()).unwrap()
    }

    #[test]
    fn tokens_are_expanded_and_crooked_paths_are_left_out() {
        let name = AccountName::parse("alice").unwrap();
        let account = Account { uid: 1007, gid: 1007, home: "/home/alice".into(), shell: "/bin/sh".into() };
        let expand = |pattern: &str| expand(pattern, &name, &account);
        assert_eq!(expand(".ssh/authorized_keys").unwrap(), "/home/alice/.ssh/authorized_keys");
        assert_eq!(expand("%h/.ssh//keys").unwrap(), "/home/alice/.ssh/keys");
        assert_eq!(expand("/etc/ssh/keys/%u.%U%%").unwrap(), "/etc/ssh/keys/alice.1007%");
        let long = "x".repeat(LONGEST_PATH);
        for crooked in ["/etc/../%u", "%k", "/", "../x", "%", "/etc/\u{1b}[2J", long.as_str()] {
            assert_eq!(expand(crooked), None, "{crooked}");
        }
    }

    #[test]
    fn a_host_that_names_a_million_files_is_not_followed() {
        let name = AccountName::parse("alice").unwrap();
        let account = Account { uid: 1007, gid: 1007, home: "/home/alice".into(), shell: "/bin/sh".into() };
        let patterns: Vec<String> = (0..500_000).map(|number| format!("k{number}")).collect();
        let said = answer(&format!("sshd_authorizedkeysfile={}", patterns.join(" ")));
        assert_eq!(files(&name, &account, &said, ServerKind::OpenSsh).len(), MOST_FILES + 1);
    }

    #[test]
    fn residual_access_follows_the_settings() {
        let settings = "settings=yes\nsshd_passwordauthentication=no\nsshd_usepam=yes\nsshd_kbdinteractiveauthentication=yes";
        let of = |lines: String| residual(&answer(&lines), lines.contains("settings=yes"));
        assert_eq!(of(format!("{settings}\npassword=none")), []);
        assert_eq!(of(format!("{settings}\npassword=set")), [ResidualAccess::Password]);
        assert_eq!(of("password=set".into()), [ResidualAccess::Password]);
        let more = "settings=yes\nsshd_authorizedkeyscommand=/bin/x\nsshd_trustedusercakeys=none";
        assert_eq!(of(more.into()), [ResidualAccess::KeysCommand]);
        assert_eq!(of("settings=yes\nsshd_trustedusercakeys=/etc/ca".into()), [ResidualAccess::UserCa]);
    }
}
