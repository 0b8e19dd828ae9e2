//! A private key as it was downloaded, in a file of its own.

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use data_encoding::BASE64;
use tempfile::TempDir;

/// Removed with the value.
#[derive(Debug)]
pub struct KeyFile {
    folder: TempDir,
}

impl KeyFile {
    pub fn new(bytes: &[u8]) -> Self {
        let file = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::write(file.path(), bytes).unwrap();
        std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o600)).unwrap();
        file
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("key")
    }

    pub fn text(&self) -> String {
        std::fs::read_to_string(self.path()).unwrap()
    }

    /// The public half as it stands in a line of a key file, in base64.
    pub fn blob(&self) -> String {
        let text = self.text();
        let body: String = text.lines().filter(|line| !line.starts_with("-----")).collect();
        let bytes = BASE64.decode(body.as_bytes()).unwrap();
        // The cipher, the derivation and its options, the number of keys, the public key.
        let mut rest = bytes.strip_prefix(b"openssh-key-v1\0").unwrap();
        for _ in 0..3 {
            (_, rest) = field(rest);
        }
        BASE64.encode(field(&rest[4..]).0)
    }

    /// What of an OpenSSH Ed25519 key must be found nowhere: its seed, and the lines of the file that hold it.
    pub fn secrets(&self) -> Vec<Vec<u8>> {
        secrets_of(&self.text())
    }
}

/// A field with its length before it, and what follows.
fn field(bytes: &[u8]) -> (&[u8], &[u8]) {
    let (length, rest) = bytes.split_at(4);
    rest.split_at(u32::from_be_bytes(length.try_into().unwrap()).try_into().unwrap())
}

/// See [`KeyFile::secrets`]; for an encrypted file only its lines are known.
pub fn secrets_of(pem: &str) -> Vec<Vec<u8>> {
    let lines: Vec<&str> = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    let mut secrets: Vec<Vec<u8>> = lines.iter().skip(1).map(|line| line.as_bytes().to_vec()).collect();
    secrets.retain(|line| line.len() > 40);
    assert!(!secrets.is_empty(), "not a private key file");
    let bytes = BASE64.decode(lines.concat().as_bytes()).unwrap();
    secrets.extend(ed25519_seed(&bytes));
    secrets
}

/// In the clear form the seed stands between the public key's last but one and last place.
fn ed25519_seed(bytes: &[u8]) -> Option<Vec<u8>> {
    let name = b"ssh-ed25519";
    let place = bytes.windows(name.len()).position(|window| window == name)?;
    let public = bytes.get(place + name.len() + 4..place + name.len() + 36)?;
    let last = bytes.windows(32).rposition(|window| window == public)?;
    let seed = bytes.get(last.checked_sub(32)?..last)?;
    // In an encrypted file the public key stands there once, in the header.
    (bytes.windows(32).filter(|window| *window == public).count() == 3).then(|| seed.to_vec())
}
