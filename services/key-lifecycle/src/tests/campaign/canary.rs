//! What the first wave proves, and what hosts that are down do to the others.

use super::super::world::World;
use super::{all, counted, ended, plan};
use crate::store;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;

impl World {
    /// A fleet, and of it the target of a campaign at this place: its access and its server.
    async fn fleet_with_target(&self, count: usize, place: usize) -> (String, String) {
        let fleet = self.fleet(count).await;
        let target = self.preview(all()).await.targets[place].access_id.clone();
        fleet.into_iter().find(|(access, _)| *access == target).unwrap()
    }
}

#[tokio::test]
async fn a_host_that_is_down_blocks_nobody_and_is_tried_until_it_is_back() {
    let world = World::new().await;
    let (second, down) = world.fleet_with_target(4, 1).await;
    // Down after it was entered: the host is restored, then tried again.
    world.range.fail(&format!("login {down}"), 1_000, Reason::HostUnreachable);
    let begun = world.create(counted(4)).await;
    let rest = world.until(&begun.id, |it| it.succeeded == 3).await;
    assert_eq!((rest.state(), rest.catching_up, rest.failed), (proto::CampaignState::Running, 1, 0));
    assert_eq!(world.campaign_targets(&begun.id).await[1].reason, "HOST_UNREACHABLE");
    world.range.fail(&format!("login {down}"), 0, Reason::HostUnreachable);
    let done = world.until(&begun.id, ended).await;
    assert_eq!((done.succeeded, done.failed, done.catching_up), (4, 0, 0));
    assert!(world.version(&second).await > 1);
}

#[tokio::test]
async fn a_canary_that_is_down_pauses_it_and_no_wave_follows_before_it_is_proven() {
    let world = World::new().await;
    let (first, down) = world.fleet_with_target(4, 0).await;
    world.range.fail(&format!("login {down}"), 1_000, Reason::HostUnreachable);
    let begun = world.create(counted(4)).await;
    let paused = world.until(&begun.id, |it| it.state() == proto::CampaignState::Paused).await;
    assert_eq!((paused.pause_reason.as_str(), paused.wave, paused.catching_up), ("UNREACHABLE", 1, 1));
    world.settle_for(200).await;
    assert_eq!(world.campaign(&begun.id).await.pending, 3, "nothing further is begun");
    world.range.fail(&format!("login {down}"), 0, Reason::HostUnreachable);
    world.resume(&begun.id).await;
    let proven = world.until(&begun.id, |it| it.succeeded == 1).await;
    assert_eq!((proven.wave, proven.pending), (1, 3), "what is proven late soaks too");
    let soaking = world.until(&begun.id, |it| it.next_wave_at.is_some()).await;
    assert_eq!((soaking.wave, soaking.pending), (1, 3));
    assert_eq!(world.until(&begun.id, ended).await.succeeded, 4);
    assert!(world.version(&first).await > 1);
    let mut reader = store::reader(&world.db).await.unwrap();
    let told: String = sqlx::query_scalar("SELECT details FROM notice WHERE event = 'campaign.paused'")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    assert!(told.contains("UNREACHABLE"), "{told}");
}

#[tokio::test]
async fn a_canary_whose_old_key_cannot_be_ended_is_no_success() {
    let world = World::new().await;
    let (_, bad) = world.fleet_with_target(4, 0).await;
    world.range.state.lock().unwrap().enforcing = true;
    // The second edit is the one that lets the old key's line end by itself.
    world.range.state.lock().unwrap().passing.insert(format!("converge {bad}"), 1);
    world.range.fail(&format!("converge {bad}"), 1_000, Reason::HostFileReadOnly);
    let begun = world.create(counted(4)).await;
    let paused = world.until(&begun.id, |it| it.state() == proto::CampaignState::Paused).await;
    assert_eq!((paused.pause_reason.as_str(), paused.succeeded, paused.wave), ("CANARY", 1, 1), "{paused:?}");
    world.range.fail(&format!("converge {bad}"), 0, Reason::HostFileReadOnly);
    world.resume(&begun.id).await;
    assert_eq!(world.until(&begun.id, ended).await.succeeded, 4);
}

#[tokio::test]
async fn a_host_that_stays_down_is_given_up_in_the_end() {
    let world = World::new().await;
    let (second, down) = world.fleet_with_target(3, 1).await;
    world.range.fail(&format!("login {down}"), 100_000, Reason::HostUnreachable);
    let quick = prost_types::Duration { seconds: 120, nanos: 0 };
    let plan = proto::CampaignPlan { catch_up: Some(quick), ..plan() };
    let begun = world.create(proto::CreateCampaignRequest { plan: Some(plan), ..counted(3) }).await;
    let done = world.until(&begun.id, ended).await;
    assert_eq!((done.succeeded, done.failed), (2, 1));
    assert_eq!(done.pause_reason, "", "it never counted");
    assert_eq!(world.version(&second).await, 1);
}

#[tokio::test]
async fn no_campaign_gives_a_holder_less_grace_than_his_policy() {
    let world = World::new().await;
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    for (asked, policy, given) in [(0, 7_200, 7_200), (10_800, 7_200, 10_800), (0, 0, 0)] {
        let access = world.fleet(1).await.remove(0).0;
        world
            .access_policy(&access, proto::Policy { grace_period: span(policy), ..Default::default() })
            .await;
        let named = proto::CampaignSelector { access_ids: vec![access.clone()], ..Default::default() };
        let request =
            proto::CreateCampaignRequest { selector: Some(named), grace_period: span(asked), ..counted(1) };
        let begun = world.create(request).await;
        world.until(&begun.id, ended).await;
        let rotation = world.campaign_targets(&begun.id).await.remove(0).rotation_id;
        let rotation = world.rotation(&rotation).await;
        let grace = rotation.grace_ends_at.unwrap().seconds - rotation.promoted_at.unwrap().seconds;
        assert!((given..=given + 1).contains(&grace), "{grace} s instead of {given}");
    }
}
