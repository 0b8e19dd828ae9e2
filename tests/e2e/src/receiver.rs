//! Somebody who is told: an HTTP and an SMTP server in Python, where the reference library judges every signature.

use std::path::Path;
use std::time::Duration;

use keywright_kit::{eventually, python};
use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Child;

use crate::LIMIT;
use crate::certificates::Issued;

#[derive(Debug)]
pub struct Receiver {
    folder: TempDir,
    _server: Child,
    ports: Value,
}

impl Receiver {
    /// Answers 200 to everything.
    pub async fn start() -> Self {
        Self::start_with(None).await
    }

    /// Also with HTTPS, and mail that is encrypted.
    pub async fn encrypted(certificate: &Issued) -> Self {
        Self::start_with(Some(certificate)).await
    }

    async fn start_with(certificate: Option<&Issued>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("manner"), "200").unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("python/receiver.py");
        let mut command = python("python-receivers").unwrap();
        command.arg(script).arg(folder.path());
        if let Some(Issued { certificate, key }) = certificate {
            command.arg(certificate).arg(key);
        }
        let server = command.kill_on_drop(true).spawn().unwrap();
        let file = folder.path().join("ports");
        assert!(eventually(LIMIT, async || file.exists()).await, "the receiver does not start");
        let ports = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        Self { folder, _server: server, ports }
    }

    pub fn hook(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.ports["http"])
    }

    /// `http`, `smtp`; where it is encrypted also `https`, `smtps`, `starttls`.
    pub fn port(&self, of: &str) -> u64 {
        self.ports[of].as_u64().unwrap()
    }

    /// As `--smtp-url` takes it.
    pub fn smtp(&self) -> String {
        format!("smtp://127.0.0.1:{}", self.ports["smtp"])
    }

    /// As `python/receiver.py` has it.
    pub fn behaves(&self, manner: &str) {
        std::fs::write(self.folder.path().join("manner"), manner).unwrap();
    }

    /// By which signatures are judged.
    pub fn knows(&self, secret: &str) {
        std::fs::write(self.folder.path().join("secret"), secret).unwrap();
    }

    /// Everything that came and is written to its end.
    pub fn got(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("got")).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The first that is as wanted, when it has come.
    pub async fn waits_for(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.waits_within(LIMIT, wanted).await.unwrap_or_else(|| panic!("it did not come: {:?}", self.got()))
    }

    pub async fn waits_within(&self, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Option<Value> {
        eventually(limit, async || self.got().iter().any(&wanted)).await;
        self.got().into_iter().find(wanted)
    }
}
