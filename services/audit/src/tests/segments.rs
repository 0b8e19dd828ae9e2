//! What becomes of segments, and of a log that is older than the tree.

use super::tree::signer_of;
use super::world::{Service, operator, person, services};
use super::{Log, intent, outcome};
use crate::app::segments::{Retention, Segments};
use crate::store::log::{self, Kind};
use crate::store::segment::{self, LEAVES};
use crate::store::write::{self, NewLeaf};
use keywright_domain::caller::Role;
use keywright_domain::clock::Clock;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_log::leaf::{Clear, Unsealed};
use keywright_storage::snapshot::{Section, open_as_of};
use keywright_storage::{Columns, Db, Source};
use std::time::Duration;

/// Leaves alone, many at once: whole segments are not appended one by one.
pub async fn fill(db: &Db, number: i64) {
    let mut left = number;
    while left > 0 {
        let many = left.min(8_192);
        let (mut tx, size) = log::lock(db).await.unwrap();
        let at = tx.now();
        let unsealed =
            |event: &str| Unsealed::new("INTENT", &[("eventId", event)], &Clear::default(), &[[3; 16]; 5]);
        let names: Vec<String> = (size..size + many).map(|position| format!("evt_{position}")).collect();
        let leaves: Vec<NewLeaf<'_>> = (size..size + many)
            .zip(&names)
            .map(|(position, event)| {
                let (leaf, kind) = (unsealed(event).seal(&at.rfc3339()), Kind::Intent);
                NewLeaf { position, intent: position, event, kind, leaf, committed: None }
            })
            .collect();
        write::append(&mut tx, db.dialect(), at, &leaves, &[], size + many).await.unwrap();
        tx.commit().await.unwrap();
        left -= many;
    }
}

fn segments(service: &Service, kept: Option<Duration>) -> Segments {
    Segments {
        db: service.db.clone(),
        audit: service.audit.clone(),
        guard: service.guard.clone(),
        retention: Retention(kept),
    }
}

async fn exported(log: &Log) {
    let mut tx = log.db.begin_internal("test").await.unwrap();
    segment::exported(&mut tx, 0, 2 * 65_536).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_segment_is_retired_when_it_is_exported_old_and_the_first() {
    const DAY: Duration = Duration::from_secs(86_400);
    for service in services().await {
        let sent = intent("ten_a", "srv_1");
        service.record(&sent).await;
        service.end(&[outcome(&sent.event, "succeeded")]).await;
        fill(&service.db, 2 * LEAVES).await;
        signer_of(&service.db, service._dir.path()).once().await.unwrap();
        let (forever, month) = (segments(&service, None), segments(&service, Some(30 * DAY)));
        let (listed, _) = month.list(&operator(), 0, "").await.unwrap();
        assert_eq!(listed.iter().map(|it| it.number).collect::<Vec<_>>(), [1, 0]);
        let tenant = TenantId::parse("ten_aaaaaaaaaaaaaaaaaaaaaaaaaa").unwrap();
        for (who, reason) in [
            (person(Role::Auditor, None), Reason::PermissionDenied),
            (person(Role::TenantOwner, Some(&tenant)), Reason::PermissionDenied),
        ] {
            let refused = month.retire(&who, "0", "0").await.unwrap_err().reason;
            assert!([reason, Reason::SegmentNotFound].contains(&refused), "{refused:?}");
        }
        let by = operator();
        let refused = async |segments: &Segments, id: &str, typed: &str| {
            segments.retire(&by, id, typed).await.unwrap_err().reason
        };
        assert_eq!(refused(&month, "0", "").await, Reason::ConfirmationRequired);
        assert_eq!(refused(&month, "0", "1").await, Reason::ConfirmationMismatch);
        for unknown in ["2", "-1", "00", "x"] {
            assert_eq!(refused(&month, unknown, unknown).await, Reason::SegmentNotFound, "{unknown}");
        }
        assert_eq!(refused(&forever, "0", "0").await, Reason::SegmentNotRetirable);
        assert_eq!(refused(&month, "0", "0").await, Reason::SegmentNotRetirable, "not exported");
        exported(&service).await;
        assert_eq!(refused(&month, "0", "0").await, Reason::SegmentNotRetirable, "not old");
        let month_later = i64::try_from((30 * DAY).as_micros()).unwrap();
        service.time.fetch_add(month_later, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(refused(&month, "1", "1").await, Reason::SegmentNotRetirable, "not the first");
        let mut tx = service.db.begin_internal("test").await.unwrap();
        sqlx::query("INSERT INTO reader (name, next_seq, updated_at) VALUES ('forward:x', 5, $1)")
            .bind(tx.now().micros())
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(
            refused(&month, "0", "0").await,
            Reason::SegmentNotRetirable,
            "a destination waits for it"
        );
        let mut tx = service.db.begin_internal("test").await.unwrap();
        sqlx::query("UPDATE reader SET next_seq = 999999999").execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
        let retired = month.retire(&by, "0", "0").await.unwrap();
        assert!(retired.retired_at.is_some());
        assert_eq!(month.retire(&by, "0", "0").await.unwrap(), retired, "once more changes nothing");
        assert!(crate::store::event::get(&service.db, sent.event.as_str()).await.unwrap().is_none());
        let left = "SELECT COUNT(*) AS number FROM clear_value WHERE seq < 65536";
        let row = sqlx::query(left).fetch_one(service.db.read()).await.unwrap();
        assert_eq!(row.int::<i64>("number").unwrap(), 0);
        // Whoever sends it once more is answered as before, and the log goes on.
        let before = log::head(&service.db).await.unwrap();
        service.record(&sent).await;
        service.end(&[outcome(&sent.event, "failed")]).await;
        assert_eq!(log::head(&service.db).await.unwrap(), before);
    }
}

#[tokio::test]
async fn a_log_from_before_the_tree_is_found_by_actor_and_target() {
    for postgres in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let source = match postgres {
            false => Source::Directory(dir.path().to_owned()),
            true => Source::Postgres(keywright_kit::postgres_database().await.unwrap()),
        };
        let first = crate::MIGRATIONS.iter().next().unwrap();
        let hash = data_encoding::HEXLOWER.encode(&first.checksum);
        let section =
            Section { service: "audit".into(), taken_at: 0, migrations: vec![(first.version, hash)] };
        let then = open_as_of(&section, &source, "audit", &crate::MIGRATIONS, Clock::System).await.unwrap();
        let mut tx = then.begin_append().await.unwrap();
        for statement in [
            "INSERT INTO event (event_id, seq, outcome_seq, recorded_at, finished_at, actor_kind, tenant_id, action, outcome,
                                reason, comment_text, request_id, trace_id)
             VALUES ('evt_1', 0, 1, 1, 2, 'user', '', 'a', 'succeeded', '', '', '', '')",
            "INSERT INTO leaf (seq, event_id, kind, bytes, hash, recorded_at)
             VALUES (0, 'evt_1', 'intent', CAST('x' AS BLOB), '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881', 1)",
            "INSERT INTO clear_value (event_id, kind, actor, source_ip, user_agent, target, details, salts)
             VALUES ('evt_1', 'intent', 'prn_1', '', '', 'srv_1', '{}', '{}')",
            "INSERT INTO leaf (seq, event_id, kind, bytes, hash, recorded_at)
             VALUES (1, 'evt_1', 'outcome', CAST('x' AS BLOB), '2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881', 2)",
            "INSERT INTO clear_value (event_id, kind, actor, source_ip, user_agent, target, details, salts)
             VALUES ('evt_1', 'outcome', '', '', '', '', '{\"n\":\"2\"}', '{}')",
            "UPDATE head SET size = 2",
        ] {
            sqlx::query(statement).execute(tx.conn()).await.unwrap();
        }
        tx.commit().await.unwrap();
        then.close().await;
        let now = Db::open(&source, "audit", &crate::MIGRATIONS, Clock::System).await.unwrap();
        let rows = sqlx::query("SELECT subject, kind FROM mention ORDER BY kind")
            .fetch_all(now.read())
            .await
            .unwrap();
        let found: Vec<(String, String)> =
            rows.iter().map(|row| (row.text("subject").unwrap(), row.text("kind").unwrap())).collect();
        let expected = [("prn_1", "actor"), ("srv_1", "target")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(found, expected);
        assert!(signer_of(&now, dir.path()).once().await.unwrap(), "what was there before is signed too");
        let ended = crate::store::event::get(&now, "evt_1").await.unwrap().unwrap();
        assert_eq!((ended.actor.as_str(), ended.outcome.as_str()), ("prn_1", "succeeded"));
        assert_eq!(ended.details.get("n").map(String::as_str), Some("2"), "of its outcome");
        let rows = sqlx::query("SELECT seq, intent_seq FROM leaf ORDER BY seq").fetch_all(now.read()).await;
        let of: Vec<(i64, i64)> = rows
            .unwrap()
            .iter()
            .map(|row| (row.int("seq").unwrap(), row.int("intent_seq").unwrap()))
            .collect();
        assert_eq!(of, [(0, 0), (1, 0)]);
    }
}
