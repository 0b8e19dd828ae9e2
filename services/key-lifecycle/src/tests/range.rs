//! Simulated hosts: files with a marker, lines with an end, and whatever a test lets fail.

use super::fakes::Meanwhile;
use crate::adapters::door::Door;
use crate::adapters::host::{DesiredKeys, RevokedKeysFile};
use crate::adapters::hosts::{Edited, Hosts, Sessions, Trouble};
use crate::model::{Enforcer, LogLines, Seen, SeenAccount, SeenFile};
use async_trait::async_trait;
use keywright_domain::account::AccountName;
use keywright_domain::clock::{Clock, Instant};
use keywright_domain::fingerprint::Fingerprint;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::Failure;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const LIST_PATH: &str = "/etc/ssh/keywright/revoked_keys";

/// One account's file: blobs with the end that the host enforces, and the revision in the marker.
#[derive(Debug, Default, Clone)]
pub struct File {
    pub keys: BTreeMap<Vec<u8>, Option<Instant>>,
    pub revision: u64,
    /// On our lines.
    pub options: Vec<String>,
}

#[derive(Default)]
pub struct State {
    pub files: HashMap<(String, String), File>,
    pub missing_accounts: Vec<String>,
    /// Servers whose sshd reads a list of ours, and what it holds.
    pub lists: HashMap<String, Vec<u8>>,
    /// Servers that end keys by themselves.
    pub enforcing: bool,
    /// Such a server refuses a key with an end at once.
    pub refuses_ends: bool,
    /// Servers refuse every key on a line with this option.
    pub refused_option: String,
    /// Actions (`action` or `action server`) that fail: how often yet, and why.
    pub failing: HashMap<String, (usize, Reason)>,
    /// Of those: how often they succeed before.
    pub passing: HashMap<String, usize>,
    /// Servers that take a connection and never say a word.
    pub silent: HashSet<String>,
    /// Sessions on a server; one, where nothing was said or ended yet.
    pub sessions: HashMap<String, u32>,
    /// What the log of a server has.
    pub logs: HashMap<String, LogLines>,
    /// What was done, as `action server`.
    pub done: Vec<String>,
}

#[derive(Clone)]
pub struct Range {
    pub state: Arc<Mutex<State>>,
    pub clock: Clock,
    /// While a file is edited.
    pub meanwhile: Meanwhile,
    /// While a key is offered.
    pub meanwhile_offered: Meanwhile,
}

impl Range {
    pub fn new(clock: Clock) -> Self {
        Self {
            state: Arc::default(),
            clock,
            meanwhile: Meanwhile::default(),
            meanwhile_offered: Meanwhile::default(),
        }
    }

    pub fn fail(&self, action: &str, times: usize, reason: Reason) {
        self.state.lock().unwrap().failing.insert(action.to_owned(), (times, reason));
    }

    pub fn file(&self, server: &str, account: &str) -> File {
        self.state
            .lock()
            .unwrap()
            .files
            .get(&(server.to_owned(), account.to_owned()))
            .cloned()
            .unwrap_or_default()
    }

    pub fn done(&self, action: &str) -> usize {
        self.state.lock().unwrap().done.iter().filter(|done| done.starts_with(action)).count()
    }

    fn enter(state: &mut State, action: &str, server: &str) -> Result<(), Reason> {
        state.done.push(format!("{action} {server}"));
        for key in [action.to_owned(), format!("{action} {server}"), format!("any {server}")] {
            if let Some(left) = state.passing.get_mut(&key)
                && *left > 0
            {
                *left -= 1;
                continue;
            }
            if let Some((left, reason)) = state.failing.get_mut(&key)
                && *left > 0
            {
                *left -= 1;
                return Err(*reason);
            }
        }
        Ok(())
    }

    /// Whether the host lets the key in.
    pub fn accepts(&self, action: &str, server: &str, account: &str, blob: &[u8]) -> Result<bool, Reason> {
        let mut state = self.state.lock().unwrap();
        Self::enter(&mut state, action, server)?;
        let now = self.clock.now();
        let file = state.files.get(&(server.to_owned(), account.to_owned()));
        if file.is_some_and(|file| file.options.contains(&state.refused_option)) {
            return Ok(false);
        }
        Ok(match file.and_then(|file| file.keys.get(blob)) {
            None => false,
            Some(None) => true,
            Some(Some(end)) => *end > now && !state.refuses_ends,
        })
    }
}

#[async_trait]
impl Hosts for Range {
    async fn account(&self, door: &Door, account: &AccountName, create: bool) -> Result<(), Failure> {
        let mut state = self.state.lock().unwrap();
        let failed = |reason| Failure::new(reason, "It failed.");
        Self::enter(&mut state, "account", door.server.id.as_str()).map_err(failed)?;
        if create {
            state.missing_accounts.retain(|missing| missing != account.as_str());
        }
        if state.missing_accounts.iter().any(|missing| missing == account.as_str()) {
            return Err(failed(Reason::AccountNotFound));
        }
        Ok(())
    }

    /// There is nothing to see before an edit.
    async fn look_ahead(&self, _door: &Door, _account: &AccountName) -> Result<(), Failure> {
        Ok(())
    }

    async fn converge(
        &self,
        door: &Door,
        account: &AccountName,
        wanted: &DesiredKeys,
    ) -> Result<Edited, Trouble> {
        self.meanwhile.pass().await;
        let server = door.server.id.as_str();
        while self.state.lock().unwrap().silent.contains(server) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let mut state = self.state.lock().unwrap();
        let failed = |reason| Trouble::Failed(Failure::new(reason, "It failed."));
        Self::enter(&mut state, "converge", server).map_err(failed)?;
        let enforcing = state.enforcing;
        let file = state.files.entry((server.to_owned(), account.to_string())).or_default();
        if file.revision > wanted.revision && wanted.overruled != Some(file.revision) {
            return Err(Trouble::Superseded { found: file.revision });
        }
        file.revision = wanted.revision;
        file.keys.retain(|blob, _| !wanted.all_blobs.contains(blob));
        let mut edited = Edited { host_key: "SHA256:host".to_owned(), ..Edited::default() };
        for key in &wanted.keys {
            file.options = key.options.iter().map(|option| option.as_str().to_owned()).collect();
            let end = key.until.filter(|_| enforcing);
            file.keys.insert(key.public_key.blob().to_vec(), end);
            if key.until.is_some() {
                let by = if enforcing { Enforcer::Sshd } else { Enforcer::Keywright };
                edited.enforced.push((key.version, by));
            }
        }
        let foreign = file.keys.keys().filter(|blob| !wanted.all_blobs.contains(blob)).count();
        if foreign > 0 {
            edited.residual.push(format!("FOREIGN_KEYS {foreign}"));
        }
        edited.revoked_keys = state.lists.contains_key(server);
        Ok(edited)
    }

    async fn end_sessions(
        &self,
        door: &Door,
        _: &AccountName,
        keys: Option<&[Fingerprint]>,
    ) -> Result<Sessions, Failure> {
        let mut state = self.state.lock().unwrap();
        let action = if keys.is_some() { "end_sessions" } else { "end_all_sessions" };
        Self::enter(&mut state, action, door.server.id.as_str())
            .map_err(|reason| Failure::new(reason, "It failed."))?;
        let ended = state.sessions.insert(door.server.id.to_string(), 0).unwrap_or(1);
        Ok(Sessions { ended: ended.to_string(), ..Sessions::default() })
    }

    async fn look_at_revoked_keys(&self, door: &Door) -> Result<Option<RevokedKeysFile>, Failure> {
        let mut state = self.state.lock().unwrap();
        let server = door.server.id.as_str();
        Self::enter(&mut state, "look_at_list", server)
            .map_err(|reason| Failure::new(reason, "It failed."))?;
        let found = state.lists.get(server).map(|list| RevokedKeysFile::holding(LIST_PATH, list));
        Ok(found)
    }

    async fn write_revoked_keys(&self, door: &Door, list: &[u8]) -> Result<Option<String>, Failure> {
        let mut state = self.state.lock().unwrap();
        let server = door.server.id.as_str();
        Self::enter(&mut state, "write_list", server).map_err(|reason| Failure::new(reason, "It failed."))?;
        let Some(held) = state.lists.get_mut(server) else { return Ok(None) };
        *held = list.to_vec();
        Ok(Some(LIST_PATH.to_owned()))
    }

    async fn scan(&self, door: &Door, first: &[AccountName], _: Duration) -> Result<Seen, Failure> {
        let mut state = self.state.lock().unwrap();
        let server = door.server.id.as_str();
        Self::enter(&mut state, "scan", server).map_err(|reason| Failure::new(reason, "It failed."))?;
        let accounts = first.iter().zip(1001u32..).map(|(account, uid)| {
            let file = state.files.get(&(server.to_owned(), account.to_string()));
            let key = |file: &File, blob: &Vec<u8>| {
                let line =
                    format!("{} {}\n", file.options.join(","), PublicKey::from_blob(blob).unwrap().openssh());
                line.trim_start().to_owned()
            };
            let text: String =
                file.map(|file| file.keys.keys().map(|blob| key(file, blob)).collect()).unwrap_or_default();
            let path = format!("/home/{account}/.ssh/authorized_keys");
            let files = vec![SeenFile { path, bytes: text.into_bytes() }];
            SeenAccount { name: account.to_string(), uid, files, unreadable: Vec::new() }
        });
        Ok(Seen { accounts: accounts.collect(), settings_read: true, ..Seen::default() })
    }

    async fn log(&self, door: &Door, _: &AccountName, _: &[Fingerprint]) -> Result<LogLines, Failure> {
        let mut state = self.state.lock().unwrap();
        Self::enter(&mut state, "log", door.server.id.as_str())
            .map_err(|reason| Failure::new(reason, "It failed."))?;
        Ok(LogLines {
            host_time: Some(self.clock.now()),
            our_time: Some(self.clock.now()),
            ..state.logs.get(door.server.id.as_str()).cloned().unwrap_or_default()
        })
    }
}
