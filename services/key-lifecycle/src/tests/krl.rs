//! Revocation lists: a key is in them from the moment of its revocation and for ever, and each caller sees its own.

use super::world::{World, answer, operator, person, reason};
use keywright_domain::caller::{Caller, Role};
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use std::time::Duration;

const GROUP: &str = "web";

fn server(world: &World, group: &str) -> String {
    let id = world.server();
    world.vault.state.lock().unwrap().servers.get_mut(&id).unwrap().group = group.to_owned();
    id
}

/// A program of the platform with these permissions.
fn program(permissions: &[&str]) -> Caller {
    let mut caller = person(Role::InternalService, None);
    caller.principal.permissions = permissions.iter().map(|text| (*text).to_owned()).collect();
    caller
}

async fn get(world: &World, caller: &Caller, group: &str, known: &str) -> proto::GetKrlResponse {
    let asked = proto::GetKrlRequest { group: group.to_owned(), if_none_match: known.to_owned() };
    answer(world.krls(caller).get_krl(asked).await).unwrap()
}

/// The keys of a list, as lines of the text form.
async fn lines(world: &World, caller: &Caller, group: &str) -> Vec<String> {
    let asked = proto::GetKrlTextRequest { group: group.to_owned(), ..Default::default() };
    let file = answer(world.krls(caller).get_krl_text(asked).await).unwrap().file.unwrap();
    assert_eq!(file.content_type, "text/plain; charset=utf-8");
    let text = String::from_utf8(file.data).unwrap();
    text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

async fn refused(world: &World, caller: &Caller, group: &str) -> Reason {
    let asked = proto::GetKrlRequest { group: group.to_owned(), ..Default::default() };
    reason(world.krls(caller).get_krl(asked).await)
}

async fn revoke(world: &World, access: &str, compromised: bool) {
    let asked = proto::RevokeSshAccessRequest { compromised, ..world.revoke(access) };
    answer(world.accesses(&world.owner).revoke_ssh_access(asked).await).unwrap();
}

#[tokio::test]
async fn a_key_is_in_its_groups_list_with_the_revocation_and_a_retired_one_is_not() {
    let world = World::new().await;
    let access = world.access(&[server(&world, GROUP)]).await;
    assert_eq!(lines(&world, &operator(), GROUP).await, Vec::<String>::new(), "an empty list");
    let before = get(&world, &operator(), GROUP, "").await;
    let first = access.public_key.clone();
    answer(
        world
            .accesses(&world.owner)
            .rotate_ssh_key(proto::RotateSshKeyRequest {
                grace_period: Some(prost_types::Duration { seconds: 0, nanos: 0 }),
                ..world.rotate(&access.id)
            })
            .await,
    )
    .unwrap();
    world.settle_for(3).await;
    let second = world.view(&access.id).await.public_key;
    assert_ne!(first, second);
    assert_eq!(lines(&world, &operator(), GROUP).await, Vec::<String>::new(), "a retired key");

    revoke(&world, &access.id, false).await;

    assert_eq!(lines(&world, &operator(), GROUP).await, [second], "no host was reached yet");
    let after = get(&world, &operator(), GROUP, &before.etag).await;
    assert!(!after.not_modified && after.etag != before.etag);
    let again = get(&world, &operator(), GROUP, &format!("other, {}", after.etag)).await;
    assert!(again.not_modified && again.file.is_none() && again.etag == after.etag);
    assert!(get(&world, &operator(), GROUP, "*").await.not_modified);
}

#[tokio::test]
async fn a_compromised_key_is_in_every_groups_list_and_a_plain_revocation_later_takes_nothing_away() {
    let world = World::new().await;
    let access = world.access(&[server(&world, GROUP)]).await;
    server(&world, "db");
    revoke(&world, &access.id, false).await;
    world.settle().await;
    assert_eq!(lines(&world, &operator(), "db").await, Vec::<String>::new());
    world.pass(Duration::from_secs(1));

    revoke(&world, &access.id, true).await;
    world.settle().await;
    revoke(&world, &access.id, false).await;

    for group in [GROUP, "db"] {
        assert_eq!(
            lines(&world, &operator(), group).await,
            std::slice::from_ref(&access.public_key),
            "{group}"
        );
    }
}

#[tokio::test]
async fn a_tenant_sees_the_groups_and_keys_of_its_own_servers() {
    let world = World::new().await;
    let access = world.access(&[server(&world, GROUP)]).await;
    revoke(&world, &access.id, true).await;
    let stranger = person(Role::TenantOwner, Some(&TenantId::random().unwrap()));
    assert_eq!(lines(&world, &world.owner, GROUP).await, std::slice::from_ref(&access.public_key));
    assert_eq!(refused(&world, &stranger, GROUP).await, Reason::GroupNotFound);

    let tenant = stranger.principal.tenant.clone().unwrap();
    let foreign = server(&world, GROUP);
    world.vault.state.lock().unwrap().servers.get_mut(&foreign).unwrap().tenant_id = tenant.to_string();
    assert_eq!(lines(&world, &stranger, GROUP).await, Vec::<String>::new());
    let own = get(&world, &world.owner, GROUP, "").await.etag;
    let all = get(&world, &operator(), GROUP, &own).await;
    assert!(!all.not_modified, "another caller's list has another name");
    let member = person(Role::TenantMember, Some(&world.tenant));
    assert_eq!(refused(&world, &member, GROUP).await, Reason::PermissionDenied);
}

#[tokio::test]
async fn a_program_reads_the_groups_that_its_token_names() {
    let world = World::new().await;
    server(&world, GROUP);
    server(&world, "db");
    let reader = program(&["krl.read:web"]);
    assert_eq!(lines(&world, &reader, GROUP).await, Vec::<String>::new());
    assert_eq!(refused(&world, &reader, "db").await, Reason::GroupNotFound);
    assert_eq!(refused(&world, &program(&["access.provision"]), GROUP).await, Reason::PermissionDenied);
    assert_eq!(refused(&world, &program(&["krl.read"]), GROUP).await, Reason::GroupNotFound);
    let listed = world.krls(&reader).list_krls(proto::ListKrlsRequest::default()).await;
    assert_eq!(reason(listed), Reason::PermissionDenied);
}

#[tokio::test]
async fn lists_are_read_while_credential_store_is_down() {
    let world = World::new().await;
    let access = world.access(&[server(&world, GROUP)]).await;
    world.vault.state.lock().unwrap().failing.insert("servers", usize::MAX);
    revoke(&world, &access.id, false).await;
    assert_eq!(lines(&world, &operator(), GROUP).await, [access.public_key]);
    assert_eq!(refused(&world, &operator(), "unheard-of").await, Reason::ServiceUnavailable);
    let listed = answer(world.krls(&operator()).list_krls(proto::ListKrlsRequest::default()).await).unwrap();
    assert_eq!(listed.items.iter().map(|krl| krl.group.as_str()).collect::<Vec<_>>(), [GROUP]);
}

#[tokio::test]
async fn groups_are_listed_in_pages_by_name() {
    let world = World::new().await;
    let access = world.access(&[server(&world, "b|c"), server(&world, "b|c")]).await;
    revoke(&world, &access.id, false).await;
    for group in ["a", "d"] {
        server(&world, group);
    }
    let (mut token, mut found) = (String::new(), Vec::new());
    loop {
        let asked = proto::ListKrlsRequest { page_size: 1, page_token: token };
        let page = answer(world.krls(&operator()).list_krls(asked).await).unwrap();
        found.extend(
            page.items.into_iter().map(|krl| (krl.group, krl.servers, krl.revoked_keys, krl.version)),
        );
        token = page.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    let row = |group: &str, servers, keys: i32| (group.to_owned(), servers, keys, keys.to_string());
    assert_eq!(found, [row("a", 1, 0), row("b|c", 2, 1), row("d", 1, 0)]);
}

#[tokio::test]
async fn what_a_deleted_or_moved_server_carried_stays_in_the_list() {
    let world = World::new().await;
    let gone = server(&world, GROUP);
    let access = world.access(std::slice::from_ref(&gone)).await;
    revoke(&world, &access.id, false).await;
    world.settle().await;
    world.vault.state.lock().unwrap().servers.remove(&gone);
    let listed = answer(world.krls(&operator()).list_krls(proto::ListKrlsRequest::default()).await).unwrap();
    assert_eq!((listed.items[0].servers, listed.items[0].revoked_keys), (0, 1));
    assert_eq!(lines(&world, &operator(), GROUP).await, [access.public_key]);
}

#[tokio::test]
async fn a_hosts_file_is_replaced_in_the_pass_of_the_revocation_and_others_follow() {
    let world = World::new().await;
    let (own, other) = (server(&world, GROUP), server(&world, GROUP));
    let access = world.access(std::slice::from_ref(&own)).await;
    world.range.state.lock().unwrap().lists.extend([(own.clone(), Vec::new()), (other.clone(), Vec::new())]);
    world.lists.once().await.unwrap();
    let held = |server: &str| world.range.state.lock().unwrap().lists[server].clone();
    let empty = get(&world, &operator(), GROUP, "").await.file.unwrap().data;
    assert_eq!((held(&own), held(&other)), (empty.clone(), empty.clone()));

    revoke(&world, &access.id, false).await;
    world.settle().await;

    let list = get(&world, &operator(), GROUP, "").await.file.unwrap().data;
    assert_ne!(list, empty);
    assert_eq!((held(&own), held(&other)), (list.clone(), empty), "the other host is the background's");
    let written = world.range.done("write_list");
    world.lists.once().await.unwrap();
    assert_eq!(held(&other), list);
    assert_eq!(world.range.done("write_list"), written + 1, "the one that holds it already is left alone");
    world.lists.once().await.unwrap();
    assert_eq!(world.range.done("write_list"), written + 1);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_holds_no_revocation_back_and_is_tried_again() {
    let world = World::new().await;
    let server = server(&world, GROUP);
    let access = world.access(std::slice::from_ref(&server)).await;
    world.range.state.lock().unwrap().lists.insert(server.clone(), Vec::new());
    world.lists.once().await.unwrap();
    world.range.fail("write_list", 2, Reason::HostFileDiskFull);

    revoke(&world, &access.id, false).await;
    world.settle().await;

    assert_eq!(world.view(&access.id).await.hosts[0].lines[0].state(), proto::HostLineState::RemovedProven);
    for _ in 0..4 {
        world.pass(Duration::from_secs(3));
        world.lists.once().await.unwrap();
    }
    let list = get(&world, &operator(), GROUP, "").await.file.unwrap().data;
    assert_eq!(world.range.state.lock().unwrap().lists[&server], list);
}

#[tokio::test]
async fn the_first_list_of_a_host_that_could_not_be_written_is_tried_again_soon() {
    for why in [Reason::HostFileDiskFull, Reason::HostEditFailed, Reason::HostUnreachable] {
        let world = World::new().await;
        let server = server(&world, GROUP);
        let access = world.access(std::slice::from_ref(&server)).await;
        world.range.state.lock().unwrap().lists.insert(server.clone(), Vec::new());
        world.range.fail("write_list", 1, why);

        revoke(&world, &access.id, false).await;
        world.settle().await;
        assert_eq!(world.range.state.lock().unwrap().lists[&server], b"", "{why:?}");
        world.pass(Duration::from_secs(2));
        world.lists.once().await.unwrap();

        let list = get(&world, &operator(), GROUP, "").await.file.unwrap().data;
        assert_eq!(world.range.state.lock().unwrap().lists[&server], list, "{why:?}");
    }
}

#[tokio::test]
async fn a_file_that_somebody_changed_is_found_within_a_day() {
    let world = World::new().await;
    let server = server(&world, GROUP);
    world.range.state.lock().unwrap().lists.insert(server.clone(), Vec::new());
    world.lists.once().await.unwrap();
    let list = world.range.state.lock().unwrap().lists[&server].clone();
    world.range.state.lock().unwrap().lists.insert(server.clone(), b"somebody's".to_vec());
    world.pass(Duration::from_secs(23 * 3600));
    world.lists.once().await.unwrap();
    assert_ne!(world.range.state.lock().unwrap().lists[&server], list);
    world.pass(Duration::from_secs(2 * 3600));
    world.lists.once().await.unwrap();
    assert_eq!(world.range.state.lock().unwrap().lists[&server], list);
}
