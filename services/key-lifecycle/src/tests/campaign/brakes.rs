//! Pauses, freezes and the end by hand.

use super::super::world::{World, answer, operator, reason};
use super::{counted, ended, plan};
use keywright_domain::ids::CampaignId;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;

#[tokio::test]
async fn pause_resume_cancel_and_the_end() {
    let world = World::new().await;
    world.fleet(4).await;
    let begun = world.create(counted(4)).await;
    let id = begun.id.clone();
    world.until(&id, |it| it.succeeded == 1).await;
    assert_eq!(world.pause(&id).await.pause_reason, "OPERATOR");
    assert_eq!(world.pause(&id).await.pause_reason, "OPERATOR");
    world.settle_for(200).await;
    assert_eq!(world.campaign(&id).await.succeeded, 1, "nothing further while it is paused");
    assert_eq!(world.resume(&id).await.state(), proto::CampaignState::Running);
    world.until(&id, |it| it.succeeded == 3).await;
    let cancelled = world.cancel(&id).await;
    assert_eq!((cancelled.state(), cancelled.cancelled), (proto::CampaignState::Cancelled, 1));
    assert_eq!(world.cancel(&id).await.state(), proto::CampaignState::Cancelled);
    world.settle_for(200).await;
    assert_eq!(world.campaign(&id).await.succeeded, 3);
    let asked = proto::ResumeCampaignRequest { campaign_id: id.clone() };
    assert_eq!(reason(world.campaigns(&operator()).resume_campaign(asked).await), Reason::CampaignEnded);
    let strange = CampaignId::random().unwrap().to_string();
    let asked = proto::GetCampaignRequest { campaign_id: strange };
    assert_eq!(
        reason(world.campaigns(&operator()).get_campaign(asked.clone()).await),
        Reason::CampaignNotFound
    );
    let mine = proto::GetCampaignRequest { campaign_id: id };
    assert_eq!(reason(world.campaigns(&world.owner).get_campaign(mine).await), Reason::CampaignNotFound);
}

#[tokio::test]
async fn a_freeze_pauses_it_and_its_end_resumes_it() {
    let world = World::new().await;
    let fleet = world.fleet(3).await;
    let begun = world.create(counted(3)).await;
    world.until(&begun.id, |it| it.succeeded == 1).await;
    world.brake(true, "").await;
    let paused = world.until(&begun.id, |it| it.state() == proto::CampaignState::Paused).await;
    assert_eq!(paused.pause_reason, "FROZEN");
    world.settle_for(200).await;
    assert_eq!(world.campaign(&begun.id).await.succeeded, 1);
    answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&fleet[2].0)).await).unwrap();
    world.brake(false, "").await;
    let done = world.until(&begun.id, ended).await;
    assert_eq!(done.succeeded + done.skipped, 3, "a revocation works while frozen: {done:?}");
    let by_tenant = world.campaign_targets(&begun.id).await;
    assert!(by_tenant.iter().all(|it| it.state() != proto::CampaignTargetState::Failed), "{by_tenant:?}");
}

#[tokio::test]
async fn a_freeze_in_the_middle_of_a_wave_lets_no_further_target_begin() {
    for tenant in [false, true] {
        let world = World::new().await;
        let fleet = world.fleet(5).await;
        let plan = proto::CampaignPlan { canary: 5, max_parallel: 2, ..plan() };
        let begun = world.create(proto::CreateCampaignRequest { plan: Some(plan), ..counted(5) }).await;
        let id = CampaignId::parse(&begun.id).unwrap();
        // Two have a place and are begun; three of the same wave wait.
        while world.campaign(&begun.id).await.running < 2 {
            world.worker.campaigns.once(&id).await.unwrap();
        }
        let of_everybody = String::new();
        world.brake(true, if tenant { world.tenant.as_str() } else { &of_everybody }).await;
        world.settle_for(60).await;
        let stands = world.campaign(&begun.id).await;
        assert_eq!((stands.succeeded, stands.failed), (2, 0), "what ran, went on: {stands:?}");
        let waiting = world.campaign_targets(&begun.id).await;
        let waiting: Vec<_> = waiting.iter().filter(|it| it.rotation_id.is_empty()).collect();
        assert_eq!(waiting.len(), 3);
        if tenant {
            assert!(waiting.iter().all(|it| it.reason == "FROZEN"), "{waiting:?}");
        } else {
            assert_eq!((stands.pending, stands.pause_reason.as_str()), (3, "FROZEN"));
        }
        let last = &fleet.iter().find(|(id, _)| *id == waiting[0].access_id).unwrap().0;
        let revoked = answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(last)).await);
        let revocation = revoked.unwrap().revocation.unwrap().id;
        world.settle().await;
        assert_eq!(world.revocation(&revocation).await.state(), proto::RevocationState::Succeeded);
    }
}
