//! Somebody of every role, in the tenant whose objects are asked for and in another.

use std::sync::atomic::{AtomicU32, Ordering};

use keywright_kit::{Caller, Keywright};
use serde_json::json;

use crate::text;

/// A column of the table.
#[derive(Debug)]
pub struct Role {
    pub name: &'static str,
    /// Of the tenant, or of the platform; none for a stranger.
    pub own: Option<String>,
    /// The same role in the other tenant; none for roles that no tenant binds.
    pub other: Option<String>,
}

/// Every column; `owners` are the tokens of the two tenants' owners.
pub async fn cast(keywright: &Keywright, tenants: [&str; 2], owners: [&str; 2]) -> Vec<Role> {
    let mut both = Vec::new();
    for (tenant, owner) in tenants.into_iter().zip(owners) {
        both.push(in_tenant(keywright, tenant, owner).await);
    }
    let others = both.pop().unwrap();
    let own = both.pop().unwrap();
    let mut roles = vec![Role { name: "stranger", own: None, other: None }];
    roles.extend(own.into_iter().zip(others).map(|((name, own), (_, other))| Role {
        name,
        own: Some(own),
        other: Some(other),
    }));
    let operator = keywright.operator();
    let platform = [
        ("operator", keywright.operator_token()),
        ("platform's auditor", token(&operator, json!({"role": "auditor"})).await),
        ("service: access.provision", service(&operator, "access.provision").await),
        ("service: reference.write", service(&operator, "reference.write").await),
    ];
    roles.extend(platform.into_iter().map(|(name, own)| Role { name, own: Some(own), other: None }));
    roles
}

async fn in_tenant(keywright: &Keywright, tenant: &str, owner_token: &str) -> Vec<(&'static str, String)> {
    let owner = keywright.caller(owner_token);
    let program = token(&owner, json!({"role": "tenant_admin", "name": "pipeline"})).await;
    let who = keywright.caller(&program).get("/api/whoami").await.success();
    assert_eq!((&who["role"], &who["kind"]), (&json!("tenant_admin"), &json!("service")));
    let auditor = json!({"role": "auditor", "tenantId": tenant});
    vec![
        ("owner", owner_token.to_owned()),
        ("admin", person(keywright, &owner, tenant, "tenant_admin").await.1),
        ("member", person(keywright, &owner, tenant, "tenant_member").await.1),
        ("admin, a program", program),
        ("tenant's auditor", token(&keywright.operator(), auditor).await),
        ("service: credential.resolve", service(&owner, "credential.resolve").await),
        ("service: credential.sign", service(&owner, "credential.sign").await),
    ]
}

async fn service(issuer: &Caller, permission: &str) -> String {
    token(issuer, json!({"role": "internal_service", "permissions": [permission]})).await
}

async fn token(issuer: &Caller, body: serde_json::Value) -> String {
    text(&issuer.post("/api/tokens", body).await.success(), "/token")
}

/// Invites somebody, who comes: his principal's id and his token.
pub async fn person(keywright: &Keywright, owner: &Caller, tenant: &str, role: &str) -> (String, String) {
    let invited = invite(owner, tenant, role).await;
    let body = json!({"code": text(&invited, "/code"), "name": "Somebody"});
    let redeemed = keywright.anonymous().post("/api/auth/invitations/redeem", body).await.success();
    let token = text(&redeemed, "/token");
    let who = keywright.caller(&token).get("/api/whoami").await.success();
    (text(&who, "/id"), token)
}

/// A number that was not given before.
pub fn unused_number() -> u32 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    GIVEN.fetch_add(1, Ordering::Relaxed)
}

/// An invitation to an address that no other has.
pub async fn invite(owner: &Caller, tenant: &str, role: &str) -> serde_json::Value {
    let body = json!({"role": role, "email": format!("person-{}@example.com", unused_number())});
    owner.post(&format!("/api/tenants/{tenant}/invitations"), body).await.success()
}
