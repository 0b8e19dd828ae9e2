//! A clock that is moved while programs look at it, by Debian's libfaketime.
//!
//! Invariant: nobody else's time changes. The monotonic clock is left alone: a program may wait, and does not hang.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::error::{During, KitError};

const REMEDY: &str = "apt-get install faketime (tests/run does it)";
/// What these programs share lies where nobody else sees it. The arguments: the library, the file of the clock, the
/// program and its own.
pub(crate) const WITH_CLOCK: &str = r#"library=$0 file=$1; shift
mount -t tmpfs tmpfs /dev/shm && exec env LD_PRELOAD="$library" FAKETIME_TIMESTAMP_FILE="$file" FAKETIME_NO_CACHE=1 \
  FAKETIME_DONT_FAKE_MONOTONIC=1 NO_FAKE_STAT=1 "$@""#;

/// As the machine's, until it is moved.
#[derive(Debug, Clone)]
pub struct MovedClock {
    folder: Arc<TempDir>,
    library: PathBuf,
}

impl MovedClock {
    pub fn new() -> Result<Self, KitError> {
        let folder = tempfile::Builder::new()
            .prefix("keywright-clock-")
            .tempdir()
            .during("making a folder for a clock")?;
        let clock = Self { folder: Arc::new(folder), library: library()? };
        clock.set(0);
        Ok(clock)
    }

    /// How far it is ahead from now on, in seconds.
    pub fn set(&self, ahead: i64) {
        write(&self.file(), ahead);
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ahead")
    }

    pub(crate) fn command(&self) -> Vec<PathBuf> {
        vec![self.library.clone(), self.file()]
    }
}

/// What a program is started by to have a clock that is so many seconds ahead.
pub(crate) fn environment(ahead: i64) -> Result<String, KitError> {
    let library = library()?;
    Ok(format!("env LD_PRELOAD={} FAKETIME={ahead:+}s FAKETIME_DONT_FAKE_MONOTONIC=1", library.display()))
}

/// Whole at once: who reads it meanwhile finds the one or the other.
fn write(file: &Path, ahead: i64) {
    let next = file.with_extension("next");
    std::fs::write(&next, format!("{ahead:+}s\n")).unwrap();
    std::fs::rename(next, file).unwrap();
}

/// libfaketime, where Debian puts it on this architecture.
fn library() -> Result<PathBuf, KitError> {
    let folders = std::fs::read_dir("/usr/lib").during("reading /usr/lib")?;
    folders
        .flatten()
        .map(|folder| folder.path().join("faketime/libfaketime.so.1"))
        .find(|library| library.is_file())
        .ok_or(KitError::Missing { program: "libfaketime".into(), remedy: REMEDY })
}
