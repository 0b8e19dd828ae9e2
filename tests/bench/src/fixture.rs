//! A Keywright, a host, a tenant with accesses, and the control groups that count their CPU time.

use keywright_domain::key::{PrivateKey, PublicKey};
use keywright_domain::secret::Secret;
use keywright_e2e::access::has_ended;
use keywright_e2e::world::{create_tenant, manage, owner, register};
use keywright_e2e::{LIMIT, text};
use keywright_kit::{Caller, HostOptions, KeyPair, KeyType, Keywright, KeywrightOptions, TestHost, keygen};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use crate::cpu::Group;
use crate::logins;

pub struct Fixture {
    // Removed before the processes in them end.
    pub host_cpu: Group,
    pub own_cpu: Group,
    pub keywright: Keywright,
    pub host: TestHost,
    /// Opens root and the account `plain` of the host.
    pub key: KeyPair,
    pub tenant: String,
    owner_token: String,
    /// What Keywright's client and the host agree on.
    pub key_exchange: String,
    /// `acc_…`
    pub accesses: Vec<String>,
}

impl Fixture {
    pub async fn new(accesses: usize) -> Self {
        let options = HostOptions::default().config("MaxStartups 500").config("MaxSessions 50");
        let host = TestHost::openssh(options).await.unwrap();
        let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
        let (host_cpu, own_cpu) = (Group::new("host"), Group::new("keywright"));
        own_cpu.add(keywright.pid().unwrap());
        for pid in tree(host.pid()) {
            host_cpu.add(pid);
        }
        let key = keygen(KeyType::Ed25519, "").await.unwrap();
        host.write_authorized_keys("root", format!("{}\n", key.public_line()));
        host.add_user("plain");
        host.write_authorized_keys("plain", format!("{}\n", key.public_line()));
        let tenant = create_tenant(&keywright, "Bench").await;
        let (_, owner_token) = owner(&keywright, &tenant).await;
        let server = register(&keywright, &tenant, &host, "bench-1").await;
        manage(&keywright, &server, &key).await;
        let key_exchange = logins::key_exchange(&host, &pins(&host)).await;
        let mut made = Self {
            host_cpu,
            own_cpu,
            keywright,
            host,
            key,
            tenant,
            owner_token,
            key_exchange,
            accesses: Vec::new(),
        };
        for number in 0..accesses {
            made.host.add_user(&format!("bench{number}"));
            let body = json!({"serverIds": [server], "account": format!("bench{number}")});
            let path = format!("/api/tenants/{}/ssh-access", made.tenant);
            let started = made.keywright.post(&path, body).await.success();
            made.ended(&text(&started, "/recentRotations/0/id")).await;
            made.accesses.push(text(&started, "/id"));
        }
        made
    }

    pub fn owner(&self) -> Caller {
        self.keywright.caller(&self.owner_token)
    }

    pub fn path(&self, access: &str, rest: &str) -> String {
        format!("/api/tenants/{}/ssh-access/{access}{rest}", self.tenant)
    }

    /// `rot_…`
    pub async fn rotate(&self, access: &str) -> String {
        let body = json!({"confirmation": {"accessId": access}, "gracePeriod": "0s"});
        text(&self.owner().post(&self.path(access, "/rotate"), body).await.success(), "/id")
    }

    /// Waits until a rotation has ended.
    pub async fn ended(&self, rotation: &str) -> Value {
        let path = format!("/api/rotations/{rotation}");
        let ended = self.wait_for(&path, has_ended).await;
        assert_eq!(ended["state"], "succeeded", "{ended}");
        ended
    }

    /// Waits until the old key of a rotation is proven refused.
    pub async fn refused(&self, rotation: &str) -> Value {
        let path = format!("/api/rotations/{rotation}");
        self.wait_for(&path, |it| it["graceEndedAt"].is_string()).await
    }

    /// Looks ten times a second, as a person's client does at most: what is measured is the work, not the looking.
    pub async fn wait_for(&self, path: &str, condition: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let answer = self.keywright.get(path).await.success();
            if condition(&answer) {
                return answer;
            }
            assert!(begun.elapsed() < LIMIT, "{path} is still {answer}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    pub fn own_key(&self) -> PrivateKey {
        PrivateKey::from_stored(&Secret::from_text(self.key.private_text())).unwrap()
    }

    pub fn pins(&self) -> Vec<PublicKey> {
        pins(&self.host)
    }

    pub fn ssh_version(&self) -> String {
        let output = std::process::Command::new("ssh").arg("-V").output().unwrap();
        String::from_utf8_lossy(&output.stderr).trim().to_owned()
    }
}

fn pins(host: &TestHost) -> Vec<PublicKey> {
    host.host_keys().iter().map(|line| PublicKey::parse_openssh(line).unwrap()).collect()
}

/// A process and all that descend from it.
fn tree(root: u32) -> Vec<u32> {
    let mut found = vec![root];
    let mut at = 0;
    while let Some(pid) = found.get(at).copied() {
        let children =
            std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        found.extend(children.split_whitespace().filter_map(|pid| pid.parse::<u32>().ok()));
        at += 1;
    }
    found
}
