//! The options of a changed policy reach the lines that stand, proven; a host that refuses them keeps the former ones.

use super::world::{World, answer, operator};
use crate::refusals::SPACING;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
/// An option that an older server does not know.
const NEWER: &str = "permitlisten=\"2222\"";

fn saying(options: &[&str]) -> proto::Policy {
    let options = options.iter().map(|option| (*option).to_owned()).collect();
    proto::Policy { line_options: Some(proto::LineOptions { options }), ..Default::default() }
}

fn options(world: &World, server: &str, access: &proto::SshAccess) -> Vec<String> {
    world.range.file(server, &access.account).options
}

impl World {
    /// What the watch does by itself; the look for drift is far.
    async fn refresh(&self) {
        self.watch.round().await.unwrap();
    }
}

#[tokio::test]
async fn a_changed_policy_reaches_every_host_once_and_each_is_proven() {
    let world = World::new().await;
    let servers = [world.server(), world.server()];
    let access = world.access(&servers).await;
    let asked =
        proto::ProvisionSshAccessRequest { account: "other".to_owned(), ..world.provisioning(&servers) };
    let begun = answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap();
    let other = begun.access.unwrap();
    world.settle().await;
    world.access_policy(&other.id, saying(&["no-pty"])).await;
    world.tenant_policy(saying(&["restrict"])).await;
    assert_eq!(world.turns_ahead(&servers[1]).await, Duration::ZERO);
    world.refresh().await;
    // Before and after the edit of either access; what the first host was waited for has passed at the last.
    assert_eq!(world.range.done(&format!("offer {}", servers[1])), 4);
    assert_eq!(world.turns_ahead(&servers[1]).await, SPACING * 2);
    for server in &servers {
        assert_eq!(options(&world, server, &access), ["restrict"]);
        assert_eq!(options(&world, server, &other), ["no-pty"], "the access says it itself");
    }
    let receipts = world.view(&access.id).await.hosts;
    assert!(receipts.iter().all(|host| host.lines[0].receipt.as_ref().unwrap().method == "OFFER"));
    let (edits, offers) = (world.range.done("converge"), world.range.done("offer"));
    world.pass(HOUR);
    world.refresh().await;
    world.tenant_policy(proto::Policy { downloads_per_version: Some(2), ..saying(&["restrict"]) }).await;
    world.refresh().await;
    assert_eq!((world.range.done("converge"), world.range.done("offer")), (edits, offers));
    world.tenant_policy(proto::Policy::default()).await;
    world.refresh().await;
    assert!(options(&world, &servers[0], &access).is_empty());
}

/// Who ends the old key is what the last edit of its line made of it.
#[tokio::test]
async fn a_host_that_can_no_longer_end_a_key_by_itself_does_not_stand_there_as_the_one_that_does() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    let old = async || {
        let line = world.view(&access.id).await.hosts[0].lines[1].clone();
        (line.state(), line.grace_enforced_by)
    };
    world.range.state.lock().unwrap().enforcing = true;
    world.start(&access.id).await;
    world.settle().await;
    assert_eq!(old().await, (proto::HostLineState::Expiring, "SSHD".to_owned()));
    // Its clock is off by now, say.
    world.range.state.lock().unwrap().enforcing = false;
    world.tenant_policy(saying(&["restrict"])).await;
    world.refresh().await;
    assert_eq!(options(&world, &server, &access), ["restrict"]);
    assert_eq!(old().await, (proto::HostLineState::Installed, "KEYWRIGHT".to_owned()));
    world.pass(24 * HOUR);
    world.settle().await;
    assert_eq!(world.range.file(&server, &access.account).keys.len(), 1);
}

#[tokio::test]
async fn options_that_a_host_refuses_are_taken_back_and_hold_up_no_rotation() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.tenant_policy(saying(&["restrict"])).await;
    world.refresh().await;
    world.range.state.lock().unwrap().refused_option = NEWER.to_owned();
    world.tenant_policy(saying(&["restrict", NEWER])).await;
    world.refresh().await;
    assert_eq!(options(&world, &server, &access), ["restrict"]);
    let receipt = world.view(&access.id).await.hosts[0].lines[0].receipt.clone().unwrap();
    assert!(receipt.accepted, "the key in use works");
    world.start(&access.id).await;
    world.settle().await;
    assert_eq!((world.view(&access.id).await.version, options(&world, &server, &access).len()), (2, 1));
    let edits = world.range.done("converge");
    world.pass(HOUR);
    world.refresh().await;
    assert_eq!(world.range.done("converge"), edits, "it is not tried again");
}

#[tokio::test]
async fn a_rotation_that_meets_such_options_first_leads_back_to_those_that_worked() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.state.lock().unwrap().refused_option = NEWER.to_owned();
    world.tenant_policy(saying(&[NEWER])).await;
    let rotation = world.start(&access.id).await;
    world.settle_for(20).await;
    assert_eq!(world.rotation(&rotation.id).await.state(), proto::RotationState::Failed);
    assert!(options(&world, &server, &access).is_empty());
    world.start(&access.id).await;
    world.settle().await;
    assert_eq!(world.view(&access.id).await.version, 3, "without them");
}

#[tokio::test]
async fn what_is_away_frozen_or_busy_follows_later_and_a_cut_off_edit_is_still_proven() {
    let world = World::new().await;
    let server = world.server();
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.fail("converge", 1, Reason::HostUnreachable);
    world.tenant_policy(saying(&["restrict"])).await;
    world.refresh().await;
    assert!(options(&world, &server, &access).is_empty());
    world.pass(HOUR);
    // Written, and cut off before the proof.
    world.range.state.lock().unwrap().refused_option = "restrict".to_owned();
    let offers = world.range.done("offer");
    world.range.fail("offer", 2, Reason::HostUnreachable);
    world.refresh().await;
    assert_eq!(world.range.done("offer"), offers + 1, "no edit without a look before it");
    world.range.fail("offer", 0, Reason::HostUnreachable);
    world.pass(HOUR);
    world.refresh().await;
    assert!(options(&world, &server, &access).is_empty(), "taken back");
}
