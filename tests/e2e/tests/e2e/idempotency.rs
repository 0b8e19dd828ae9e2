//! Every operation that takes an idempotency key has one effect for it: sent to two servers at once, sent again, sent
//! again after a restart; and another request under the key is refused.

use std::collections::BTreeSet;

use keywright_e2e::document::{fetch, operations};
use keywright_e2e::world::{manage, options, register, start_host};
use keywright_e2e::{Access, Sshd, Stores, World, text};
use keywright_kit::{Answer, Caller, KeyType, Keywright, keygen};
use reqwest::Method;
use serde_json::{Value, json};

/// One operation with a body that succeeds, and the member to change for another request.
struct Keyed {
    template: &'static str,
    method: Method,
    path: String,
    body: Value,
    other: (&'static str, Value),
    /// The owner asks, otherwise the operator.
    as_owner: bool,
}

struct Pair {
    world: World,
    second: Keywright,
}

impl Pair {
    async fn new(folder: &std::path::Path) -> Self {
        let (options, database) = options(Stores::External).await;
        let options = options.data_dir(&folder.join("data"));
        let world = World::with(options.clone(), database, Sshd::OpenSsh).await;
        let second = Keywright::start(options).await.unwrap();
        Self { world, second }
    }

    fn callers(&self, owner: bool) -> [Caller; 2] {
        match owner {
            true => [self.world.owner(), self.second.caller(&self.world.owner_token)],
            false => [self.world.keywright.operator(), self.second.operator()],
        }
    }

    /// At once to both, then again: one answer. Then something else under the same key.
    async fn assert_one_effect(&self, keyed: Keyed, covered: &mut BTreeSet<String>) -> Value {
        let key = format!("key-{}", covered.len());
        let mut body = keyed.body.clone();
        body["idempotencyKey"] = json!(key);
        let callers = self.callers(keyed.as_owner);
        let send = |caller: Caller, body: Value| {
            let (method, path) = (keyed.method.clone(), keyed.path.clone());
            async move { patient(&caller, method, &path, body).await }
        };
        let (one, two) =
            tokio::join!(send(callers[0].clone(), body.clone()), send(callers[1].clone(), body.clone()));
        let again = send(callers[1].clone(), body.clone()).await;
        for answer in [&one, &two, &again] {
            assert_eq!(answer.status, 200, "{key}: {}", answer.json);
            assert_eq!(answer.json["id"], one.json["id"], "{key}");
        }
        body[keyed.other.0] = keyed.other.1.clone();
        let other = send(callers[0].clone(), body).await;
        assert_eq!((other.status, other.reason()), (409, "IDEMPOTENCY_KEY_REUSED"), "{key}: {}", other.json);
        covered.insert(format!("{} {}", keyed.method, keyed.template));
        one.json
    }
}

/// A repetition may be told to wait for the first request.
async fn patient(caller: &Caller, method: Method, path: &str, body: Value) -> Answer {
    for _ in 0..30 {
        let answer = caller.send(method.clone(), path, Some(body.clone()), &[]).await;
        if answer.reason() != "REQUEST_IN_PROGRESS" {
            return answer;
        }
        assert!(answer.headers.contains_key("retry-after") || answer.json.to_string().contains("retryDelay"));
    }
    panic!("{path} is still being worked on");
}

fn keyed(method: Method, template: &'static str, path: String, body: Value, as_owner: bool) -> Keyed {
    Keyed { template, method, path, body, other: ("name", json!("another")), as_owner }
}

#[tokio::test]
async fn every_operation_with_a_key_has_one_effect_on_two_servers() {
    let folder = tempfile::tempdir().unwrap();
    let mut pair = Pair::new(folder.path()).await;
    let world = &pair.world;
    let mut covered = BTreeSet::new();

    let body = json!({"name": "Beta"});
    let tenants = "/api/tenants";
    let request = json!({"name": "Beta", "idempotencyKey": "key-0"});
    let beta =
        pair.assert_one_effect(keyed(Method::POST, tenants, tenants.into(), body, false), &mut covered).await;
    let listed = world.keywright.get(tenants).await.success();
    assert_eq!(listed["items"].as_array().unwrap().len(), 2);

    let servers = "/api/servers";
    let body = json!({"tenantId": world.tenant, "name": "db-1", "host": "192.0.2.7", "labels": {"b": "1", "a": "2"}});
    let server =
        pair.assert_one_effect(keyed(Method::POST, servers, servers.into(), body, false), &mut covered).await;

    let route = "/api/credentials/ssh";
    let (old, new) =
        (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::Ed25519, "").await.unwrap());
    let body = json!({"tenantId": world.tenant, "name": "deploy", "username": "deploy", "privateKey": old.private_text()});
    let made = pair
        .assert_one_effect(keyed(Method::POST, route, route.into(), body.clone(), false), &mut covered)
        .await;
    let id = text(&made, "/id");
    let listed = world.owner().get(route).await.success();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1);

    let body = json!({"privateKey": new.private_text(), "confirmation": {"credentialId": id}});
    let rotate = Keyed {
        other: ("username", json!("another")),
        ..keyed(
            Method::POST,
            "/api/credentials/ssh/{credentialId}/rotate",
            format!("{route}/{id}/rotate"),
            body,
            true,
        )
    };
    let rotated = pair.assert_one_effect(rotate, &mut covered).await;
    assert_eq!(rotated["version"], 2);
    let now = world.owner().get(&format!("{route}/{id}")).await.success();
    assert_eq!(now["version"], 2, "one rotation, one version");

    let body = json!({"name": "to", "username": "deploy", "privateKey": old.private_text()});
    let to = text(&world.owner().post(route, body).await.success(), "/id");
    let binding = format!("/api/servers/{}/credentials", text(&server, "/id"));
    world.owner().post(&binding, json!({"credentialId": id, "skipTest": true})).await.success();
    let switch = Keyed {
        other: ("test", json!(true)),
        ..keyed(
            Method::POST,
            "/api/credentials/ssh/{credentialId}/switch",
            format!("{route}/{id}/switch"),
            json!({"toCredentialId": to}),
            true,
        )
    };
    let switched = pair.assert_one_effect(switch, &mut covered).await;
    assert_eq!((&switched["switched"], &switched["kept"]), (&json!(1), &json!(0)), "{switched}");

    let delete = Keyed {
        other: ("confirmation", json!({"credentialId": id, "acknowledgeServerUsage": true})),
        ..keyed(
            Method::DELETE,
            "/api/credentials/ssh/{credentialId}",
            format!("{route}/{id}"),
            json!({"confirmation": {"credentialId": id}}),
            true,
        )
    };
    pair.assert_one_effect(delete, &mut covered).await;
    assert_eq!(world.owner().get(&format!("{route}/{id}")).await.reason(), "CREDENTIAL_NOT_FOUND");

    accesses(&pair, &mut covered).await;
    assert_eq!(
        covered,
        with_a_key(&world.keywright).await,
        "operations that take a key and are not tried here"
    );

    pair.world.keywright.kill9().await;
    pair.world.keywright.restart().await.unwrap();
    let again = pair.world.keywright.post(tenants, request).await.success();
    assert_eq!(again["id"], beta["id"]);
}

/// Provision, rotate, regenerate: one rotation each.
async fn accesses(pair: &Pair, covered: &mut BTreeSet<String>) {
    let world = &pair.world;
    let template = "/api/tenants/{tenantId}/ssh-access";
    let route = format!("/api/tenants/{}/ssh-access", world.tenant);
    let body = json!({"serverIds": [world.server], "createAccount": true});
    let provision = Keyed {
        other: ("createAccount", json!(false)),
        ..keyed(Method::POST, template, route.clone(), body, false)
    };
    let provisioned = pair.assert_one_effect(provision, covered).await;
    let access = Access::new(world, &provisioned);
    access.finished(&text(&access.show().await, "/recentRotations/0/id")).await;

    let confirmation = json!({"accessId": access.id});
    let rotate = Keyed {
        other: ("reason", json!("another")),
        ..keyed(
            Method::POST,
            "/api/tenants/{tenantId}/ssh-access/{accessId}/rotate",
            access.path("/rotate"),
            json!({"confirmation": confirmation, "gracePeriod": "0s"}),
            true,
        )
    };
    let rotation = pair.assert_one_effect(rotate, covered).await;
    access.finished(&text(&rotation, "/id")).await;
    access.revoke(json!({})).await;
    let regenerate = Keyed {
        other: ("reason", json!("another")),
        ..keyed(
            Method::POST,
            "/api/tenants/{tenantId}/ssh-access/{accessId}/regenerate",
            access.path("/regenerate"),
            json!({"confirmation": confirmation}),
            true,
        )
    };
    let regenerated = pair.assert_one_effect(regenerate, covered).await;
    access.finished(&text(&regenerated, "/id")).await;
    let shown = access.show().await;
    assert_eq!(shown["recentRotations"].as_array().unwrap().len(), 3, "{shown}");
    further_host(pair, &access, covered).await;
    campaign(pair, &access, covered).await;
    fleet_test(pair, covered).await;
}

/// On a second host and off again: one rotation each.
async fn further_host(pair: &Pair, access: &Access<'_>, covered: &mut BTreeSet<String>) {
    let world = &pair.world;
    let host = start_host(Sshd::OpenSsh).await;
    host.write_authorized_keys("root", format!("{}\n", world.bootstrap.public_line()));
    let server = register(&world.keywright, &world.tenant, &host, "web-2").await;
    manage(&world.keywright, &server, &world.bootstrap).await;
    let add = Keyed {
        other: ("reason", json!("another")),
        ..keyed(
            Method::POST,
            "/api/tenants/{tenantId}/ssh-access/{accessId}/hosts",
            access.path("/hosts"),
            json!({"serverId": server, "createAccount": true}),
            false,
        )
    };
    let added = pair.assert_one_effect(add, covered).await;
    access.finished(&text(&added, "/id")).await;
    let remove = Keyed {
        other: ("reason", json!("another")),
        ..keyed(
            Method::DELETE,
            "/api/tenants/{tenantId}/ssh-access/{accessId}/hosts/{serverId}",
            access.path(&format!("/hosts/{server}")),
            json!({"confirmation": {"accessId": access.id}}),
            false,
        )
    };
    let removed = pair.assert_one_effect(remove, covered).await;
    access.finished(&text(&removed, "/id")).await;
}

async fn campaign(pair: &Pair, access: &Access<'_>, covered: &mut BTreeSet<String>) {
    let route = "/api/admin/campaigns";
    let body = json!({"selector": {"accessIds": [access.id]}, "confirmation": {"targetCount": 1}});
    let create = Keyed {
        other: ("reason", json!("another")),
        ..keyed(Method::POST, route, route.into(), body, false)
    };
    pair.assert_one_effect(create, covered).await;
    let listed = pair.world.keywright.get(route).await.success();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
}

async fn fleet_test(pair: &Pair, covered: &mut BTreeSet<String>) {
    let route = "/api/fleet/connectivity-tests";
    let body = json!({"selector": {"serverIds": [pair.world.server]}});
    let create = Keyed {
        other: ("reason", json!("another")),
        ..keyed(Method::POST, route, route.into(), body, false)
    };
    pair.assert_one_effect(create, covered).await;
    let listed = pair.world.keywright.get(route).await.success();
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
}

/// What the contract says takes a key.
async fn with_a_key(keywright: &Keywright) -> BTreeSet<String> {
    let document = fetch(keywright).await;
    let takes_key = |description: &Value| {
        let schema = &description["requestBody"]["content"]["application/json"]["schema"];
        let schema = match schema["$ref"].as_str().and_then(|reference| reference.strip_prefix('#')) {
            Some(pointer) => document.pointer(pointer).unwrap(),
            None => schema,
        };
        !schema["properties"]["idempotencyKey"].is_null()
    };
    operations(&document)
        .into_iter()
        .filter(|operation| takes_key(&operation.description))
        .map(|operation| format!("{} {}", operation.method, operation.template))
        .collect()
}
