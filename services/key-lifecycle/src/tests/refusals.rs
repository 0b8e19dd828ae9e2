//! Refused offers to one host come one after the other, and only an answer of the host is a refusal.

use super::world::{World, answer, operator};
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::{RevocationState, RotationState};
use std::time::Duration;

async fn accesses(world: &World, server: &String, number: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for account in 0..number {
        let asked = proto::ProvisionSshAccessRequest {
            account: format!("deploy-{account}"),
            ..world.provisioning(std::slice::from_ref(server))
        };
        let begun = answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap();
        ids.push(begun.access.unwrap().id);
    }
    world.settle().await;
    ids
}

async fn revoke(world: &World, access: &str) -> String {
    let begun = world.accesses(&world.owner).revoke_ssh_access(world.revoke(access)).await;
    answer(begun).unwrap().revocation.unwrap().id
}

async fn ended(world: &World, revocations: &[String]) -> usize {
    let mut ended = 0;
    for id in revocations {
        ended += usize::from(world.revocation(id).await.state() == RevocationState::Succeeded);
    }
    ended
}

#[tokio::test]
async fn of_many_keys_that_end_on_one_host_each_waits_for_its_turn_and_nothing_else_waits() {
    let world = World::new().await;
    let (crowded, other) = (world.server(), world.server());
    let ids = accesses(&world, &crowded, 5).await;
    let elsewhere = world.access(std::slice::from_ref(&other)).await.id;
    let edits = world.range.done(&format!("converge {crowded}"));

    let mut revocations = Vec::new();
    for id in &ids {
        revocations.push(revoke(&world, id).await);
    }
    let beside = revoke(&world, &elsewhere).await;
    world.settle().await;

    let offers = || world.range.done(&format!("offer {crowded}"));
    assert_eq!((offers(), ended(&world, &revocations).await), (2, 2));
    assert_eq!(ended(&world, &[beside]).await, 1, "another host has turns of its own");
    for id in 0..5 {
        assert!(world.range.file(&crowded, &format!("deploy-{id}")).keys.is_empty(), "no edit waits");
    }
    let mut waiting = Vec::new();
    for id in &revocations {
        let host = world.revocation(id).await.hosts[0].clone();
        waiting.extend((host.state == "REMOVAL_PENDING").then_some(host.reason));
    }
    assert_eq!(waiting, ["RATE_LIMITED"; 3]);

    world.settle_for(5).await;
    assert_eq!(offers(), 2);
    world.settle_for(1).await;
    assert_eq!(offers(), 3);
    world.settle_for(12).await;
    assert_eq!((offers(), ended(&world, &revocations).await), (5, 5));
    assert_eq!(world.range.done(&format!("converge {crowded}")), edits + 5, "nothing was done again");
}

#[tokio::test]
async fn graces_that_end_together_on_one_host_take_turns_too() {
    let world = World::new().await;
    let server = world.server();
    let ids = accesses(&world, &server, 4).await;
    let mut rotations = Vec::new();
    for id in &ids {
        rotations.push(world.start(id).await.id);
    }
    world.settle().await;
    world.pass(Duration::from_secs(86_400));
    world.settle().await;
    let proven = async || {
        let mut proven = 0;
        for rotation in &rotations {
            let rotation = world.rotation(rotation).await;
            assert_eq!(rotation.state(), RotationState::Succeeded);
            proven += usize::from(rotation.grace_ended_at.is_some());
        }
        proven
    };
    assert_eq!(proven().await, 2);
    world.settle_for(6).await;
    assert_eq!(proven().await, 3);
    world.settle_for(6).await;
    assert_eq!(proven().await, 4);
}

#[tokio::test]
async fn only_an_answer_of_the_right_host_is_a_refusal() {
    for why in [Reason::HostUnreachable, Reason::HostKeyMismatch, Reason::HostKeyUnpinned] {
        let world = World::new().await;
        let server = world.server();
        let access = world.access(std::slice::from_ref(&server)).await;
        world.range.fail("offer", 2, why);
        let revocation = revoke(&world, &access.id).await;
        world.settle().await;
        let now = world.revocation(&revocation).await;
        assert_eq!((now.state(), now.hosts[0].reason.as_str()), (RevocationState::Running, why.as_str()));
        let line = &world.view(&access.id).await.hosts[0].lines[0];
        assert_eq!(line.state(), proto::HostLineState::RemovalPending);

        world.settle_for(20).await;

        assert_eq!(world.revocation(&revocation).await.state(), RevocationState::Succeeded);
        assert_eq!(world.range.done("offer"), 3);
    }
}
