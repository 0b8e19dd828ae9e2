//! The newest checkpoint as a file, whole at every moment, and beside it the history: a line of JSON for each.

use super::destination::Why;
use crate::store::publication::Published;
use keywright_log::Hash;
use serde_json::json;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Semaphore;

/// No note comes near this, in bytes.
const LARGEST: u64 = 65_536;

pub struct CheckpointFile {
    path: PathBuf,
    /// A disk that hangs holds one thread, however often it is tried.
    one: Arc<Semaphore>,
}

impl CheckpointFile {
    pub fn new(path: PathBuf) -> Self {
        Self { path, one: Arc::new(Semaphore::new(1)) }
    }

    /// What stands in the file, at most 64 KiB of it; none for none.
    pub async fn read(&self) -> Result<Option<String>, Why> {
        self.work(|path| match File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(file) => {
                let mut bytes = Vec::new();
                file.take(LARGEST).read_to_end(&mut bytes)?;
                Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
            }
        })
        .await
    }

    /// First the history, then the file: after a crash in between the history has the line twice.
    pub async fn write(&self, checkpoint: &Published) -> Result<(), Why> {
        let line = json!({
            "signedAt": checkpoint.signed_at.rfc3339(),
            "origin": checkpoint.note.lines().next().unwrap_or_default(),
            "size": checkpoint.size,
            "root": Hash::from_hex(&checkpoint.root).map_or_else(|| checkpoint.root.clone(), |root| root.base64()),
            "note": checkpoint.note,
        });
        let note = checkpoint.note.clone();
        self.work(move |path| {
            append(&beside(path, ".history"), &line.to_string())?;
            replace(path, note.as_bytes())
        })
        .await
    }

    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, Why> {
        let permit = self.one.clone().try_acquire_owned().map_err(|_| "the disk has not answered yet")?;
        let path = self.path.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work(&path)
        });
        let done = done.await.map_err(|_| "the file was not written")?;
        done.map_err(|error| format!("the file or its folder cannot be used: {error}").into())
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// A line that a crash cut short gets an end of its own.
fn append(path: &Path, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).open(path)?;
    let mut last = [b'\n'];
    if file.seek(SeekFrom::End(0))? > 0 {
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
    }
    let before = if last == [b'\n'] { "" } else { "\n" };
    file.write_all(format!("{before}{line}\n").as_bytes())?;
    file.sync_all()
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path, ".new");
    let mut file = File::create(&new)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&new, path)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}
