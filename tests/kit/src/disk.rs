//! A disk of its own that is soon full: a small tmpfs below a temporary folder.
//!
//! Invariant: it goes with the value, or with the test process, however that ends: a shell waits for the end of its own
//! input and takes it away.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::error::{During, KitError};

const SUPERVISOR: &str = r#"mount -t tmpfs -o size="$1",mode=700 tmpfs "$0" || exit 1
echo mounted
cat >/dev/null
umount -l "$0""#;

#[derive(Debug)]
pub struct SmallDisk {
    supervisor: Child,
    folder: TempDir,
}

impl SmallDisk {
    /// `size` as `mount` takes it: `24m`.
    pub fn new(size: &str) -> Result<Self, KitError> {
        let folder =
            tempfile::Builder::new().prefix("keywright-disk-").tempdir().during("making a folder")?;
        let mut supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR])
            .arg(folder.path())
            .arg(size)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .during("mounting a disk")?;
        let mut said = String::new();
        BufReader::new(supervisor.stdout.take().unwrap()).read_line(&mut said).during("mounting a disk")?;
        if said.trim() != "mounted" {
            return Err(KitError::Start { what: "a small disk", detail: said });
        }
        Ok(Self { supervisor, folder })
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_path_buf()
    }

    /// To the last byte.
    pub fn fill(&self) {
        let mut filler = std::fs::File::options().create(true).append(true).open(self.filler()).unwrap();
        for size in [65_536, 1] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// What filled it goes.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.folder.path().join("filler")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        let _ = self.supervisor.wait();
    }
}
