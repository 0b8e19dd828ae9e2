//! Tenants: what may be said of them, suspension, deletion.

use super::world::{World, answer, key_text, operator, owner};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_runtime::failure::Failure;
use std::time::Duration;

fn reason<T: std::fmt::Debug>(result: Result<T, Failure>) -> Reason {
    result.unwrap_err().reason
}

async fn create(world: &World, name: &str, external_id: &str) -> proto::Tenant {
    let request = proto::CreateTenantRequest {
        name: name.to_owned(),
        external_id: external_id.to_owned(),
        contacts: vec!["ops@acme.example".to_owned()],
        labels: [("plan".to_owned(), "gold".to_owned())].into(),
        ..Default::default()
    };
    answer(world.tenants(&operator()).create_tenant(request).await).unwrap().tenant.unwrap()
}

async fn update(world: &World, request: proto::UpdateTenantRequest) -> Result<proto::Tenant, Failure> {
    answer(world.tenants(&operator()).update_tenant(request).await).map(|updated| updated.tenant.unwrap())
}

async fn get(world: &World, id: &str) -> Result<proto::Tenant, Failure> {
    let request = proto::GetTenantRequest { tenant_id: id.to_owned() };
    answer(world.tenants(&operator()).get_tenant(request).await).map(|got| got.tenant.unwrap())
}

async fn suspend(world: &World, id: &str) -> proto::Tenant {
    let request = proto::SuspendTenantRequest { tenant_id: id.to_owned(), comment: "unpaid".to_owned() };
    answer(world.tenants(&operator()).suspend_tenant(request).await).unwrap().tenant.unwrap()
}

async fn delete(world: &World, id: &str, confirmed: &str) -> Result<(), Failure> {
    let request = proto::DeleteTenantRequest {
        tenant_id: id.to_owned(),
        confirmation: Some(proto::TenantConfirmation { tenant_id: confirmed.to_owned() }),
    };
    answer(world.tenants(&operator()).delete_tenant(request).await).map(|_| ())
}

#[tokio::test]
async fn on_postgresql_the_same() {
    particulars(World::on_postgres().await).await;
    suspension(World::on_postgres().await).await;
    deletion(World::on_postgres().await).await;
    race(World::on_postgres().await).await;
}

#[tokio::test]
async fn particulars_change_by_revision() {
    particulars(World::new().await).await;
}

async fn particulars(world: World) {
    let first = create(&world, "Acme", "crm-1").await;
    create(&world, "Other", "crm-2").await;
    assert_eq!(
        (first.revision.as_str(), first.contacts.len(), first.labels["plan"].as_str()),
        ("1", 1, "gold")
    );
    assert_eq!(get(&world, &first.id).await.unwrap(), first);

    let change = proto::UpdateTenantRequest {
        tenant_id: first.id.clone(),
        name: Some("Acme Ltd".to_owned()),
        time_zone: Some("Europe/Berlin".to_owned()),
        labels: [("plan".to_owned(), "tin".to_owned())].into(),
        expected_revision: "1".to_owned(),
        ..Default::default()
    };
    let second = update(&world, change.clone()).await.unwrap();
    assert_eq!((second.name.as_str(), second.revision.as_str()), ("Acme Ltd", "2"));
    assert_eq!((second.contacts.clone(), second.external_id.as_str()), (first.contacts.clone(), "crm-1"));
    assert_eq!((second.labels["plan"].as_str(), second.time_zone.as_str()), ("tin", "Europe/Berlin"));
    let stale = update(&world, change.clone()).await.unwrap_err();
    assert_eq!((stale.reason, stale.metadata["revision"].as_str()), (Reason::RevisionMismatch, "2"));

    let same = proto::UpdateTenantRequest { expected_revision: String::new(), ..change };
    assert_eq!(update(&world, same).await.unwrap(), second, "what changes nothing is no revision");
    let cleared = proto::UpdateTenantRequest {
        tenant_id: first.id.clone(),
        external_id: Some(String::new()),
        clear_contacts: true,
        clear_labels: true,
        ..Default::default()
    };
    let cleared = update(&world, cleared).await.unwrap();
    assert_eq!((cleared.external_id.as_str(), cleared.contacts.len(), cleared.labels.len()), ("", 0, 0));

    let id = first.id.clone();
    let with =
        |change: proto::UpdateTenantRequest| proto::UpdateTenantRequest { tenant_id: id.clone(), ..change };
    let taken =
        with(proto::UpdateTenantRequest { external_id: Some("crm-2".to_owned()), ..Default::default() });
    assert_eq!(reason(update(&world, taken).await), Reason::AlreadyExists);
    let both = proto::UpdateTenantRequest {
        clear_contacts: true,
        contacts: vec!["a@b.example".to_owned()],
        ..Default::default()
    };
    assert_eq!(update(&world, with(both)).await.unwrap_err().violations[0].field, "clearContacts");
    let nameless = with(proto::UpdateTenantRequest { name: Some(" ".to_owned()), ..Default::default() });
    assert_eq!(reason(update(&world, nameless).await), Reason::ValidationFailed);
    let nobody = TenantId::random().unwrap().to_string();
    let nobodys = proto::UpdateTenantRequest { tenant_id: nobody, ..Default::default() };
    assert_eq!(reason(update(&world, nobodys).await), Reason::TenantNotFound);
}

#[tokio::test]
async fn nothing_new_is_done_for_a_suspended_tenant() {
    suspension(World::new().await).await;
}

async fn suspension(world: World) {
    let tenant = world.tenant().await;
    // As requests that were under way would still come: at the exchange he is turned away.
    let owner = owner(&tenant);
    let credential = world.saved(&owner).await;
    let server = world.server(&owner, "web").await;

    let suspended = suspend(&world, tenant.as_str()).await;
    assert_eq!(suspended.state(), proto::TenantState::Suspended);
    assert_eq!(suspend(&world, tenant.as_str()).await, suspended, "twice is once");

    let register = proto::RegisterServerRequest {
        name: "db".to_owned(),
        host: "db.example".to_owned(),
        tenant_id: tenant.to_string(),
        ..Default::default()
    };
    let refused = answer(world.servers(&operator()).register_server(register.clone()).await);
    assert_eq!(reason(refused), Reason::TenantSuspended);
    let save = proto::CreateSshCredentialRequest {
        name: "new".to_owned(),
        private_key: key_text(),
        tenant_id: tenant.to_string(),
        ..Default::default()
    };
    let refused = answer(world.credentials(&operator()).create_ssh_credential(save).await);
    assert_eq!(reason(refused), Reason::TenantSuspended);
    assert_eq!(
        world.bind(&operator(), &server.id, &credential.id).await.unwrap_err().reason,
        Reason::TenantSuspended
    );
    let list = world.servers(&operator()).list_servers(proto::ListServersRequest::default()).await;
    assert_eq!(answer(list).unwrap().items.len(), 1, "it can be looked at");
    // What a revocation and a grace end do to its keys goes on.
    let (managed, version) = world.managed(Some(&tenant), &[]).await;
    world.move_to(&managed, &version.id, proto::VersionState::Revoked, true, true).await.unwrap();

    let resume = proto::ResumeTenantRequest { tenant_id: tenant.to_string(), comment: String::new() };
    let resumed = answer(world.tenants(&operator()).resume_tenant(resume).await).unwrap().tenant.unwrap();
    assert_eq!(resumed.state(), proto::TenantState::Active);
    answer(world.servers(&operator()).register_server(register).await).unwrap();
}

#[tokio::test]
async fn a_tenant_is_deleted_when_nothing_is_left_of_it() {
    deletion(World::new().await).await;
}

async fn deletion(world: World) {
    let tenant = create(&world, "Acme", "crm-1").await;
    let id = TenantId::parse(&tenant.id).unwrap();
    let owner = owner(&id);
    let credential = world.saved(&owner).await;
    let server = world.server(&owner, "web").await;

    assert_eq!(reason(delete(&world, &tenant.id, "").await), Reason::ConfirmationRequired);
    assert_eq!(reason(delete(&world, &tenant.id, "ten_x").await), Reason::ConfirmationMismatch);
    let used = delete(&world, &tenant.id, &tenant.id).await.unwrap_err();
    let count = |name: &str| used.metadata[name].clone();
    assert_eq!(used.reason, Reason::TenantInUse);
    assert_eq!(
        (count("totalServers"), count("totalCredentials"), count("totalAccesses")),
        ("1".into(), "1".into(), "0".into())
    );

    let drop = proto::DeleteServerRequest {
        server_id: server.id.clone(),
        confirmation: Some(proto::ServerConfirmation { server_id: server.id }),
    };
    answer(world.servers(&owner).delete_server(drop).await).unwrap();
    let drop = proto::DeleteSshCredentialRequest {
        credential_id: credential.id.clone(),
        confirmation: Some(proto::CredentialConfirmation {
            credential_id: credential.id,
            ..Default::default()
        }),
        ..Default::default()
    };
    answer(world.credentials(&owner).delete_ssh_credential(drop).await).unwrap();
    delete(&world, &tenant.id, &tenant.id).await.unwrap();

    assert_eq!(reason(get(&world, &tenant.id).await), Reason::TenantNotFound);
    assert_eq!(reason(delete(&world, &tenant.id, &tenant.id).await), Reason::TenantNotFound);
    let gone = proto::UpdateTenantRequest { tenant_id: tenant.id.clone(), ..Default::default() };
    assert_eq!(reason(update(&world, gone).await), Reason::TenantNotFound);
    let listed = world.tenants(&operator()).list_tenants(proto::ListTenantsRequest::default()).await;
    assert!(answer(listed).unwrap().items.iter().all(|listed| listed.id != tenant.id));
    assert_eq!(world.count("tenant").await, 1, "its id stays taken");
    assert_ne!(create(&world, "Acme again", "crm-1").await.id, tenant.id);
    let late = proto::RegisterServerRequest {
        name: "late".to_owned(),
        host: "late.example".to_owned(),
        ..Default::default()
    };
    assert_eq!(reason(answer(world.servers(&owner).register_server(late).await)), Reason::TenantNotFound);
}

#[tokio::test]
async fn an_access_keeps_its_tenant() {
    let world = World::new().await;
    let tenant = world.tenant().await;
    world.managed(Some(&tenant), &[]).await;
    let used = delete(&world, tenant.as_str(), tenant.as_str()).await.unwrap_err();
    assert_eq!((used.reason, used.metadata["totalAccesses"].as_str()), (Reason::TenantInUse, "1"));
}

#[tokio::test]
async fn a_server_is_never_registered_in_a_tenant_that_goes() {
    race(World::new().await).await;
}

async fn race(world: World) {
    for _ in 0..12 {
        let tenant = world.tenant().await;
        let register = |name: &str| proto::RegisterServerRequest {
            name: name.to_owned(),
            host: "web.example".to_owned(),
            tenant_id: tenant.to_string(),
            ..Default::default()
        };
        let (operator, second) = (operator(), operator());
        let (mut servers, mut others) = (world.servers(&operator), world.servers(&second));
        let (one, deleted, two) = tokio::join!(
            servers.register_server(register("one")),
            delete(&world, tenant.as_str(), tenant.as_str()),
            others.register_server(register("two")),
        );
        let registered = [one.is_ok(), two.is_ok()];
        match deleted {
            Ok(()) => assert_eq!(registered, [false, false], "a server of nobody"),
            Err(failure) => {
                assert!(failure.is(Reason::TenantInUse) && registered != [false, false], "{failure}")
            }
        }
    }
}

#[tokio::test]
async fn the_directory_lists_every_tenant_and_server_once() {
    listed(World::new().await).await;
    listed(World::on_postgres().await).await;
}

async fn listed(world: World) {
    let lifecycle = Caller::background(ServiceName::KeyLifecycle, "");
    let mut made = Vec::new();
    for n in 0..5 {
        world.pass(Duration::from_secs(1));
        made.push(create(&world, &format!("Tenant {n}"), &format!("crm-{n}")).await.id);
    }
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let asked = proto::ListDirectoryTenantsRequest {
            search: "TENANT".to_owned(),
            page_size: 2,
            page_token: token,
            ..Default::default()
        };
        let page = answer(world.directory(&lifecycle).list_directory_tenants(asked).await).unwrap();
        seen.extend(page.items.into_iter().map(|tenant| tenant.id));
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    made.reverse();
    assert_eq!(seen, made);

    let gone = made.pop().unwrap();
    delete(&world, &gone, &gone).await.unwrap();
    let asked =
        proto::ListDirectoryTenantsRequest { tenant_ids: vec![gone.clone(); 12], ..Default::default() };
    let named = answer(world.directory(&lifecycle).list_directory_tenants(asked).await).unwrap().items;
    assert_eq!(named.len(), 1);
    assert_eq!((&named[0].id, named[0].state()), (&gone, proto::TenantState::Deleted));

    let tenant = TenantId::parse(&made[0]).unwrap();
    let first = world.server(&owner(&tenant), "one").await.id;
    world.pass(Duration::from_secs(1));
    let second = world.server(&owner(&tenant), "two").await.id;
    let asked = |page_token: String, group: &str| proto::ListDirectoryServersRequest {
        tenant_id: tenant.to_string(),
        group: group.to_owned(),
        page_size: 1,
        page_token,
        ..Default::default()
    };
    let page =
        answer(world.directory(&lifecycle).list_directory_servers(asked(String::new(), "")).await).unwrap();
    assert_eq!(page.items[0].id, first);
    let next = asked(page.next_page_token.clone(), "");
    let last = answer(world.directory(&lifecycle).list_directory_servers(next).await).unwrap();
    assert_eq!((&last.items[0].id, last.next_page_token.as_str()), (&second, ""));
    let strange = asked(page.next_page_token, "elsewhere");
    let refused = answer(world.directory(&lifecycle).list_directory_servers(strange).await);
    assert_eq!(reason(refused), Reason::ValidationFailed);
    let none =
        answer(world.directory(&lifecycle).list_directory_servers(asked(String::new(), "elsewhere")).await);
    assert!(none.unwrap().items.is_empty());
    let person = world.directory(&operator()).list_directory_servers(asked(String::new(), "")).await;
    assert!(answer(person).is_err());
}
