//! One object of every kind in a tenant, and for every RPC a message that names them.
//!
//! Invariant: a message gets as far as the decision and then fails, or does something that can be done again: what it
//! leaves out (a confirmation, a name) is looked at only after the decision.

use std::collections::BTreeMap;

use keywright_kit::{Caller, KeyType, Keywright, keygen};
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, Value};
use serde_json::json;

use super::cast::{invite, person, unused_number};
use crate::rpc::Rpc;
use crate::world::wait_for;
use crate::{World, text};

/// The objects by the names of the fields that name them.
pub type Objects = BTreeMap<&'static str, String>;

/// The group of a message about revocation lists: other messages may name any group.
const KRL_GROUP: &str = "krl's group";

/// Objects that nobody has.
pub fn nobodys() -> Objects {
    let id = |prefix: &str| format!("{prefix}{}", "a".repeat(26));
    BTreeMap::from([
        ("tenant_id", id("ten_")),
        ("server_id", id("srv_")),
        ("access_id", id("acc_")),
        ("rotation_id", id("rot_")),
        ("revocation_id", id("rev_")),
        ("credential_id", id("sshcred_")),
        ("to_credential_id", id("sshcred_")),
        ("version_id", id("ver_")),
        ("event_id", id("evt_")),
        ("alert_id", id("alt_")),
        ("rule_id", "nobodys".to_owned()),
        ("segment_id", "999".to_owned()),
        ("path", "0/999".to_owned()),
        ("token_id", id("tok_")),
        ("claim_id", id("clm_")),
        ("invitation_id", id("inv_")),
        ("principal_id", id("prn_")),
        ("target_id", id("ntf_")),
        ("campaign_id", id("cmp_")),
        ("fleet_test_id", id("ftest_")),
        (KRL_GROUP, "nobodys".to_owned()),
    ])
}

/// The objects of the world's tenant.
pub async fn objects(world: &World) -> Objects {
    let (keywright, owner) = (&world.keywright, world.owner());
    let access = world.provision().await;
    let rotation = text(&access.show().await, "/recentRotations/0/id");
    let revocation = text(&access.revoke(json!({})).await, "/id");
    let log = format!("/api/audit/events?tenantId={}", world.tenant);
    let log = wait_for(keywright, &log, |log| !log["items"].as_array().unwrap().is_empty()).await;
    let group = "own group".to_owned();
    let server = json!({"name": "grouped", "host": "grouped.example", "group": group});
    owner.post("/api/servers", server).await.success();
    let token = owner.post("/api/tokens", json!({"role": "tenant_member"})).await.success();
    let campaign = json!({"selector": {"accessIds": [world.provision_existing("second", "").await.id]},
        "confirmation": {"targetCount": 1}});
    let campaign = keywright.post("/api/admin/campaigns", campaign).await.success();
    let mut objects = nobodys();
    objects.extend([
        ("campaign_id", text(&campaign, "/id")),
        // Which tiles there are depends on when a checkpoint was signed.
        ("path", "0/999".to_owned()),
        ("tenant_id", world.tenant.clone()),
        ("server_id", world.server.clone()),
        ("access_id", access.id.clone()),
        ("rotation_id", rotation),
        ("revocation_id", revocation),
        ("credential_id", save(keywright, &world.tenant, "deploy").await),
        ("to_credential_id", save(keywright, &world.tenant, "next").await),
        ("event_id", text(&log, "/items/0/id")),
        ("token_id", text(&token, "/id")),
        ("target_id", target(&owner, &world.tenant).await),
        ("fleet_test_id", fleet_test(&owner).await),
        (KRL_GROUP, group),
    ]);
    objects
}

async fn fleet_test(owner: &Caller) -> String {
    text(&owner.post("/api/fleet/connectivity-tests", json!({})).await.success(), "/id")
}

async fn target(owner: &Caller, tenant: &str) -> String {
    // Nobody listens there.
    let body = json!({"tenantId": tenant, "kind": "webhook", "address": "http://127.0.0.1:9/"});
    text(&owner.post("/api/notification-targets", body).await.success(), "/target/id")
}

async fn save(keywright: &Keywright, tenant: &str, name: &str) -> String {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let body =
        json!({"tenantId": tenant, "name": name, "username": "deploy", "privateKey": key.private_text()});
    text(&keywright.post("/api/credentials/ssh", body).await.success(), "/id")
}

/// What an RPC uses up is made anew for each call.
pub async fn fresh(world: &World, owner: &Caller, rpc: &Rpc, objects: &Objects) -> Objects {
    let mut objects = objects.clone();
    match rpc.name().as_str() {
        "InvitationService.DeleteInvitation" => {
            let invitation = invite(owner, &world.tenant, "tenant_member").await;
            objects.insert("invitation_id", text(&invitation, "/id"));
        }
        "MemberService.RemoveMember" => {
            let (principal, _) = person(&world.keywright, owner, &world.tenant, "tenant_member").await;
            objects.insert("principal_id", principal);
        }
        "NotificationService.DeleteNotificationTarget" => {
            objects.insert("target_id", target(owner, &world.tenant).await);
        }
        // The host keys of a managed server are the operator's.
        "ServerService.DeactivateServer" | "ServerService.UpdateHostKeys" => {
            let body = json!({"name": format!("spare-{}", unused_number()), "host": "spare.example"});
            objects.insert("server_id", text(&owner.post("/api/servers", body).await.success(), "/id"));
        }
        _ => {}
    }
    objects
}

/// Whether a message of the RPC names an object at all.
pub fn names_objects(rpc: &Rpc) -> bool {
    let known = nobodys();
    let is_list = rpc.name().starts_with("KrlService.GetKrl");
    is_list
        || rpc
            .method
            .input()
            .fields()
            .any(|field| known.contains_key(field.name()) && !left_out(rpc, field.name()))
}

/// Whether it names a tenant and something in it.
pub fn names_a_tenant_and_more(rpc: &Rpc) -> bool {
    let known = nobodys();
    let input = rpc.method.input();
    let is_named = |name: &str| known.contains_key(name) && !left_out(rpc, name);
    let named = input.fields().filter(|field| is_named(field.name())).count();
    named > 1 && input.get_field_by_name("tenant_id").is_some()
}

/// The encoded message.
pub fn message(rpc: &Rpc, objects: &Objects) -> Vec<u8> {
    let mut message = DynamicMessage::new(rpc.method.input());
    for field in rpc.method.input().fields() {
        let known = objects.get(field.name()).filter(|_| !left_out(rpc, field.name()));
        if let (Some(id), Kind::String) = (known, field.kind()) {
            message.set_field(&field, Value::String(id.clone()));
        }
    }
    // What would go through if nothing else were wrong.
    let too_long = Value::String("x".repeat(501));
    match rpc.name().as_str() {
        "TenantService.SuspendTenant" | "TenantService.ResumeTenant" => {
            message.set_field_by_name("comment", too_long);
        }
        "KrlService.GetKrl" | "KrlService.GetKrlText" => {
            message.set_field_by_name("group", Value::String(objects[KRL_GROUP].clone()));
        }
        "ResolveService.Resolve" => {
            message.set_field_by_name("purpose", Value::String("a test of who may".to_owned()));
        }
        _ => {}
    }
    message.encode_to_vec()
}

/// One of two, or a reference that would stay.
fn left_out(rpc: &Rpc, field: &str) -> bool {
    match rpc.name().as_str() {
        "DirectoryService.AddReference" | "DirectoryService.RemoveReference" => field == "server_id",
        "ResolveService.Resolve" => field == "server_id",
        // It narrows, and is nobody's own.
        "AuditAlertService.ListAuditAlerts" => field == "rule_id",
        _ => false,
    }
}
