//! The key-encryption keys in `<data>/keys`: `key-encryption.key` (the first) and `key-encryption.<id>.key` in the
//! clear, `key-encryption.<id>.sealed` under a passphrase, and, while a rotation runs, `key-encryption.<id>.bridge`: a
//! predecessor under its successor, so that whoever opens the successor can open what is left under it.
//!
//! Invariant: a file is whole and durable when it has its name, and readable by its owner alone.

use super::kek::{Kek, KekError};
use super::passphrase::Wrapped;
use crate::domain::kek::KekId;
use data_encoding::HEXLOWER;
use keywright_domain::clock::fill_random;
use keywright_domain::secret::Secret;
use keywright_runtime::keys::write_private;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

const FIRST: &str = "key-encryption.key";
const PREFIX: &str = "key-encryption.";
/// At the end of the name of a file that is being removed.
const GOING: &str = ".going";
/// More than any of the files needs.
const LARGEST: u64 = 64 * 1024;

#[derive(Debug)]
pub enum Form {
    Plain(Kek),
    Wrapped(Wrapped),
}

#[derive(Debug)]
pub struct Found {
    pub id: KekId,
    pub form: Form,
    path: PathBuf,
}

#[derive(Debug, Clone)]
pub struct KeyFiles {
    folder: PathBuf,
}

impl KeyFiles {
    pub fn of(data: &Path) -> Self {
        Self { folder: data.join("keys") }
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the first one lies.
    pub fn first_path(&self) -> PathBuf {
        self.folder.join(FIRST)
    }

    /// Every key there is; what has another name is not looked at.
    pub fn list(&self) -> Result<Vec<Found>, KekError> {
        let failed = |source| KekError::Missing { path: self.folder.clone(), source };
        let mut found = Vec::new();
        let entries = match std::fs::read_dir(&self.folder) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            entries => entries.map_err(failed)?,
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
            if !name.starts_with(PREFIX) {
                continue;
            }
            let form = if name.ends_with(".key") {
                let bytes = read(&path)?;
                Form::Plain(Kek::new(bytes).map_err(|_| KekError::Malformed(path.display().to_string()))?)
            } else if name.ends_with(".sealed") {
                Form::Wrapped(Wrapped::parse(&path, read(&path)?.expose())?)
            } else {
                continue;
            };
            let id = match &form {
                Form::Plain(kek) => kek.id()?,
                Form::Wrapped(wrapped) => wrapped.id()?,
            };
            found.push(Found { id, form, path });
        }
        Ok(found)
    }

    pub fn find(&self, id: &KekId) -> Result<Option<Form>, KekError> {
        Ok(self.list()?.into_iter().find(|found| found.id == *id).map(|found| found.form))
    }

    /// Makes the first key where there is none; one that appeared meanwhile stays.
    pub fn make_first(&self) -> Result<Kek, KekError> {
        let path = self.first_path();
        let waiting = self.waiting(FIRST)?;
        write_private(&waiting, Kek::random()?.bytes().expose()).map_err(KekError::Write)?;
        let linked = std::fs::hard_link(&waiting, &path);
        std::fs::remove_file(&waiting).map_err(at(&waiting))?;
        match linked {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(at(&path)(error)),
            _ => self.sync()?,
        }
        Kek::new(read(&path)?).map_err(|_| KekError::Malformed(path.display().to_string()))
    }

    pub fn write_plain(&self, kek: &Kek) -> Result<(), KekError> {
        self.write(&format!("{PREFIX}{}.key", kek.id()?), kek.bytes().expose())
    }

    pub fn write_wrapped(&self, wrapped: &Wrapped) -> Result<(), KekError> {
        self.write(&format!("{PREFIX}{}.sealed", wrapped.id()?), &wrapped.bytes()?)
    }

    /// `older` under its successor.
    pub fn write_bridge(&self, older: &KekId, sealed: &[u8]) -> Result<(), KekError> {
        self.write(&format!("{PREFIX}{older}.bridge"), sealed)
    }

    pub fn bridge(&self, older: &KekId) -> Result<Option<Secret>, KekError> {
        let path = self.folder.join(format!("{PREFIX}{older}.bridge"));
        if path.exists() { read(&path).map(Some) } else { Ok(None) }
    }

    /// Overwrites and removes every form of the key. What the file system or the disk keeps of an overwritten file is
    /// theirs to say.
    pub fn remove(&self, id: &KekId) -> Result<(), KekError> {
        let mut doomed: Vec<PathBuf> =
            self.list()?.into_iter().filter(|found| found.id == *id).map(|found| found.path).collect();
        doomed.push(self.folder.join(format!("{PREFIX}{id}.bridge")));
        // Out of the way first: half overwritten it would be a key of another name.
        for path in doomed {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            match std::fs::rename(&path, self.folder.join(format!(".{name}{GOING}"))) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(&path)(error)),
                _ => {}
            }
        }
        self.sync()?;
        self.wipe_going()
    }

    /// What a removal has left to overwrite, an earlier one's that was killed too.
    fn wipe_going(&self) -> Result<(), KekError> {
        for entry in std::fs::read_dir(&self.folder).map_err(at(&self.folder))? {
            let path = entry.map_err(at(&self.folder))?.path();
            let going = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| {
                name.strip_prefix('.').is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(GOING))
            });
            match going.then(|| wipe(&path)) {
                Some(Err(error)) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(at(&path)(error));
                }
                _ => {}
            }
        }
        self.sync()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), KekError> {
        let path = self.folder.join(name);
        let waiting = self.waiting(name)?;
        write_private(&waiting, bytes).map_err(KekError::Write)?;
        std::fs::rename(&waiting, &path).map_err(at(&path))?;
        self.sync()
    }

    /// A name that nobody else writes to, and that is not taken for a key.
    fn waiting(&self, name: &str) -> Result<PathBuf, KekError> {
        std::fs::create_dir_all(&self.folder).map_err(at(&self.folder))?;
        let mut random = [0u8; 8];
        fill_random(&mut random).map_err(|_| KekError::Random)?;
        Ok(self.folder.join(format!(".{name}.{}", HEXLOWER.encode(&random))))
    }

    fn sync(&self) -> Result<(), KekError> {
        File::open(&self.folder).and_then(|folder| folder.sync_all()).map_err(at(&self.folder))
    }
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> KekError + '_ {
    move |source| KekError::File { path: path.to_owned(), source }
}

fn read(path: &Path) -> Result<Secret, KekError> {
    let missing = |source| KekError::Missing { path: path.to_owned(), source };
    let file = File::open(path).map_err(missing)?;
    let about = file.metadata().map_err(missing)?;
    if about.permissions().mode() & 0o077 != 0 {
        return Err(KekError::Readable { path: path.to_owned() });
    }
    if about.len() > LARGEST {
        return Err(KekError::Malformed(path.display().to_string()));
    }
    // Room for all of it, so that no copy is left behind by a reallocation.
    let mut bytes = Vec::with_capacity(usize::try_from(about.len()).unwrap_or_default().saturating_add(64));
    let read = file.take(LARGEST).read_to_end(&mut bytes);
    let bytes = Secret::new(bytes);
    read.map_err(missing)?;
    Ok(bytes)
}

fn wipe(path: &Path) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or_default();
    file.write_all(&vec![0; length])?;
    file.sync_all()?;
    std::fs::remove_file(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, KeyFiles) {
        let data = tempfile::tempdir().unwrap();
        let files = KeyFiles::of(data.path());
        (data, files)
    }

    #[test]
    fn the_first_file_is_made_once_for_its_owner_alone() {
        let (_data, files) = files();
        assert!(files.list().unwrap().is_empty());
        let first = files.make_first().unwrap();
        assert_eq!(files.make_first().unwrap().bytes().expose(), first.bytes().expose());
        assert_eq!(std::fs::read_dir(&files.folder).unwrap().count(), 1, "nothing waits beside it");
        let path = files.first_path();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(files.list(), Err(KekError::Readable { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::write(&path, [1; 31]).unwrap();
        assert!(matches!(files.list(), Err(KekError::Malformed(_))));
        std::fs::write(&path, vec![1; 70_000]).unwrap();
        assert!(matches!(files.list(), Err(KekError::Malformed(_))));
    }

    #[test]
    fn a_key_goes_in_all_its_forms_and_alone() {
        let (_data, files) = files();
        let (one, other) = (files.make_first().unwrap(), Kek::random().unwrap());
        let (id, other_id) = (one.id().unwrap(), other.id().unwrap());
        files.write_plain(&one).unwrap();
        files.write_wrapped(&Wrapped::seal(&one, &Secret::new(vec![b'a'; 20])).unwrap()).unwrap();
        files.write_bridge(&id, b"sealed").unwrap();
        files.write_plain(&other).unwrap();
        assert!(files.bridge(&id).unwrap().is_some() && files.bridge(&other_id).unwrap().is_none());
        files.remove(&id).unwrap();
        files.remove(&id).unwrap();
        assert!(files.find(&id).unwrap().is_none() && files.bridge(&id).unwrap().is_none());
        assert!(matches!(files.find(&other_id).unwrap(), Some(Form::Plain(_))));
        // A removal that was killed after half of its work.
        std::fs::write(files.folder.join(".key-encryption.key.going"), [0; 32]).unwrap();
        assert_eq!(files.list().unwrap().len(), 1);
        files.remove(&id).unwrap();
        assert_eq!(std::fs::read_dir(&files.folder).unwrap().count(), 1);
    }
}
