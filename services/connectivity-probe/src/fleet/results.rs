//! What is recorded of the targets of fleet tests: what ends within a short time is one transaction here, and one call of
//! credential-store, where results show with their servers.
//!
//! Invariant: a result counts only while its replica still holds the target; the target's result, the server's own history
//! and its state are written together.

use super::{Origin, Target, TargetResult};
use crate::heartbeat::keep;
use crate::store::{fleet_target, server_state};
use crate::tester::{Tested, Tester};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::FleetTestId;
use keywright_domain::reason::{Reason, Retry};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::{Batch, Db, Tx};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Results of one transaction.
const MOST: usize = 64;
/// Ones of this time are written together.
const GATHERED: Duration = Duration::from_millis(100);

/// How a target ended.
pub struct EndedTest {
    pub test: FleetTestId,
    pub origin: Origin,
    pub target: Target,
    pub result: TargetResult,
    pub tested: Result<Tested, Failure>,
}

#[derive(Clone)]
pub struct Results {
    batch: Batch<EndedTest, Result<bool, Failure>, Failure>,
}

impl Results {
    /// `holder` is the replica, by its lease.
    pub fn new(db: Db, tester: Tester, holder: String) -> Self {
        let writer = Arc::new(Writer { db, tester, holder });
        let batch = Batch::new(MOST, move |ended: Arc<[EndedTest]>| {
            let writer = writer.clone();
            async move { Ok(writer.write(&ended).await) }
        });
        Self { batch: batch.gathering(GATHERED) }
    }

    /// False where the target is another's meanwhile.
    pub async fn keep(&self, ended: EndedTest) -> Result<bool, Failure> {
        self.batch.write(ended).await?
    }
}

struct Writer {
    db: Db,
    tester: Tester,
    holder: String,
}

/// What became of a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    /// The target is another's.
    Not,
    /// With the target alone.
    Here,
    /// In the server's history too.
    WithServer,
}

impl Writer {
    async fn write(&self, ended: &[EndedTest]) -> Vec<Result<bool, Failure>> {
        let kept = match self.keep(ended.iter()).await {
            Ok(kept) => kept.into_iter().map(Ok).collect(),
            Err(failure) if ended.len() < 2 => vec![Err(failure)],
            Err(_) => self.keep_each(ended).await,
        };
        let mut news: BTreeMap<&str, Vec<&Tested>> = BTreeMap::new();
        for (ended, kept) in ended.iter().zip(&kept) {
            if let (Ok(Kept::WithServer), Ok(tested)) = (kept, &ended.tested) {
                news.entry(ended.test.as_str()).or_default().push(tested);
            }
        }
        for (test, tested) in news {
            let caller = Caller::background(ServiceName::ConnectivityProbe, test);
            self.tester.tell_all(&caller, &tested).await;
        }
        kept.into_iter().map(|kept| kept.map(|kept| kept != Kept::Not)).collect()
    }

    /// One result that the database does not take holds up no other; after two in a row it is the database.
    async fn keep_each(&self, ended: &[EndedTest]) -> Vec<Result<Kept, Failure>> {
        let mut all: Vec<Result<Kept, Failure>> = Vec::with_capacity(ended.len());
        for one in ended {
            let hopeless = match all.as_slice() {
                [.., Err(failure), Err(_)] => Some(failure.clone()),
                _ => None,
            };
            all.push(match hopeless {
                Some(failure) => Err(failure),
                None => self.keep(std::iter::once(one)).await.and_then(|kept| {
                    kept.first().copied().ok_or_else(|| Failure::new(Reason::Internal, "A result was lost."))
                }),
            });
        }
        all
    }

    async fn keep<'a>(
        &self,
        ended: impl Iterator<Item = &'a EndedTest> + Clone,
    ) -> Result<Vec<Kept>, Failure> {
        let kept = self.db.serialized(|| async {
            let mut tx = self.db.begin_append().await?;
            let mut kept = Vec::new();
            for ended in ended.clone() {
                kept.push(self.keep_one(&mut tx, ended).await?);
            }
            tx.commit().await?;
            Ok::<Vec<Kept>, Error>(kept)
        });
        Ok(kept.await?)
    }

    async fn keep_one(&self, tx: &mut Tx, ended: &EndedTest) -> Result<Kept, Error> {
        let EndedTest { test, origin, target, result, tested } = ended;
        if !fleet_target::record(tx, test, target.position, &self.holder, result).await? {
            return Ok(Kept::Not);
        }
        let with_server = match (tested, origin) {
            (Ok(tested), origin) => keep(tx, tested, *origin).await?,
            (Err(failure), Origin::Heartbeat) => {
                skip(tx, target, failure).await?;
                false
            }
            (Err(_), Origin::Request) => false,
        };
        Ok(if with_server { Kept::WithServer } else { Kept::Here })
    }
}

/// A server that is gone is forgotten, and one that takes no new work has no heartbeat any more. Where it was not the
/// server's doing, the next round has it again.
async fn skip(tx: &mut Tx, target: &Target, failure: &Failure) -> Result<(), Error> {
    match failure.reason {
        Reason::ServerNotFound => return Ok(server_state::forget(tx, &target.server).await?),
        Reason::ServerInactive => return Ok(server_state::stop(tx, &target.server).await?),
        _ => {}
    }
    if is_passing(failure) {
        let now = tx.now();
        server_state::set_next(tx, &target.server, now).await?;
    }
    Ok(server_state::skip(tx, &target.server, failure.reason.as_str()).await?)
}

/// Not the server's doing: a store that is sealed, a log or database that does not answer, a key that was just replaced.
pub fn is_passing(failure: &Failure) -> bool {
    failure.reason.retry() == Retry::AfterDelay || failure.is(Reason::RevisionMismatch)
}
