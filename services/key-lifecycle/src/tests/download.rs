//! One download per version: who wins, who may fetch again, what re-arms it.

use super::world::{World, answer, operator, person, reason};
use keywright_domain::caller::{PrincipalKind, Role};
use keywright_domain::ids::{ClaimId, TokenId};
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use keywright_proto::lifecycle::DownloadState;
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn fetch(
    world: &World,
    asked: proto::DownloadSshKeyRequest,
) -> Result<proto::DownloadSshKeyResponse, Reason> {
    answer(world.accesses(&world.owner).download_ssh_key(asked).await).map_err(|failure| failure.reason)
}

#[tokio::test]
async fn of_two_one_wins_and_the_winner_may_fetch_again_until_it_acknowledges() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let (one, two) =
        tokio::join!(fetch(&world, world.download(&access.id)), fetch(&world, world.download(&access.id)));
    let (won, lost) = if one.is_ok() { (one, two) } else { (two, one) };
    assert_eq!(lost.unwrap_err(), Reason::KeyAlreadyDownloaded);
    let won = won.unwrap();
    assert_eq!(won.file.as_ref().unwrap().content_type, "application/x-pem-file");
    assert_eq!(world.view(&access.id).await.download(), DownloadState::Claimed);
    let again = proto::DownloadSshKeyRequest { claim_id: won.claim_id.clone(), ..world.download(&access.id) };
    assert_eq!(fetch(&world, again.clone()).await.unwrap().file, won.file);
    let closing = proto::AcknowledgeDownloadRequest {
        tenant_id: world.tenant.to_string(),
        access_id: access.id.clone(),
        claim_id: won.claim_id.clone(),
    };
    for _ in 0..2 {
        answer(world.accesses(&world.owner).acknowledge_download(closing.clone()).await).unwrap();
    }
    assert_eq!(fetch(&world, again).await.unwrap_err(), Reason::KeyAlreadyDownloaded);
    assert_eq!(world.view(&access.id).await.download(), DownloadState::Downloaded);
    assert_eq!(world.vault.state.lock().unwrap().released, 2);
}

#[tokio::test]
async fn nobody_else_and_no_other_session_fetches_again_and_not_after_ten_minutes() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let won = fetch(&world, world.download(&access.id)).await.unwrap();
    let again = proto::DownloadSshKeyRequest { claim_id: won.claim_id, ..world.download(&access.id) };
    let admin = person(Role::TenantAdmin, Some(&world.tenant));
    let refused = world.accesses(&admin).download_ssh_key(again.clone()).await;
    assert_eq!(reason(refused), Reason::KeyAlreadyDownloaded);
    let mut elsewhere = world.owner.clone();
    elsewhere.principal.token = Some(TokenId::random().unwrap());
    let refused = world.accesses(&elsewhere).download_ssh_key(again.clone()).await;
    assert_eq!(reason(refused), Reason::KeyAlreadyDownloaded);
    let closing = proto::AcknowledgeDownloadRequest {
        tenant_id: world.tenant.to_string(),
        access_id: access.id.clone(),
        claim_id: again.claim_id.clone(),
    };
    assert_eq!(reason(world.accesses(&admin).acknowledge_download(closing).await), Reason::ClaimNotFound);
    world.pass(Duration::from_secs(600));
    assert_eq!(fetch(&world, again).await.unwrap_err(), Reason::KeyAlreadyDownloaded);
    assert_eq!(world.vault.state.lock().unwrap().released, 1);
}

#[tokio::test]
async fn a_client_may_choose_the_claims_id_so_that_a_lost_answer_loses_nothing() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let claim_id = ClaimId::random().unwrap().to_string();
    let asked = proto::DownloadSshKeyRequest { claim_id: claim_id.clone(), ..world.download(&access.id) };
    assert_eq!(fetch(&world, asked.clone()).await.unwrap().claim_id, claim_id);
    assert_eq!(fetch(&world, asked.clone()).await.unwrap().claim_id, claim_id);
    world.start(&access.id).await;
    world.settle().await;
    assert_eq!(fetch(&world, asked).await.unwrap_err(), Reason::ClaimNotFound, "it was an earlier version's");
}

#[tokio::test]
async fn a_rotation_re_arms_the_download() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    fetch(&world, world.download(&access.id)).await.unwrap();
    world.start(&access.id).await;
    assert_eq!(world.view(&access.id).await.download(), DownloadState::Claimed);
    world.settle().await;
    assert_eq!(world.view(&access.id).await.download(), DownloadState::Available);
    fetch(&world, world.download(&access.id)).await.unwrap();
}

#[tokio::test]
async fn what_hands_nothing_out_claims_nothing() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    world.vault.seal(true);
    assert_eq!(fetch(&world, world.download(&access.id)).await.unwrap_err(), Reason::SecretStoreSealed);
    world.vault.seal(false);
    world.log.down.store(true, Ordering::SeqCst);
    assert_eq!(fetch(&world, world.download(&access.id)).await.unwrap_err(), Reason::AuditUnavailable);
    world.log.down.store(false, Ordering::SeqCst);
    let pem = proto::DownloadSshKeyRequest { format: "pem".to_owned(), ..world.download(&access.id) };
    assert_eq!(fetch(&world, pem).await.unwrap_err(), Reason::FormatUnsupportedForKey);
    assert_eq!(world.view(&access.id).await.download(), DownloadState::Available);
    let ppk = proto::DownloadSshKeyRequest { format: "ppk".to_owned(), ..world.download(&access.id) };
    assert_eq!(
        fetch(&world, ppk).await.unwrap().file.unwrap().content_type,
        "application/x-putty-private-key"
    );
}

#[tokio::test]
async fn only_a_person_of_the_tenant_downloads_and_only_while_it_is_not_revoked() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await;
    let asked = || world.download(&access.id);
    assert_eq!(reason(world.accesses(&operator()).download_ssh_key(asked()).await), Reason::PermissionDenied);
    let member = person(Role::TenantMember, Some(&world.tenant));
    assert_eq!(reason(world.accesses(&member).download_ssh_key(asked()).await), Reason::PermissionDenied);
    let mut program = world.owner.clone();
    program.principal.kind = PrincipalKind::Service;
    assert_eq!(reason(world.accesses(&program).download_ssh_key(asked()).await), Reason::PermissionDenied);
    answer(world.accesses(&world.owner).revoke_ssh_access(world.revoke(&access.id)).await).unwrap();
    assert_eq!(fetch(&world, asked()).await.unwrap_err(), Reason::AccessRevoked);
    assert_eq!(world.vault.state.lock().unwrap().released, 0);
}
