//! What an owner does with an SSH access, and what the host says about it.

use std::time::Duration;

use keywright_kit::{Answer, eventually, ssh};
use reqwest::Method;
use serde_json::{Value, json};

use crate::key_file::KeyFile;
use crate::{LIMIT, World, text};

pub struct Access<'a> {
    world: &'a World,
    /// `acc_…`
    pub id: String,
    pub account: String,
}

impl<'a> Access<'a> {
    pub fn new(world: &'a World, answer: &Value) -> Self {
        Self { world, id: text(answer, "/id"), account: text(answer, "/account") }
    }

    /// The route of the access, and what follows it.
    pub fn path(&self, rest: &str) -> String {
        format!("/api/tenants/{}/ssh-access/{}{rest}", self.world.tenant, self.id)
    }

    fn confirmation(&self) -> Value {
        json!({"accessId": self.id})
    }

    pub async fn show(&self) -> Value {
        self.world.owner().get(&self.path("")).await.success()
    }

    /// Waits until a rotation has succeeded.
    pub async fn finished(&self, rotation: &str) -> Value {
        let path = format!("/api/rotations/{rotation}");
        let ended = self.world.keywright.wait_for(&path, LIMIT, has_ended).await;
        assert_eq!(ended["state"], "succeeded", "{ended}\n{}", self.world.keywright.logs());
        ended
    }

    /// One request to download; nothing is acknowledged.
    pub async fn try_download(&self) -> Answer {
        let body = json!({"confirmation": self.confirmation()});
        self.world.owner().post(&self.path("/download"), body).await
    }

    /// Downloads the active key and acknowledges it.
    pub async fn download(&self) -> KeyFile {
        let answer = self.try_download().await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        let claim = answer.headers["keywright-claim-id"].to_str().unwrap().to_owned();
        let closing = self.path(&format!("/download/{claim}/acknowledge"));
        self.world.owner().send(Method::POST, &closing, Some(json!({})), &[]).await.success();
        KeyFile::new(&answer.bytes)
    }

    /// One request to rotate; `rest` is added to its body.
    pub async fn try_rotate(&self, rest: Value) -> Answer {
        let mut body = json!({"confirmation": self.confirmation()});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        self.world.owner().post(&self.path("/rotate"), body).await
    }

    /// Starts a rotation: `rot_…`.
    pub async fn start_rotation(&self, rest: Value) -> String {
        text(&self.try_rotate(rest).await.success(), "/id")
    }

    /// Rotates with this grace period, to the end.
    pub async fn rotate(&self, grace: &str) -> Value {
        let rotation = self.start_rotation(json!({"gracePeriod": grace})).await;
        self.finished(&rotation).await
    }

    /// Revokes, until every host is proven.
    pub async fn revoke(&self, rest: Value) -> Value {
        let mut body = json!({"confirmation": self.confirmation()});
        body.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        let started = self.world.owner().post(&self.path("/revoke"), body).await.success();
        let path = format!("/api/revocations/{}", text(&started, "/id"));
        self.world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await
    }

    /// Regenerates, to the end.
    pub async fn regenerate(&self) -> Value {
        let body = json!({"confirmation": self.confirmation()});
        let started = self.world.owner().post(&self.path("/regenerate"), body).await.success();
        self.finished(&text(&started, "/id")).await
    }

    /// Whether OpenSSH's client logs in to the account with this key now.
    pub async fn opens(&self, key: &KeyFile) -> bool {
        let output = ssh(&self.world.host, &self.account, &key.path(), "id -un").await;
        assert!(
            output.ok() || output.stderr.contains("Permission denied"),
            "neither logged in nor refused: {output:?}"
        );
        output.ok() && output.stdout.trim() == self.account
    }

    /// Whether the key is refused before the deadline.
    pub async fn is_refused_within(&self, limit: Duration, key: &KeyFile) -> bool {
        eventually(limit, async || !self.opens(key).await).await
    }

    /// The line of this key version on the one host.
    pub async fn line(&self, version: i64) -> Value {
        let access = self.show().await;
        let lines = access["hosts"][0]["lines"].as_array().unwrap();
        lines.iter().find(|line| line["version"] == version).cloned().unwrap_or(Value::Null)
    }

    /// Waits until the line of this version has this state.
    pub async fn line_becomes(&self, version: i64, state: &str) -> Value {
        let became = eventually(LIMIT, async || self.line(version).await["state"] == state).await;
        let line = self.line(version).await;
        assert!(became, "version {version} is still {line}\n{}", self.world.keywright.logs());
        line
    }
}

/// Whether a rotation has come to its end.
pub fn has_ended(rotation: &Value) -> bool {
    !matches!(rotation["state"].as_str(), Some("running" | "converging"))
}

/// The state of a step of a rotation, `pending` if there is none of this name.
pub fn step_state(rotation: &Value, name: &str) -> String {
    let steps = rotation["steps"].as_array().map(Vec::as_slice).unwrap_or_default();
    let step = steps.iter().find(|step| step["name"] == name);
    step.and_then(|step| step["state"].as_str()).unwrap_or("pending").to_owned()
}
