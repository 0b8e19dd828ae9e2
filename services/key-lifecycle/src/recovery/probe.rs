//! A round of questions: every host is offered every key that the backup knows, without a signature.
//!
//! Invariant: each answer is recorded as it comes, so that a round which is cut off goes on where it was.

use super::WORK;
use crate::model::{Answer, RecoveryLine};
use crate::refusals::Refusals;
use crate::store;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use keywright_domain::reason::Reason;
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use tracing::instrument;

/// Hosts that are asked at once; one host is asked one thing after the other.
const AT_ONCE: usize = 16;

#[derive(Clone)]
pub struct Rounds {
    pub db: Db,
    pub refusals: Refusals,
}

impl Rounds {
    /// The round that was asked for, to its end.
    #[instrument(skip_all)]
    pub async fn run(&self) -> Result<(), Failure> {
        let mut reader = store::reader(&self.db).await?;
        let recovery = store::recovery::find(&mut reader).await?;
        let Some(recovery) = recovery.filter(crate::model::Recovery::is_probing) else { return Ok(()) };
        let lines = store::recovery::lines(&mut reader).await?;
        drop(reader);
        let open: Vec<RecoveryLine> =
            lines.into_iter().filter(|line| line.answer == Answer::Unprobed).collect();
        let hosts: Vec<BoxFuture<'_, Result<(), Failure>>> = open
            .chunk_by(|one, next| one.server == next.server)
            .map(|of_host| self.host(of_host).boxed())
            .collect();
        let asked: Vec<Result<(), Failure>> =
            futures_util::stream::iter(hosts).buffer_unordered(AT_ONCE).collect().await;
        asked.into_iter().collect::<Result<(), Failure>>()?;
        let Some(requested_at) = recovery.probe_requested_at else { return Ok(()) };
        let ended = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("a round of probes ends").await?;
            store::recovery::probed(&mut tx, requested_at).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(ended.await?)
    }

    async fn host(&self, lines: &[RecoveryLine]) -> Result<(), Failure> {
        let mut silent: Option<String> = None;
        for line in lines {
            let (answer, detail) = match &silent {
                // One that does not answer is not waited for again.
                Some(why) => (Answer::Unreachable, why.clone()),
                None => self.ask(line).await?,
            };
            if answer == Answer::Unreachable {
                silent = Some(detail.clone());
            }
            self.record(line, answer, &detail).await?;
        }
        Ok(())
    }

    /// What the host says. A failure of our own services is no answer.
    pub async fn ask(&self, line: &RecoveryLine) -> Result<(Answer, String), Failure> {
        match self.refusals.offer_in_turn(WORK, &line.server, &line.account, &line.public_key).await {
            Ok(receipt) if receipt.accepted => Ok((Answer::Accepted, String::new())),
            Ok(_) => Ok((Answer::Refused, String::new())),
            Err(failure) if is_ours(&failure) => Err(failure),
            Err(failure) => Ok((Answer::Unreachable, failure.message)),
        }
    }

    pub async fn record(&self, line: &RecoveryLine, answer: Answer, detail: &str) -> Result<(), Failure> {
        let done = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("what a host says to a key").await?;
            store::recovery::answered(&mut tx, &line.id, answer, detail).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(done.await?)
    }
}

const fn is_ours(failure: &Failure) -> bool {
    matches!(
        failure.reason,
        Reason::AuditUnavailable
            | Reason::StorageUnavailable
            | Reason::ServiceUnavailable
            // Too many wait for a turn at the host.
            | Reason::RequestInProgress
    )
}
