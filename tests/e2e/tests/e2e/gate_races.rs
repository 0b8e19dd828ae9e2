//! The usage gate under fire, against the shipped server: two processes on one database, what meets at a credential
//! sent to both at once, and the invariants looked at after each round. References and unreadable usage, which no
//! outside caller can make, are raced in the credential-store's own tests, by two processes as well.
//!
//! The seed is printed; `KEYWRIGHT_RACES_SEED` runs it again, `KEYWRIGHT_TEST_FULL` runs thousands of rounds.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;

use keywright_e2e::world::{create_tenant, options, owner};
use keywright_e2e::{Stores, text};
use keywright_kit::{Caller, KeyType, Keywright, KeywrightOptions, keygen};
use serde_json::{Value, json};

const LANES: usize = 3;

fn rounds() -> usize {
    if std::env::var_os("KEYWRIGHT_TEST_FULL").is_some() { 1000 } else { 90 }
}

#[tokio::test]
async fn two_servers_on_one_postgresql() {
    let folder = tempfile::tempdir().unwrap();
    let (options, _) = options(Stores::External).await;
    under_fire(options.data_dir(&folder.path().join("data"))).await;
}

#[tokio::test]
async fn two_servers_on_one_data_folder() {
    let folder = tempfile::tempdir().unwrap();
    under_fire(KeywrightOptions::default().data_dir(&folder.path().join("data"))).await;
}

/// What both servers are asked with.
struct Fire {
    owners: [Caller; 2],
    operator: Caller,
    tenant: String,
    /// Private keys with their fingerprints, made before.
    keys: Vec<(String, String)>,
}

async fn under_fire(options: KeywrightOptions) {
    let seed = match std::env::var("KEYWRIGHT_RACES_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => RandomState::new().build_hasher().finish() >> 32,
    };
    println!("KEYWRIGHT_RACES_SEED={seed}");
    let one = Keywright::start(options.clone()).await.unwrap();
    let two = Keywright::start(options).await.unwrap();
    let tenant = create_tenant(&one, "Acme").await;
    let (_, token) = owner(&one, &tenant).await;
    let mut keys = Vec::new();
    for _ in 0..8 {
        let key = keygen(KeyType::Ed25519, "").await.unwrap();
        keys.push((key.private_text(), key.fingerprint().await));
    }
    let fire = Arc::new(Fire {
        owners: [one.caller(&token), two.caller(&token)],
        operator: one.operator(),
        tenant,
        keys,
    });
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let fire = fire.clone();
            tokio::spawn(async move {
                let mut tally = BTreeMap::new();
                for round in (lane..rounds()).step_by(LANES) {
                    let chance = Chance(seed.wrapping_add(round as u64));
                    fire.round(round, chance, &mut tally).await;
                }
                tally
            })
        })
        .collect();
    let mut all: BTreeMap<String, u64> = BTreeMap::new();
    for lane in lanes {
        for (what, times) in lane.await.unwrap() {
            *all.entry(what).or_default() += times;
        }
    }
    println!("{} rounds", rounds());
    all.iter().for_each(|(what, times)| println!("  {times:6}  {what}"));
    for what in ["bind 200", "delete 200", "delete CREDENTIAL_IN_USE", "rotate 200", "switch 200"] {
        assert!(all.contains_key(what), "never: {what}");
    }
}

/// Repeatable chance (SplitMix64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

#[derive(Debug, Clone)]
struct Deed {
    name: &'static str,
    path: String,
    body: Value,
    /// Of a rotation: what it puts in use.
    fingerprint: String,
}

#[derive(Debug)]
struct Done {
    deed: Deed,
    status: u16,
    reason: String,
    version: i64,
}

impl Fire {
    async fn round(&self, number: usize, mut chance: Chance, tally: &mut BTreeMap<String, u64>) {
        let first = self.credential(number, "from", &self.keys[0].0).await;
        let other = self.credential(number, "to", &self.keys[1].0).await;
        let (one, two) = (self.server(number, 1).await, self.server(number, 2).await);
        if chance.below(3) == 0 {
            self.owners[0].post(&one.0, json!({"credentialId": first, "skipTest": true})).await.success();
        }
        let deeds = self.deeds(number, &mut chance, [&first, &other], [&one.0, &two.0]);
        let turn = chance.below(2);
        let mut sent = Vec::new();
        for (n, deed) in deeds.into_iter().enumerate() {
            let caller = self.owners[(turn + n) % 2].clone();
            sent.push(tokio::spawn(send(caller, deed)));
        }
        let mut story = Vec::new();
        for deed in sent {
            let done = deed.await.unwrap();
            let how = if done.status == 200 { "200" } else { done.reason.as_str() };
            *tally.entry(format!("{} {how}", done.deed.name)).or_default() += 1;
            story.push(done);
        }
        self.assert_truth(&story, &first, &other, [&one.1, &two.1]).await;
    }

    async fn credential(&self, number: usize, name: &str, key: &str) -> String {
        let body = json!({"name": format!("{name}-{number}"), "username": "deploy", "privateKey": key});
        text(&self.owners[0].post("/api/credentials/ssh", body).await.success(), "/id")
    }

    /// The route of its binding, and its own.
    async fn server(&self, number: usize, n: usize) -> (String, String) {
        let body = json!({"tenantId": self.tenant, "name": format!("web-{number}-{n}"), "host": "192.0.2.1"});
        let id = text(&self.operator.post("/api/servers", body).await.success(), "/id");
        (format!("/api/servers/{id}/credentials"), format!("/api/servers/{id}"))
    }

    /// Two to four that meet at the first credential.
    fn deeds(
        &self,
        number: usize,
        chance: &mut Chance,
        [first, other]: [&str; 2],
        servers: [&str; 2],
    ) -> Vec<Deed> {
        let route = format!("/api/credentials/ssh/{first}");
        let deed = |name, path: String, body| Deed { name, path, body, fingerprint: String::new() };
        let bind = |server: usize| {
            deed("bind", servers[server].into(), json!({"credentialId": first, "skipTest": true}))
        };
        let delete = |id: &str| {
            let body = json!({"confirmation": {"credentialId": id}});
            deed("delete", format!("/api/credentials/ssh/{id}"), body)
        };
        let rotate = |key: usize, acknowledged: bool, once: &str| {
            let (private_key, fingerprint) = &self.keys[key];
            let confirmation = json!({"credentialId": first, "acknowledgeServerUsage": acknowledged});
            let body =
                json!({"privateKey": private_key, "confirmation": confirmation, "idempotencyKey": once});
            Deed { name: "rotate", path: format!("{route}/rotate"), body, fingerprint: fingerprint.clone() }
        };
        let switch = || {
            let body = json!({"toCredentialId": other});
            deed("switch", format!("{route}/switch"), body)
        };
        let once = format!("round-{number}");
        let some = |chance: &mut Chance| 2 + chance.below(6);
        match chance.below(7) {
            0 => vec![bind(0), delete(first)],
            1 => vec![bind(0), rotate(some(chance), false, ""), bind(1)],
            2 => vec![delete(first), delete(first)],
            3 => vec![rotate(2, true, ""), rotate(3, true, ""), rotate(4, false, "")],
            4 => vec![switch(), delete(first), delete(other)],
            5 => vec![rotate(5, true, &once), rotate(5, true, &once)],
            _ => vec![bind(0), switch(), rotate(some(chance), true, ""), delete(first)],
        }
    }

    async fn assert_truth(&self, story: &[Done], first: &str, other: &str, servers: [&str; 2]) {
        let told = || {
            let lines = story
                .iter()
                .map(|it| format!("\n  {} {} -> {} {}", it.deed.name, it.deed.path, it.status, it.reason));
            lines.collect::<String>()
        };
        for done in story {
            assert!(done.status < 500, "{}", told());
        }
        for server in servers {
            let server = self.owners[1].get(server).await.success();
            let Some(bound) = server.pointer("/credential/credentialId").and_then(Value::as_str) else {
                continue;
            };
            let used = self.owners[0].get(&format!("/api/credentials/ssh/{bound}")).await;
            assert_eq!(used.status, 200, "a server is bound to what was deleted: {}", told());
        }
        let deleted = |id: &str| {
            let path = format!("/api/credentials/ssh/{id}");
            story
                .iter()
                .filter(|it| it.deed.name == "delete" && it.status == 200 && it.deed.path == path)
                .count()
        };
        assert!(deleted(first) <= 1 && deleted(other) <= 1, "deleted twice: {}", told());
        let now = self.owners[0].get(&format!("/api/credentials/ssh/{first}")).await;
        assert_eq!(now.status == 404, deleted(first) == 1, "{}", told());
        self.assert_versions(story, (now.status == 200).then_some(&now.json), &told());
    }

    /// Every rotation that was acknowledged is a version, and the last one is in use.
    fn assert_versions(&self, story: &[Done], now: Option<&Value>, told: &str) {
        let mut made = BTreeMap::from([(1, self.keys[0].1.clone())]);
        for done in story.iter().filter(|it| it.deed.name == "rotate" && it.status == 200) {
            let before = made.insert(done.version, done.deed.fingerprint.clone());
            let repeated = done.deed.body["idempotencyKey"] != "";
            assert!(before.is_none() || repeated, "a version is lost: {told}");
        }
        assert!(made.keys().copied().eq(1..=made.len() as i64), "{made:?} {told}");
        let Some(now) = now else { return };
        let (last, fingerprint) = made.last_key_value().unwrap();
        assert_eq!(
            (now["version"].as_i64(), text(now, "/fingerprint")),
            (Some(*last), fingerprint.clone()),
            "{told}"
        );
    }
}

async fn send(caller: Caller, deed: Deed) -> Done {
    let answer = match deed.name {
        "delete" => caller.delete(&deed.path, deed.body.clone()).await,
        _ => caller.post(&deed.path, deed.body.clone()).await,
    };
    let version = answer.json["version"].as_i64().unwrap_or_default();
    Done { status: answer.status, reason: answer.reason().to_owned(), version, deed }
}
