//! What the audit log says of each edit of a host: of which account, on which host by its key, which keys have a line
//! there now and which have none.

use super::world::{World, answer};
use keywright_proto::lifecycle as proto;
use keywright_storage::outbox::{self, Owed};
use std::collections::BTreeMap;
use std::time::Duration;

/// The details of every outcome that was told of the action so far, oldest first.
async fn told(world: &World, action: &str) -> Vec<BTreeMap<String, String>> {
    let intents = world.log.intents.lock().unwrap().clone();
    let owed = outbox::oldest(&world.db, 1_000).await.unwrap();
    let of = |event: &str| intents.iter().find(|intent| intent.event_id == event).cloned();
    let mut found = Vec::new();
    for entry in owed {
        let Owed::Outcome(outcome) = entry.owed else { continue };
        let Some(intent) = of(entry.event.as_str()).filter(|intent| intent.action == action) else {
            continue;
        };
        assert!(intent.details.contains_key("account"), "{intent:?}");
        let mut details = outcome.details;
        details.insert("step".to_owned(), intent.details.get("step").cloned().unwrap_or_default());
        found.push(details);
    }
    found
}

#[tokio::test]
async fn each_edit_of_a_rotation_and_of_a_revocation_says_what_stands_where() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let first = access.fingerprint.clone();
    // What is told within one millisecond has no order, and the world's clock stands still.
    world.pass(Duration::from_secs(1));
    world.start(&access.id).await;
    world.settle().await;
    let second = world.view(&access.id).await.fingerprint;
    world.pass(Duration::from_secs(86_400));
    world.settle().await;

    let edits = told(&world, "host.edit").await;
    let last = |step: &str| edits.iter().rev().find(|edit| edit["step"] == step).unwrap().clone();
    let (both, one) = (last("install"), last("remove_old"));
    assert_eq!(both["hostKey"], "SHA256:host");
    assert!(both["linesThere"].contains(&first) && both["linesThere"].contains(&second), "{both:?}");
    assert_eq!((&one["linesThere"], &one["linesGone"]), (&second, &first), "{one:?}");

    answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&access.id)).await).unwrap();
    world.settle().await;

    let none = told(&world, "host.revoke").await.pop().unwrap();
    assert!(none["linesThere"].is_empty() && none["hostKey"] == "SHA256:host", "{none:?}");
    assert!(none["linesGone"].contains(&first) && none["linesGone"].contains(&second), "{none:?}");
    let line = &world.view(&access.id).await.hosts[0].lines[0];
    assert_eq!(line.state(), proto::HostLineState::RemovedProven);
    assert_eq!(line.receipt.as_ref().unwrap().method, "OFFER");
}
