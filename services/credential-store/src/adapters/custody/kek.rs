//! The key-encryption key of the embedded store: 32 bytes from a 0600 file, or from the environment. Backups never
//! hold it.

use keywright_domain::clock::fill_random;
use keywright_domain::secret::Secret;
use keywright_runtime::keys::{KeyError, write_private};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const LENGTH: usize = 32;
const FILE: &str = "key-encryption.key";

#[derive(Debug, thiserror::Error)]
pub enum KekError {
    #[error("{path} cannot be read; restore it, or run keywright-server init in an empty data directory")]
    Missing {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} can be read by others; run chmod 600 on it")]
    Readable { path: PathBuf },
    #[error("{0} does not hold a key-encryption key of 32 bytes")]
    Malformed(String),
    #[error("the key-encryption key could not be written")]
    Write(#[source] KeyError),
    #[error("the operating system gave no random bytes")]
    Random,
}

/// 32 bytes that wrap every data key.
#[derive(Debug)]
pub struct Kek(Secret);

impl Kek {
    pub fn new(bytes: Secret) -> Result<Self, KekError> {
        if bytes.expose().len() == LENGTH {
            Ok(Self(bytes))
        } else {
            Err(KekError::Malformed("the key".to_owned()))
        }
    }

    fn path(data: &Path) -> PathBuf {
        data.join("keys").join(FILE)
    }

    /// Makes `<data>/keys/key-encryption.key` where it is missing; an existing one stays.
    pub fn create(data: &Path) -> Result<(), KekError> {
        let mut bytes = Zeroizing::new([0u8; LENGTH]);
        fill_random(bytes.as_mut()).map_err(|_| KekError::Random)?;
        let path = Self::path(data);
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)
                .map_err(|source| KekError::Missing { path: dir.to_owned(), source })?;
        }
        write_private(&path, bytes.as_ref()).map(drop).map_err(KekError::Write)
    }

    /// From `<data>/keys/key-encryption.key`.
    pub fn load(data: &Path) -> Result<Self, KekError> {
        let path = Self::path(data);
        let missing = |source| KekError::Missing { path: path.clone(), source };
        let mode = std::fs::metadata(&path).map_err(missing)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(KekError::Readable { path });
        }
        let bytes = Secret::new(std::fs::read(&path).map_err(missing)?);
        Self::new(bytes).map_err(|_| KekError::Malformed(path.display().to_string()))
    }

    /// From the environment: 32 bytes in base64.
    pub fn from_base64(text: &Secret) -> Result<Self, KekError> {
        let malformed = || KekError::Malformed("the environment".to_owned());
        let text = text.expose_text().ok_or_else(malformed)?.trim();
        let bytes = data_encoding::BASE64.decode(text.as_bytes()).map_err(|_| malformed())?;
        Self::new(Secret::new(bytes)).map_err(|_| malformed())
    }

    pub(super) fn bytes(&self) -> &Secret {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_made_once_for_its_owner_alone() {
        let data = tempfile::tempdir().unwrap();
        assert!(matches!(Kek::load(data.path()), Err(KekError::Missing { .. })));
        Kek::create(data.path()).unwrap();
        let first = Kek::load(data.path()).unwrap();
        Kek::create(data.path()).unwrap();
        assert_eq!(Kek::load(data.path()).unwrap().bytes().expose(), first.bytes().expose());
        let path = Kek::path(data.path());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Kek::load(data.path()), Err(KekError::Readable { .. })));
    }

    #[test]
    fn the_environment_holds_exactly_32_bytes() {
        let text = |bytes: &[u8]| Secret::from_text(data_encoding::BASE64.encode(bytes));
        assert_eq!(Kek::from_base64(&text(&[9; 32])).unwrap().bytes().expose(), [9; 32]);
        for bad in [text(&[9; 31]), text(&[]), Secret::from_text("%".to_owned())] {
            assert!(Kek::from_base64(&bad).is_err());
        }
    }
}
