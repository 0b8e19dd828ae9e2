//! Keys that their holder makes: possession proven by `ssh-keygen`, installed and proven without their private half.

use super::world::{World, answer, confirm, operator, person, reason};
use keywright_domain::caller::Role;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A key pair on its holder's machine.
struct Holder {
    _dir: TempDir,
    file: PathBuf,
    public: String,
}

impl Holder {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("key");
        let made =
            Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file).status();
        assert!(made.unwrap().success());
        let public = std::fs::read_to_string(file.with_extension("pub")).unwrap();
        Self { _dir: dir, file, public }
    }

    fn sign(&self, namespace: &str, text: &str) -> String {
        let mut child = Command::new("ssh-keygen")
            .args(["-Y", "sign", "-q", "-n", namespace, "-f"])
            .arg(&self.file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
    }
}

impl World {
    async fn challenge(&self) -> proto::KeyChallenge {
        let asked = proto::CreateKeyChallengeRequest { tenant_id: self.tenant.to_string() };
        answer(self.accesses(&self.owner).create_key_challenge(asked).await).unwrap().challenge.unwrap()
    }

    async fn rotate_to(&self, access: &str, holder: &Holder) -> proto::RotateSshKeyRequest {
        let challenge = self.challenge().await;
        proto::RotateSshKeyRequest {
            public_key: holder.public.clone(),
            signature: holder.sign(&challenge.namespace, &challenge.nonce),
            challenge_id: challenge.id,
            ..self.rotate(access)
        }
    }
}

#[tokio::test]
async fn a_key_is_provisioned_and_rotated_whose_private_half_never_comes() {
    let world = World::new().await;
    let (first, second) = (Holder::new(), Holder::new());
    let server = world.server();
    let challenge = world.challenge().await;
    let asked = proto::ProvisionSshAccessRequest {
        public_key: first.public.clone(),
        signature: first.sign("keywright-possession", &format!("{}\n", challenge.nonce)),
        challenge_id: challenge.id,
        ..world.provisioning(std::slice::from_ref(&server))
    };
    let begun = answer(world.accesses(&operator()).provision_ssh_access(asked).await).unwrap();
    world.settle().await;
    let id = begun.access.unwrap().id;
    let view = world.view(&id).await;
    assert!(view.client_made && first.public.starts_with(&view.public_key));
    assert_eq!(view.download(), proto::DownloadState::None);
    assert_eq!(view.hosts[0].lines[0].receipt.as_ref().unwrap().method, "OFFER");
    let mut client = world.accesses(&world.owner);
    assert_eq!(reason(client.download_ssh_key(world.download(&id)).await), Reason::KeyAlreadyDownloaded);

    let rotation = answer(client.rotate_ssh_key(world.rotate_to(&id, &second).await).await).unwrap();
    // Such keys are offered; the third offer to the host waits for its turn.
    world.settle_for(20).await;
    let rotation = world.rotation(&rotation.rotation.unwrap().id).await;
    assert_eq!(rotation.state(), proto::RotationState::Succeeded);
    assert!(second.public.starts_with(&world.view(&id).await.public_key));

    // Only its holder replaces it: it becomes due, and nothing more.
    world.pass(Duration::from_secs(100 * 86_400));
    world.settle().await;
    world.scheduler.round().await.unwrap();
    world.settle().await;
    let view = world.view(&id).await;
    assert_eq!((view.version, view.due()), (2, proto::Due::Overdue));
}

#[tokio::test]
async fn what_does_not_prove_possession_begins_nothing() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let (holder, other) = (Holder::new(), Holder::new());
    let mut client = world.accesses(&world.owner);
    let right = world.rotate_to(&access, &holder).await;
    for (wrong, expected) in [
        (
            proto::RotateSshKeyRequest { public_key: other.public.clone(), ..right.clone() },
            Reason::PossessionUnproven,
        ),
        (
            proto::RotateSshKeyRequest { signature: String::new(), ..right.clone() },
            Reason::PossessionUnproven,
        ),
        (
            proto::RotateSshKeyRequest { signature: "x".repeat(20_000), ..right.clone() },
            Reason::ValidationFailed,
        ),
        (
            proto::RotateSshKeyRequest { challenge_id: String::new(), ..right.clone() },
            Reason::ChallengeNotFound,
        ),
        (proto::RotateSshKeyRequest { public_key: String::new(), ..right.clone() }, Reason::ValidationFailed),
        (
            proto::RotateSshKeyRequest { public_key: "ssh-ed25519 x".to_owned(), ..right.clone() },
            Reason::KeyUnparsable,
        ),
    ] {
        assert_eq!(reason(client.rotate_ssh_key(wrong).await), expected);
    }
    let challenge = world.challenge().await;
    let elsewhere = proto::RotateSshKeyRequest {
        public_key: holder.public.clone(),
        signature: holder.sign("file", &challenge.nonce),
        challenge_id: challenge.id,
        ..world.rotate(&access)
    };
    assert_eq!(reason(client.rotate_ssh_key(elsewhere).await), Reason::PossessionUnproven);
    // The right one is still good, once.
    answer(client.rotate_ssh_key(right.clone()).await).unwrap();
    world.settle().await;
    assert_eq!(
        reason(client.rotate_ssh_key(proto::RotateSshKeyRequest { drop_grace_key: true, ..right }).await),
        Reason::ChallengeNotFound
    );
    let late = world.rotate_to(&access, &other).await;
    world.pass(Duration::from_secs(15 * 60));
    let late = proto::RotateSshKeyRequest { drop_grace_key: true, ..late };
    assert_eq!(reason(client.rotate_ssh_key(late).await), Reason::ChallengeNotFound);
}

#[tokio::test]
async fn challenges_are_the_tenants_own_and_bounded() {
    let world = World::new().await;
    world.server();
    let tenant_id = world.tenant.to_string();
    let asked = || proto::CreateKeyChallengeRequest { tenant_id: tenant_id.clone() };
    let stranger = person(Role::TenantOwner, Some(&TenantId::random().unwrap()));
    assert_eq!(reason(world.accesses(&stranger).create_key_challenge(asked()).await), Reason::TenantNotFound);
    let member = person(Role::TenantMember, Some(&world.tenant));
    assert_eq!(reason(world.accesses(&member).create_key_challenge(asked()).await), Reason::PermissionDenied);
    let mut client = world.accesses(&world.owner);
    for _ in 0..100 {
        answer(client.create_key_challenge(asked()).await).unwrap();
    }
    assert_eq!(reason(client.create_key_challenge(asked()).await), Reason::RateLimited);
    world.pass(Duration::from_secs(15 * 60));
    answer(client.create_key_challenge(asked()).await).unwrap();
}

#[tokio::test]
async fn a_policy_may_allow_only_keys_that_their_holder_makes() {
    let world = World::new().await;
    let access = world.access(&[world.server()]).await.id;
    let said = proto::Policy { client_made_required: Some(true), ..Default::default() };
    world.tenant_policy(said).await;
    let mut client = world.accesses(&world.owner);
    assert_eq!(reason(client.rotate_ssh_key(world.rotate(&access)).await), Reason::PolicyForbids);
    let provisioning = world.provisioning(&[world.server()]);
    assert_eq!(
        reason(world.accesses(&operator()).provision_ssh_access(provisioning).await),
        Reason::PolicyForbids
    );
    let holder = Holder::new();
    answer(client.rotate_ssh_key(world.rotate_to(&access, &holder).await).await).unwrap();
    world.settle().await;
    answer(client.revoke_ssh_access(world.revoke(&access)).await).unwrap();
    world.settle().await;
    assert_eq!(reason(client.regenerate_ssh_key(world.regenerate(&access)).await), Reason::PolicyForbids);
    let (next, challenge) = (Holder::new(), world.challenge().await);
    let asked = proto::RegenerateSshKeyRequest {
        tenant_id: world.tenant.to_string(),
        access_id: access.clone(),
        confirmation: Some(confirm(&access)),
        public_key: next.public.clone(),
        signature: next.sign(&challenge.namespace, &challenge.nonce),
        challenge_id: challenge.id,
        ..Default::default()
    };
    answer(client.regenerate_ssh_key(asked).await).unwrap();
    world.settle_for(30).await;
    assert!(world.view(&access).await.client_made);
}
