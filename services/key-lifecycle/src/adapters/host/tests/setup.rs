//! Hosts, keys and desired states for the tests beside this file.

use keywright_domain::account::AccountName;
use keywright_domain::authorized_keys::Owner;
use keywright_domain::clock::Clock;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_kit::{HostOptions, TestHost};

use super::super::Host;
use super::super::converge::{Converged, DesiredKey, DesiredKeys};
use super::super::facts::{Account, Drop, Facts, KeysFile, ServerKind};
use super::super::failure::HostFailure;
use super::super::shell::local::LocalShell;

pub(super) const CLOCK: Clock = Clock::System;
pub(super) const BLOB_A: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbaS/iuVj9IRmaMukuTljARFnVOiq6NYabJkFQmB/T1";
pub(super) const BLOB_B: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHG1+QOtFS1hUAVSwVl+xHjtfF9cQDj4TEocTpwaXTBv";
pub(super) const FOREIGN: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOiLd17iv3lj0QBXwrkPramN9/1oQfs6ZUnOg2S8m+Uf bob@laptop";
pub(super) const FILE: &str = ".ssh/authorized_keys";

pub(super) fn alice() -> AccountName {
    AccountName::parse("alice").unwrap()
}

pub(super) fn owner() -> Owner {
    Owner::parse("acc_test").unwrap()
}

/// Dash and bash on Debian's commands, BusyBox's shell on its own.
pub(super) async fn each_shell() -> Vec<LocalShell> {
    let debian = || async { TestHost::openssh(HostOptions::default()).await.unwrap() };
    let busybox = TestHost::openssh(HostOptions::default().busybox()).await.unwrap();
    let shells = vec![
        LocalShell::new(debian().await, &["dash"]),
        LocalShell::new(debian().await, &["bash"]),
        LocalShell::new(busybox, &["busybox", "sh"]),
    ];
    for shell in &shells {
        shell.host().add_user("alice");
    }
    shells
}

pub(super) async fn one_shell() -> LocalShell {
    let shell = LocalShell::new(TestHost::openssh(HostOptions::default()).await.unwrap(), &["dash"]);
    shell.host().add_user("alice");
    shell
}

pub(super) fn key(line: &str, version: u32) -> DesiredKey {
    DesiredKey {
        public_key: PublicKey::parse_openssh(line).unwrap(),
        version,
        until: None,
        options: Vec::new(),
    }
}

/// The keys that are wanted, of an access that ever had A and B.
pub(super) fn wanted(revision: u64, keys: Vec<DesiredKey>) -> DesiredKeys {
    let blob = |line: &str| PublicKey::parse_openssh(line).unwrap().blob().to_vec();
    DesiredKeys {
        owner: owner(),
        revision,
        keys,
        all_blobs: vec![blob(BLOB_A), blob(BLOB_B)],
        overruled: None,
    }
}

pub(super) async fn converge(shell: &LocalShell, wanted: &DesiredKeys) -> Result<Converged, HostFailure> {
    Host::local(shell, &CLOCK).converge(&alice(), wanted).await
}

/// Why it failed, as callers are told.
pub(super) fn reason<T: std::fmt::Debug>(result: Result<T, HostFailure>) -> Reason {
    crate::adapters::hosts::failure(result.unwrap_err()).reason
}

/// Facts with the one default file, so that a single script of a test runs.
pub(super) fn default_facts(shell: &LocalShell) -> Facts {
    let account = shell.host().account("alice").unwrap();
    let home = account.home.to_string_lossy().into_owned();
    Facts {
        files: vec![KeysFile { path: format!("{home}/{FILE}") }],
        account: Some(Account { uid: account.uid, gid: account.gid, home, shell: account.shell }),
        server: ServerKind::Unknown,
        version: None,
        settings_read: false,
        residual: Vec::new(),
        revoked_keys: false,
        skew: None,
        local_end: None,
        drop: Drop::Setpriv,
        seen: None,
        strict_modes: false,
    }
}

pub(super) fn content(shell: &LocalShell) -> String {
    String::from_utf8(shell.host().read_authorized_keys("alice").unwrap()).unwrap()
}

/// Names in the account's `.ssh`, to see that nothing is left behind.
pub(super) fn left(shell: &LocalShell) -> Vec<String> {
    let folder = shell.host().home("alice").join(".ssh");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
