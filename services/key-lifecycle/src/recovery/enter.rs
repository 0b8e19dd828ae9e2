//! Writes down, at a restore, what the hosts are to be asked.

use super::expected::{Recorded, RecordedManagement, expected, expected_management};
use crate::model::{Answer, Expected, RecoveryLine};
use crate::store;
use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::ids::ServerId;
use keywright_domain::key::PublicKey;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Tx};

/// The state after a restore of what was copied at `backup_taken_at`; how many keys the hosts are to be asked for.
pub async fn enter(db: &Db, backup_taken_at: Instant) -> Result<usize, Failure> {
    let entered: Result<usize, Error> = db
        .serialized(|| async {
            let mut tx = db.begin_internal("a restored installation is in recovery").await?;
            store::recovery::enter(&mut tx, backup_taken_at).await?;
            let mut lines = accesses(&mut tx, backup_taken_at).await?;
            lines.extend(management(&mut tx, backup_taken_at).await?);
            for line in &lines {
                store::recovery::insert(&mut tx, line).await?;
            }
            tx.commit().await?;
            Ok(lines.len())
        })
        .await;
    Ok(entered?)
}

struct Key<'a> {
    owner: &'a str,
    server: &'a ServerId,
    account: &'a AccountName,
    version_id: &'a str,
    number: u32,
    public_key: &'a PublicKey,
    recorded_state: &'a str,
}

fn line(key: Key<'_>, expected: Expected) -> RecoveryLine {
    RecoveryLine {
        id: format!("{}:v{}@{}", key.owner, key.number, key.server),
        owner: key.owner.to_owned(),
        server: key.server.clone(),
        account: key.account.clone(),
        version_id: key.version_id.to_owned(),
        number: key.number,
        public_key: key.public_key.clone(),
        recorded_state: key.recorded_state.to_owned(),
        expected,
        answer: Answer::Unprobed,
        detail: String::new(),
        probed_at: None,
        put_back_at: None,
        attempts: 0,
    }
}

async fn accesses(tx: &mut Tx, taken_at: Instant) -> Result<Vec<RecoveryLine>, Error> {
    let now = tx.now();
    let mut found = Vec::new();
    for access in store::access::all(tx.conn()).await? {
        let versions = store::version::of(tx.conn(), &access.id).await?;
        let hosts = store::access::hosts(tx.conn(), &access.id).await?;
        let lines = store::line::of(tx.conn(), &access.id).await?;
        let graces = store::rotation::graces(tx.conn(), &access.id).await?;
        for version in &versions {
            let Some(public_key) = &version.public_key else { continue };
            let ends_at = graces.iter().find(|(old, ..)| *old == version.id).map(|(_, end, _)| *end);
            for host in &hosts {
                let on_host =
                    lines.iter().find(|line| line.server == host.server && line.version == version.id);
                let receipt = on_host.and_then(|line| line.receipt.as_ref());
                let recorded = Recorded {
                    version: version.state,
                    line: on_host.map(|line| line.state),
                    ends_at,
                    seen_at: receipt.map_or(version.created_at, |receipt| receipt.proven_at()),
                };
                let Some(expected) = expected(&recorded, taken_at, now) else { continue };
                let key = Key {
                    owner: access.id.as_str(),
                    server: &host.server,
                    account: &access.account,
                    version_id: version.id.as_str(),
                    number: version.number,
                    public_key,
                    recorded_state: on_host.map_or("", |line| line.state.as_str()),
                };
                found.push(line(key, expected));
            }
        }
    }
    Ok(found)
}

async fn management(tx: &mut Tx, taken_at: Instant) -> Result<Vec<RecoveryLine>, Error> {
    let mut found: Vec<RecoveryLine> = Vec::new();
    // Oldest first, so that the numbers of a server's keys are in the order of their making.
    let all = store::management::all(tx.conn()).await?;
    let mut numbers = std::collections::HashMap::<ServerId, u32>::new();
    for key in &all {
        let number = numbers.entry(key.server.clone()).or_default();
        *number = number.saturating_add(1);
        let Some(public_key) = &key.public_key else { continue };
        let last = all.iter().rev().find(|other| {
            other.server == key.server && other.state == crate::model::ManagementState::Succeeded
        });
        let current = last.is_some_and(|other| other.id == key.id);
        let recorded = RecordedManagement { state: key.state, current, removed_at: key.removed_at };
        let Some(expected) = expected_management(&recorded, taken_at) else { continue };
        // What is no account's name was refused when the server was taken under management.
        let Ok(account) = AccountName::parse(&key.username) else { continue };
        let key = Key {
            owner: key.server.as_str(),
            server: &key.server,
            account: &account,
            version_id: key.id.as_str(),
            number: *number,
            public_key,
            recorded_state: if key.removed_at.is_some() { "REMOVED" } else { key.state.as_str() },
        };
        found.push(line(key, expected));
    }
    Ok(found)
}
