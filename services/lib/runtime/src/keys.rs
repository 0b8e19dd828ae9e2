//! The installation's own Ed25519 keys: one per service, to prove itself to the others, and the issuer's, which signs
//! users' and exchanged tokens. `init` writes the private halves as 0600 files; the public halves are one file.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jsonwebtoken::{DecodingKey, EncodingKey};
use keywright_domain::caller::ServiceName;
use keywright_domain::secret::Secret;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// The name under which the token issuer's key stands beside those of the services.
pub const ISSUER: &str = "issuer";

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("{path} cannot be read or written; run keywright-server init first")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} does not hold what it should")]
    Malformed { path: PathBuf },
    #[error("a key could not be generated")]
    Generate,
}

/// A private key with the name it signs under.
#[derive(Clone)]
pub struct SigningKey {
    pub name: String,
    pub(crate) key: EncodingKey,
}

/// Everybody's public keys, by name.
#[derive(Clone)]
pub struct PublicKeys {
    pub(crate) keys: HashMap<String, DecodingKey>,
}

fn dir(data: &Path) -> PathBuf {
    data.join("keys")
}

fn file_error(path: &Path) -> impl FnOnce(std::io::Error) -> KeyError + '_ {
    move |source| KeyError::File { path: path.to_owned(), source }
}

/// Writes `bytes` to a new file that only its owner can read; an existing file is left alone.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<bool, KeyError> {
    match std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(mut file) => {
            file.write_all(bytes).and_then(|()| file.sync_all()).map_err(file_error(path))?;
            Ok(true)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(file_error(path)(error)),
    }
}

/// Writes `bytes` over a file that only its owner can read: whole, or as it was.
pub fn replace_private(path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    let new = path.with_extension("new");
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(file_error(&new)(error)),
        _ => {}
    }
    if !write_private(&new, bytes)? {
        return Err(KeyError::Malformed { path: new });
    }
    // Whoever runs this, the file stays its owner's.
    let owner = std::fs::metadata(path).map_err(file_error(path))?;
    std::os::unix::fs::chown(&new, Some(owner.uid()), Some(owner.gid())).map_err(file_error(&new))?;
    std::fs::rename(&new, path).map_err(file_error(path))?;
    let folder = path.parent().unwrap_or(path);
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(file_error(folder))
}

/// Creates what is missing: every service's key, the issuer's, and the public file. Idempotent.
pub fn create_all(data: &Path) -> Result<(), KeyError> {
    let dir = dir(data);
    std::fs::create_dir_all(&dir).map_err(file_error(&dir))?;
    let mut public = BTreeMap::new();
    for name in ServiceName::ALL.iter().map(|s| s.as_str()).chain([ISSUER]) {
        let path = dir.join(format!("{name}.key"));
        if !path.exists() {
            let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Generate)?;
            let der = pair.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
            write_private(&path, der.as_ref())?;
        }
        let pair = read_pair(&path)?;
        public.insert(name.to_owned(), hex(pair.public_key().as_ref()));
    }
    for name in ["idempotency.key", "notification.key"] {
        let mut secret = [0u8; 32];
        keywright_domain::clock::fill_random(&mut secret).map_err(|_| KeyError::Generate)?;
        write_private(&dir.join(name), &secret)?;
    }
    let checkpoints = checkpoint_keys_file(data);
    if !checkpoints.exists() {
        write_private(&checkpoints, new_checkpoint_key()?.as_bytes())?;
    }
    let path = dir.join("public.json");
    let text = serde_json::to_vec_pretty(&public).map_err(|_| KeyError::Generate)?;
    std::fs::write(&path, text).map_err(file_error(&path))
}

fn read_pair(path: &Path) -> Result<Ed25519KeyPair, KeyError> {
    let der = std::fs::read(path).map_err(file_error(path))?;
    Ed25519KeyPair::from_pkcs8(&der).map_err(|_| KeyError::Malformed { path: path.to_owned() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// Reads the private key of `name`.
pub fn signing_key(data: &Path, name: &str) -> Result<SigningKey, KeyError> {
    let path = dir(data).join(format!("{name}.key"));
    read_pair(&path)?;
    let der = std::fs::read(&path).map_err(file_error(&path))?;
    Ok(SigningKey { name: name.to_owned(), key: EncodingKey::from_ed_der(&der) })
}

/// Reads everybody's public keys.
pub fn public_keys(data: &Path) -> Result<PublicKeys, KeyError> {
    let path = dir(data).join("public.json");
    let malformed = || KeyError::Malformed { path: path.clone() };
    let text = std::fs::read(&path).map_err(file_error(&path))?;
    let named: BTreeMap<String, String> = serde_json::from_slice(&text).map_err(|_| malformed())?;
    let keys = named
        .into_iter()
        .map(|(name, key)| Some((name, DecodingKey::from_ed_der(&unhex(&key)?))))
        .collect::<Option<HashMap<_, _>>>()
        .ok_or_else(malformed)?;
    Ok(PublicKeys { keys })
}

/// The key under which request hashes of idempotent calls are made.
pub fn idempotency_key(data: &Path) -> Result<[u8; 32], KeyError> {
    bytes(data, "idempotency.key")
}

/// Where the keys lie that sign the log's checkpoints: one a line, the base64 of its PKCS#8; the first signs, and those
/// after it sign too until they are taken out, so that who knows an older key can follow.
pub fn checkpoint_keys_file(data: &Path) -> PathBuf {
    dir(data).join("checkpoint.keys")
}

/// A line of that file.
pub fn new_checkpoint_key() -> Result<String, KeyError> {
    let pair = Ed25519KeyPair::generate().map_err(|_| KeyError::Generate)?;
    let der = pair.to_pkcs8v1().map_err(|_| KeyError::Generate)?;
    Ok(format!("{}\n", data_encoding::BASE64.encode(der.as_ref())))
}

/// The key that the secrets of webhooks are derived from.
pub fn notification_key(data: &Path) -> Result<Secret, KeyError> {
    Ok(Secret::new(bytes(data, "notification.key")?.to_vec()))
}

fn bytes(data: &Path, name: &str) -> Result<[u8; 32], KeyError> {
    let path = dir(data).join(name);
    let bytes = std::fs::read(&path).map_err(file_error(&path))?;
    bytes.try_into().map_err(|_| KeyError::Malformed { path })
}
