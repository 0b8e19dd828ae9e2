//! OpenSSH's own client and key generator: the judge of what we install and hand out.

use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::error::{During, KitError};
use crate::host::TestHost;
use crate::process::{Output, run, run_ok};

/// What `ssh-keygen` is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyType {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    /// With this many bits.
    Rsa(u32),
}

/// A key pair in a folder that goes away with it.
#[derive(Debug)]
pub struct KeyPair {
    folder: TempDir,
}

impl KeyPair {
    /// The private key file, mode 0600.
    pub fn private_file(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    /// The text of the private key file.
    pub fn private_text(&self) -> String {
        std::fs::read_to_string(self.private_file()).unwrap()
    }

    /// The public key as one line, with the comment `kit` and without a line end.
    pub fn public_line(&self) -> String {
        std::fs::read_to_string(self.private_file().with_extension("pub")).unwrap().trim_end().to_owned()
    }

    /// `SHA256:…` as `ssh-keygen -l` prints it.
    pub async fn fingerprint(&self) -> String {
        let file = self.private_file().with_extension("pub");
        let mut keygen = Command::new("ssh-keygen");
        let line = run_ok("ssh-keygen", keygen.args(["-l", "-E", "sha256", "-f"]).arg(file)).await.unwrap();
        line.split(' ').nth(1).unwrap().to_owned()
    }
}

/// A key pair by `ssh-keygen`; an empty passphrase leaves the file unencrypted.
pub async fn keygen(key_type: KeyType, passphrase: &str) -> Result<KeyPair, KitError> {
    keygen_commented(key_type, passphrase, "kit").await
}

/// The same with a comment of the test's choice.
pub async fn keygen_commented(
    key_type: KeyType,
    passphrase: &str,
    comment: &str,
) -> Result<KeyPair, KitError> {
    let folder = tempfile::Builder::new().prefix("keywright-key-").tempdir().during("making a key folder")?;
    let (name, bits) = match key_type {
        KeyType::Ed25519 => ("ed25519", 256),
        KeyType::EcdsaP256 => ("ecdsa", 256),
        KeyType::EcdsaP384 => ("ecdsa", 384),
        KeyType::EcdsaP521 => ("ecdsa", 521),
        KeyType::Rsa(bits) => ("rsa", bits),
    };
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-t", name, "-b", &bits.to_string(), "-C", comment, "-N", passphrase, "-f"]);
    run_ok("ssh-keygen", keygen.arg(folder.path().join("key"))).await?;
    Ok(KeyPair { folder })
}

/// The SSHFP records of these public keys for a name, as `ssh-keygen -r` writes them: SHA-1 and SHA-256 of each.
pub async fn sshfp(name: &str, public_keys: &[String]) -> Result<String, KitError> {
    let folder = tempfile::tempdir().during("making a key folder")?;
    let mut records = String::new();
    for (number, line) in public_keys.iter().enumerate() {
        let file = folder.path().join(format!("{number}.pub"));
        std::fs::write(&file, format!("{line}\n")).during("writing a public key")?;
        let output =
            run_ok("ssh-keygen", Command::new("ssh-keygen").args(["-r", name, "-f"]).arg(file)).await?;
        records.push_str(&output);
    }
    Ok(records)
}

/// Logs in with OpenSSH's `ssh`: this key only, the host's real keys pinned, no configuration, no questions.
/// Exit code 255 means that `ssh` itself failed (`Permission denied` stands in `stderr`).
pub async fn ssh(host: &TestHost, user: &str, key_file: &Path, command: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let known_hosts = folder.path().join("known_hosts");
    std::fs::write(&known_hosts, host.known_hosts()).unwrap();
    let mut ssh = Command::new("ssh");
    ssh.args(["-F", "none", "-T", "-p", &host.port().to_string(), "-i"])
        .arg(key_file)
        .arg("-o")
        .arg(format!("UserKnownHostsFile={}", known_hosts.display()))
        .args(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes"])
        .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes"])
        .args(["-o", "PreferredAuthentications=publickey", "-o", "ConnectTimeout=20", "-o", "LogLevel=ERROR"])
        .args([&format!("{user}@{}", host.address()), command])
        .env_remove("SSH_AUTH_SOCK");
    run(&mut ssh, b"").await.unwrap()
}
