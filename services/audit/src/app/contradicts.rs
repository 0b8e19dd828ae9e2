//! Whether a checkpoint that was published once is still one of this log.
//!
//! Checkpoints are only ever added, so one that the log does not know, or of a size that the log has not, says that the log
//! was cut, changed, or restored from a backup that is older than it.

use crate::store::{log, publication};
use keywright_runtime::failure::Failure;
use keywright_storage::Db;

/// What is wrong, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    #[error("it is no checkpoint; nothing was written over it: name another file, or move this one away")]
    NotACheckpoint,
    #[error(
        "it is of {published} entries and the log has {size}: the log was cut, or restored from an older backup. Nothing was written over it: keep it as evidence, compare it with the backup, then move it away"
    )]
    Larger { published: i64, size: i64 },
    #[error(
        "this log never signed its root at {published} entries: the log was changed, or restored from an older backup, or the checkpoint is another log's. Nothing was written over it: keep it as evidence, then move it away"
    )]
    Unknown { published: i64 },
}

/// Compares a note with the log. Signatures are not looked at: a note that says what one of the log's own says is one.
pub async fn contradicts(db: &Db, note: &str) -> Result<Option<Contradiction>, Failure> {
    let Some((said, published)) = read(note) else { return Ok(Some(Contradiction::NotACheckpoint)) };
    let (size, _) = log::head(db).await?;
    if published > size {
        return Ok(Some(Contradiction::Larger { published, size }));
    }
    let own = publication::notes_of_size(db, published).await?;
    let known = own.iter().filter_map(|note| read(note)).any(|(own, _)| own == said);
    Ok((!known).then_some(Contradiction::Unknown { published }))
}

/// Origin, size and root as they stand, and the size.
fn read(note: &str) -> Option<([&str; 3], i64)> {
    let mut lines = note.lines();
    let said = [lines.next()?, lines.next()?, lines.next()?];
    let size = said[1].parse().ok().filter(|size: &i64| *size >= 0)?;
    Some((said, size))
}
