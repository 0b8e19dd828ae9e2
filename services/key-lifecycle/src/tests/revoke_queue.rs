//! Many revocations at once: those whose hosts answer wait for none whose host does not.

use super::world::{World, answer, operator};
use keywright_kit::eventually;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::RevocationState;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// More than are driven at once.
const MANY: usize = 60;

async fn revoke(world: &World, access: &str) -> String {
    let begun = world.accesses(&world.owner).revoke_ssh_access(world.revoke(access)).await;
    answer(begun).unwrap().revocation.unwrap().id
}

#[tokio::test]
async fn a_host_that_never_says_a_word_holds_up_the_revocations_of_no_other() {
    let world = World::new().await;
    let (silent, other) = (world.server(), world.server());
    let mut ids = Vec::new();
    for number in 0..MANY {
        let asked = proto::ProvisionSshAccessRequest {
            account: format!("deploy-{number}"),
            ..world.provisioning(std::slice::from_ref(&silent))
        };
        let begun = answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap();
        ids.push(begun.access.unwrap().id);
    }
    let last = world.access(std::slice::from_ref(&other)).await.id;
    world.range.state.lock().unwrap().silent.insert(silent);
    for id in &ids {
        revoke(&world, id).await;
    }
    let last = revoke(&world, &last).await;
    let stop = CancellationToken::new();
    let worker = tokio::spawn(world.worker.clone().run(stop.clone()));

    let ended = async || world.revocation(&last).await.state() == RevocationState::Succeeded;
    let ended = eventually(Duration::from_secs(60), ended).await;

    stop.cancel();
    world.range.state.lock().unwrap().silent.clear();
    worker.await.unwrap();
    assert!(ended, "it waits for the silent host");
}
