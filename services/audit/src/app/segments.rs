//! Segments of the log: which there are, and the end of one that was taken away and is old enough.

use crate::store::segment::{self, LEAVES, Segment};
use crate::store::{cursor, erasure};
use keywright_domain::caller::Caller;
use keywright_domain::clock::Instant;
use keywright_domain::ids::shown;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::{Audit, Entry, Guard};
use keywright_runtime::failure::{Error, Failure};
use keywright_runtime::page::Page;
use keywright_storage::{Db, Intent, Outcome};
use std::time::Duration;

const RETIRE: &str = "audit.retire";

/// Leaves that are forgotten in one transaction: in a file appends wait for it.
const AT_ONCE: i64 = 2_048;

/// A destination of the log that has taken nothing for so long is waited for no more.
const ABANDONED: Duration = Duration::from_secs(7 * 86_400);

/// How long entries are kept at least; none: for ever.
#[derive(Debug, Clone, Copy, Default)]
pub struct Retention(pub Option<Duration>);

impl Retention {
    /// From when on a segment may be retired.
    pub fn ends(self, segment: &Segment) -> Option<Instant> {
        self.0.map(|kept| segment.ended_at.plus(kept))
    }
}

#[derive(Clone)]
pub struct Segments {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub retention: Retention,
}

impl Segments {
    pub async fn list(
        &self,
        caller: &Caller,
        size: i32,
        token: &str,
    ) -> Result<(Vec<Segment>, String), Failure> {
        self.guard.allow(caller, "audit.read", None, "segments", Reason::SegmentNotFound).await?;
        let page = Page::parse(size, token, "segments")?;
        let (before, _) = page.key();
        let segments = segment::list(&self.db, before, page.size.saturating_add(1)).await?;
        Ok(page.cut(segments, |segment| (Instant::from_micros(segment.number), String::new())))
    }

    /// Deletes its entries; repeated, it completes what was broken off.
    pub async fn retire(&self, caller: &Caller, id: &str, confirmed: &str) -> Result<Segment, Failure> {
        self.guard.allow(caller, RETIRE, None, id, Reason::SegmentNotFound).await?;
        match confirmed {
            "" => {
                return Err(Failure::new(Reason::ConfirmationRequired, "The operation has to be confirmed."));
            }
            confirmed if confirmed != id => {
                return Err(Failure::new(
                    Reason::ConfirmationMismatch,
                    "The confirmation is for another id.",
                ));
            }
            _ => {}
        }
        let segment = self.find(id).await?;
        if segment.retired_at.is_some() {
            return Ok(segment);
        }
        self.is_due(&segment).await?;
        let entry = Entry::new(RETIRE)
            .target(id)
            .detail("from", segment.from().to_string())
            .detail("until", segment.until().to_string())
            .detail("root", segment.root.hex());
        let intent = self.audit.intend(caller, entry).await?;
        let done = self.forget(&segment, &intent).await;
        self.audit.conclude(&self.db, &intent, &done).await;
        done?;
        self.find(id).await
    }

    async fn find(&self, id: &str) -> Result<Segment, Failure> {
        let missing = || Failure::not_found(Reason::SegmentNotFound, shown(id));
        let number: i64 =
            id.parse().ok().filter(|number: &i64| number.to_string() == id).ok_or_else(missing)?;
        segment::get(&self.db, number).await?.ok_or_else(missing)
    }

    /// Exported whole and old, and so are all before it: the log loses its beginning, never its middle.
    async fn is_due(&self, segment: &Segment) -> Result<(), Failure> {
        let refused = |what: String| Err(Failure::new(Reason::SegmentNotRetirable, what));
        let Some(due) = self.retention.ends(segment) else {
            return refused("The server keeps entries for ever (--audit-retention-days).".to_owned());
        };
        if segment.exported_at.is_none() {
            return refused("The segment was not exported whole.".to_owned());
        }
        if self.db.now().await? < due {
            return refused(format!("The segment is kept until {}.", due.rfc3339()));
        }
        let since = self.db.now().await?.minus(ABANDONED);
        if let Some(reader) = cursor::behind(&self.db, segment.until(), since).await? {
            return refused(format!("{reader} has not read all of it yet."));
        }
        let before = segment::list(&self.db, segment.number, 1).await?;
        match before.first() {
            Some(before) if before.retired_at.is_none() => {
                refused(format!("Segment {} comes first.", before.number))
            }
            _ => Ok(()),
        }
    }

    async fn forget(&self, segment: &Segment, intent: &Intent) -> Result<(), Failure> {
        let mut from = segment.from();
        while from < segment.until() {
            let until = from.saturating_add(AT_ONCE).min(segment.until());
            let is_last = until == segment.until();
            let forgotten: Result<(), Error> = self
                .db
                .serialized(|| async {
                    let mut tx = self.db.begin(intent).await?;
                    segment::forget(&mut tx, from, until).await?;
                    if is_last {
                        segment::retired(&mut tx, segment.number).await?;
                        let deleted = LEAVES.to_string();
                        intent.done(&mut tx, Outcome::succeeded().with("entries", deleted)).await?;
                    }
                    tx.commit().await?;
                    Ok(())
                })
                .await;
            forgotten?;
            from = until;
        }
        Ok(erasure::scrub(&self.db).await?)
    }
}
