//! Who may do what: every RPC of the contract is called by every role, on its own tenant's objects and on another
//! tenant's, and the verdicts are compared with the table that is checked in and shown in the documentation.
//!
//! `KEYWRIGHT_WRITE_AUTHORIZATION=1` writes the table and the page anew; what never may be is asserted all the same.

use std::path::PathBuf;
use std::sync::Arc;

use keywright_e2e::authorization::cast::{Role, cast};
use keywright_e2e::authorization::stage::{
    Objects, fresh, message, names_a_tenant_and_more, names_objects, nobodys, objects,
};
use keywright_e2e::authorization::table::{Cell, Row, difference, page};
use keywright_e2e::authorization::verdict::{self, Verdict, compared};
use keywright_e2e::rpc::{Rpc, Wire};
use keywright_e2e::world::{create_tenant, owner};
use keywright_e2e::{LIMIT, Sshd, World};
use keywright_kit::{KeywrightOptions, free_port};
use keywright_proto::{AuditClass, Exposure};
use tokio::task::JoinSet;
use tonic::{Code, Status};

const WRITE: &str = "KEYWRIGHT_WRITE_AUTHORIZATION";
const BEGIN: &str = "<!-- The table is written by the test that calls every RPC as every role. -->\n";
const END: &str = "<!-- End of the table. -->\n";

struct Stage {
    world: World,
    roles: Vec<Role>,
    gateway: Wire,
    inside: Wire,
    own: Objects,
    other_tenant: String,
}

#[tokio::test]
async fn every_rpc_answers_every_role_as_the_table_says() {
    let stage = Arc::new(Stage::set().await);
    let mut rows = Vec::new();
    for rpc in in_order() {
        rows.push(stage.row(rpc).await);
    }
    rows.sort_by_key(|row| (row.rpc.method.parent_service().full_name().to_owned(), row.rpc.name()));

    let names: Vec<&str> = stage.roles.iter().map(|role| role.name).collect();
    let table = page(&names, &rows);
    assert_eq!(what_never_may_be(&names, &rows), Vec::<String>::new(), "{table}");
    if std::env::var_os(WRITE).is_some() {
        write(&table);
    }
    let checked_in = std::fs::read_to_string(file("tests/e2e/authorization.md")).unwrap_or_default();
    let differs = difference(&checked_in, &table);
    assert!(checked_in == table, "who may do what has changed (to accept: {WRITE}=1):\n{differs}");
    let documented = std::fs::read_to_string(file("gateway/docs/authorization.md")).unwrap();
    assert_eq!(
        documented.matches(&format!("{BEGIN}{table}{END}")).count(),
        1,
        "the page shows another table"
    );
}

/// As the contract lists them, but what shuts the store comes last.
fn in_order() -> Vec<Rpc> {
    let mut all = Rpc::all();
    all.sort_by_key(|rpc| match rpc.method.name() {
        "SealCustody" => 2,
        "UnsealCustody" | "RotateKeyEncryptionKey" => 1,
        _ => 0,
    });
    all
}

impl Stage {
    async fn set() -> Self {
        let port = free_port().unwrap();
        let address = format!("127.0.0.1:{}", port.number());
        let options = KeywrightOptions::default().arg("--internal-listen").arg(&address);
        let world = World::with(options, None, Sshd::OpenSsh).await;
        let other_tenant = create_tenant(&world.keywright, "Other").await;
        let (_, other_owner) = owner(&world.keywright, &other_tenant).await;
        let tenants = [world.tenant.as_str(), other_tenant.as_str()];
        let roles = cast(&world.keywright, tenants, [&world.owner_token, &other_owner]).await;
        let own = objects(&world).await;
        let (gateway, inside) = tokio::join!(async { Wire::connect(&world.keywright.url()).await }, async {
            Wire::connect(&format!("http://{address}")).await
        });
        Self { world, roles, gateway, inside, own, other_tenant }
    }

    async fn row(self: &Arc<Self>, rpc: Rpc) -> Row {
        let mut calls = JoinSet::new();
        for index in 0..self.roles.len() {
            let (stage, rpc) = (Arc::clone(self), rpc.clone());
            calls.spawn(async move { (index, stage.cell(&rpc, &stage.roles[index]).await) });
        }
        let mut cells = calls.join_all().await;
        cells.sort_by_key(|(index, _)| *index);
        let at_gateway = match rpc.rule.exposure {
            Exposure::Public => None,
            Exposure::Internal | Exposure::Platform => Some(self.at_gateway(&rpc).await),
        };
        Row { rpc, at_gateway, cells: cells.into_iter().map(|(_, cell)| cell).collect() }
    }

    async fn cell(&self, rpc: &Rpc, role: &Role) -> Cell {
        let own = self.verdict(rpc, role.own.as_deref(), &self.own, &nobodys()).await;
        let other = match &role.other {
            Some(other) if names_objects(rpc) => Some(self.others(rpc, other).await),
            _ => None,
        };
        Cell { own, other }
    }

    /// On the tenant's objects by somebody of another; also where he names his own tenant beside them.
    async fn others(&self, rpc: &Rpc, other: &str) -> Verdict {
        let verdict = self.verdict(rpc, Some(other), &self.own, &nobodys()).await;
        if names_a_tenant_and_more(rpc) {
            let mine = |objects: &Objects| {
                let mut objects = objects.clone();
                objects.insert("tenant_id", self.other_tenant.clone());
                objects
            };
            let smuggled = self.verdict(rpc, Some(other), &mine(&self.own), &mine(&nobodys())).await;
            assert_eq!(
                smuggled,
                verdict,
                "{} with the caller's own tenant before another's object",
                rpc.name()
            );
        }
        verdict
    }

    async fn verdict(&self, rpc: &Rpc, token: Option<&str>, named: &Objects, nothing: &Objects) -> Verdict {
        let objects = {
            let made = fresh(&self.world, &self.world.owner(), rpc, named).await;
            // Whoever names his own tenant names it beside what was made.
            made.into_iter().chain([("tenant_id", named["tenant_id"].clone())]).collect()
        };
        let answer = self.call(rpc, token, &objects).await;
        match (verdict::of(rpc, &answer), answer) {
            (Some(verdict), _) => verdict,
            (None, Err(status)) => compared(rpc, &status, &self.call(rpc, token, nothing).await),
            (None, Ok(())) => unreachable!("an answer that is no error has its verdict"),
        }
    }

    /// Where the RPC is to be reached.
    async fn call(&self, rpc: &Rpc, token: Option<&str>, objects: &Objects) -> Result<(), Status> {
        let wire = if rpc.rule.exposure == Exposure::Public { &self.gateway } else { &self.inside };
        let deadline = tokio::time::Instant::now() + LIMIT;
        loop {
            let answer = wire.call(rpc, token, message(rpc, objects)).await;
            let busy = answer.as_ref().is_err_and(|status| status.code() == Code::ResourceExhausted);
            // A limit says nothing about who may.
            if !busy || rpc.rule.audit_class == AuditClass::Public || tokio::time::Instant::now() > deadline {
                return answer;
            }
            tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        }
    }

    /// What the gateway says of an RPC that is not for it: the same to everybody.
    async fn at_gateway(&self, rpc: &Rpc) -> Verdict {
        let mut verdicts = Vec::new();
        for role in &self.roles {
            let answer = self.gateway.call(rpc, role.own.as_deref(), message(rpc, &self.own)).await;
            verdicts.push(verdict::of(rpc, &answer).unwrap_or(Verdict::Leaking));
        }
        verdicts.dedup();
        assert_eq!(verdicts.len(), 1, "{} at the gateway: {verdicts:?}", rpc.name());
        verdicts[0]
    }
}

/// What no table makes right: how it is violated.
fn what_never_may_be(names: &[&str], rows: &[Row]) -> Vec<String> {
    let mut violations = Vec::new();
    let mut never = |holds: bool, what: String| {
        if holds {
            violations.push(what);
        }
    };
    never(rows.len() < 80, format!("the contract lost its RPCs: {}", rows.len()));
    for row in rows {
        let (name, action) = (row.rpc.name(), row.rpc.rule.action.as_str());
        let carried = row.at_gateway.is_some_and(|verdict| verdict != Verdict::Unreachable);
        never(carried, format!("{name}: the gateway carries it"));
        for (role, cell) in names.iter().zip(&row.cells) {
            let place = format!("{name} by {role}");
            let allowed = cell.own == Verdict::Allowed;
            let beyond = matches!(cell.other, Some(Verdict::Allowed | Verdict::Leaking));
            never(beyond || cell.own == Verdict::Leaking, format!("{place}: another tenant's object shows"));
            let open = matches!(cell.own, Verdict::Open | Verdict::Unauthenticated);
            never(*role == "stranger" && !open, format!("{place}: a stranger"));
            never(allowed && !may(action, role), format!("{place}: a key, or a signature"));
            let inside = row.rpc.rule.exposure == Exposure::Internal;
            never(inside && allowed, format!("{place}: it is inside"));
            let reads = row.rpc.rule.audit_class == AuditClass::Read
                || action.starts_with("session.")
                || action == "audit.export";
            never(allowed && role.ends_with("auditor") && !reads, format!("{place}: an auditor"));
        }
    }
    violations
}

/// Of the actions that let a key out, or have one sign: whether the product lets this role.
fn may(action: &str, role: &str) -> bool {
    let has_keys = ["owner", "admin"].contains(&role);
    match action {
        "access.download" | "access.acknowledge" => has_keys,
        "credential.sign_login" => {
            has_keys || ["admin, a program", "service: credential.sign"].contains(&role)
        }
        "credential.resolve" => role == "service: credential.resolve",
        _ => true,
    }
}

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

fn write(table: &str) {
    std::fs::write(file("tests/e2e/authorization.md"), table).unwrap();
    let path = file("gateway/docs/authorization.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the page has no place for the table");
    let (_, after) = rest.split_once(END).expect("the page has no end of the table");
    std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
}
