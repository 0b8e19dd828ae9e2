//! Backups by the shipped `keywright-server`, opened by the `age` tool.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use keywright_kit::{Keywright, KeywrightOptions};
use tempfile::TempDir;

use crate::supervised::{binaries, clean_command};

/// Where an installation's state is.
#[derive(Debug, Clone, Default)]
pub struct Place {
    pub data: PathBuf,
    pub database: Option<String>,
}

impl Place {
    /// Of a server that runs.
    pub fn of(keywright: &Keywright, database: Option<&str>) -> Self {
        Self { data: keywright.data_dir(), database: database.map(str::to_owned) }
    }

    /// A new one with the key-encryption key of another.
    pub fn with_key_of(folder: &Path, other: &Self, database: Option<String>) -> Self {
        let data = folder.join("restored");
        private_folder(&data);
        private_folder(&data.join("keys"));
        let key = "keys/key-encryption.key";
        std::fs::copy(other.data.join(key), data.join(key)).unwrap();
        Self { data, database }
    }

    pub fn options(&self) -> KeywrightOptions {
        let options = KeywrightOptions::default().data_dir(&self.data);
        match &self.database {
            Some(url) => options.database_url(url).arg("--allow-loopback-targets").arg("true"),
            None => options,
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--data-dir".to_owned(), self.data.display().to_string()];
        if let Some(url) = &self.database {
            arguments.extend(["--database-url".to_owned(), url.clone()]);
        }
        arguments
    }
}

pub fn private_folder(path: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(path).unwrap();
}

/// A folder with an age identity, as `age-keygen` makes it.
#[derive(Debug)]
pub struct Vault {
    pub folder: TempDir,
    pub recipient: String,
}

impl Vault {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vault = Self { folder, recipient: String::new() };
        vault.keygen("identity");
        let recipient = vault.run("age-keygen", &["-y", "identity"]);
        Self { recipient: String::from_utf8(recipient.stdout).unwrap().trim().to_owned(), ..vault }
    }

    pub fn keygen(&self, name: &str) {
        let made = self.run("age-keygen", &["-o", name]);
        assert!(made.status.success(), "{made:?}");
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        let mut command = clean_command(self.folder.path(), program);
        command
            .args(arguments)
            .output()
            .unwrap_or_else(|_| panic!("{program} is missing: apt-get install age"))
    }

    /// What is sealed, as the `age` tool opens it.
    pub fn decrypted(&self, name: &str) -> Vec<u8> {
        let output = self.run("age", &["-d", "-i", "identity", name]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    pub fn server(&self) -> Command {
        clean_command(self.folder.path(), &binaries().join("keywright-server").to_string_lossy())
    }

    pub fn backup(&self, place: &Place, name: &str) -> Output {
        let recipient = self.recipient.as_str();
        let mut command = self.server();
        command.args(["backup", "--recipient", recipient, "--out", name]);
        command.args(place.arguments()).output().unwrap()
    }

    pub fn verify(&self, name: &str, identity: &str) -> Output {
        self.server().args(["backup", "--verify", name, "--identity", identity]).output().unwrap()
    }

    pub fn restoring(&self, place: &Place, name: &str, identity: &str) -> Command {
        let mut command = self.server();
        command.args(["restore", "--in", name, "--identity", identity]).args(place.arguments());
        command
    }

    pub fn restore(&self, place: &Place, name: &str, identity: &str) -> Output {
        self.restoring(place, name, identity).output().unwrap()
    }

    /// A restore that still runs.
    pub fn begin_restore(&self, place: &Place, name: &str) -> Child {
        let mut command = self.restoring(place, name, "identity");
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }
}

impl Default for Vault {
    fn default() -> Self {
        Self::new()
    }
}

/// Panics with what the program said unless it ended well.
pub fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What the program said when it refused.
pub fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}
