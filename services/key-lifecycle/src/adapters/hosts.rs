//! Work on hosts, as the lifecycle asks for it: one fresh login with the management key per operation.

use super::credential_store::Server;
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

/// A server and the work under which it is entered.
#[derive(Debug, Clone)]
pub struct Door {
    pub server: Server,
    pub work: String,
}

/// What an edit did and saw.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Edited {
    /// Who ends the key, by version, for those that were to end.
    pub enforced: Vec<(u32, Enforcer)>,
    /// Other ways in: FOREIGN_KEYS n, KEYS_COMMAND, USER_CA, PASSWORD.
    pub residual: Vec<String>,
    /// Its sshd reads a file of revoked keys, whoever's.
    pub revoked_keys: bool,
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

#[async_trait]
impl Hosts for SshHosts {
    async fn account(&self, door: &Door, account: &AccountName, create: bool) -> Result<(), Failure> {
        let session = self.login.with_management_key(&door.server, &door.work).await?;
        let host = host::Host::new(&session, &self.clock);
        let mut facts = host.inspect(account).await.map_err(failure)?;
        // Also one that is there: an earlier try may have been cut off, and is finished.
        if create && facts.account.as_ref().is_none_or(|found| !found.is_system()) {
            let made = host.create_account(account).await.map_err(failure)?;
            if made.created {
                facts = host.inspect(account).await.map_err(failure)?;
            }
        }
        session.close().await;
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

    async fn converge(
        &self,
        door: &Door,
        account: &AccountName,
        wanted: &DesiredKeys,
    ) -> Result<Edited, Trouble> {
        let session =
            self.login.with_management_key(&door.server, &door.work).await.map_err(Trouble::Failed)?;
        let host = host::Host::new(&session, &self.clock);
        // The scripts end by themselves: what was cut off is done again, as after a connection that broke.
        let done = tokio::time::timeout(LONGEST_EDIT, host.converge(account, wanted)).await;
        session.close().await;
        let slow = |_| {
            let what = "The server answers too slowly to be worked on.";
            Trouble::Failed(Failure::new(Reason::HostUnreachable, what))
        };
        let done = done.map_err(slow)?.map_err(|error| match error {
            HostFailure::Superseded { found } => Trouble::Superseded { found },
            error => Trouble::Failed(failure(error)),
        })?;
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
        Ok(Edited { enforced, residual, revoked_keys: done.facts.revoked_keys })
    }

    async fn end_sessions(
        &self,
        door: &Door,
        account: &AccountName,
        keys: Option<&[Fingerprint]>,
    ) -> Result<Sessions, Failure> {
        let session = self.login.with_management_key(&door.server, &door.work).await?;
        let scope = keys.map_or(SessionScope::All, SessionScope::OpenedBy);
        let done = host::Host::new(&session, &self.clock).end_sessions(account, scope).await;
        session.close().await;
        let done = done.map_err(failure)?;
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
        let session = self.login.with_management_key(&door.server, &door.work).await?;
        let found = host::Host::new(&session, &self.clock).look_at_revoked_keys().await;
        session.close().await;
        found.map_err(failure)
    }

    async fn write_revoked_keys(&self, door: &Door, list: &[u8]) -> Result<Option<String>, Failure> {
        let session = self.login.with_management_key(&door.server, &door.work).await?;
        let written = host::Host::new(&session, &self.clock).write_revoked_keys(list).await;
        session.close().await;
        written.map_err(failure)
    }

    async fn scan(&self, door: &Door, first: &[AccountName], budget: Duration) -> Result<Seen, Failure> {
        let session = self.login.with_management_key(&door.server, &door.work).await?;
        let seen = host::Host::new(&session, &self.clock).scan(first, budget).await;
        session.close().await;
        seen.map_err(failure)
    }

    async fn log(
        &self,
        door: &Door,
        account: &AccountName,
        keys: &[Fingerprint],
    ) -> Result<LogLines, Failure> {
        let own = door.server.management.as_ref().map(|(_, user)| user.clone()).unwrap_or_default();
        let session = self.login.with_management_key(&door.server, &door.work).await?;
        let lines = host::Host::new(&session, &self.clock).log(&own, account, keys).await;
        session.close().await;
        lines.map_err(failure)
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
