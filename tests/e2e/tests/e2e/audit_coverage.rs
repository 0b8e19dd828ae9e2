//! Every RPC whose class says so is in the log, as what it is: a refusal as DENIED, what was done as SUCCEEDED; and while
//! the log cannot be written, nothing is done that would have to be in it.
//!
//! The RPCs are those of the descriptor set: a new one is held to it without a change here.

use std::collections::BTreeSet;

use keywright_e2e::authorization::cast::{Role, cast};
use keywright_e2e::authorization::stage::{Objects, fresh, message, objects};
use keywright_e2e::authorization::verdict::reason;
use keywright_e2e::database::Database;
use keywright_e2e::rpc::{Rpc, Wire};
use keywright_e2e::world::{create_tenant, owner};
use keywright_e2e::{LIMIT, World};
use keywright_proto::{AuditClass, Exposure};
use serde_json::Value;
use tonic::{Code, Status};

/// What is done with the log away, as the product promises: a revocation is spooled.
const SPOOLED: [&str; 2] = ["access.revoke", "tenant.offboard"];

/// With a message of ids alone these do something, each once; the others are told what else they need.
const AT_LEAST_DONE: usize = 12;

/// And so many are stopped by the log alone.
const AT_LEAST_STOPPED: usize = 20;

struct Stage {
    world: World,
    roles: Vec<Role>,
    gateway: Wire,
    own: Objects,
}

impl Stage {
    async fn set() -> Self {
        let world = World::embedded().await;
        let other = create_tenant(&world.keywright, "Other").await;
        let (_, other_owner) = owner(&world.keywright, &other).await;
        let tenants = [world.tenant.as_str(), other.as_str()];
        let roles = cast(&world.keywright, tenants, [&world.owner_token, &other_owner]).await;
        let own = objects(&world).await;
        let gateway = Wire::connect(&world.keywright.url()).await;
        Self { world, roles, gateway, own }
    }

    fn token(&self, name: &str) -> Option<&str> {
        self.roles.iter().find(|role| role.name == name).unwrap().own.as_deref()
    }

    async fn call(&self, rpc: &Rpc, role: &str) -> Result<(), Status> {
        let objects = fresh(&self.world, &self.world.owner(), rpc, &self.own).await;
        self.send(rpc, role, &objects).await
    }

    async fn send(&self, rpc: &Rpc, role: &str, objects: &Objects) -> Result<(), Status> {
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let answer = self.gateway.call(rpc, self.token(role), message(rpc, objects)).await;
            let busy = answer.as_ref().is_err_and(|status| status.code() == Code::ResourceExhausted);
            if !busy || tokio::time::Instant::now() > deadline {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// Waits for an event of this action that ended so.
    async fn logged(&self, action: &str, outcome: &str) -> bool {
        let path = format!("/api/audit/events?action={action}&outcome={outcome}&pageSize=1");
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
        loop {
            let page: Value = self.world.keywright.get(&path).await.success();
            if !page["items"].as_array().unwrap().is_empty() {
                return true;
            }
            if tokio::time::Instant::now() > deadline {
                return false;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

/// What has to be in the log, of what the gateway carries; what shuts the store comes last.
fn recorded() -> Vec<Rpc> {
    let must = |rpc: &Rpc| matches!(rpc.rule.audit_class, AuditClass::Mutation | AuditClass::SecretUse);
    let mut rpcs: Vec<Rpc> =
        Rpc::all().into_iter().filter(|rpc| rpc.rule.exposure == Exposure::Public && must(rpc)).collect();
    rpcs.sort_by_key(|rpc| {
        matches!(rpc.method.name(), "SealCustody" | "RotateKeyEncryptionKey" | "UnsealCustody")
    });
    rpcs
}

#[tokio::test]
async fn refusals_and_deeds_are_in_the_log_and_nothing_is_done_without_it() {
    let stage = Stage::set().await;
    let (mut missing, mut done) = (Vec::new(), BTreeSet::new());
    let rpcs = recorded();
    assert!(rpcs.len() > 60, "only {} RPCs", rpcs.len());

    // Refused: an auditor changes nothing, and a member exports nothing.
    for rpc in &rpcs {
        let action = rpc.rule.action.as_str();
        let mut refused = None;
        for role in ["tenant's auditor", "member", "service: access.provision"] {
            let answer = stage.call(rpc, role).await;
            if answer.as_ref().is_err_and(|status| status.code() == Code::PermissionDenied) {
                refused = Some(role);
                break;
            }
        }
        match refused {
            // What everybody may do of his own is refused to nobody.
            None if action.starts_with("session.") || action == "token.revoke" => {}
            None => missing.push(format!("{}: nobody was refused", rpc.name())),
            Some(role) if stage.logged(action, "denied").await => {
                let _ = role;
            }
            Some(role) => missing.push(format!("{}: the refusal of {role} is not logged", rpc.name())),
        }
    }

    // With the log away: an error, and whatever it is, no deed.
    let log = Database::of(&stage.world.keywright, None, "audit").await;
    let shut = "CREATE TRIGGER shut BEFORE INSERT ON leaf BEGIN SELECT RAISE(ABORT, 'the log is shut'); END";
    log.change(shut.to_owned()).await;
    let mut stopped = 0;
    for rpc in rpcs.iter().filter(|rpc| !SPOOLED.contains(&rpc.rule.action.as_str())) {
        for role in ["operator", "owner"] {
            match stage.send(rpc, role, &stage.own).await {
                Ok(()) => missing.push(format!("{} by {role}: done without the log", rpc.name())),
                Err(status) => stopped += usize::from(reason(&status) == "AUDIT_UNAVAILABLE"),
            }
        }
    }
    log.change("DROP TRIGGER shut".to_owned()).await;
    assert!(stopped >= AT_LEAST_STOPPED, "only {stopped} were stopped by the log");

    // Done: and it is there, once the log is back.
    for rpc in &rpcs {
        for role in ["operator", "owner"] {
            let answer = stage.call(rpc, role).await;
            let action = rpc.rule.action.as_str();
            match answer {
                Ok(()) => {
                    done.insert(rpc.name());
                    // Of a stream only the beginning is read here: that it was left is how it ended.
                    let ends = if rpc.method.is_server_streaming() { "interrupted" } else { "succeeded" };
                    if !stage.logged(action, ends).await {
                        missing.push(format!("{} by {role}: done, and not logged", rpc.name()));
                    }
                }
                Err(status) => {
                    let unavailable = reason(&status) == "AUDIT_UNAVAILABLE";
                    assert!(!unavailable, "{} by {role}: the log is back", rpc.name());
                }
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(done.len() >= AT_LEAST_DONE, "only these did something: {done:?}");
}
