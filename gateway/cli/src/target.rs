//! The file that a downloaded key goes to.
//!
//! Invariants: it is there, 0600 and durable, before the key is claimed; it never overwrites anything; unless the
//! key is in it whole, it is removed again.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{CliError, Result};

pub struct TargetFile {
    path: PathBuf,
    file: File,
    complete: bool,
}

impl TargetFile {
    /// # Errors
    /// `Usage` if something is there already; `File` if it cannot be made.
    pub fn create(path: &Path) -> Result<Self> {
        let file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|source| {
                if source.kind() == ErrorKind::AlreadyExists {
                    CliError::Usage(format!(
                        "{} is there already and is never overwritten. Name another file with --out",
                        path.display()
                    ))
                } else {
                    failed(path, source)
                }
            })?;
        let target = Self { path: path.to_path_buf(), file, complete: false };
        target.sync().map_err(|source| failed(path, source))?;
        Ok(target)
    }

    /// Writes the key, durably. On an error the file is gone and the claim can be fetched again.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).and_then(|()| self.sync()).map_err(|source| failed(&self.path, source))?;
        self.complete = true;
        Ok(())
    }

    fn sync(&self) -> std::io::Result<()> {
        self.file.sync_all()?;
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        File::open(directory)?.sync_all()
    }
}

impl Drop for TargetFile {
    fn drop(&mut self) {
        if !self.complete {
            // It is ours, and it is empty or cut. If it cannot be removed there is nobody to tell.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

fn failed(path: &Path, source: std::io::Error) -> CliError {
    CliError::File { doing: format!("{} cannot be written", path.display()), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn it_is_private_from_the_start_and_stays_when_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        let mut target = TargetFile::create(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        target.write(b"the key\n").unwrap();
        drop(target);
        assert_eq!(std::fs::read(&path).unwrap(), b"the key\n");
    }

    #[test]
    fn it_never_overwrites_not_even_a_dangling_link() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(TargetFile::create(&path), Err(CliError::Usage(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        let link = directory.path().join("link.pem");
        std::os::unix::fs::symlink(directory.path().join("elsewhere"), &link).unwrap();
        assert!(TargetFile::create(&link).is_err());
        assert!(!directory.path().join("elsewhere").exists());
    }

    #[test]
    fn without_a_key_nothing_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key.pem");
        drop(TargetFile::create(&path).unwrap());
        assert!(!path.exists());
    }
}
