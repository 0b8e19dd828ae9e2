//! Policies: what each level says, what holds, who may say it.

use super::world::{World, answer, operator, person, reason};
use keywright_domain::caller::Role;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_proto::credential as store;
use keywright_proto::lifecycle as proto;
use keywright_storage::outbox::{self, Owed};

impl World {
    /// Replaces the tenant's own settings.
    pub async fn tenant_policy(&self, policy: proto::Policy) -> proto::EffectivePolicy {
        let asked = proto::UpdateTenantPolicyRequest {
            tenant_id: self.tenant.to_string(),
            policy: Some(policy),
            revision: String::new(),
        };
        answer(self.policies(&operator()).update_tenant_policy(asked).await).unwrap().policy.unwrap()
    }

    pub async fn access_policy(&self, access: &str, policy: proto::Policy) -> proto::EffectivePolicy {
        let asked = self.access_policy_request(access, policy, "");
        answer(self.policies(&operator()).update_access_policy(asked).await).unwrap().policy.unwrap()
    }

    fn access_policy_request(
        &self,
        access: &str,
        policy: proto::Policy,
        revision: &str,
    ) -> proto::UpdateAccessPolicyRequest {
        proto::UpdateAccessPolicyRequest {
            tenant_id: self.tenant.to_string(),
            access_id: access.to_owned(),
            policy: Some(policy),
            revision: revision.to_owned(),
        }
    }
}

pub fn days(count: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: count * 86_400, nanos: 0 })
}

#[tokio::test]
async fn each_level_overrules_the_one_above_and_says_where_a_setting_comes_from() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let platform = proto::UpdatePlatformPolicyRequest {
        policy: Some(proto::Policy { maximum_age: days(60), grace_period: days(2), ..Default::default() }),
        revision: "0".to_owned(),
    };
    answer(world.policies(&operator()).update_platform_policy(platform).await).unwrap();
    world.tenant_policy(proto::Policy { grace_period: days(3), ..Default::default() }).await;
    let holds = world
        .access_policy(&access, proto::Policy { passphrase_required: Some(true), ..Default::default() })
        .await;
    let effective = holds.effective.unwrap();
    assert_eq!((effective.maximum_age, effective.grace_period), (days(60), days(3)));
    let origin = |name: &str| holds.origins[name].as_str();
    assert_eq!(
        [origin("maximumAge"), origin("gracePeriod"), origin("passphraseRequired"), origin("keyAlgorithm")],
        ["platform", "tenant", "access", "default"]
    );
    // Unset: the level above holds again.
    let holds = world.access_policy(&access, proto::Policy::default()).await;
    assert_eq!(holds.effective.unwrap().passphrase_required, Some(false));
    assert_eq!(holds.revision, "2");
}

#[tokio::test]
async fn a_revision_that_was_overtaken_is_refused_and_the_same_again_changes_nothing() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let said = proto::Policy { downloads_per_version: Some(2), ..Default::default() };
    let first = world.access_policy(&access, said.clone()).await;
    assert_eq!(world.access_policy(&access, said.clone()).await.revision, first.revision);
    let stale = world.access_policy_request(&access, said, "0");
    let mut client = world.policies(&operator());
    assert_eq!(reason(client.update_access_policy(stale).await), Reason::RevisionMismatch);
}

#[tokio::test]
async fn the_log_says_what_became_of_which_setting() {
    let world = World::new().await;
    world.server();
    let said = |grace, downloads| proto::Policy {
        grace_period: days(grace),
        downloads_per_version: downloads,
        ..Default::default()
    };
    world.tenant_policy(said(2, Some(3))).await;
    world.tenant_policy(said(5, None)).await;
    world.tenant_policy(said(5, None)).await;
    let owed = outbox::oldest(&world.db, 100).await.unwrap();
    let told: Vec<_> = owed
        .into_iter()
        .filter_map(|entry| match entry.owed {
            Owed::Outcome(outcome) => Some(outcome.details),
            Owed::Intent(_) => None,
        })
        .collect();
    let of = |name: &str| {
        let mut changes: Vec<&str> =
            told.iter().filter_map(|details| details.get(name).map(String::as_str)).collect();
        changes.sort_unstable();
        changes
    };
    assert_eq!(of("gracePeriod"), ["172800s -> 432000s", "inherited -> 172800s"], "what stays is no change");
    assert_eq!(of("downloadsPerVersion"), ["3 -> inherited", "inherited -> 3"]);
    assert_eq!(of("revision"), ["1", "2", "2"]);
}

#[tokio::test]
async fn tenants_read_their_own_policies_and_change_none() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let get =
        proto::GetAccessPolicyRequest { tenant_id: world.tenant.to_string(), access_id: access.clone() };
    let member = person(Role::TenantMember, Some(&world.tenant));
    answer(world.policies(&member).get_access_policy(get.clone()).await).unwrap();
    let change = world.access_policy_request(&access, proto::Policy::default(), "");
    assert_eq!(
        reason(world.policies(&world.owner).update_access_policy(change).await),
        Reason::PermissionDenied
    );
    let stranger = person(Role::TenantOwner, Some(&TenantId::random().unwrap()));
    assert_eq!(reason(world.policies(&stranger).get_access_policy(get).await), Reason::AccessNotFound);
    let platform = proto::GetPlatformPolicyRequest {};
    assert_eq!(
        reason(world.policies(&world.owner).get_platform_policy(platform).await),
        Reason::PermissionDenied
    );
}

#[tokio::test]
async fn the_maximum_age_of_the_policy_decides_what_is_due() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    world.access_policy(&access, proto::Policy { maximum_age: days(30), ..Default::default() }).await;
    assert_eq!(world.view(&access).await.due(), proto::Due::NotDue);
    world.pass(std::time::Duration::from_secs(24 * 86_400));
    assert_eq!(world.view(&access).await.due(), proto::Due::DueSoon);
    world.pass(std::time::Duration::from_secs(7 * 86_400));
    let view = world.view(&access).await;
    assert_eq!((view.due(), view.status()), (proto::Due::Overdue, proto::AccessStatus::Expired));
    world.access_policy(&access, proto::Policy::default()).await;
    let view = world.view(&access).await;
    assert_eq!((view.due(), view.status()), (proto::Due::NotDue, proto::AccessStatus::Active));
}

#[tokio::test]
async fn every_new_key_follows_the_policy_and_what_was_asked_for_is_the_accesss_own() {
    let world = World::new().await;
    let algorithm = |name: &str| proto::Policy { key_algorithm: Some(name.to_owned()), ..Default::default() };
    let plain = world.access(&[world.server()]).await;
    assert_eq!(plain.algorithm, "ssh-ed25519");
    let asked = proto::ProvisionSshAccessRequest {
        key_algorithm: "ecdsa-sha2-nistp384".to_owned(),
        ..world.provisioning(&[world.server()])
    };
    let begun = answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap();
    let own = begun.access.unwrap().id;
    world.settle().await;
    world.tenant_policy(algorithm("ecdsa-sha2-nistp256")).await;
    assert_eq!(world.view(&plain.id).await.algorithm, "ssh-ed25519", "a key that is there stays");
    for access in [&plain.id, &own] {
        world.start(access).await;
        world.settle().await;
    }
    assert_eq!(world.view(&plain.id).await.algorithm, "ecdsa-sha2-nistp256");
    assert_eq!(world.view(&own).await.algorithm, "ecdsa-sha2-nistp384");
    let get = proto::GetAccessPolicyRequest { tenant_id: world.tenant.to_string(), access_id: own.clone() };
    let shown = answer(world.policies(&operator()).get_access_policy(get).await).unwrap().policy.unwrap();
    assert_eq!(
        (shown.origins["keyAlgorithm"].as_str(), shown.own.unwrap()),
        ("access", algorithm("ecdsa-sha2-nistp384"))
    );
    // A format that the old key has and the new one has not is judged by the key in use.
    let pem = proto::DownloadSshKeyRequest { format: "pem".to_owned(), ..world.download(&plain.id) };
    world.tenant_policy(algorithm("ssh-ed25519")).await;
    let mut client = world.accesses(&world.owner);
    answer(client.download_ssh_key(pem.clone()).await).unwrap();
    answer(client.revoke_ssh_access(world.revoke(&plain.id)).await).unwrap();
    world.settle().await;
    answer(client.regenerate_ssh_key(world.regenerate(&plain.id)).await).unwrap();
    world.settle().await;
    assert_eq!(world.view(&plain.id).await.algorithm, "ssh-ed25519");
    assert_eq!(reason(client.download_ssh_key(pem).await), Reason::FormatUnsupportedForKey);
}

#[tokio::test]
async fn a_policy_allows_as_many_downloads_as_it_says_and_may_ask_for_a_passphrase() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let policy = proto::Policy {
        downloads_per_version: Some(2),
        passphrase_required: Some(true),
        ..Default::default()
    };
    world.access_policy(&access, policy).await;
    let mut client = world.accesses(&world.owner);
    assert_eq!(reason(client.download_ssh_key(world.download(&access)).await), Reason::PassphraseRequired);
    let asked =
        || proto::DownloadSshKeyRequest { passphrase: "opens it".to_owned(), ..world.download(&access) };
    for left in [proto::DownloadState::Available, proto::DownloadState::Claimed] {
        answer(client.download_ssh_key(asked()).await).unwrap();
        assert_eq!(world.view(&access).await.download(), left);
    }
    assert_eq!(reason(client.download_ssh_key(asked()).await), Reason::KeyAlreadyDownloaded);
    world
        .access_policy(&access, proto::Policy { downloads_per_version: Some(0), ..Default::default() })
        .await;
    assert_eq!(reason(client.download_ssh_key(asked()).await), Reason::KeyAlreadyDownloaded);
    let other = world.access(&[world.server()]).await.id;
    world.access_policy(&other, proto::Policy { downloads_per_version: Some(0), ..Default::default() }).await;
    assert_eq!(world.view(&other).await.download(), proto::DownloadState::None);
    assert_eq!(reason(client.download_ssh_key(world.download(&other)).await), Reason::PolicyForbids);
}

#[tokio::test]
async fn the_private_half_is_forgotten_when_its_last_download_is_acknowledged() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let policy = proto::Policy {
        downloads_per_version: Some(2),
        forget_after_download: Some(true),
        ..Default::default()
    };
    world.access_policy(&access, policy).await;
    let mut client = world.accesses(&world.owner);
    for kept in [true, false] {
        let claim = answer(client.download_ssh_key(world.download(&access)).await).unwrap().claim_id;
        let closing = proto::AcknowledgeDownloadRequest {
            tenant_id: world.tenant.to_string(),
            access_id: access.clone(),
            claim_id: claim,
        };
        answer(client.acknowledge_download(closing).await).unwrap();
        world.settle().await;
        let versions = world.vault.state.lock().unwrap().versions.clone();
        let active = versions
            .values()
            .map(|(_, version)| version)
            .find(|version| version.state() == store::VersionState::Active);
        assert_eq!(!active.unwrap().material_destroyed, kept);
    }
    // Its holder logs in as before, and the next rotation works.
    let view = world.view(&access).await;
    assert_eq!(
        (view.status(), view.download()),
        (proto::AccessStatus::Active, proto::DownloadState::Downloaded)
    );
    let rotation = world.start(&access).await.id;
    world.settle().await;
    assert_eq!(world.rotation(&rotation).await.state(), proto::RotationState::Succeeded);
    assert_eq!(world.view(&access).await.download(), proto::DownloadState::Available);
}

#[tokio::test]
async fn the_private_half_is_forgotten_when_nobody_can_fetch_it_any_more() {
    let world = World::new().await;
    let (own, other) = (world.access(&[world.server()]).await.id, world.access(&[world.server()]).await.id);
    let policy = proto::Policy { forget_after_download: Some(true), ..Default::default() };
    world.access_policy(&own, policy).await;
    let mut client = world.accesses(&world.owner);
    for access in [&own, &other] {
        answer(client.download_ssh_key(world.download(access)).await).unwrap();
    }
    let forgotten = async || {
        world.scheduler.round().await.unwrap();
        world.settle().await;
        world.vault.state.lock().unwrap().versions.values().filter(|(_, one)| one.material_destroyed).count()
    };
    world.pass(std::time::Duration::from_secs(599));
    assert_eq!(forgotten().await, 0, "the claim may be fetched again");
    world.pass(std::time::Duration::from_secs(2));
    assert_eq!(forgotten().await, 1, "the policy of the other keeps it");
    let told = async || {
        forgotten().await;
        world.log.actions().iter().filter(|action| *action == "access.forget_key").count()
    };
    assert_eq!((told().await, told().await), (1, 1));
    assert_eq!(world.view(&own).await.download(), proto::DownloadState::Downloaded);
}

#[tokio::test]
async fn a_brake_is_pulled_and_released_and_shown() {
    let world = World::new().await;
    world.server();
    let mut client = world.freezes(&operator());
    let pull = |tenant: &str, frozen: bool| proto::SetFreezeRequest {
        frozen,
        tenant_id: tenant.to_owned(),
        reason: "an incident".to_owned(),
    };
    let tenant = world.tenant.to_string();
    let first = answer(client.set_freeze(pull("", true)).await).unwrap().items;
    world.pass(std::time::Duration::from_secs(60));
    let again = answer(client.set_freeze(pull("", true)).await).unwrap().items;
    assert_eq!(first, again, "who pulled it first stays");
    let both = answer(client.set_freeze(pull(&tenant, true)).await).unwrap().items;
    assert_eq!(both.iter().map(|one| one.tenant_id.as_str()).collect::<Vec<_>>(), ["", tenant.as_str()]);
    answer(client.set_freeze(pull("", false)).await).unwrap();
    let left = answer(client.get_freeze(proto::GetFreezeRequest {}).await).unwrap().items;
    assert_eq!((left.len(), left[0].tenant_id.as_str()), (1, tenant.as_str()));
    assert_eq!(
        reason(world.freezes(&world.owner).set_freeze(pull(&tenant, false)).await),
        Reason::PermissionDenied
    );
}
