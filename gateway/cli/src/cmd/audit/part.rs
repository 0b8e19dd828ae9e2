//! The file of an export while it is being written.
//!
//! Invariant: under its own name stands a whole export or what stood there before; what has arrived of another is in
//! `FILE.part`, for its owner alone, and is never thrown away unless the user says so.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use keywright_log::export::{FORMAT, Header, Line};

use crate::error::{CliError, Result};

/// The longest line that an export can have, in bytes: a leaf of 65,535, its values and what JSON makes of them.
pub const LONGEST: u64 = 4 << 20;

pub struct Part {
    path: PathBuf,
    file: File,
}

/// How far an export in JSON Lines has come.
pub struct Place {
    pub header: Header,
    /// The position after the last entry that is there.
    pub next: u64,
}

impl Place {
    pub const fn is_whole(&self) -> bool {
        self.next == self.header.size
    }
}

impl Part {
    /// `FILE.part`.
    pub fn path_of(file: &Path) -> PathBuf {
        let mut name = file.as_os_str().to_owned();
        name.push(".part");
        name.into()
    }

    /// Opens what an earlier export has left, or makes a new file where there is none.
    ///
    /// # Errors
    /// `Usage` if another export writes it, `File` if it cannot be opened.
    pub fn open(path: PathBuf) -> Result<Self> {
        let mut options = OpenOptions::new();
        let opened = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = opened.map_err(|source| failed("opened", &path, source))?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(CliError::Usage(format!("another export is writing {}", path.display())));
        }
        Ok(Self { path, file })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Throws away what is there.
    pub fn clear(&mut self) -> Result<()> {
        self.cut(0)
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|source| {
            let path = self.path.display();
            let doing = match source.kind() {
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                    format!("no room for {path}: what has arrived is kept, and --resume goes on once there is room")
                }
                _ => format!("{path} cannot be written: what has arrived is kept, and --resume goes on"),
            };
            CliError::File { doing, source }
        })
    }

    /// Cuts off a line that is not complete, and says where to go on; `None`, and an empty file, if not even the header is
    /// there.
    ///
    /// # Errors
    /// `Usage` if it is no export.
    pub fn settle(&mut self) -> Result<Option<Place>> {
        let unreadable = |source| failed("read", &self.path, source);
        let length = self.len();
        self.file.seek(SeekFrom::Start(0)).map_err(unreadable)?;
        let mut first = Vec::new();
        BufReader::new((&self.file).take(LONGEST)).read_until(b'\n', &mut first).map_err(unreadable)?;
        if first.pop_if(|byte| *byte == b'\n').is_none() {
            self.cut(0)?;
            return Ok(None);
        }
        let header = header(&first).ok_or_else(|| self.is_no_export())?;
        let first_length = first.len() as u64 + 1;
        // Whole lines from here on: more than two of the longest.
        let tail_from = length.saturating_sub(2 * LONGEST + 2).max(first_length);
        self.file.seek(SeekFrom::Start(tail_from)).map_err(unreadable)?;
        let mut tail = Vec::new();
        (&self.file).take(length.saturating_sub(tail_from)).read_to_end(&mut tail).map_err(unreadable)?;
        let complete = tail.iter().rposition(|byte| *byte == b'\n');
        let Some(complete) = complete else {
            if tail_from > first_length {
                return Err(self.is_no_export());
            }
            self.cut(first_length)?;
            let next = header.from;
            return Ok(Some(Place { header, next }));
        };
        let lines = tail.get(..complete).unwrap_or_default();
        let last = lines.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
        let next = position_after(last).filter(|next| *next <= header.size);
        let next = next.ok_or_else(|| self.is_no_export())?;
        self.cut(tail_from + complete as u64 + 1)?;
        Ok(Some(Place { header, next }))
    }

    fn is_no_export(&self) -> CliError {
        CliError::Usage(format!(
            "{} is not what an export has left: --force begins again without it",
            self.path.display()
        ))
    }

    /// What follows is appended there.
    fn cut(&mut self, length: u64) -> Result<()> {
        let cut = self.file.set_len(length).and_then(|()| self.file.seek(SeekFrom::Start(length)));
        cut.map(drop).map_err(|source| failed("written", &self.path, source))
    }

    /// Gives the file its name. What has that name already is replaced only if the user said so.
    pub fn finish(self, file: &Path, force: bool) -> Result<()> {
        let named = self.file.sync_all().and_then(|()| {
            if force { std::fs::rename(&self.path, file) } else { rename_new(&self.path, file) }
        });
        named.map_err(|source| failed(&format!("renamed to {}", file.display()), &self.path, source))
    }

    /// Removes the file if nothing has arrived.
    pub fn drop_if_empty(self) {
        if self.len() == 0 {
            // If it cannot be removed there is nobody to tell.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The header of an export, if the line is one of a version that we know.
pub fn header(line: &[u8]) -> Option<Header> {
    let header: Header = serde_json::from_slice(line).ok()?;
    (header.format == FORMAT && header.version == 1).then_some(header)
}

fn position_after(line: &[u8]) -> Option<u64> {
    match serde_json::from_slice(line).ok()? {
        Line::Entry(entry) => entry.index.checked_add(1),
        Line::Hidden(hidden) => hidden.index.checked_add(1u64.checked_shl(hidden.height.into())?),
    }
}

/// A hard link is refused where the name is taken; not every file system has them.
fn rename_new(from: &Path, to: &Path) -> std::io::Result<()> {
    match std::fs::hard_link(from, to) {
        Ok(()) => std::fs::remove_file(from),
        Err(error) if error.kind() == ErrorKind::AlreadyExists || to.try_exists()? => Err(error),
        Err(_) => std::fs::rename(from, to),
    }
}

fn failed(done: &str, path: &Path, source: std::io::Error) -> CliError {
    CliError::File { doing: format!("{} cannot be {done}", path.display()), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        r#"{"format":"keywright-audit-export","version":1,"origin":"o","size":9,"from":0,"scope":""}"#;
    const HIDDEN: &str = r#"{"index":0,"height":3,"hash":"00"}"#;

    fn settled(text: &str) -> (Result<Option<(u64, bool)>>, String) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.part");
        std::fs::write(&path, text).unwrap();
        let place = Part::open(path.clone()).unwrap().settle();
        (place.map(|it| it.map(|it| (it.next, it.is_whole()))), std::fs::read_to_string(&path).unwrap())
    }

    #[test]
    fn a_line_that_is_not_complete_is_cut_off_and_the_next_position_is_known() {
        for cut in 0..HEADER.len() {
            let (place, left) = settled(&HEADER[..cut]);
            assert!(matches!(place, Ok(None)) && left.is_empty(), "{cut}");
        }
        let begun = format!("{HEADER}\n");
        for cut in 0..HIDDEN.len() {
            let (place, left) = settled(&format!("{begun}{}", &HIDDEN[..cut]));
            assert_eq!((place.unwrap(), &left), (Some((0, false)), &begun), "{cut}");
        }
        let (place, left) = settled(&format!("{begun}{HIDDEN}\n{{\"index\":8,"));
        assert_eq!((place.unwrap(), left), (Some((8, false)), format!("{begun}{HIDDEN}\n")));
    }

    #[test]
    fn what_is_no_export_is_left_as_it_is() {
        for text in [
            "precious\n",
            &format!("{HEADER}\nprecious\n"),
            &format!("{HEADER}\n{{\"index\":9,\"height\":0,\"hash\":\"\"}}\n"),
        ] {
            let (place, left) = settled(text);
            assert!(matches!(place, Err(CliError::Usage(_))), "{text}");
            assert_eq!(left, *text);
        }
    }

    #[test]
    fn a_full_disk_is_said() {
        let path = PathBuf::from("/dev/full");
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        let error = Part { path, file }.append(b"x").unwrap_err();
        assert!(error.to_string().starts_with("no room for /dev/full"), "{error}");
    }

    #[test]
    fn a_name_that_is_taken_is_not_replaced_unasked() {
        let folder = tempfile::tempdir().unwrap();
        let (path, file) = (folder.path().join("x.part"), folder.path().join("x"));
        let written = |text: &[u8]| {
            let mut part = Part::open(path.clone()).unwrap();
            part.append(text).unwrap();
            part
        };
        written(b"one").finish(&file, false).unwrap();
        assert!(written(b"two").finish(&file, false).is_err());
        assert_eq!(std::fs::read(&file).unwrap(), b"one");
        Part::open(path.clone()).unwrap().finish(&file, true).unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert!(!path.exists());
    }
}
