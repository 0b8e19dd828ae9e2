//! Rows: what is written comes back, what must be unique is, what grows only grows.

use super::world::World;
use crate::model::{Access, Claim, Enforcer, Host, LineState, Receipt, VersionState};
use crate::store;
use keywright_domain::account::AccountName;
use keywright_domain::ids::{AccessId, ClaimId, CredentialId, ServerId, VersionId};
use keywright_domain::key::{GenerateSpec, KeyAlgorithm, PrivateKey};
use keywright_storage::{Error, Tx};

async fn access(world: &World, tx: &mut Tx) -> (Access, Host) {
    let access = Access {
        id: AccessId::random().unwrap(),
        tenant: world.tenant.clone(),
        account: AccountName::parse("deploy").unwrap(),
        credential: CredentialId::random().unwrap(),
        algorithm: KeyAlgorithm::Ed25519,
        create_account: true,
        created_at: tx.now(),
        revoked_at: None,
        closed_at: None,
        deprovision_at: None,
        deprovisioned_at: None,
        revision: 1,
    };
    let host = Host {
        server: ServerId::random().unwrap(),
        name: "web".to_owned(),
        host: "192.0.2.7".to_owned(),
        port: 22,
        residual: vec!["FOREIGN_KEYS 2".to_owned()],
        create_account: true,
        leaving: false,
    };
    store::access::insert(tx, &access).await.unwrap();
    store::access::insert_host(tx, &access.id, 1, &host).await.unwrap();
    store::access::set_residual(tx, &access.id, &host.server, &host.residual).await.unwrap();
    (access, host)
}

#[tokio::test]
async fn an_access_comes_back_as_it_was_and_its_revision_grows() {
    let world = World::new().await;
    let mut tx = world.db.begin_internal("test").await.unwrap();
    let (access, host) = access(&world, &mut tx).await;
    assert_eq!(store::access::find(tx.conn(), &access.id).await.unwrap(), Some(access.clone()));
    assert_eq!(store::access::hosts(tx.conn(), &access.id).await.unwrap(), std::slice::from_ref(&host));
    let mut edits = Vec::new();
    for _ in 0..3 {
        edits.push(store::access::next_edit(&mut tx, &access.id, &host.server).await.unwrap());
    }
    assert_eq!(edits, [1, 2, 3]);
    assert_eq!(store::access::last_edit(tx.conn(), &access.id, &host.server).await.unwrap(), 3);
    store::access::touch(&mut tx, &access.id).await.unwrap();
    assert_eq!(store::access::find(tx.conn(), &access.id).await.unwrap().unwrap().revision, 2);
}

#[tokio::test]
async fn an_account_of_a_server_belongs_to_one_access() {
    let world = World::new().await;
    let mut tx = world.db.begin_internal("test").await.unwrap();
    let (one, host) = access(&world, &mut tx).await;
    store::access::take_account(&mut tx, &host.server, &one.account, &one.id).await.unwrap();
    let owner = store::access::of_account(tx.conn(), &host.server, "deploy").await.unwrap();
    assert_eq!(owner, Some(one.id.clone()));
    let again =
        store::access::take_account(&mut tx, &host.server, &one.account, &AccessId::random().unwrap()).await;
    assert!(matches!(again, Err(Error::Exists(_))));
    store::access::close(&mut tx, &one.id).await.unwrap();
    assert_eq!(store::access::of_account(tx.conn(), &host.server, "deploy").await.unwrap(), None);
}

#[tokio::test]
async fn versions_are_numbered_and_only_the_state_that_was_read_counts_as_pushed() {
    let world = World::new().await;
    let mut tx = world.db.begin_internal("test").await.unwrap();
    let (access, _) = access(&world, &mut tx).await;
    let ids = [VersionId::random().unwrap(), VersionId::random().unwrap()];
    for id in &ids {
        store::version::insert(&mut tx, &access.id, id).await.unwrap();
    }
    let key = PrivateKey::generate(GenerateSpec::Ed25519).unwrap();
    store::version::generated(&mut tx, &ids[1], key.public()).await.unwrap();
    let read = store::version::of(tx.conn(), &access.id).await.unwrap();
    assert_eq!(read.iter().map(|version| version.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(read[1].public_key.as_ref(), Some(key.public()));
    assert!(!read[0].is_pushed() && read[1].is_pushed());
    store::version::revoke_all(&mut tx, &access.id, true).await.unwrap();
    store::version::pushed(&mut tx, &read[1]).await.unwrap();
    let stale = store::version::of(tx.conn(), &access.id).await.unwrap();
    assert!(stale.iter().all(|version| version.state == VersionState::Revoked && !version.is_pushed()));
    assert_eq!(store::version::unpushed(tx.conn(), 10).await.unwrap(), std::slice::from_ref(&access.id));
    for version in &stale {
        store::version::pushed(&mut tx, version).await.unwrap();
    }
    assert!(store::version::unpushed(tx.conn(), 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn a_line_keeps_its_receipt_and_goes_once() {
    let world = World::new().await;
    let mut tx = world.db.begin_internal("test").await.unwrap();
    let (access, host) = access(&world, &mut tx).await;
    let version = VersionId::random().unwrap();
    let receipt = Receipt {
        method: "OFFER".to_owned(),
        accepted: false,
        proven_at_micros: 7,
        host_key: "SHA256:host".to_owned(),
        source_port: 40_000,
        server_version: "SSH-2.0-OpenSSH_9.2p1".to_owned(),
    };
    for _ in 0..2 {
        store::line::want(&mut tx, &access.id, &host.server, &version).await.unwrap();
    }
    store::line::set_enforcer(&mut tx, &host.server, &version, Enforcer::Sshd).await.unwrap();
    store::line::set_receipt(&mut tx, &host.server, &version, &receipt).await.unwrap();
    store::line::set_state(&mut tx, &host.server, &version, LineState::RemovedProven).await.unwrap();
    store::line::remove(&mut tx, &version).await.unwrap();
    let lines = store::line::of(tx.conn(), &access.id).await.unwrap();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].state, LineState::RemovedProven, "what was proven is not owed again");
    assert_eq!((lines[0].enforced_by, lines[0].receipt.as_ref()), (Some(Enforcer::Sshd), Some(&receipt)));
}

#[tokio::test]
async fn claims_of_a_version_are_numbered() {
    let world = World::new().await;
    let mut tx = world.db.begin_internal("test").await.unwrap();
    let (access, _) = access(&world, &mut tx).await;
    let claim = Claim {
        id: ClaimId::random().unwrap(),
        access: access.id.clone(),
        version: VersionId::random().unwrap(),
        principal: "prn_a".to_owned(),
        session: "tok_a".to_owned(),
        created_at: tx.now(),
        expires_at: tx.now(),
        acknowledged_at: None,
    };
    store::claim::insert(&mut tx, &claim).await.unwrap();
    assert_eq!(
        store::claim::of_version(tx.conn(), &claim.version).await.unwrap(),
        std::slice::from_ref(&claim)
    );
    let second = Claim { id: ClaimId::random().unwrap(), ..claim.clone() };
    store::claim::insert(&mut tx, &second).await.unwrap();
    let both = store::claim::of_version(tx.conn(), &claim.version).await.unwrap();
    assert_eq!(both, [claim.clone(), second.clone()]);
    store::claim::give_back(&mut tx, &second.id).await.unwrap();
    store::claim::acknowledge(&mut tx, &claim.id).await.unwrap();
    store::claim::give_back(&mut tx, &claim.id).await.unwrap();
    assert!(
        store::claim::find(tx.conn(), &access.id, &claim.id)
            .await
            .unwrap()
            .unwrap()
            .acknowledged_at
            .is_some()
    );
}
