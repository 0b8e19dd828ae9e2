//! What the end of a revocation lets go of: everything, where the access was given up for good; else the hosts that were
//! being taken off it when the revocation overtook their removal.
//!
//! Invariant: a reference is dropped only when every host of the revocation has been proven to refuse the keys.

use crate::adapters::credential_store::CredentialStore;
use crate::model::{Access, Host, Revocation};
use crate::store;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Db, Tx};

/// Before the revocation is recorded as ended; may be repeated. Does nothing while a host is not proven.
pub async fn after(db: &Db, peers: &CredentialStore, revocation: &Revocation) -> Result<(), Failure> {
    let mut reader = store::reader(db).await?;
    let hosts = store::revocation::hosts(&mut reader, &revocation.id).await?;
    let last = store::revocation::last(&mut reader, &revocation.access).await?;
    let access = store::access::find(&mut reader, &revocation.access).await?;
    let of_access = store::access::hosts(&mut reader, &revocation.access).await?;
    drop(reader);
    let ended = hosts.iter().all(|host| host.proven_at.is_some())
        && last.is_some_and(|last| last.id == revocation.id);
    let Some(access) = access.filter(|access| ended && access.deprovisioned_at.is_none()) else {
        return Ok(());
    };
    let given_up = access.deprovision_at.is_some();
    let gone: Vec<&Host> = of_access.iter().filter(|host| given_up || host.leaving).collect();
    let (work, owner) = (revocation.id.as_str(), access.id.as_str());
    for host in &gone {
        peers.let_go_of_server(work, &host.server, owner).await?;
    }
    if given_up {
        peers.let_go_of_credential(work, &access.credential, owner).await?;
    }
    if given_up || !gone.is_empty() {
        db.serialized(|| record(db, &access, &gone)).await?;
    }
    Ok(())
}

async fn record(db: &Db, access: &Access, gone: &[&Host]) -> Result<(), Error> {
    let mut tx: Tx = db.begin_internal("a revocation lets go").await?;
    if access.deprovision_at.is_some() {
        store::access::deprovisioned(&mut tx, &access.id).await?;
    } else {
        for host in gone {
            store::access::host_left(&mut tx, &access.id, &host.server).await?;
            store::line::forget_on(&mut tx, &access.id, &host.server).await?;
        }
    }
    tx.commit().await?;
    Ok(())
}
