//! Campaigns over simulated hosts: what is previewed is what happens, whoever is killed in between.

use super::world::{World, answer, confirm, operator, reason};
use crate::model::{CampaignState, TargetState};
use crate::store;
use keywright_domain::ids::CampaignId;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

mod brakes;
mod canary;
mod watch;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn plan() -> proto::CampaignPlan {
    let span = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
    proto::CampaignPlan {
        canary: 1,
        soak: span(60),
        growth: 2,
        max_parallel: 2,
        failure_budget_percent: Some(20),
        catch_up: span(3600),
    }
}

fn all() -> proto::CreateCampaignRequest {
    proto::CreateCampaignRequest {
        selector: Some(proto::CampaignSelector { all: true, ..Default::default() }),
        plan: Some(plan()),
        reason: "the algorithm is old".to_owned(),
        ..Default::default()
    }
}

fn counted(count: i32) -> proto::CreateCampaignRequest {
    proto::CreateCampaignRequest {
        confirmation: Some(proto::CampaignConfirmation { target_count: count }),
        ..all()
    }
}

impl World {
    async fn create(&self, request: proto::CreateCampaignRequest) -> proto::Campaign {
        answer(self.campaigns(&operator()).create_campaign(request).await).unwrap().campaign.unwrap()
    }

    async fn preview(&self, request: proto::CreateCampaignRequest) -> proto::Campaign {
        self.create(proto::CreateCampaignRequest { dry_run: true, ..request }).await
    }

    async fn campaign(&self, id: &str) -> proto::Campaign {
        let asked = proto::GetCampaignRequest { campaign_id: id.to_owned() };
        answer(self.campaigns(&operator()).get_campaign(asked).await).unwrap().campaign.unwrap()
    }

    async fn campaign_targets(&self, id: &str) -> Vec<proto::CampaignTarget> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let asked = proto::ListCampaignTargetsRequest {
                campaign_id: id.to_owned(),
                page_size: 2,
                page_token,
                ..Default::default()
            };
            let page = answer(self.campaigns(&operator()).list_campaign_targets(asked).await).unwrap();
            all.extend(page.items);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }

    async fn brake(&self, frozen: bool, tenant_id: &str) {
        let asked = proto::SetFreezeRequest { frozen, tenant_id: tenant_id.to_owned(), ..Default::default() };
        answer(self.freezes(&operator()).set_freeze(asked).await).unwrap();
    }

    async fn pause(&self, id: &str) -> proto::Campaign {
        let asked = proto::PauseCampaignRequest { campaign_id: id.to_owned() };
        answer(self.campaigns(&operator()).pause_campaign(asked).await).unwrap().campaign.unwrap()
    }

    async fn resume(&self, id: &str) -> proto::Campaign {
        let asked = proto::ResumeCampaignRequest { campaign_id: id.to_owned() };
        answer(self.campaigns(&operator()).resume_campaign(asked).await).unwrap().campaign.unwrap()
    }

    async fn cancel(&self, id: &str) -> proto::Campaign {
        let asked = proto::CancelCampaignRequest { campaign_id: id.to_owned() };
        answer(self.campaigns(&operator()).cancel_campaign(asked).await).unwrap().campaign.unwrap()
    }

    /// So many accesses, each on a server of its own: access and server.
    async fn fleet(&self, count: usize) -> Vec<(String, String)> {
        let mut fleet = Vec::new();
        for _ in 0..count {
            let server = self.server();
            let access = self.access(std::slice::from_ref(&server)).await.id;
            self.pass(Duration::from_secs(1));
            fleet.push((access, server));
        }
        fleet
    }

    /// Until the campaign has come so far.
    async fn until(&self, id: &str, holds: impl Fn(&proto::Campaign) -> bool) -> proto::Campaign {
        for _ in 0..3_000 {
            self.settle().await;
            let campaign = self.campaign(id).await;
            if holds(&campaign) {
                return campaign;
            }
            self.pass(Duration::from_secs(1));
        }
        panic!("it stays {:?}: {:?}", self.campaign(id).await, self.campaign_targets(id).await)
    }

    async fn version(&self, access: &str) -> i32 {
        self.view(access).await.version
    }
}

fn ended(campaign: &proto::Campaign) -> bool {
    campaign.state() == proto::CampaignState::Succeeded
}

#[tokio::test]
async fn a_dry_run_lists_every_skip_with_its_reason_and_stores_nothing() {
    let world = World::new().await;
    let fleet = world.fleet(5).await;
    let ids: Vec<String> = fleet.iter().map(|(access, _)| access.clone()).collect();
    answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&ids[0])).await).unwrap();
    world.start(&ids[1]).await;
    world.settle().await;
    world.start(&ids[2]).await;
    world.vault.state.lock().unwrap().servers.get_mut(&fleet[3].1).unwrap().lifecycle_status =
        keywright_proto::credential::ServerLifecycle::Inactive.into();
    let named = proto::CampaignSelector { access_ids: ids.clone(), ..Default::default() };
    let asked = proto::CreateCampaignRequest { selector: Some(named.clone()), ..all() };
    let preview = world.preview(asked.clone()).await;
    assert_eq!((preview.state(), preview.id.as_str()), (proto::CampaignState::Preview, ""));
    assert_eq!((preview.target_count, preview.pending, preview.skipped), (1, 1, 4));
    assert_eq!(preview.waves, [1]);
    let why: BTreeMap<_, _> =
        preview.targets.iter().map(|it| (it.access_id.as_str(), (it.wave, it.reason.as_str()))).collect();
    assert_eq!(why[ids[0].as_str()], (0, "ACCESS_REVOKED"));
    assert_eq!(why[ids[1].as_str()], (0, "GRACE_IN_PROGRESS"));
    assert_eq!(why[ids[2].as_str()], (0, "ROTATION_IN_PROGRESS"));
    assert_eq!(why[ids[3].as_str()], (0, "SERVER_INACTIVE"));
    assert_eq!(why[ids[4].as_str()], (1, ""));
    assert_eq!(preview.targets.last().unwrap().hosts, ["web"]);

    world.brake(true, world.tenant.as_str()).await;
    let frozen = world.preview(asked).await;
    assert_eq!(frozen.target_count, 0);
    assert_eq!(frozen.targets.iter().filter(|it| it.reason == "FROZEN").count(), 4);
    let listed =
        answer(world.campaigns(&operator()).list_campaigns(proto::ListCampaignsRequest::default()).await)
            .unwrap();
    assert!(listed.items.is_empty());
}

#[tokio::test]
async fn waves_widen_soak_and_rotate_everybody_once() {
    let world = World::new().await;
    let fleet = world.fleet(5).await;
    let preview = world.preview(all()).await;
    assert_eq!((preview.target_count, preview.waves.as_slice()), (5, [1, 2, 2].as_slice()));
    let begun = world.create(counted(5)).await;
    assert_eq!((begun.state(), begun.target_count), (proto::CampaignState::Running, 5));
    let soaking = world.until(&begun.id, |it| it.next_wave_at.is_some()).await;
    assert_eq!((soaking.wave, soaking.succeeded, soaking.pending), (1, 1, 4));
    let done = world.until(&begun.id, ended).await;
    assert_eq!((done.succeeded, done.wave), (5, 3));
    assert!(done.finished_at.is_some());
    for (target, foreseen) in world.campaign_targets(&begun.id).await.iter().zip(&preview.targets) {
        assert_eq!((&target.access_id, target.wave), (&foreseen.access_id, foreseen.wave));
        let rotation = world.rotation(&target.rotation_id).await;
        assert!(rotation.automatic && rotation.campaign_id == begun.id, "{rotation:?}");
    }
    for (access, _) in &fleet {
        assert_eq!(world.version(access).await, 2);
    }
    let actions = world.log.actions();
    let logged = |action: &str| actions.iter().filter(|it| *it == action).count();
    assert_eq!((logged("campaign.create"), logged("campaign.wave"), logged("access.rotate")), (1, 3, 5));
}

#[tokio::test]
async fn what_is_confirmed_is_what_is_rotated() {
    let world = World::new().await;
    world.fleet(2).await;
    let try_it = async |request| world.campaigns(&operator()).create_campaign(request).await;
    assert_eq!(reason(try_it(all()).await), Reason::ConfirmationRequired);
    let refused = answer(try_it(counted(3)).await).unwrap_err();
    assert_eq!(
        (refused.reason, refused.metadata["targetCount"].as_str()),
        (Reason::ConfirmationMismatch, "2")
    );
    assert_eq!(
        reason(world.campaigns(&world.owner).create_campaign(counted(2)).await),
        Reason::PermissionDenied
    );
    let overdue = proto::CampaignSelector { overdue: true, ..Default::default() };
    let none = proto::CreateCampaignRequest { selector: Some(overdue.clone()), ..counted(0) };
    assert_eq!(reason(try_it(none).await), Reason::ValidationFailed);
    world.brake(true, "").await;
    assert_eq!(reason(try_it(counted(2)).await), Reason::Frozen);
    world.brake(false, "").await;
    let keyed = proto::CreateCampaignRequest { idempotency_key: "k".to_owned(), ..counted(2) };
    let same = operator();
    let create = async |request| {
        answer(world.campaigns(&same).create_campaign(request).await).unwrap().campaign.unwrap()
    };
    let first = create(keyed.clone()).await;
    world.settle().await;
    assert_eq!(create(keyed).await.id, first.id, "the same request again, though nothing is left to rotate");
    world.pass(DAY * 91);
    world.settle().await;
    let due = proto::CreateCampaignRequest { selector: Some(overdue), ..all() };
    let labelled = proto::CampaignSelector {
        all: true,
        labels: [("plan".to_owned(), "gold".to_owned())].into(),
        ..Default::default()
    };
    assert_eq!(world.preview(due).await.target_count, 2);
    let gold = proto::CreateCampaignRequest { selector: Some(labelled), ..all() };
    assert_eq!(world.preview(gold).await.targets.len(), 0);
}

#[tokio::test]
async fn too_many_failures_pause_it_and_an_operator_goes_on() {
    let world = World::new().await;
    let fleet = world.fleet(4).await;
    let preview = world.preview(all()).await;
    let server_of = |access: &str| &fleet.iter().find(|(id, _)| id == access).unwrap().1;
    let bad = server_of(&preview.targets[0].access_id);
    world.range.fail(&format!("converge {bad}"), 1, Reason::HostFileReadOnly);
    let begun = world.create(counted(4)).await;
    let paused = world.until(&begun.id, |it| it.state() == proto::CampaignState::Paused).await;
    assert_eq!((paused.pause_reason.as_str(), paused.failed, paused.pending), ("FAILURE_BUDGET", 1, 3));
    let target = &world.campaign_targets(&begun.id).await[0];
    assert_eq!(target.reason, "HOST_FILE_READ_ONLY");
    assert_eq!(world.version(&target.access_id).await, 1, "the old key stays");
    world.settle_for(120).await;
    assert_eq!(world.campaign(&begun.id).await.pending, 3);
    let mut reader = store::reader(&world.db).await.unwrap();
    assert!(store::campaign::due(&mut reader, world.db.now().await.unwrap(), 1).await.unwrap().is_empty());
    drop(reader);

    world.resume(&begun.id).await;
    let done = world.until(&begun.id, ended).await;
    assert_eq!((done.succeeded, done.failed), (3, 1));
}

/// Polls a future so many times, then drops it where it stands: as a kill between any two awaits, and so between any two
/// transactions.
struct Cut<F> {
    inner: F,
    left: usize,
}

impl<F: Future + Unpin> Future for Cut<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match Pin::new(&mut self.inner).poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Pending,
        }
    }
}

#[tokio::test]
async fn killed_anywhere_it_begins_every_target_once_and_comes_to_its_end() {
    let world = World::new().await;
    let fleet = world.fleet(6).await;
    let begun = world.create(counted(6)).await;
    let id = CampaignId::parse(&begun.id).unwrap();
    let mut cuts = 0usize;
    for round in 0..4_000usize {
        let mut driving = pin!(world.worker.campaigns.run(&id));
        let left = 1 + round % 23;
        let ended = Cut { inner: driving.as_mut(), left }.await;
        cuts += usize::from(ended.is_none());
        let mut reader = store::reader(&world.db).await.unwrap();
        let now = world.db.now().await.unwrap();
        let counts = store::campaign_target::counts(&mut reader, &id, 9, now).await.unwrap();
        assert!(counts.trying <= 2, "{counts:?}");
        let campaign = store::campaign::find(&mut reader, &id).await.unwrap().unwrap();
        drop(reader);
        if campaign.state == CampaignState::Succeeded {
            break;
        }
        if ended.is_some() {
            // The rotations go on by themselves.
            world.settle().await;
            world.pass(Duration::from_secs(2));
        }
    }
    assert!(cuts > 20, "hardly ever killed: {cuts}");
    let done = world.campaign(&begun.id).await;
    assert_eq!((done.state(), done.succeeded), (proto::CampaignState::Succeeded, 6));
    for (access, _) in &fleet {
        assert_eq!(world.version(access).await, 2, "rotated once");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_drivers_begin_nothing_twice() {
    let world = World::new().await;
    let fleet = world.fleet(6).await;
    let plan = proto::CampaignPlan { canary: 6, ..plan() };
    let begun = world.create(proto::CreateCampaignRequest { plan: Some(plan), ..counted(6) }).await;
    let id = CampaignId::parse(&begun.id).unwrap();
    for _ in 0..100 {
        let (one, other) = (world.worker.campaigns.clone(), world.worker.campaigns.clone());
        let (first, second) = (id.clone(), id.clone());
        // Without the lease that keeps them apart.
        let (a, b) = tokio::join!(
            tokio::spawn(async move { one.run(&first).await }),
            tokio::spawn(async move { other.run(&second).await })
        );
        a.unwrap().unwrap();
        b.unwrap().unwrap();
        let mut reader = store::reader(&world.db).await.unwrap();
        let now = world.db.now().await.unwrap();
        let counts = store::campaign_target::counts(&mut reader, &id, 9, now).await.unwrap();
        assert!(counts.trying <= 2, "{counts:?}");
        drop(reader);
        if ended(&world.campaign(&begun.id).await) {
            break;
        }
        world.settle().await;
        world.pass(Duration::from_secs(2));
    }
    assert_eq!(world.campaign(&begun.id).await.succeeded, 6);
    for (access, _) in &fleet {
        assert_eq!(world.version(access).await, 2, "rotated once");
    }
}

#[tokio::test]
async fn a_campaign_whose_maker_died_is_seen_by_nobody_and_thrown_away() {
    let world = World::new().await;
    world.fleet(1).await;
    let begun = world.create(counted(1)).await;
    let id = CampaignId::parse(&begun.id).unwrap();
    let mut tx = world.db.begin_internal("as after a kill").await.unwrap();
    let mut campaign = store::campaign::find(tx.conn(), &id).await.unwrap().unwrap();
    campaign.state = CampaignState::Preparing;
    campaign.next_at = Some(tx.now().plus(Duration::from_secs(300)));
    store::campaign::update(&mut tx, &campaign).await.unwrap();
    tx.commit().await.unwrap();
    let asked = proto::GetCampaignRequest { campaign_id: begun.id.clone() };
    assert_eq!(reason(world.campaigns(&operator()).get_campaign(asked).await), Reason::CampaignNotFound);
    world.settle().await;
    world.pass(Duration::from_secs(301));
    world.settle().await;
    let mut reader = store::reader(&world.db).await.unwrap();
    assert_eq!(store::campaign::find(&mut reader, &id).await.unwrap(), None);
    let left = store::campaign_target::by_state(&mut reader, &id).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_store_that_is_sealed_costs_no_target_its_turn() {
    let world = World::new().await;
    world.fleet(2).await;
    world.vault.seal(true);
    let begun = world.create(counted(2)).await;
    for _ in 0..5 {
        world.settle().await;
        world.pass(Duration::from_secs(5));
    }
    let waiting = world.campaign(&begun.id).await;
    assert_eq!((waiting.state(), waiting.failed, waiting.pending), (proto::CampaignState::Running, 0, 2));
    world.vault.seal(false);
    assert_eq!(world.until(&begun.id, ended).await.succeeded, 2);
    let mut reader = store::reader(&world.db).await.unwrap();
    let id = CampaignId::parse(&begun.id).unwrap();
    let states = store::campaign_target::by_state(&mut reader, &id).await.unwrap();
    assert_eq!(states, [(TargetState::Succeeded, 2)]);
}

#[tokio::test]
async fn overviews_and_exposures_tell_what_is_so() {
    let world = World::new().await;
    let fleet = world.fleet(2).await;
    let list = async |search: &str, status: proto::AccessStatus, due: proto::Due| {
        let asked = proto::ListTenantOverviewsRequest {
            search: search.to_owned(),
            status: status.into(),
            due: due.into(),
            ..Default::default()
        };
        answer(world.overviews(&operator()).list_tenant_overviews(asked).await).unwrap().items
    };
    let any = (proto::AccessStatus::Unspecified, proto::Due::Unspecified);
    let seen = &list("", any.0, any.1).await[0];
    assert_eq!((seen.tenant_id.as_str(), seen.access_count), (world.tenant.as_str(), 2));
    assert_eq!((seen.status(), seen.due()), (proto::AccessStatus::Active, proto::Due::NotDue));
    world.pass(DAY * 85);
    assert_eq!(list(world.tenant.as_str(), any.0, proto::Due::DueSoon).await.len(), 1);
    assert!(list("nobody", any.0, any.1).await.is_empty());
    assert!(list("", proto::AccessStatus::Revoked, any.1).await.is_empty());

    world.range.fail(&format!("any {}", fleet[0].1), 100_000, Reason::HostUnreachable);
    let revoke = proto::RevokeSshAccessRequest {
        tenant_id: world.tenant.to_string(),
        access_id: fleet[0].0.clone(),
        confirmation: Some(confirm(&fleet[0].0)),
        compromised: true,
        ..Default::default()
    };
    // First without a word of it: of two revocations that wait for one host, the host is exposed once.
    let plain = proto::RevokeSshAccessRequest { compromised: false, ..revoke.clone() };
    for asked in [plain, revoke] {
        answer(world.accesses(&world.owner).revoke_ssh_access(asked).await).unwrap();
    }
    world.start(&fleet[1].0).await;
    world.settle().await;
    world.range.fail(&format!("any {}", fleet[1].1), 100_000, Reason::HostUnreachable);
    world.pass(DAY);
    world.settle().await;
    let asked = |page_token: String| proto::ListExposuresRequest {
        tenant_id: world.tenant.to_string(),
        page_size: 1,
        page_token,
    };
    let first = answer(world.overviews(&operator()).list_exposures(asked(String::new())).await).unwrap();
    let second =
        answer(world.overviews(&operator()).list_exposures(asked(first.next_page_token.clone())).await)
            .unwrap();
    assert_eq!(second.next_page_token, "");
    let (longest, other) = (&first.items[0], &second.items[0]);
    assert_eq!((longest.kind(), &longest.access_id), (proto::ExposureKind::Compromised, &fleet[0].0));
    assert_eq!((longest.exposed_minutes, longest.reason.as_str()), (24 * 60, "HOST_UNREACHABLE"));
    assert!(longest.attempts > 0 && longest.server_name == "web");
    assert_eq!((other.kind(), &other.access_id), (proto::ExposureKind::GraceEnded, &fleet[1].0));
    assert_eq!(other.reason, "HOST_UNREACHABLE");

    let asked = proto::GetTenantOverviewRequest { tenant_id: world.tenant.to_string() };
    let detail = answer(world.overviews(&operator()).get_tenant_overview(asked.clone()).await).unwrap();
    let detail = detail.detail.unwrap();
    assert_eq!((detail.accesses.len(), detail.exposures.len()), (2, 2));
    assert!(detail.accesses.iter().all(|it| it.download() == proto::DownloadState::Unspecified));
    let overview = detail.overview.unwrap();
    assert_eq!((overview.status(), overview.exposed_hosts), (proto::AccessStatus::Revoked, 2));
    assert_eq!(
        reason(world.overviews(&world.owner).get_tenant_overview(asked).await),
        Reason::TenantNotFound
    );
    let strange = proto::GetTenantOverviewRequest {
        tenant_id: keywright_domain::ids::TenantId::random().unwrap().to_string(),
    };
    assert_eq!(
        reason(world.overviews(&operator()).get_tenant_overview(strange).await),
        Reason::TenantNotFound
    );

    for (_, server) in &fleet {
        world.range.fail(&format!("any {server}"), 0, Reason::HostUnreachable);
    }
    world.settle_for(600).await;
    let none = answer(world.overviews(&operator()).list_exposures(asked_all()).await).unwrap();
    assert!(none.items.is_empty(), "{none:?}");
}

fn asked_all() -> proto::ListExposuresRequest {
    proto::ListExposuresRequest::default()
}

/// Tenants come and go between two pages: nobody who stays is lost or comes twice.
#[tokio::test]
async fn pages_of_tenants_lose_and_repeat_nobody() {
    let world = World::new().await;
    let tenant = |n: usize| keywright_proto::credential::Tenant {
        id: keywright_domain::ids::TenantId::random().unwrap().to_string(),
        name: format!("Tenant {n}"),
        state: keywright_proto::credential::TenantState::Active.into(),
        ..Default::default()
    };
    world.vault.state.lock().unwrap().tenants.extend((0..7).map(tenant));
    let asked = |page_token: String| proto::ListTenantOverviewsRequest {
        search: "tenant".to_owned(),
        page_size: 3,
        page_token,
        ..Default::default()
    };
    let (mut names, mut token) = (Vec::new(), String::new());
    loop {
        let page = answer(world.overviews(&operator()).list_tenant_overviews(asked(token)).await).unwrap();
        names.extend(page.items.into_iter().map(|it| it.name));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(names, (0..7).rev().map(|n| format!("Tenant {n}")).collect::<Vec<_>>());
    let other = proto::ListTenantOverviewsRequest {
        due: proto::Due::Overdue.into(),
        ..asked("3.None.None".to_owned())
    };
    assert_eq!(
        reason(world.overviews(&operator()).list_tenant_overviews(other).await),
        Reason::ValidationFailed
    );
}
