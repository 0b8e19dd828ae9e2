//! Erasure: who it was is gone everywhere, what was done stays and verifies.

use super::world::{Service, operator, person, services, until};
use super::{intent, outcome};
use keywright_domain::caller::Role;
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_log::leaf::{Shown, check};
use keywright_proto::audit as proto;
use keywright_storage::Columns;
use std::collections::BTreeMap;

/// All that the tables of the log hold in clear, as one text.
async fn everything(service: &Service) -> String {
    let mut all = String::new();
    for text in [
        "SELECT actor || source_ip || user_agent || target || details AS held FROM clear_value",
        "SELECT subject AS held FROM mention",
        "SELECT subject || acknowledged_by AS held FROM alert",
        "SELECT comment_text || reason AS held FROM event",
    ] {
        let rows = sqlx::query(text).fetch_all(service.db.read()).await.unwrap();
        rows.iter().for_each(|row| all += &row.text::<String>("held").unwrap());
    }
    all
}

/// Each leaf still opens with the values and salts that are left.
async fn assert_verifies(service: &Service) {
    let rows = sqlx::query(
        "SELECT l.bytes, l.hash, c.actor, c.source_ip, c.user_agent, c.target, c.details, c.salts
           FROM leaf l JOIN clear_value c ON c.seq = l.seq",
    )
    .fetch_all(service.db.read())
    .await
    .unwrap();
    for row in rows {
        let leaf = String::from_utf8(row.blob("bytes").unwrap()).unwrap();
        assert_eq!(keywright_log::Hash::leaf(leaf.as_bytes()).hex(), row.text::<String>("hash").unwrap());
        let salts: BTreeMap<String, String> =
            serde_json::from_str(&row.text::<String>("salts").unwrap()).unwrap();
        let kept = |field: &str, column: &str| {
            let value: String = row.text(column).unwrap();
            assert!(salts.contains_key(field) || value.is_empty(), "{field} is erased by half");
            salts.contains_key(field).then_some(value)
        };
        let shown = Shown {
            actor: kept("actor", "actor"),
            source_ip: kept("sourceIp", "source_ip"),
            user_agent: kept("userAgent", "user_agent"),
            target: kept("target", "target"),
            details: kept("details", "details").map(|text| serde_json::from_str(&text).unwrap()),
        };
        assert_eq!(check(&leaf, &shown, &salts), Ok(()), "{leaf}");
    }
}

async fn seeded(service: &Service) -> [super::Intent; 4] {
    let about = |actor: &str, target: &str| {
        let mut sent = intent("", target);
        sent.clear.actor = actor.to_owned();
        sent.clear.source_ip = "192.0.2.7".to_owned();
        sent.clear.details = BTreeMap::from([("of".to_owned(), "prn_erin".to_owned())]);
        sent
    };
    let sent = [
        about("prn_erin", "srv_1"),
        about("prn_bob", "prn_erin inv_9"),
        about("prn_erin", "prn_erin"),
        intent("", "prn_erina"),
    ];
    for one in &sent {
        service.record(one).await;
    }
    service.end(&[outcome(&sent[0].event, "succeeded"), outcome(&sent[1].event, "failed")]).await;
    let mut tx = service.db.begin_internal("a test's alert").await.unwrap();
    sqlx::query(
        "INSERT INTO alert (alert_id, number, rule_id, description, tenant_id, subject_kind, subject, times, raised_at,
                            last_at, event_id, state, acknowledged_by, comment_text)
         VALUES ('alt_1', 1, 'r', '', '', 'actor', 'prn_erin', 1, 1, 1, 'evt_1', 'open', 'prn_erin', '')",
    )
    .execute(tx.conn())
    .await
    .unwrap();
    tx.commit().await.unwrap();
    sent
}

#[tokio::test]
async fn who_it_was_is_gone_and_what_was_done_verifies() {
    for service in services().await {
        let sent = seeded(&service).await;
        let hashes = async || {
            service
                .all()
                .await
                .into_iter()
                .map(|event| (event.id, event.leaf_hash))
                .collect::<BTreeMap<_, _>>()
        };
        let before = hashes().await;
        let caller = operator();
        assert_eq!(service.erase(&caller, "prn_erin", "prn_erin").await.unwrap(), 3);
        let held = everything(&service).await.replace("prn_erina", "");
        assert!(!held.contains("prn_erin") && !held.contains("inv_9"), "{held}");
        assert_verifies(&service).await;
        let after = hashes().await;
        assert!(before.iter().all(|(id, hash)| after.get(id) == Some(hash)));
        // Seen by a reader: empty where it was about the person, and nowhere else.
        let all: BTreeMap<String, proto::AuditEvent> =
            service.all().await.into_iter().map(|event| (event.id.clone(), event)).collect();
        let of = |number: usize| {
            let event = &all[sent[number].event.as_str()];
            (event.actor.as_str(), event.source_ip.as_str(), event.target.as_str(), event.details.len())
        };
        assert_eq!(of(0), ("", "", "srv_1", 0));
        assert_eq!(of(1), ("prn_bob", "192.0.2.7", "", 0));
        assert_eq!(of(2), ("", "", "", 0));
        assert_eq!(of(3), ("prn_a", "", "prn_erina", 0));
        // Its own entry.
        let own = all.values().find(|event| event.action == "audit.erase").unwrap().id.clone();
        let request = proto::GetAuditEventRequest { event_id: own };
        let read = async || {
            let answer = service.client(&caller).get_audit_event(request.clone()).await;
            answer.unwrap().into_inner().event.unwrap()
        };
        until(async || read().await.outcome == proto::AuditOutcome::Succeeded as i32).await;
        let own = read().await;
        assert_eq!(own.details.into_iter().collect::<Vec<_>>(), [("entries".to_owned(), "3".to_owned())]);
        assert_eq!((own.actor, own.target), (caller.principal.id.clone(), String::new()));
    }
}

#[tokio::test]
async fn an_outcome_that_comes_later_brings_no_details_back() {
    for service in services().await {
        let sent = seeded(&service).await;
        service.erase(&operator(), "prn_erin", "prn_erin").await.unwrap();
        let mut late = outcome(&sent[2].event, "succeeded");
        late.details.insert("of".to_owned(), "prn_erin".to_owned());
        service.end(&[late]).await;
        assert!(!everything(&service).await.replace("prn_erina", "").contains("prn_erin"));
        assert_verifies(&service).await;
    }
}

#[tokio::test]
async fn one_that_was_cut_off_is_completed_by_repeating_it() {
    for service in services().await {
        seeded(&service).await;
        // One event's batch, and then the end of the process.
        let mut tx = service.db.begin_append().await.unwrap();
        let dialect = service.db.dialect();
        let kind = crate::store::mention::Kind::Actor;
        let found = crate::store::erasure::mentioning(&mut tx, "prn_erin", kind, 100, 1).await.unwrap();
        crate::store::erasure::erase(&mut tx, dialect, "prn_erin", kind, &found).await.unwrap();
        tx.commit().await.unwrap();
        assert_verifies(&service).await;
        assert_eq!(service.erase(&operator(), "prn_erin", "prn_erin").await.unwrap(), 2);
        assert!(!everything(&service).await.replace("prn_erina", "").contains("prn_erin"));
        assert_eq!(service.erase(&operator(), "prn_erin", "prn_erin").await.unwrap(), 0);
        assert_verifies(&service).await;
    }
}

#[tokio::test]
async fn many_entries_are_erased_in_batches() {
    for service in services().await {
        super::world::fill(&service.db, 60_000).await;
        // More than one batch.
        assert!(service.erase(&operator(), "prn_0", "prn_0").await.unwrap() > 500);
        let left = sqlx::query("SELECT COUNT(*) AS n FROM mention WHERE subject = 'prn_0'");
        assert_eq!(left.fetch_one(service.db.read()).await.unwrap().int::<i64>("n").unwrap(), 0);
    }
}

#[tokio::test]
async fn an_erasure_is_confirmed_and_spares_keywrights_own_services() {
    let service = services().await.remove(0);
    let tenant = TenantId::random().unwrap();
    let reason = async |subject: &str, typed: &str| {
        service.erase(&operator(), subject, typed).await.unwrap_err().reason
    };
    assert_eq!(reason("prn_a", "").await, Reason::ConfirmationRequired);
    assert_eq!(reason("prn_a", "prn_b").await, Reason::ConfirmationMismatch);
    for subject in ["", "key-lifecycle", "keywright-server", "prn_a prn_b", "prn_\n"] {
        assert_eq!(reason(subject, subject).await, Reason::ValidationFailed, "{subject}");
    }
    for caller in [person(Role::Auditor, None), person(Role::TenantOwner, Some(&tenant))] {
        let refused = service.erase(&caller, "prn_a", "prn_a").await.unwrap_err();
        assert_eq!(refused.reason, Reason::PermissionDenied);
    }
    let named = proto::EraseAuditSubjectRequest {
        subject: "prn_a".into(),
        confirmation: Some(proto::ErasureConfirmation { subject: "prn_a".into() }),
        reason: "prn_a asked for it".into(),
    };
    let refused = service.client(&operator()).erase_audit_subject(named).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::InvalidArgument);
}
