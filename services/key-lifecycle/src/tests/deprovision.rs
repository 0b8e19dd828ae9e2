//! An access that is given up: its hosts first, then its claims.

use super::hosts::{down, holds, up};
use super::world::{World, answer, confirm, operator, reason};
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use std::time::Duration;

fn give_up(world: &World, access: &str) -> proto::DeprovisionSshAccessRequest {
    proto::DeprovisionSshAccessRequest {
        tenant_id: world.tenant.to_string(),
        access_id: access.to_owned(),
        confirmation: Some(confirm(access)),
        ..Default::default()
    }
}

impl World {
    async fn give_up(&self, access: &str) -> String {
        let asked = self.accesses(&operator()).deprovision_ssh_access(give_up(self, access)).await;
        answer(asked).unwrap().revocation.unwrap().id
    }
}

#[tokio::test]
async fn an_access_that_is_given_up_lets_go_when_every_host_is_proven() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    world.start(&access.id).await;
    world.settle().await;
    down(&world, &servers[1]);
    let revocation = world.give_up(&access.id).await;
    world.settle_for(3).await;
    assert!(world.range.file(&servers[0], &access.account).keys.is_empty());
    assert!(holds(&world, &access, &servers[0]) && holds(&world, &access, &servers[1]));
    assert_eq!(world.give_up(&access.id).await, revocation, "a second click");
    up(&world, &servers[1]);
    world.vault.state.lock().unwrap().failing.insert("let_go", 2);
    for _ in 0..10 {
        world.worker.revoker.run(&revocation.clone().try_into().unwrap(), None).await.unwrap_or_default();
        world.pass(Duration::from_secs(60));
    }
    let after = world.view(&access.id).await;
    assert!(after.deprovisioned_at.is_some());
    assert_eq!((after.status(), after.hosts.len()), (proto::AccessStatus::Revoked, 2), "it stays to be read");
    assert!(world.vault.state.lock().unwrap().references.is_empty());
    assert_eq!(world.give_up(&access.id).await, revocation, "and a third");
    let again = world.accesses(&world.owner).regenerate_ssh_key(world.regenerate(&access.id)).await;
    assert_eq!(reason(again), Reason::AccessRevoked);
    let taken = world.access(&servers).await;
    assert_eq!(taken.account, access.account, "the account is free");
}

#[tokio::test]
async fn what_was_revoked_before_is_given_up_without_its_hosts() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&access.id)).await).unwrap();
    world.settle().await;
    assert!(world.view(&access.id).await.deprovisioned_at.is_none());
    down(&world, &server);
    world.pass(Duration::from_secs(1));
    world.give_up(&access.id).await;
    world.settle().await;
    assert!(world.view(&access.id).await.deprovisioned_at.is_some());
    assert!(!holds(&world, &access, &server));
}
