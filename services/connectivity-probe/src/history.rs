//! How long results are kept, and that no question outlives its test.

use crate::store::{self, connectivity_test, fleet_test, signature_request, state_change};
use keywright_runtime::failure::{Error, Failure};
use keywright_storage::Db;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const EVERY: Duration = Duration::from_secs(3_600);
/// Rows of one transaction: others write between two.
const BATCH: i64 = 500;

/// Forgets what is older than it is to be kept, but of each server the newest test with its bound credential.
#[derive(Clone)]
pub struct History {
    pub db: Db,
    pub kept: Duration,
}

impl History {
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(failure) = self.purge().await {
                tracing::info!(reason = failure.reason.as_str(), "old test results could not be removed");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(EVERY) => {}
            }
        }
    }

    async fn purge(&self) -> Result<(), Failure> {
        let since = self.db.now().await?.minus(self.kept);
        loop {
            let mut reader = store::reader(&self.db).await?;
            let old = fleet_test::ended_before(&mut reader, since).await?;
            drop(reader);
            let Some(test) = &old else { break };
            let gone = self.db.serialized(|| async {
                let mut tx = self.db.begin_internal("an old fleet test goes").await?;
                fleet_test::delete(&mut tx, test).await?;
                tx.commit().await?;
                Ok::<(), Error>(())
            });
            gone.await?;
        }
        let mut more = true;
        while more {
            let gone = self.db.serialized(|| async {
                let mut tx = self.db.begin_internal("old test results go").await?;
                let gone = connectivity_test::purge(&mut tx, since, BATCH).await?;
                tx.commit().await?;
                Ok::<u64, Error>(gone)
            });
            more = gone.await? > 0;
        }
        let gone = self.db.serialized(|| async {
            let mut tx = self.db.begin_internal("old changes go").await?;
            state_change::purge(&mut tx, since).await?;
            let now = tx.now();
            signature_request::purge(&mut tx, now).await?;
            tx.commit().await?;
            Ok::<(), Error>(())
        });
        Ok(gone.await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keywright_domain::clock::Clock;
    use keywright_domain::ids::{FleetTestId, ServerId, TestId};
    use keywright_kit::postgres_database;
    use keywright_storage::{Columns, Source, Tx};

    const KEPT: Duration = Duration::from_secs(86_400);

    async fn insert_test(tx: &mut Tx, server: &ServerId, age: Duration) -> TestId {
        let (id, at) = (TestId::random().unwrap(), tx.now().minus(age));
        sqlx::query(
            "INSERT INTO connectivity_test (id, server_id, host, port, username, checks, checked_at)
             VALUES ($1, $2, 'web.example', 22, 'deploy', '[]', $3)",
        )
        .bind(id.as_str())
        .bind(server.as_str())
        .bind(at.micros())
        .execute(tx.conn())
        .await
        .unwrap();
        id
    }

    /// The server's newest test, long ago; and a fleet test of as long ago.
    async fn insert_old(tx: &mut Tx, server: &ServerId) -> TestId {
        let (newest, old) = (insert_test(tx, server, KEPT * 2).await, tx.now().minus(KEPT * 2).micros());
        sqlx::query(
            "INSERT INTO server_state (server_id, tenant_id, server_name, host, port, interval_micros, heartbeat_at, next_at,
                                       status, failed_check, reason, skipped_reason, since, checked_at, test_id, kept_at)
             VALUES ($1, 'ten', 'web', 'web.example', 22, 60000000, 1, 1, 'HEALTHY', '', '', '', $2, $2, $3, $2)",
        )
        .bind(server.as_str())
        .bind(old)
        .bind(newest.as_str())
        .execute(tx.conn())
        .await
        .unwrap();
        sqlx::query(
            "INSERT INTO fleet_test (id, state, selector, max_parallel, max_per_host, max_per_network, comment, created_by,
                                     created_at, finished_at, latencies)
             VALUES ($1, 'FINISHED', '{}', 1, 1, 1, '', '', $2, $2, '[]')",
        )
        .bind(FleetTestId::random().unwrap().as_str())
        .bind(old)
        .execute(tx.conn())
        .await
        .unwrap();
        newest
    }

    #[tokio::test]
    async fn what_is_old_goes_but_the_newest_test_of_each_server() {
        let folder = tempfile::tempdir().unwrap();
        let sources =
            [Source::Directory(folder.path().into()), Source::Postgres(postgres_database().await.unwrap())];
        for source in sources {
            let db = Db::open(&source, "probe", &crate::MIGRATIONS, Clock::System).await.unwrap();
            let server = ServerId::random().unwrap();
            let mut tx = db.begin_internal("a test").await.unwrap();
            insert_test(&mut tx, &server, KEPT * 3).await;
            let newest = insert_old(&mut tx, &server).await;
            let other = ServerId::random().unwrap();
            insert_test(&mut tx, &other, KEPT * 2).await;
            let young = insert_test(&mut tx, &other, KEPT / 2).await;
            tx.commit().await.unwrap();

            History { db: db.clone(), kept: KEPT }.purge().await.unwrap();

            let mut reader = store::reader(&db).await.unwrap();
            let rows = sqlx::query("SELECT id FROM connectivity_test ORDER BY checked_at")
                .fetch_all(&mut *reader)
                .await
                .unwrap();
            let left: Vec<TestId> = rows.iter().map(|row| row.text("id").unwrap()).collect();
            assert_eq!(left, [newest, young]);
            let now = db.now().await.unwrap();
            assert_eq!(fleet_test::ended_before(&mut reader, now).await.unwrap(), None);
        }
    }
}
