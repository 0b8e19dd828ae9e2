//! The services as processes of their own on loopback, on one data folder.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;

use keywright_kit::{KeywrightOptions, Port, free_port};
use tempfile::TempDir;

use crate::supervised::{Supervised, binaries, clean_command};

const SERVICES: [&str; 4] = ["credential-store", "key-lifecycle", "connectivity-probe", "audit"];

#[derive(Debug)]
pub struct Apart {
    running: BTreeMap<&'static str, Supervised>,
    ports: BTreeMap<&'static str, Port>,
    folder: TempDir,
    arguments: Vec<String>,
}

impl Apart {
    /// Makes the data folder by `init` and starts every service.
    pub fn start() -> Self {
        Self::start_with(Vec::new())
    }

    /// With further arguments for every service.
    pub fn start_with(arguments: Vec<String>) -> Self {
        let folder = tempfile::Builder::new().prefix("keywright-apart-").tempdir().unwrap();
        let ports = SERVICES.map(|service| (service, free_port().unwrap())).into_iter().collect();
        let mut apart = Self { running: BTreeMap::new(), ports, folder, arguments };
        let mut init = clean_command(apart.folder.path(), &apart.program().to_string_lossy());
        let made =
            init.arg("init").arg("--data-dir").arg(apart.data()).stdin(Stdio::null()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        SERVICES.iter().for_each(|service| apart.start_service(service));
        apart
    }

    pub fn start_service(&mut self, service: &'static str) {
        let mut arguments = vec![service.to_owned(), "--data-dir".into(), self.data().display().to_string()];
        arguments.extend(["--listen".into(), format!("127.0.0.1:{}", self.ports[service].number())]);
        arguments.extend(self.peers());
        arguments.extend(self.arguments.iter().cloned());
        let log = self.folder.path().join("log");
        let started = Supervised::start(self.folder.path(), &log, "KILL", &self.program(), &arguments);
        self.running.insert(service, started);
    }

    /// SIGKILL, and waits for the end.
    pub fn kill9(&mut self, service: &str) {
        drop(self.running.remove(service).expect("the service does not run"));
    }

    /// What a gateway in front of these services is started with.
    pub fn gateway(&self) -> KeywrightOptions {
        let options = KeywrightOptions::default().role("gateway").data_dir(&self.data());
        self.peers().into_iter().fold(options, KeywrightOptions::arg)
    }

    /// What all services printed.
    pub fn logs(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Where a service listens.
    pub fn url(&self, service: &str) -> String {
        format!("http://127.0.0.1:{}", self.ports[service].number())
    }

    fn peers(&self) -> Vec<String> {
        let peer = |service: &&str| {
            [format!("--{service}-url"), format!("http://127.0.0.1:{}", self.ports[service].number())]
        };
        SERVICES.iter().flat_map(peer).collect()
    }

    /// The data folder that all of them share.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn program(&self) -> PathBuf {
        binaries().join("keywright-server")
    }
}
