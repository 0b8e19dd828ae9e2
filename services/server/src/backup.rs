//! `backup`: every database, copied while the servers run, into one sealed file; and the same file checked.
//!
//! The file never holds the key-encryption key, nor the operator's token or the services' keys: whoever has it and the
//! identity that opens it still has no private key.
//! Invariant: a file of the given name is a whole backup. It is written under another name first, and one that is there
//! already is left alone.

use crate::args::{BackupArgs, Settings};
use crate::error::StartError;
use crate::recovery_error::BackupError;
use crate::run::say;
use aws_lc_rs::digest::{Context, SHA256};
use data_encoding::HEXLOWER;
use keywright_audit::Journal;
use keywright_domain::clock::{Clock, Instant};
use keywright_storage::snapshot::age::{Identity, Opener, Recipient, Sealer};
use keywright_storage::snapshot::{
    self, AgeError, Head, Item, ORDER, Original, Reader, SnapshotError, Summary, Writer,
};
use keywright_storage::{Db, Migrations, Source};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

pub const ACTION: &str = "backup.create";

pub async fn run(args: &BackupArgs, settings: &Settings) -> Result<(), StartError> {
    let done = match (&args.verify, &args.identity, &args.out) {
        (Some(file), Some(identity), _) => verify(file, identity),
        (None, _, Some(out)) => take(args, settings, out).await,
        _ => Err(BackupError::Usage),
    };
    Ok(done?)
}

/// Where the installation's databases are; nothing is created.
pub fn source(settings: &Settings) -> Result<Source, BackupError> {
    match &settings.database_url {
        Some(url) => Ok(Source::Postgres(url.clone())),
        None => {
            let data = &settings.data_dir;
            let found = data.canonicalize();
            found.map(Source::Directory).map_err(|source| BackupError::File { path: data.clone(), source })
        }
    }
}

pub fn migrations(service: &str) -> Option<&'static Migrations> {
    Some(match service {
        "lifecycle" => &keywright_key_lifecycle::MIGRATIONS,
        "probe" => &keywright_connectivity_probe::MIGRATIONS,
        "credential" => &keywright_credential_store::MIGRATIONS,
        "audit" => &keywright_audit::MIGRATIONS,
        _ => return None,
    })
}

async fn take(args: &BackupArgs, settings: &Settings, out: &Path) -> Result<(), BackupError> {
    let recipients: Vec<Recipient> = args
        .recipient
        .iter()
        .map(|text| Recipient::parse(text))
        .collect::<Result<_, _>>()
        .map_err(SnapshotError::from)?;
    let source = source(settings)?;
    if out.exists() {
        return Err(BackupError::Exists(out.to_owned()));
    }
    let journal = journal(&source).await?;
    let lifecycle = current(&source, "lifecycle", &keywright_key_lifecycle::MIGRATIONS).await?;
    let to = recipients.iter().map(Recipient::as_str).collect::<Vec<_>>().join(" ");
    let details = BTreeMap::from([("recipients".to_owned(), to)]);
    let event = journal.intend(ACTION, details).await.map_err(BackupError::Audit)?;
    let made = tokio::select! {
        made = write(&source, &recipients, out) => made,
        () = interrupted() => Err(BackupError::Interrupted),
    };
    match made {
        Ok(made) => {
            let mut details = BTreeMap::from([("sha256".to_owned(), made.sha256.clone())]);
            details.extend(
                made.sections.iter().map(|of| (format!("{}Rows", of.service), of.total().to_string())),
            );
            // For what waits for a backup: a former management key.
            let recorded = keywright_key_lifecycle::record_backup(&lifecycle, made.taken_at).await;
            recorded.map_err(SnapshotError::from)?;
            journal.succeeded(&event, details).await.map_err(BackupError::Audit)?;
            let rows: u64 = made.sections.iter().map(Summary::total).sum();
            say(&[
                &format!("{} holds {rows} rows, sealed to {} recipient(s).", out.display(), recipients.len()),
                &format!("SHA-256 {}", made.sha256),
                "It does not hold the key-encryption key: keep that somewhere else.",
            ]);
            Ok(())
        }
        Err(error) => {
            if journal.failed(&event, error.reason()).await.is_err() {
                tracing::warn!("the end of the backup could not be logged");
            }
            Err(error)
        }
    }
}

/// Ctrl-C or SIGTERM.
async fn interrupted() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

/// The log's own database.
async fn journal(source: &Source) -> Result<Journal, BackupError> {
    Ok(Journal::new(current(source, "audit", &keywright_audit::MIGRATIONS).await?))
}

/// A service's database, to write beside the server that runs. One of another version is not touched.
async fn current(
    source: &Source,
    service: &'static str,
    migrations: &'static Migrations,
) -> Result<Db, BackupError> {
    if !snapshot::is_current(source, service, migrations, Clock::System).await? {
        return Err(BackupError::OtherVersion);
    }
    Ok(Db::open(source, service, migrations, Clock::System).await.map_err(SnapshotError::from)?)
}

struct Made {
    /// Before anything was copied.
    taken_at: Instant,
    sections: Vec<Summary>,
    /// Hexadecimal, of the file.
    sha256: String,
}

async fn write(source: &Source, recipients: &[Recipient], out: &Path) -> Result<Made, BackupError> {
    let (file, partial) = Partial::create(out)?;
    let hashing = Hashing { inner: BufWriter::new(file), hash: Context::new(&SHA256) };
    let mut first = Some(Original::open(source, "lifecycle", Clock::System).await?);
    let taken_at = match &mut first {
        Some(lifecycle) => lifecycle.now().await?,
        None => Clock::System.now(),
    };
    let sealer = Sealer::new(hashing, recipients).map_err(unwritten)?;
    let mut writer = Writer::new(sealer, env!("CARGO_PKG_VERSION"), taken_at)?;
    let mut sections = Vec::new();
    for service in ORDER {
        let original = match first.take() {
            Some(lifecycle) => lifecycle,
            None => Original::open(source, service, Clock::System).await?,
        };
        let summary = snapshot::copy(original, service, &mut writer).await?;
        say(&[&line(&summary)]);
        sections.push(summary);
    }
    let sealer = writer.complete()?;
    let hashing = sealer.finish().map_err(unwritten)?;
    let file = hashing.inner.into_inner().map_err(|error| SnapshotError::Write(error.into_error()))?;
    file.sync_all().map_err(SnapshotError::Write)?;
    partial.become_whole(out)?;
    Ok(Made { taken_at, sections, sha256: HEXLOWER.encode(hashing.hash.finish().as_ref()) })
}

fn unwritten(error: AgeError) -> SnapshotError {
    match error {
        AgeError::Io(error) => SnapshotError::Write(error),
        other => other.into(),
    }
}

pub fn line(summary: &Summary) -> String {
    format!("{}: {} rows, SHA-256 {}", summary.service, summary.total(), summary.sha256)
}

struct Hashing<W: Write> {
    inner: W,
    hash: Context,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..count).unwrap_or_default());
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// The file under its first name; gone with the value unless it became the whole.
struct Partial(Option<PathBuf>);

impl Partial {
    fn create(out: &Path) -> Result<(File, Self), BackupError> {
        let mut name = out.file_name().ok_or(BackupError::Usage)?.to_owned();
        name.push(format!(".{}.partial", std::process::id()));
        let path = out.with_file_name(name);
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let file = made.map_err(|source| BackupError::File { path: path.clone(), source })?;
        Ok((file, Self(Some(path))))
    }

    /// By a second name and not by a rename, which would take the place of a file that came meanwhile.
    fn become_whole(mut self, out: &Path) -> Result<(), BackupError> {
        let Some(partial) = self.0.take() else { return Ok(()) };
        let failed = |source| BackupError::File { path: out.to_owned(), source };
        let linked = match std::fs::hard_link(&partial, out) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BackupError::Exists(out.to_owned()))
            }
            result => result.map_err(failed),
        };
        let removed = std::fs::remove_file(&partial);
        linked?;
        removed.map_err(failed)?;
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = File::open(folder.unwrap_or(Path::new("."))).map_err(failed)?;
        folder.sync_all().map_err(failed)
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            let _gone = std::fs::remove_file(path);
        }
    }
}

/// The stream of a sealed file.
pub fn open(file: &Path, identity: &Path) -> Result<Reader<Opener<File>>, BackupError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| BackupError::File { path, source }
    };
    let text = std::fs::read(identity).map(keywright_domain::secret::Secret::new);
    let text = text.map_err(unreadable(identity))?;
    let identities = Identity::parse_file(text.expose()).map_err(SnapshotError::from)?;
    let sealed = File::open(file).map_err(unreadable(file))?;
    let opener = Opener::new(sealed, &identities).map_err(SnapshotError::from)?;
    Ok(Reader::new(opener)?)
}

/// Reads the whole file, and lets `look` see what it says; every count and hash is checked.
pub fn walk(
    reader: &mut Reader<Opener<File>>,
    mut look: impl FnMut(&Item),
) -> Result<Vec<Summary>, BackupError> {
    let mut sections = Vec::new();
    loop {
        let item = reader.item()?;
        look(&item);
        match item {
            Item::End(summary) => sections.push(summary),
            Item::Complete => break,
            Item::Section(_) | Item::Table(_) | Item::Row(_) => {}
        }
    }
    let services: Vec<&str> = sections.iter().map(|section| section.service.as_str()).collect();
    if services != ORDER {
        return Err(SnapshotError::Format("it does not hold the four databases in their order").into());
    }
    Ok(sections)
}

fn verify(file: &Path, identity: &Path) -> Result<(), BackupError> {
    let mut reader = open(file, identity)?;
    let head = reader.head().clone();
    let sections = walk(&mut reader, |_| {})?;
    for summary in &sections {
        say(&[&line(summary)]);
    }
    say(&[&format!("The backup is whole. {}", about(&head))]);
    Ok(())
}

pub fn about(head: &Head) -> String {
    let taken_at = Instant::from_micros(head.taken_at).rfc3339();
    format!("It was taken at {taken_at} by version {}.", head.version)
}
