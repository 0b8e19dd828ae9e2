//! Brings one account of one host to what the recorded state wants, and nothing else.
//!
//! Invariant: the desired keys and a new, higher revision are read in one transaction, and the marker on the host
//! stops whatever carries a lower one. So an edit that comes late (another replica's, or one from before a revocation)
//! can never bring an older state back.

use super::receipt;
use crate::adapters::credential_store::CredentialStore;
use crate::adapters::door::Door;
use crate::adapters::host::{DesiredKey, DesiredKeys};
use crate::adapters::hosts::{Edited, Hosts, Trouble, UNTOUCHED};
use crate::krl::Groups;
use crate::model::{Access, Enforcer, Line, LineOptions, LineState, Version, VersionState};
use crate::recovery;
use crate::store;
use keywright_domain::authorized_keys::{LineOption, Owner};
use keywright_domain::clock::Instant;
use keywright_domain::ids::ServerId;
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Tx};
use std::sync::Arc;

/// How often newer edits are overtaken before the step fails.
const TRIES: usize = 4;

/// Which options an edit writes: of what is known of the host, and of what the policy says.
type Choice = fn(LineOptions, Vec<LineOption>) -> Vec<LineOption>;

#[derive(Clone)]
pub struct Converger {
    pub db: Db,
    pub store: CredentialStore,
    pub hosts: Arc<dyn Hosts>,
    pub groups: Groups,
}

impl Converger {
    /// The server as it is now, to be worked on under `work`.
    pub async fn door(&self, server: &ServerId, work: &str) -> Result<Door, Failure> {
        let server = self.store.server(server).await?;
        self.groups.remember(&server).await?;
        Ok(Door::new(server, work))
    }

    /// With the options that the lines have had, as far as they are known to work.
    pub async fn converge(&self, door: &Door, access: &Access) -> Result<Edited, Failure> {
        self.converge_with(door, access, LineOptions::proven).await
    }

    /// With the options of the policy, for whoever proves afterwards that the host takes them.
    pub async fn converge_to_prove(&self, door: &Door, access: &Access) -> Result<Edited, Failure> {
        self.converge_with(door, access, LineOptions::tried).await
    }

    async fn converge_with(&self, door: &Door, access: &Access, choice: Choice) -> Result<Edited, Failure> {
        let server = &door.server.id;
        let (mut overruled, mut superseded) = (None, false);
        for _ in 0..TRIES {
            let (mut wanted, options) = self.db.serialized(|| self.wanted(access, server, choice)).await?;
            wanted.overruled = overruled;
            match self.hosts.converge(door, &access.account, &wanted).await {
                Ok(mut edited) => {
                    receipt::name_lines(&mut edited, &wanted);
                    self.remember(access, server, &edited, &options).await?;
                    return Ok(edited);
                }
                Err(Trouble::Failed(mut failure)) => {
                    if superseded {
                        // The edit before this one may have got as far as another file.
                        failure.metadata.remove(UNTOUCHED);
                    }
                    return Err(failure);
                }
                Err(Trouble::Superseded { found }) => {
                    superseded = true;
                    // Never issued: the account wrote it into its own file.
                    let issued = self.db.serialized(|| self.issued(access, server)).await?;
                    overruled = (found > issued).then_some(found);
                }
            }
        }
        Err(Failure::new(Reason::RevisionMismatch, "Newer edits were made on the host meanwhile."))
    }

    async fn wanted(
        &self,
        access: &Access,
        server: &ServerId,
        choice: Choice,
    ) -> Result<(DesiredKeys, Vec<LineOption>), Error> {
        let mut tx = self.db.begin_internal("the next revision of a host").await?;
        recovery::refuse_in(tx.conn()).await?;
        let revision = store::access::next_edit(&mut tx, &access.id, server).await?;
        let versions = store::version::of(tx.conn(), &access.id).await?;
        let lines = store::line::of(tx.conn(), &access.id).await?;
        let graces = store::rotation::graces(tx.conn(), &access.id).await?;
        let unknown = store::recovery::unknown(tx.conn(), &access.id, server).await?;
        let settings = store::policy::effective(tx.conn(), &access.tenant, Some(&access.id)).await?;
        let options = store::line_options::of(tx.conn(), &access.id, server).await?;
        let options = choice(options, settings.line_options);
        // A host's clock is compared with this machine's, which may be off: the promise is by the database's.
        let ends = |version: &Version| {
            graces.iter().find(|(old, ..)| *old == version.id).map(|(_, end, _)| tx.on_this_machine(*end))
        };
        let mut desired = desired_keys(access, server, revision, &versions, &lines, ends)?;
        tx.commit().await?;
        for key in &mut desired.keys {
            key.options.clone_from(&options);
        }
        if desired.keys.iter().any(|key| unknown.contains(&key.version)) {
            let what = "Since the restore nobody could ask this host which keys it still has.";
            return Err(Failure::new(Reason::RecoveryMode, what).with("serverId", server.as_str()).into());
        }
        Ok((desired, options))
    }

    async fn issued(&self, access: &Access, server: &ServerId) -> Result<u64, Error> {
        let mut reader = store::reader(&self.db).await?;
        Ok(store::access::last_edit(&mut reader, &access.id, server).await?)
    }

    async fn remember(
        &self,
        access: &Access,
        server: &ServerId,
        edited: &Edited,
        options: &[LineOption],
    ) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("what an edit saw").await?;
            store::access::set_residual(&mut tx, &access.id, server, &edited.residual).await?;
            if edited.enforced.iter().any(|(_, by)| *by == Enforcer::Keywright) {
                ended_by_keywright(&mut tx, access, server, edited).await?;
            }
            store::line_options::written(&mut tx, &access.id, server, options).await?;
            store::revocation::hurry(&mut tx, server).await?;
            if edited.revoked_keys {
                store::krl::hurry_first(&mut tx, server).await?;
            }
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}

/// Lines that the host was to end by itself, and that have no end since this edit: Keywright ends them.
async fn ended_by_keywright(
    tx: &mut Tx,
    access: &Access,
    server: &ServerId,
    edited: &Edited,
) -> Result<(), Error> {
    let versions = store::version::of(tx.conn(), &access.id).await?;
    let lines = store::line::of(tx.conn(), &access.id).await?;
    for version in versions {
        let by_us = edited.enforced.contains(&(version.number, Enforcer::Keywright));
        let was_by_host = |line: &Line| {
            line.server == *server && line.version == version.id && line.state == LineState::Expiring
        };
        if by_us && lines.iter().any(was_by_host) {
            store::line::set_enforcer(tx, server, &version.id, Enforcer::Keywright).await?;
            store::line::set_state(tx, server, &version.id, LineState::Installed).await?;
        }
    }
    Ok(())
}

/// Pure: which keys the account's files hold. `ends` tells when the grace of a version ends.
///
/// A host is told the end of a key only when a newer one has proven on it: where the newer one has not come yet, the old
/// one has no end, or its holder would have no key there at all.
pub fn desired_keys(
    access: &Access,
    server: &ServerId,
    revision: u64,
    versions: &[Version],
    lines: &[Line],
    ends: impl Fn(&Version) -> Option<Instant>,
) -> Result<DesiredKeys, Error> {
    let owner = Owner::parse(access.id.as_str())
        .map_err(|_| Failure::new(Reason::Internal, "The access's id cannot stand in a file."))?;
    let line =
        |version: &Version| lines.iter().find(|line| line.server == *server && line.version == version.id);
    let succeeded = |old: &Version| {
        versions.iter().any(|newer| {
            newer.number > old.number && newer.state.is_live() && line(newer).is_some_and(Line::is_proven)
        })
    };
    let mut keys = Vec::new();
    for version in versions {
        let (Some(public_key), Some(line)) = (version.public_key.clone(), line(version)) else { continue };
        let leaving = matches!(line.state, LineState::RemovalPending | LineState::RemovedProven);
        if !version.state.is_live() || leaving {
            continue;
        }
        let by_host = version.state == VersionState::Grace
            && line.enforced_by != Some(Enforcer::Keywright)
            && succeeded(version);
        let until = if by_host { ends(version) } else { None };
        keys.push(DesiredKey { public_key, version: version.number, until, options: Vec::new() });
    }
    let all_blobs =
        versions.iter().filter_map(|version| Some(version.public_key.as_ref()?.blob().to_vec())).collect();
    Ok(DesiredKeys { owner, revision, keys, all_blobs, overruled: None })
}
