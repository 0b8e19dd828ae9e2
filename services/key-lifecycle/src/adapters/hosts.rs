//! Work on hosts, as the lifecycle asks for it, by logins with the management key.

use super::door::{Door, Inside};
use super::host::{
    self, DesiredKeys, Drop, Grace, HostFailure, ResidualAccess, RevokedKeysFile, SessionCount, SessionScope,
};
use super::login::Login;
use crate::model::{Enforcer, LogLines, Seen};
use async_trait::async_trait;
use keywright_domain::account::AccountName;
use keywright_domain::clock::Clock;
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use std::time::Duration;

/// All reading and editing for one account. A host that answers each question just before its time is over would hold one
/// of the places of all work for a quarter of an hour.
const LONGEST_EDIT: Duration = Duration::from_secs(120);

/// Metadata of a failure after which the host is as it was before.
pub const UNTOUCHED: &str = "untouched";

/// What an edit did and saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edited {
    /// Who ends the key, by version, for those that were to end.
    pub enforced: Vec<(u32, Enforcer)>,
    /// Other ways in: FOREIGN_KEYS n, KEYS_COMMAND, USER_CA, PASSWORD.
    pub residual: Vec<String>,
    /// Its sshd reads a file of revoked keys, whoever's.
    pub revoked_keys: bool,
    /// Of the host that was edited.
    pub host_key: String,
    /// The access's keys that the files hold at the end, and those that they do not, by their fingerprints.
    pub there: Vec<String>,
    pub gone: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The host carries a newer revision.
    Superseded {
        found: u64,
    },
    Failed(Failure),
}

/// What became of open sessions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sessions {
    /// A number, or UNKNOWN.
    pub ended: String,
    pub processes: Vec<String>,
    pub crontabs: Vec<String>,
}

/// Hosts over SSH, or simulated ones.
#[async_trait]
pub trait Hosts: Send + Sync {
    /// The account is there and an access may use it; created where asked.
    async fn account(&self, door: &Door, account: &AccountName, create: bool) -> Result<(), Failure>;

    /// Logs in and sees the account's files, for an edit that follows at once. Fails where there is no login.
    async fn look_ahead(&self, door: &Door, account: &AccountName) -> Result<(), Failure>;

    async fn converge(
        &self,
        door: &Door,
        account: &AccountName,
        wanted: &DesiredKeys,
    ) -> Result<Edited, Trouble>;

    /// Ends the sessions that these keys opened; of `None`, all of the account.
    async fn end_sessions(
        &self,
        door: &Door,
        account: &AccountName,
        keys: Option<&[Fingerprint]>,
    ) -> Result<Sessions, Failure>;

    /// The file of revoked keys, if the server's sshd reads one that is ours.
    async fn look_at_revoked_keys(&self, door: &Door) -> Result<Option<RevokedKeysFile>, Failure>;

    /// Replaces it, and tells its path.
    async fn write_revoked_keys(&self, door: &Door, list: &[u8]) -> Result<Option<String>, Failure>;

    /// The key files of every account; `first` are looked at before all others, none is begun after `budget`.
    async fn scan(&self, door: &Door, first: &[AccountName], budget: Duration) -> Result<Seen, Failure>;

    /// What the host's log has about these keys of the account.
    async fn log(
        &self,
        door: &Door,
        account: &AccountName,
        keys: &[Fingerprint],
    ) -> Result<LogLines, Failure>;
}

/// The real ones.
#[derive(Clone)]
pub struct SshHosts {
    pub login: Login,
    pub clock: Clock,
}

impl SshHosts {
    async fn enter(&self, door: &Door) -> Result<Inside, Failure> {
        if let Some(inside) = door.inside().await {
            return Ok(inside);
        }
        self.login.with_management_key(&door.server, &door.work).await.map(Inside::new)
    }

    /// What an operation came to; a connection that failed it is of no further use.
    async fn leave<T>(
        &self,
        door: &Door,
        inside: Inside,
        result: Result<T, HostFailure>,
    ) -> Result<T, Failure> {
        match &result {
            Err(HostFailure::Connection(_)) => inside.session.close().await,
            _ => door.leave(inside).await,
        }
        result.map_err(failure)
    }

    fn host<'a>(&'a self, inside: &'a Inside) -> host::Host<'a> {
        host::Host::new(&inside.session, &self.clock)
    }
}

#[async_trait]
impl Hosts for SshHosts {
    async fn account(&self, door: &Door, account: &AccountName, create: bool) -> Result<(), Failure> {
        let inside = self.enter(door).await?;
        let host = self.host(&inside);
        let found = async {
            let facts = host.inspect(account).await?;
            // Also one that is there: an earlier try may have been cut off, and is finished.
            let wanted = create && facts.account.as_ref().is_none_or(|found| !found.is_system());
            if !wanted || !host.create_account(account).await?.created {
                return Ok(facts);
            }
            host.inspect(account).await
        };
        let found = found.await;
        let facts = self.leave(door, inside, found).await?;
        let Some(found) = facts.account else {
            return Err(Failure::new(Reason::AccountNotFound, "The account does not exist on the server."));
        };
        if found.is_system() {
            return Err(Failure::new(Reason::AccountNotAllowed, "The account belongs to the system."));
        }
        if facts.drop == Drop::None {
            return Err(Failure::new(
                Reason::SudoUnavailable,
                "There is no way to act as the account on the server.",
            ));
        }
        Ok(())
    }

    async fn look_ahead(&self, door: &Door, account: &AccountName) -> Result<(), Failure> {
        let mut inside = self.enter(door).await?;
        // What it cannot see, the edit meets again and tells.
        let seen = tokio::time::timeout(LONGEST_EDIT, self.host(&inside).see(account)).await;
        match seen {
            Ok(Ok(seen)) => inside.seen = Some((account.clone(), seen)),
            Ok(Err(HostFailure::Connection(_))) | Err(_) => {
                inside.session.close().await;
                return Ok(());
            }
            Ok(Err(_)) => {}
        }
        door.leave(inside).await;
        Ok(())
    }

    async fn converge(
        &self,
        door: &Door,
        account: &AccountName,
        wanted: &DesiredKeys,
    ) -> Result<Edited, Trouble> {
        let mut inside = self.enter(door).await.map_err(Trouble::Failed)?;
        let seen = inside.seen.take().filter(|(of, _)| of == account).map(|(_, seen)| seen);
        let host_key = inside.session.host_key().fingerprint().to_string();
        // The scripts end by themselves: what was cut off is done again, as after a connection that broke.
        let host = self.host(&inside);
        let done = tokio::time::timeout(LONGEST_EDIT, host.converge_from(account, wanted, seen)).await;
        let Ok(done) = done else {
            inside.session.close().await;
            let what = "The server answers too slowly to be worked on.";
            return Err(Trouble::Failed(Failure::new(Reason::HostUnreachable, what)));
        };
        let done = match done {
            Ok(done) => done,
            Err(HostFailure::Superseded { found }) => {
                door.leave(inside).await;
                return Err(Trouble::Superseded { found });
            }
            Err(error) => return self.leave(door, inside, Err(error)).await.map_err(Trouble::Failed),
        };
        tracing::info!(
            server = %door.server.id,
            sshd = ?done.facts.server,
            settings_read = done.facts.settings_read,
            changed = done.changed.len(),
            merged = done.merged,
            foreign_keys = done.foreign_keys(),
            "keys converged"
        );
        let enforced = done.grace.iter().map(|key| (key.version, enforcer(&key.by))).collect();
        let residual = done.residual.iter().map(words).collect();
        let revoked_keys = done.facts.revoked_keys;
        inside.seen = Some((account.clone(), done.into_seen()));
        door.leave(inside).await;
        Ok(Edited { enforced, residual, revoked_keys, host_key, ..Edited::default() })
    }

    async fn end_sessions(
        &self,
        door: &Door,
        account: &AccountName,
        keys: Option<&[Fingerprint]>,
    ) -> Result<Sessions, Failure> {
        let inside = self.enter(door).await?;
        let scope = keys.map_or(SessionScope::All, SessionScope::OpenedBy);
        let done = self.host(&inside).end_sessions(account, scope).await;
        let done = self.leave(door, inside, done).await?;
        tracing::info!(server = %door.server.id, left = done.process_count, "sessions ended");
        let ended = match done.sessions {
            SessionCount::Ended(count) => count.to_string(),
            SessionCount::Unknown { .. } => "UNKNOWN".to_owned(),
        };
        let processes =
            done.processes.iter().map(|process| format!("{} {}", process.pid, process.name)).collect();
        let crontabs = if done.crontab { vec![account.to_string()] } else { Vec::new() };
        Ok(Sessions { ended, processes, crontabs })
    }

    async fn look_at_revoked_keys(&self, door: &Door) -> Result<Option<RevokedKeysFile>, Failure> {
        let inside = self.enter(door).await?;
        let found = self.host(&inside).look_at_revoked_keys().await;
        self.leave(door, inside, found).await
    }

    async fn write_revoked_keys(&self, door: &Door, list: &[u8]) -> Result<Option<String>, Failure> {
        let inside = self.enter(door).await?;
        let written = self.host(&inside).write_revoked_keys(list).await;
        self.leave(door, inside, written).await
    }

    async fn scan(&self, door: &Door, first: &[AccountName], budget: Duration) -> Result<Seen, Failure> {
        let inside = self.enter(door).await?;
        let seen = self.host(&inside).scan(first, budget).await;
        self.leave(door, inside, seen).await
    }

    async fn log(
        &self,
        door: &Door,
        account: &AccountName,
        keys: &[Fingerprint],
    ) -> Result<LogLines, Failure> {
        let own = door.server.management.as_ref().map(|(_, user)| user.clone()).unwrap_or_default();
        let inside = self.enter(door).await?;
        let lines = self.host(&inside).log(&own, account, keys).await;
        self.leave(door, inside, lines).await
    }
}

const fn enforcer(grace: &Grace) -> Enforcer {
    match grace {
        Grace::Sshd(_) => Enforcer::Sshd,
        Grace::Keywright => Enforcer::Keywright,
    }
}

/// As receipts list it.
pub fn words(way: &ResidualAccess) -> String {
    match way {
        ResidualAccess::ForeignKeys(count) => format!("FOREIGN_KEYS {count}"),
        ResidualAccess::KeysCommand => "KEYS_COMMAND".to_owned(),
        ResidualAccess::UserCa => "USER_CA".to_owned(),
        ResidualAccess::Password => "PASSWORD".to_owned(),
    }
}

/// In our words; the host's own stay inside. UNTOUCHED is with those that changed nothing on the host.
pub fn failure(error: HostFailure) -> Failure {
    let untouched = error.left_all_as_it_was();
    match error {
        HostFailure::Connection(error) => super::login::unreachable(&error),
        HostFailure::Refused { reason, file, .. } => {
            let failure = Failure::new(reason, what(reason));
            let failure = if untouched { failure.with(UNTOUCHED, "yes") } else { failure };
            match file {
                Some(file) => failure.with("file", file),
                None => failure,
            }
        }
        HostFailure::NoKeysFile => {
            let what = "The SSH server reads no key file for this account (AuthorizedKeysFile none): name one in its \
                        sshd_config, or choose another account.";
            Failure::new(Reason::AccountNotAllowed, what).with(UNTOUCHED, "yes")
        }
        HostFailure::Superseded { .. } => {
            Failure::new(Reason::RevisionMismatch, "A newer edit has been made on the server.")
        }
    }
}

const fn what(reason: Reason) -> &'static str {
    match reason {
        Reason::SudoUnavailable => {
            "On the server neither root nor Keywright's program (deploy/sudoers) can be reached by sudo, or that \
             program is older than this Keywright."
        }
        Reason::PolicyForbids => {
            "With the options of the policy the server would refuse the key to Keywright: a `from` must contain its \
             address, and Dropbear knows few options."
        }
        Reason::AccountNotAllowed => {
            "The account belongs to the system; or it may become root, and Keywright's program (deploy/sudoers) gives \
             it no key unless root says so; or it is to be made and its name is a group's."
        }
        Reason::HostFileSymlink => "The account's key file or its directory is a symbolic link.",
        Reason::HostFileNotRegular => "The account's key file is no regular file, or its directory is none.",
        Reason::HostFileTooLarge => "The account's key file is too large.",
        Reason::HostFileReadOnly => "The account's key file cannot be written.",
        Reason::HostFileDiskFull => "The disk of the account's key file is full.",
        Reason::HostFileChanged => "The account's key file keeps changing, or another edit is at it.",
        Reason::HostFileOwner => {
            "The account's home, its key file or a directory on the way belongs to another account, or others may \
             write to it: the SSH server reads no key there."
        }
        _ => "The work on the server was refused.",
    }
}
