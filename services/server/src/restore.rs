//! `restore`: a backup into an empty installation, which then is in recovery.
//!
//! Everything that can be refused is refused before anything is written: the file is read to its end first, and the
//! key-encryption key is tried on the check that the backup holds. From the first write on a mark lies in the data
//! directory; with it no server starts, and the restore can be run again.

use crate::args::{RestoreArgs, Settings};
use crate::backup::{about, line, migrations, open, walk};
use crate::custody;
use crate::error::StartError;
use crate::installation::{Installation, private_directory};
use crate::operator;
use crate::recovery_error::BackupError;
use crate::run::say;
use aws_lc_rs::digest::{SHA256, digest};
use data_encoding::HEXLOWER;
use keywright_audit::Journal;
use keywright_domain::clock::{Clock, Instant};
use keywright_runtime::keys::write_private;
use keywright_storage::snapshot::{self, Head, Item, ORDER, Section, SnapshotError, Summary, Table, Value};
use keywright_storage::{Db, Source};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

const MARK: &str = "restore.unfinished";
const SCRATCH: &str = "restore.check";

/// What the key-encryption key is tried on.
const KEY_TABLES: [&str; 2] = ["key_check", "data_key"];

pub async fn run(args: &RestoreArgs, settings: &Settings, stop: CancellationToken) -> Result<(), StartError> {
    let data = private_directory(&settings.data_dir)?;
    let source = match &settings.database_url {
        Some(url) => Source::Postgres(url.clone()),
        None => Source::Directory(data.clone()),
    };
    let again = is_ours(&data, &source)?;
    if !again {
        refuse_unless_empty(&data, &source).await?;
    }
    let mut reader = open(&args.input, &args.identity)?;
    let head = reader.head().clone();
    let mut seen = Seen::default();
    walk(&mut reader, |item| seen.look(item))?;
    seen.known()?;
    try_key(&data, settings, &seen).await?;
    say(&[&format!("The backup is whole. {}", about(&head)), "Restoring."]);
    mark(&data, &source)?;
    let sections = load(args, &source).await?;
    finish(settings, &sections, &head, stop).await?;
    unmark(&data)?;
    let token = operator::default_file(&data);
    say(&[
        &format!("Restored. The operator's new token is in {}; no older token works.", token.display()),
        "The installation is in recovery: start the server, then run: keywright admin recovery probe",
    ]);
    Ok(())
}

/// Before a server starts: not on what a restore has left unfinished.
pub fn refuse_unfinished(data: &Path) -> Result<(), StartError> {
    if data.join(MARK).exists() { Err(BackupError::Unfinished(data.to_owned()).into()) } else { Ok(()) }
}

/// Which databases a mark is about, without saying it: a URL may hold a password.
fn name_of(source: &Source) -> String {
    let text = match source {
        Source::Directory(_) => "the data directory",
        Source::Postgres(url) => url,
    };
    HEXLOWER.encode(digest(&SHA256, text.as_bytes()).as_ref())
}

/// Whether a restore into these databases has begun here before, so that what is in them is its own.
fn is_ours(data: &Path, source: &Source) -> Result<bool, BackupError> {
    match std::fs::read_to_string(data.join(MARK)) {
        Ok(text) if text.trim() == name_of(source) => Ok(true),
        Ok(_) => {
            Err(BackupError::NotEmpty("an unfinished restore into other databases lies there".to_owned()))
        }
        Err(_) => Ok(false),
    }
}

async fn refuse_unless_empty(data: &Path, source: &Source) -> Result<(), BackupError> {
    if data.join("keys/issuer.key").exists() {
        return Err(BackupError::NotEmpty("the data directory has keys of its own".to_owned()));
    }
    for service in ORDER {
        if !snapshot::is_empty(source, service).await? {
            return Err(BackupError::NotEmpty(format!("there is a {service} database")));
        }
    }
    Ok(())
}

fn mark(data: &Path, source: &Source) -> Result<(), BackupError> {
    let path = data.join(MARK);
    let written = write_private(&path, name_of(source).as_bytes());
    written.map_err(|error| BackupError::File { path, source: std::io::Error::other(error) })?;
    sync(data)
}

fn unmark(data: &Path) -> Result<(), BackupError> {
    let path = data.join(MARK);
    std::fs::remove_file(&path).map_err(|source| BackupError::File { path, source })?;
    sync(data)
}

fn sync(folder: &Path) -> Result<(), BackupError> {
    let done = File::open(folder).and_then(|folder| folder.sync_all());
    done.map_err(|source| BackupError::File { path: folder.to_owned(), source })
}

/// What the first reading keeps: how each section was made, and the rows that tell a right key from a wrong one.
#[derive(Default)]
struct Seen {
    sections: Vec<Section>,
    table: Option<Table>,
    keys: Vec<(Table, Vec<Vec<Value>>)>,
}

impl Seen {
    fn look(&mut self, item: &Item) {
        match item {
            Item::Section(section) => self.sections.push(section.clone()),
            Item::Table(table) => {
                let of_keys = self.sections.last().is_some_and(|section| section.service == "credential")
                    && KEY_TABLES.contains(&table.name.as_str());
                self.table = of_keys.then(|| table.clone());
                self.keys.extend(of_keys.then(|| (table.clone(), Vec::new())));
            }
            Item::Row(values) if self.table.is_some() => {
                if let Some((_, rows)) = self.keys.last_mut() {
                    rows.push(values.clone());
                }
            }
            Item::Row(_) | Item::End(_) | Item::Complete => {}
        }
    }

    /// A backup of a newer version is refused.
    fn known(&self) -> Result<(), BackupError> {
        for section in &self.sections {
            let migrations = migrations(&section.service);
            let migrations = migrations.ok_or(SnapshotError::Format("it names an unknown service"))?;
            snapshot::known(section, migrations)?;
        }
        Ok(())
    }

    fn section(&self, service: &str) -> Result<&Section, BackupError> {
        let found = self.sections.iter().find(|section| section.service == service);
        Ok(found.ok_or(SnapshotError::Format("a section is missing"))?)
    }

    fn has(&self, name: &str) -> bool {
        self.keys.iter().any(|(table, rows)| table.name == name && !rows.is_empty())
    }
}

/// The key-encryption key against the backup's own check, in a database that is thrown away.
async fn try_key(data: &Path, settings: &Settings, seen: &Seen) -> Result<(), StartError> {
    if settings.vault.vault_addr.is_some() {
        // That store is asked once the server starts; there is no key of ours to try.
        return if seen.has("data_key") { Err(BackupError::KeysInBackup.into()) } else { Ok(()) };
    }
    if !seen.has("key_check") {
        return Err(BackupError::KeysInVault.into());
    }
    let scratch = Scratch::new(data.join(SCRATCH))?;
    let source = Source::Directory(scratch.0.clone());
    let section = seen.section("credential")?;
    let migrations = &keywright_credential_store::MIGRATIONS;
    let then = snapshot::open_as_of(section, &source, "credential", migrations, Clock::System).await;
    let then = then.map_err(BackupError::from)?;
    for (table, rows) in &seen.keys {
        snapshot::insert_rows(&then, table, rows.clone()).await.map_err(BackupError::from)?;
    }
    then.close().await;
    let db = Db::open(&source, "credential", migrations, Clock::System).await;
    let db = db.map_err(|source| StartError::Database { service: "credential", source })?;
    custody::open_in(data, settings, db.clone()).await?;
    db.close().await;
    Ok(())
}

struct Scratch(PathBuf);

impl Scratch {
    fn new(path: PathBuf) -> Result<Self, BackupError> {
        let _stale = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).map_err(|source| BackupError::File { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = std::fs::remove_dir_all(&self.0);
    }
}

async fn load(args: &RestoreArgs, source: &Source) -> Result<Vec<Summary>, BackupError> {
    for service in ORDER {
        snapshot::forget(source, service).await?;
    }
    let mut reader = open(&args.input, &args.identity)?;
    let mut sections = Vec::new();
    for service in ORDER {
        let item = reader.item()?;
        let (Item::Section(section), Some(migrations)) = (item, migrations(service)) else {
            return Err(SnapshotError::Format("a section is missing").into());
        };
        if section.service != service {
            return Err(SnapshotError::Format("its sections are not in their order").into());
        }
        let db = snapshot::open_as_of(&section, source, service, migrations, Clock::System).await?;
        let summary = snapshot::load(&mut reader, &section, &db).await?;
        db.close().await;
        say(&[&line(&summary)]);
        sections.push(summary);
    }
    if reader.item()? == Item::Complete {
        Ok(sections)
    } else {
        Err(SnapshotError::Format("it goes on after its last section").into())
    }
}

/// New keys, the state of recovery, a new operator and an entry in the log.
async fn finish(
    settings: &Settings,
    sections: &[Summary],
    head: &Head,
    stop: CancellationToken,
) -> Result<(), StartError> {
    let at = Installation::open(settings, stop)?;
    let taken_at = Instant::from_micros(head.taken_at);
    let lifecycle = at.database("lifecycle", &keywright_key_lifecycle::MIGRATIONS).await?;
    let asked = keywright_key_lifecycle::enter_recovery(&lifecycle, taken_at).await?;
    lifecycle.close().await;
    let credential = at.database("credential", &keywright_credential_store::MIGRATIONS).await?;
    operator::renew(&at, &credential, &operator::default_file(&at.data)).await?;
    credential.close().await;
    at.database("probe", &keywright_connectivity_probe::MIGRATIONS).await?.close().await;
    let audit = at.database("audit", &keywright_audit::MIGRATIONS).await?;
    let journal = Journal::new(audit.clone());
    let last = journal.head().await?;
    let mut details = BTreeMap::from([
        ("backupTakenAt".to_owned(), taken_at.rfc3339()),
        ("backupVersion".to_owned(), head.version.clone()),
        ("size".to_owned(), last.size.to_string()),
        ("lastHash".to_owned(), last.last_hash),
    ]);
    details.extend(sections.iter().map(|of| (format!("{}Sha256", of.service), of.sha256.clone())));
    // What was logged after the backup is lost: the log goes on under another name.
    let former = journal.rename(&settings.log_settings.audit_origin).await?;
    details.extend(former.map(|former| ("formerOrigin".to_owned(), former)));
    let event = journal.intend("log.restored_from", details).await?;
    let asked = BTreeMap::from([("keysToProbe".to_owned(), asked.to_string())]);
    journal.succeeded(&event, asked).await?;
    audit.close().await;
    Ok(())
}
