//! Keys handed to internal services: only where a tenant allowed it, to the service itself, with a purpose.

use super::world::{World, answer, operator, owner, program};
use keywright_domain::caller::{Caller, Role, ServiceName};
use keywright_domain::ids::TenantId;
use keywright_domain::key::PrivateKey;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_proto::credential as proto;
use keywright_proto::credential::VersionState::Active;
use std::sync::atomic::Ordering;
use std::time::Duration;

struct Scene {
    world: World,
    tenant: TenantId,
    owner: Caller,
    service: Caller,
    saved: proto::SshCredential,
}

impl Scene {
    async fn on(world: World) -> Self {
        let tenant = world.tenant().await;
        let owner = owner(&tenant);
        let saved = world.saved(&owner).await;
        let service = program(Some(&tenant), &["credential.resolve"]);
        let scene = Self { world, tenant, owner, service, saved };
        scene.allow(true).await;
        scene
    }

    async fn allow(&self, allowed: bool) {
        crate::store::testing::set_allow_resolve(&self.world.db, &self.saved.id, allowed).await;
    }

    fn wanted(&self) -> proto::ResolveRequest {
        proto::ResolveRequest {
            credential_id: self.saved.id.clone(),
            purpose: "nightly backup".to_owned(),
            server_id: String::new(),
        }
    }

    async fn ask(
        &self,
        caller: &Caller,
        wanted: proto::ResolveRequest,
    ) -> Result<proto::ResolveResponse, Reason> {
        answer(self.world.resolving(caller).resolve(wanted).await).map_err(|failure| failure.reason)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgresql_the_same() {
    handed_out(Scene::on(World::on_postgres().await).await).await;
}

#[tokio::test]
async fn a_key_is_handed_out_with_its_purpose_in_the_log_first() {
    handed_out(Scene::on(World::new().await).await).await;
}

async fn handed_out(scene: Scene) {
    let got = scene.ask(&scene.service, scene.wanted()).await.unwrap();
    let key = PrivateKey::from_stored(&Secret::new(got.private_key)).unwrap();
    assert_eq!(
        (key.public().openssh(), &got.public_key),
        (scene.saved.public_key.clone(), &scene.saved.public_key)
    );
    assert_eq!((got.username.as_str(), got.version), ("deploy", 1));
    let last = scene.world.log.intents.lock().unwrap().last().cloned().unwrap();
    assert_eq!((last.action.as_str(), last.comment.as_str()), ("credential.resolve", "nightly backup"));
    let get = proto::GetSshCredentialRequest { credential_id: scene.saved.id.clone(), include_usage: false };
    let used = scene.world.credentials(&scene.owner).get_ssh_credential(get).await.unwrap().into_inner();
    assert!(used.credential.unwrap().last_used_at.is_some());

    let server = scene.world.server(&scene.owner, "web").await;
    let for_server = proto::ResolveRequest { server_id: server.id.clone(), ..scene.wanted() };
    assert_eq!(scene.ask(&scene.service, for_server.clone()).await, Err(Reason::ValidationFailed));
    let bind = proto::BindCredentialRequest {
        server_id: server.id.clone(),
        credential_id: scene.saved.id.clone(),
        username: "other".to_owned(),
        skip_test: true,
    };
    scene.world.servers(&scene.owner).bind_credential(bind).await.unwrap();
    assert_eq!(scene.ask(&scene.service, for_server.clone()).await.unwrap().username, "other");
    let stop = proto::DeactivateServerRequest { server_id: server.id };
    scene.world.servers(&scene.owner).deactivate_server(stop).await.unwrap();
    assert_eq!(scene.ask(&scene.service, for_server).await, Err(Reason::ServerInactive));

    scene.allow(false).await;
    assert_eq!(scene.ask(&scene.service, scene.wanted()).await, Err(Reason::ResolveNotAllowed));
    scene.allow(true).await;
    scene.world.log.down.store(true, Ordering::SeqCst);
    assert_eq!(scene.ask(&scene.service, scene.wanted()).await, Err(Reason::AuditUnavailable));
}

#[tokio::test]
async fn nobody_else_is_handed_a_key() {
    let scene = Scene::on(World::new().await).await;
    let other = scene.world.tenant().await;
    let mut carried = scene.service.clone();
    carried.acting = Some(ServiceName::KeyLifecycle);
    for (caller, expected) in [
        (scene.owner.clone(), Reason::PermissionDenied),
        (operator(), Reason::PermissionDenied),
        (
            super::world::person(Role::TenantAdmin, Some(&scene.tenant), ServiceName::Gateway),
            Reason::PermissionDenied,
        ),
        (program(Some(&scene.tenant), &["credential.sign", "reference.write"]), Reason::PermissionDenied),
        (program(None, &["credential.resolve"]), Reason::PermissionDenied),
        (carried, Reason::PermissionDenied),
        (Caller::background(ServiceName::KeyLifecycle, "rot_x"), Reason::PermissionDenied),
        (program(Some(&other), &["credential.resolve"]), Reason::CredentialNotFound),
    ] {
        assert_eq!(scene.ask(&caller, scene.wanted()).await, Err(expected), "{:?}", caller.principal);
    }
    let (managed, _) = scene.world.managed(Some(&scene.tenant), &[Active]).await;
    let managed = proto::ResolveRequest { credential_id: managed, ..scene.wanted() };
    assert_eq!(scene.ask(&scene.service, managed).await, Err(Reason::CredentialIsManaged));
    for purpose in ["", "  x ", "a\nb c", &"p".repeat(201)] {
        let wanted = proto::ResolveRequest { purpose: purpose.to_owned(), ..scene.wanted() };
        assert_eq!(scene.ask(&scene.service, wanted).await, Err(Reason::ValidationFailed), "{purpose:?}");
    }
}

#[tokio::test]
async fn nothing_is_handed_out_of_a_suspended_tenant() {
    let scene = Scene::on(World::new().await).await;
    scene.world.suspend(&scene.tenant).await;
    assert_eq!(scene.ask(&scene.service, scene.wanted()).await, Err(Reason::TenantSuspended));
}

#[tokio::test]
async fn a_service_is_handed_a_bounded_number_of_keys_in_a_minute() {
    let scene = Scene::on(World::new().await).await;
    let cheap = proto::ResolveRequest { purpose: String::new(), ..scene.wanted() };
    for _ in 0..60 {
        assert_eq!(scene.ask(&scene.service, cheap.clone()).await, Err(Reason::ValidationFailed));
    }
    assert_eq!(scene.ask(&scene.service, scene.wanted()).await, Err(Reason::RateLimited));
    scene.world.pass(Duration::from_secs(1));
    assert!(scene.ask(&scene.service, scene.wanted()).await.is_ok());
}
