//! One operation on an account of its own: how it is made ready, begun, and what must hold when it has ended.

use keywright_e2e::access::has_ended;
use keywright_e2e::gates::{Gate, held};
use keywright_e2e::{Access, KeyFile, LIMIT, text};
use keywright_kit::{TestHost, eventually};
use serde_json::{Value, json};

use super::moments::{Moment, Operation};
use super::scene::Scene;

pub struct Case {
    pub moment: Moment,
    pub account: String,
    /// The access as it was before; null where the operation brings it.
    pub before: Value,
    /// Opens the account before the operation.
    pub key: Option<KeyFile>,
    /// What the key replaced: in its grace.
    pub old: Option<KeyFile>,
    /// The rotation that began the grace.
    earlier: Option<String>,
}

/// What is at work.
pub struct Begun {
    /// `acc_…`, as it was answered.
    access: Value,
    /// Whose record the gate refuses: `rot_…` or `rev_…`.
    work: String,
    /// The operation's own, where it is another.
    pub path: String,
    /// How much had been printed.
    after: u64,
}

impl Case {
    /// What must open the account at every look.
    pub fn needed(&self) -> Option<&KeyFile> {
        let without = [Operation::Provision, Operation::Regenerate, Operation::Deprovision];
        self.key.as_ref().filter(|_| !without.contains(&self.moment.operation))
    }

    pub async fn prepare(scene: &Scene, account: String, moment: Moment) -> Self {
        let mut it = Self { moment, account, before: Value::Null, key: None, old: None, earlier: None };
        scene.add_account(&it.account);
        let servers = match it.moment.operation {
            Operation::Provision => return it,
            Operation::RemoveHost => vec![scene.world.server.clone(), scene.far_server.clone()],
            _ => vec![scene.world.server.clone()],
        };
        it.before = scene.provision(&it.account, &servers).await;
        let access = Access::new(&scene.world, &it.before);
        access.finished(&text(&it.before, "/recentRotations/0/id")).await;
        it.key = Some(scene.download(&access).await);
        match it.moment.operation {
            Operation::Regenerate => drop(access.revoke(json!({})).await),
            Operation::EndGrace => {
                let body = json!({"gracePeriod": "3600s", "idempotencyKey": scene.new_key()});
                let started = scene.asked(async || access.try_rotate(body.clone()).await).await.success();
                access.finished(&text(&started, "/id")).await;
                it.earlier = Some(text(&started, "/id"));
                it.old = it.key.replace(scene.download(&access).await);
            }
            _ => {}
        }
        it
    }

    /// As far as its gate, which is closed.
    pub async fn begin(&self, scene: &Scene) -> Begun {
        if self.moment.operation == Operation::TurnBack {
            return self.begin_to_fail(scene).await;
        }
        scene.gates.close(&self.account, &self.moment.gate).await;
        self.ask(scene).await
    }

    /// Somebody takes the new key away from under us, so that its proof fails.
    async fn begin_to_fail(&self, scene: &Scene) -> Begun {
        let before_proof = Gate::record("prove", "STARTED");
        scene.gates.close(&self.account, &before_proof).await;
        let mut begun = self.ask(scene).await;
        begun.held(scene).await;
        let public = text(&Access::new(&scene.world, &self.before).show().await, "/publicKey");
        let file = String::from_utf8(scene.world.host.read_authorized_keys(&self.account).unwrap()).unwrap();
        let old = public.split(' ').nth(1).unwrap();
        let is_new =
            |line: &str| line.contains("keywright:acc_") && line.contains("ssh-") && !line.contains(old);
        assert_eq!(file.lines().filter(|line| is_new(line)).count(), 1, "{file}");
        let without: String = file.split_inclusive('\n').filter(|line| !is_new(line)).collect();
        scene.world.host.write_authorized_keys(&self.account, without);
        scene.gates.close(&self.account, &self.moment.gate).await;
        scene.gates.open(&self.account, &before_proof).await;
        // It has passed the first gate when the step has begun.
        let proves = |it: &Value| step(it, "prove").is_some_and(|step| step["startedAt"].is_string());
        scene.world.keywright.wait_for(&begun.path, LIMIT, proves).await;
        begun.after = scene.world.keywright.printed();
        begun
    }

    /// The operation without any harm.
    pub async fn ask(&self, scene: &Scene) -> Begun {
        let after = scene.world.keywright.printed();
        if self.moment.operation == Operation::Provision {
            let access = scene.provision(&self.account, std::slice::from_ref(&scene.world.server)).await;
            let work = text(&access, "/recentRotations/0/id");
            return Begun { path: format!("/api/rotations/{work}"), access, work, after };
        }
        let access = Access::new(&scene.world, &self.before);
        let (owner, operator) = (scene.world.owner(), scene.world.keywright.operator());
        let (key, host) = (scene.new_key(), access.path(&format!("/hosts/{}", scene.far_server)));
        let confirmed = || json!({"confirmation": {"accessId": access.id}, "idempotencyKey": key});
        let request = async || match self.moment.operation {
            Operation::Provision | Operation::Rotate | Operation::EndGrace | Operation::TurnBack => {
                let body = json!({"gracePeriod": "3600s", "dropGraceKey": true, "idempotencyKey": key});
                access.try_rotate(body).await
            }
            Operation::Regenerate => owner.post(&access.path("/regenerate"), confirmed()).await,
            Operation::AddHost => {
                let body = json!({"serverId": scene.far_server, "idempotencyKey": key});
                operator.post(&access.path("/hosts"), body).await
            }
            Operation::RemoveHost => operator.delete(&host, confirmed()).await,
            Operation::Deprovision => {
                operator.delete(&access.path(""), json!({"confirmation": {"accessId": access.id}})).await
            }
        };
        let answer = scene.asked(request).await;
        let id = text(&answer.success(), "/id");
        let kind = if id.starts_with("rev_") { "revocations" } else { "rotations" };
        let path = format!("/api/{kind}/{id}");
        Begun { path, access: self.before.clone(), work: self.earlier.clone().unwrap_or(id), after }
    }

    /// The operation as it ended; and everything that it had to bring to its end.
    pub async fn ended(&self, scene: &Scene, begun: &Begun) -> Value {
        let keywright = &scene.world.keywright;
        let ended = keywright.wait_for(&begun.path, LIMIT, has_ended).await;
        if let Some(earlier) = &self.earlier {
            let path = format!("/api/rotations/{earlier}");
            keywright.wait_for(&path, LIMIT, |it| it["graceEndedAt"].is_string()).await;
        }
        ended
    }

    /// What it was for; `ended` as it is told in a failure.
    pub async fn check(&self, scene: &Scene, begun: &Begun, ended: &Value) {
        let access = Access::new(&scene.world, &begun.access);
        let (home, far) = (&scene.world.host, &scene.far);
        let what = format!("{:?} at {}: {ended}", self.moment.operation, self.moment.gate.name);
        if let Some(key) = self.needed() {
            assert!(scene.opens(home, &self.account, key).await, "{what}");
        }
        match self.moment.operation {
            Operation::Provision
            | Operation::Rotate
            | Operation::EndGrace
            | Operation::TurnBack
            | Operation::Regenerate => {
                let new = scene.download(&access).await;
                assert!(scene.opens(home, &self.account, &new).await, "{what}");
                scene.remember(&new);
            }
            Operation::AddHost => {
                assert!(scene.opens(far, &self.account, self.key.as_ref().unwrap()).await, "{what}");
            }
            Operation::RemoveHost => {
                assert!(!scene.opens(far, &self.account, self.key.as_ref().unwrap()).await, "{what}");
                assert_eq!(our_keys(far, &self.account), Vec::<String>::new(), "{what}");
            }
            Operation::Deprovision => {
                assert!(access.show().await["deprovisionedAt"].is_string(), "{what}");
                assert_eq!(our_keys(home, &self.account), Vec::<String>::new(), "{what}");
            }
        }
        let ends = [Operation::Regenerate, Operation::Deprovision];
        let refused = self.key.as_ref().filter(|_| ends.contains(&self.moment.operation));
        for key in refused.into_iter().chain(&self.old) {
            assert!(!scene.opens(home, &self.account, key).await, "a key came back: {what}");
        }
        let in_use = usize::from(self.moment.operation != Operation::Deprovision);
        assert_eq!(scene.gates.versions(&self.account, "state = 'ACTIVE'").await, in_use, "{what}");
        if in_use == 1 {
            assert_its_line_stands(&access.show().await, &what);
        }
        self.check_rest(scene, &what).await;
    }

    /// It led back: as if it had never been asked for.
    pub async fn check_undone(&self, scene: &Scene, ended: &Value) {
        let what = format!("{:?} at {}: {ended}", self.moment.operation, self.moment.gate.name);
        assert!(ended["promotedAt"].is_null(), "failed after its promotion: {what}");
        let home = &scene.world.host;
        let without = [Operation::Provision, Operation::Regenerate];
        let in_use = usize::from(!without.contains(&self.moment.operation));
        if let Some(key) = self.needed() {
            assert!(scene.opens(home, &self.account, key).await, "{what}");
        }
        assert_eq!(scene.gates.versions(&self.account, "state = 'ACTIVE'").await, in_use, "{what}");
        assert_eq!(our_keys(home, &self.account).len(), in_use, "{what}");
        assert_eq!(our_keys(&scene.far, &self.account), Vec::<String>::new(), "{what}");
        self.check_rest(scene, &what).await;
    }

    /// Nothing foreign is changed, nothing lies about, nothing outlives its end.
    async fn check_rest(&self, scene: &Scene, what: &str) {
        scene.assert_nothing_foreign_changed(&self.account, what);
        let undestroyed = "destroy_at IS NOT NULL AND destroyed_at IS NULL";
        let gone =
            eventually(LIMIT, async || scene.gates.versions(&self.account, undestroyed).await == 0).await;
        assert!(gone, "old material stands: {what}");
    }
}

impl Begun {
    pub fn work_path(&self) -> String {
        format!("/api/rotations/{}", self.work)
    }

    pub async fn held(&self, scene: &Scene) {
        held(&scene.world.keywright, &self.work, self.after).await;
    }
}

/// The lines of the account's file that hold a key of ours.
fn our_keys(host: &TestHost, account: &str) -> Vec<String> {
    let file = String::from_utf8(host.read_authorized_keys(account).unwrap_or_default()).unwrap();
    let ours = |line: &&str| line.contains("keywright:acc_") && line.contains("ssh-");
    file.lines().filter(ours).map(str::to_owned).collect()
}

/// The key in use has exactly one line on each host, and it stands.
fn assert_its_line_stands(show: &Value, what: &str) {
    for host in show["hosts"].as_array().unwrap() {
        let lines = host["lines"].as_array().unwrap();
        let newest: Vec<&Value> = lines.iter().filter(|line| line["version"] == show["version"]).collect();
        assert!(newest.len() == 1 && newest[0]["state"] == "installed", "{show} {what}");
    }
}

/// A step of this name, if the operation has one.
pub fn step<'a>(rotation: &'a Value, name: &str) -> Option<&'a Value> {
    rotation["steps"].as_array()?.iter().find(|step| step["name"] == name)
}
