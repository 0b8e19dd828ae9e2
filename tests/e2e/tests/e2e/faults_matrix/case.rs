//! One operation on an account of its own: how it is made ready, begun, and what must hold when it has ended.

use std::cell::RefCell;

use keywright_e2e::access::has_ended;
use keywright_e2e::elapsed::{HOUR, older};
use keywright_e2e::gates::{Gate, held};
use keywright_e2e::{Access, KeyFile, LIMIT, possession, text};
use keywright_kit::{KeyType, eventually, keygen};
use serde_json::{Value, json};

use super::judged::Ours;
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
    /// The new key, where its holder makes it.
    made: RefCell<Option<KeyFile>>,
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
        let without =
            [Operation::Provision, Operation::Regenerate, Operation::Revoke, Operation::Deprovision];
        self.key.as_ref().filter(|_| !without.contains(&self.moment.operation))
    }

    /// On the further host as well.
    pub fn is_needed_on_both(&self) -> bool {
        self.moment.operation.begins_on_both() && self.moment.operation != Operation::RemoveHost
    }

    pub async fn prepare(scene: &Scene, account: String, moment: Moment) -> Self {
        let (before, made) = (Value::Null, RefCell::default());
        let mut it = Self { moment, account, before, key: None, old: None, earlier: None, made };
        scene.add_account(&it.account);
        let mut servers = vec![scene.world.server.clone()];
        if it.moment.operation == Operation::Provision {
            return it;
        }
        if it.moment.operation.begins_on_both() {
            servers.push(scene.far_server.clone());
        }
        it.before = scene.provision(&it.account, &servers).await;
        let access = Access::new(&scene.world, &it.before);
        access.finished(&text(&it.before, "/recentRotations/0/id")).await;
        it.key = Some(scene.download(&access).await);
        match it.moment.operation {
            Operation::Regenerate => drop(access.revoke(json!({})).await),
            Operation::LeaveBehind | Operation::CatchUp => scene.may_leave_behind(&access).await,
            Operation::EndGrace | Operation::GraceOver => {
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
        match self.moment.operation {
            Operation::TurnBack => return self.begin_to_fail(scene).await,
            Operation::CatchUp => return self.begin_to_catch_up(scene).await,
            _ => {}
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

    /// It has been promoted without the host that is away.
    async fn begin_to_catch_up(&self, scene: &Scene) -> Begun {
        let mut begun = self.ask(scene).await;
        self.is_left_behind(scene, &begun).await;
        scene.gates.close(&self.account, &self.moment.gate).await;
        begun.after = scene.world.keywright.printed();
        begun
    }

    /// The one host alone is outstanding, or the rotation has failed.
    pub async fn is_left_behind(&self, scene: &Scene, begun: &Begun) {
        let promoted = |it: &Value| it["state"] == "converging" || has_ended(it);
        let shown = scene.world.keywright.wait_for(&begun.path, LIMIT, promoted).await;
        if shown["state"] != "failed" {
            assert_eq!(shown["outstandingServerIds"], json!([scene.far_server]), "{shown}");
        }
    }

    /// A key that its holder makes, with his proof.
    async fn make_key(&self, scene: &Scene) -> Value {
        let key = keygen(KeyType::Ed25519, "").await.unwrap();
        let proven = possession::proven(&scene.world, &scene.world.tenant, &key).await;
        let key = KeyFile::new(key.private_text().as_bytes());
        scene.remember(&key);
        self.made.replace(Some(key));
        proven
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
        if self.moment.operation == Operation::GraceOver {
            older(&scene.world, &[&access.id], HOUR).await;
            let work = self.earlier.clone().unwrap();
            return Begun {
                path: format!("/api/rotations/{work}"),
                access: self.before.clone(),
                work,
                after,
            };
        }
        let mut rotation =
            json!({"gracePeriod": "3600s", "dropGraceKey": true, "idempotencyKey": scene.new_key()});
        if self.moment.operation == Operation::ClientMade {
            rotation.as_object_mut().unwrap().extend(self.make_key(scene).await.as_object().unwrap().clone());
        }
        let (owner, operator) = (scene.world.owner(), scene.world.keywright.operator());
        let (key, host) = (scene.new_key(), access.path(&format!("/hosts/{}", scene.far_server)));
        let confirmed = || json!({"confirmation": {"accessId": access.id}, "idempotencyKey": key});
        let request = async || match self.moment.operation {
            Operation::Regenerate => owner.post(&access.path("/regenerate"), confirmed()).await,
            Operation::AddHost => {
                let body = json!({"serverId": scene.far_server, "idempotencyKey": key});
                operator.post(&access.path("/hosts"), body).await
            }
            Operation::RemoveHost => operator.delete(&host, confirmed()).await,
            Operation::Deprovision => {
                operator.delete(&access.path(""), json!({"confirmation": {"accessId": access.id}})).await
            }
            // Asked for again it is the same one.
            Operation::Revoke => {
                owner.post(&access.path("/revoke"), json!({"confirmation": {"accessId": access.id}})).await
            }
            _ => access.try_rotate(rotation.clone()).await,
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
        let shown = access.show().await;
        let operation = self.moment.operation;
        let mut new = None;
        if !matches!(
            operation,
            Operation::GraceOver
                | Operation::AddHost
                | Operation::RemoveHost
                | Operation::Revoke
                | Operation::Deprovision
        ) {
            let key = match self.made.take() {
                Some(key) => key,
                None => scene.download(&access).await,
            };
            scene.remember(&key);
            new = Some(key);
        }
        // What was needed all the time is in its grace, unless nothing replaced it.
        let (in_use, replaced) = match (&new, self.needed()) {
            (Some(new), old) => (Some(new), old),
            (None, kept) => (kept, None),
        };
        let ends = || text(&shown, "/graceEndsAt").parse().unwrap();
        let ours = Ours { in_use, in_grace: replaced.map(|key| (key, ends())) };
        let far_too = self.is_needed_on_both() || operation == Operation::AddHost;
        let on_far = if far_too { ours } else { Ours::default() };
        for (host, ours) in [(home, ours), (far, on_far)] {
            for key in ours.in_use.into_iter().chain(ours.in_grace.map(|(key, _)| key)) {
                assert!(scene.opens(host, &self.account, key).await, "{what}");
            }
            scene.judge(host, &self.account, ours, &what).await;
        }
        if operation == Operation::RemoveHost {
            assert!(!scene.opens(far, &self.account, self.key.as_ref().unwrap()).await, "{what}");
        }
        let ends = [Operation::Regenerate, Operation::Revoke, Operation::Deprovision];
        let refused = self.key.as_ref().filter(|_| ends.contains(&operation));
        for key in refused.into_iter().chain(&self.old) {
            assert!(!scene.opens(home, &self.account, key).await, "a key came back: {what}");
        }
        assert_eq!(shown["deprovisionedAt"].is_string(), operation == Operation::Deprovision, "{what}");
        let gone = matches!(operation, Operation::Revoke | Operation::Deprovision);
        assert_eq!(shown["status"], if gone { "revoked" } else { "active" }, "{shown} {what}");
        assert_eq!(
            scene.gates.versions(&self.account, "state = 'ACTIVE'").await,
            usize::from(!gone),
            "{what}"
        );
        if !gone {
            assert_its_line_stands(&shown, &what);
        }
        self.nothing_outlives_its_end(scene, &what).await;
    }

    /// It led back: as if it had never been asked for.
    pub async fn check_undone(&self, scene: &Scene, ended: &Value) {
        let what = format!("{:?} at {}: {ended}", self.moment.operation, self.moment.gate.name);
        assert!(ended["promotedAt"].is_null(), "failed after its promotion: {what}");
        let kept = self.key.as_ref().filter(|_| self.moment.operation != Operation::Regenerate);
        for (host, stands) in [(&scene.world.host, true), (&scene.far, self.is_needed_on_both())] {
            let in_use = kept.filter(|_| stands);
            if let Some(key) = in_use {
                assert!(scene.opens(host, &self.account, key).await, "{what}");
            }
            scene.judge(host, &self.account, Ours { in_use, in_grace: None }, &what).await;
        }
        let in_use = scene.gates.versions(&self.account, "state = 'ACTIVE'").await;
        assert_eq!(in_use, usize::from(kept.is_some()), "{what}");
        self.nothing_outlives_its_end(scene, &what).await;
    }

    async fn nothing_outlives_its_end(&self, scene: &Scene, what: &str) {
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
