//! A key-encryption key under a passphrase: Argon2id makes the key that seals it, and its parameters lie beside.
//!
//! Invariant: what a file asks for is capped before anything is computed; the memory of the computation is wiped.

use super::envelope::{Purpose, SealingKey};
use super::kek::{Kek, KekError};
use crate::domain::kek::KekId;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use data_encoding::BASE64;
use keywright_domain::clock::fill_random;
use keywright_domain::secret::Secret;
use serde::{Deserialize, Serialize};
use std::path::Path;
use zeroize::Zeroize;

const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
const SALT_LENGTH: usize = 16;

const MOST_MEMORY_KIB: u32 = 1024 * 1024;
const MOST_PASSES: u32 = 16;
const MOST_LANES: u32 = 16;

const FEWEST_CHARACTERS: usize = 12;
const MOST_CHARACTERS: usize = 1024;

/// What the file says.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wrapped {
    version: u32,
    id: String,
    kdf: String,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: String,
    sealed: String,
}

/// Whether a passphrase may protect a key.
pub fn fit(passphrase: &Secret) -> Result<(), KekError> {
    let text = passphrase.expose_text().ok_or(KekError::Unfit("bytes that are no text"))?;
    match text.chars().count() {
        0..FEWEST_CHARACTERS => Err(KekError::Unfit("too few characters")),
        FEWEST_CHARACTERS..=MOST_CHARACTERS => Ok(()),
        _ => Err(KekError::Unfit("too many characters")),
    }
}

impl Wrapped {
    /// Takes as long as the parameters want: not on an asynchronous thread.
    pub fn seal(kek: &Kek, passphrase: &Secret) -> Result<Self, KekError> {
        fit(passphrase)?;
        let mut salt = [0u8; SALT_LENGTH];
        fill_random(&mut salt).map_err(|_| KekError::Random)?;
        let id = kek.id()?;
        let params = params(MEMORY_KIB, PASSES, LANES).ok_or(KekError::Random)?;
        let key = derive(params, passphrase, &salt).ok_or(KekError::Random)?;
        let sealed = SealingKey::new(&key)
            .and_then(|key| key.seal(Purpose::UnderPassphrase(&id), kek.bytes()))
            .map_err(|_| KekError::Random)?;
        Ok(Self {
            version: 1,
            id: id.as_str().to_owned(),
            kdf: "argon2id".to_owned(),
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: BASE64.encode(&salt),
            sealed: BASE64.encode(&sealed),
        })
    }

    pub fn parse(path: &Path, bytes: &[u8]) -> Result<Self, KekError> {
        let malformed = || KekError::Malformed(path.display().to_string());
        let read: Self = serde_json::from_slice(bytes).map_err(|_| malformed())?;
        if read.version != 1 || read.kdf != "argon2id" || KekId::try_from(read.id.clone()).is_err() {
            return Err(malformed());
        }
        if read.memory_kib > MOST_MEMORY_KIB || read.passes > MOST_PASSES || read.lanes > MOST_LANES {
            return Err(KekError::TooExpensive { path: path.to_owned() });
        }
        Ok(read)
    }

    pub fn bytes(&self) -> Result<Vec<u8>, KekError> {
        serde_json::to_vec_pretty(self).map_err(|_| KekError::Random)
    }

    pub fn id(&self) -> Result<KekId, KekError> {
        KekId::try_from(self.id.clone()).map_err(|_| KekError::Malformed("the key's file".to_owned()))
    }

    /// Takes as long as the parameters want: not on an asynchronous thread.
    pub fn open(&self, passphrase: &Secret) -> Result<Kek, KekError> {
        let malformed = || KekError::Malformed("the key's file".to_owned());
        let id = self.id()?;
        let salt = BASE64.decode(self.salt.as_bytes()).map_err(|_| malformed())?;
        let sealed = BASE64.decode(self.sealed.as_bytes()).map_err(|_| malformed())?;
        let params = params(self.memory_kib, self.passes, self.lanes).ok_or_else(malformed)?;
        let key = derive(params, passphrase, &salt).ok_or_else(malformed)?;
        let key = SealingKey::new(&key).map_err(|_| malformed())?;
        let kek = key.open(Purpose::UnderPassphrase(&id), &sealed).map_err(|_| KekError::Passphrase)?;
        let kek = Kek::new(kek).map_err(|_| malformed())?;
        if kek.id()? == id { Ok(kek) } else { Err(malformed()) }
    }
}

fn params(memory_kib: u32, passes: u32, lanes: u32) -> Option<Params> {
    Params::new(memory_kib, passes, lanes, Some(32)).ok()
}

fn derive(params: Params, passphrase: &Secret, salt: &[u8]) -> Option<Secret> {
    let mut memory = vec![Block::new(); params.block_count()];
    let mut key = vec![0u8; 32];
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let done = argon2.hash_password_into_with_memory(passphrase.expose(), salt, &mut key, &mut memory);
    for block in &mut memory {
        block.as_mut().zeroize();
    }
    let key = Secret::new(key);
    done.is_ok().then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Secret {
        Secret::from_text(text.to_owned())
    }

    #[test]
    fn only_the_passphrase_opens_it_and_only_as_it_was_written() {
        let kek = Kek::random().unwrap();
        let wrapped = Wrapped::seal(&kek, &text("correct horse battery")).unwrap();
        let path = Path::new("file");
        let read = Wrapped::parse(path, &wrapped.bytes().unwrap()).unwrap();
        assert_eq!(read.open(&text("correct horse battery")).unwrap().bytes().expose(), kek.bytes().expose());
        assert!(matches!(read.open(&text("correct horse batterz")), Err(KekError::Passphrase)));
        assert!(matches!(read.open(&text("")), Err(KekError::Passphrase)));

        let other = Wrapped::seal(&Kek::random().unwrap(), &text("correct horse battery")).unwrap();
        let swapped = Wrapped { id: other.id.clone(), ..wrapped.clone() };
        assert!(swapped.open(&text("correct horse battery")).is_err(), "under another name");
        let weaker = Wrapped { passes: 1, ..wrapped };
        assert!(matches!(weaker.open(&text("correct horse battery")), Err(KekError::Passphrase)));
    }

    #[test]
    fn a_file_cannot_ask_for_more_than_the_caps() {
        let kek = Kek::random().unwrap();
        let good = Wrapped::seal(&kek, &text("correct horse battery")).unwrap();
        let path = Path::new("file");
        let parse = |wrapped: &Wrapped| Wrapped::parse(path, &wrapped.bytes().unwrap());
        for dear in [
            Wrapped { memory_kib: MOST_MEMORY_KIB + 1, ..good.clone() },
            Wrapped { passes: u32::MAX, ..good.clone() },
            Wrapped { lanes: 17, ..good.clone() },
        ] {
            assert!(matches!(parse(&dear), Err(KekError::TooExpensive { .. })));
        }
        for bad in [
            Wrapped { version: 2, ..good.clone() },
            Wrapped { kdf: "scrypt".to_owned(), ..good.clone() },
            Wrapped { id: "../../etc/passwd".to_owned(), ..good.clone() },
        ] {
            assert!(matches!(parse(&bad), Err(KekError::Malformed(_))));
        }
        for odd in [
            Wrapped { memory_kib: 0, ..good.clone() },
            Wrapped { passes: 0, ..good.clone() },
            Wrapped { lanes: 0, ..good.clone() },
            Wrapped { salt: String::new(), ..good.clone() },
            Wrapped { sealed: "%".to_owned(), ..good },
        ] {
            assert!(parse(&odd).unwrap().open(&text("correct horse battery")).is_err());
        }
        assert!(Wrapped::parse(path, b"").is_err());
    }

    #[test]
    fn a_passphrase_has_a_length() {
        assert!(fit(&text("eleven char")).is_err());
        assert!(fit(&text("twelve chars")).is_ok());
        assert!(fit(&text(&"x".repeat(1025))).is_err());
        assert!(fit(&Secret::new(vec![0xff; 20])).is_err());
    }
}
