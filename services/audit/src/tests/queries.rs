//! Lists: each filter and all of them together, pages of a log that goes on growing, and what a page looks at.

use super::world::{BEGAN, fill, operator, person, services};
use super::{Log, intent, logs};
use crate::app::list_events::newest;
use crate::app::record_intent::{Intent, RecordIntent};
use crate::store::event::{Event, Filter};
use keywright_domain::caller::Role;
use keywright_domain::clock::Instant;
use keywright_domain::ids::TenantId;
use keywright_proto::audit as proto;
use keywright_storage::Columns;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// The `number`th event of a log in which everything occurs with everything.
fn varied(number: usize) -> Intent {
    let pick = |words: &[&str], by: usize| words[(number / by) % words.len()].to_owned();
    let mut sent =
        intent(&pick(&["ten_a", "ten_b"], 1), &pick(&["srv_1", "srv_2", "srv_1 srv_3", "srv_12"], 2));
    sent.clear.actor = pick(&["prn_a", "prn_b", "prn_c"], 1);
    sent.open.action = pick(&["server.register", "access.rotate"], 3);
    sent.open.comment = pick(&["", "Because of CHG-1"], 5);
    sent
}

async fn record(log: &Log, sent: impl IntoIterator<Item = Intent>) {
    let tasks: Vec<_> = sent
        .into_iter()
        .map(|sent| {
            let intake = RecordIntent { log: log.log.clone() };
            tokio::spawn(async move { intake.run(sent).await.unwrap() })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

fn passes(event: &Event, filter: &Filter) -> bool {
    let is = |wanted: &str, value: &str| wanted.is_empty() || wanted == value;
    is(&filter.tenant, &event.tenant)
        && is(&filter.actor, &event.actor)
        && is(&filter.action, &event.action)
        && is(&filter.outcome, &event.outcome)
        && (filter.target.is_empty() || event.target.split(' ').any(|id| id == filter.target))
        && filter.from.is_none_or(|from| event.time >= from)
        && filter.until.is_none_or(|until| event.time < until)
        && (filter.text.is_empty() || event.comment.contains("CHG"))
}

/// Every combination of the filters.
fn combinations(from: Instant, until: Instant) -> Vec<Filter> {
    let all = (0..256usize).map(|bits| {
        let on =
            |bit: usize, value: &str| if (bits >> bit) & 1 == 1 { value.to_owned() } else { String::new() };
        Filter {
            tenant: on(0, "ten_a"),
            actor: on(1, "prn_b"),
            action: on(2, "access.rotate"),
            target: on(3, "srv_1"),
            outcome: on(4, "pending"),
            from: ((bits >> 5) & 1 == 1).then_some(from),
            until: ((bits >> 6) & 1 == 1).then_some(until),
            text: on(7, "chg-1"),
        }
    });
    all.collect()
}

#[tokio::test]
async fn every_combination_of_filters_finds_what_it_means() {
    for log in logs().await {
        for round in 0..6 {
            record(&log, (round * 20..round * 20 + 20).map(varied)).await;
            log.time.fetch_add(60_000_000, Ordering::SeqCst);
        }
        let everything = newest(&log.db, &Filter::default(), i64::MAX, 500).await.unwrap().0;
        assert_eq!(everything.len(), 120);
        let (from, until) =
            (Instant::from_micros(BEGAN + 60_000_000), Instant::from_micros(BEGAN + 240_000_000));
        for filter in combinations(from, until) {
            let (mut pages, mut before) = (Vec::new(), i64::MAX);
            loop {
                let (page, next) = newest(&log.db, &filter, before, 25).await.unwrap();
                pages.extend(page);
                let Some(next) = next else { break };
                before = next;
            }
            let wanted: Vec<&Event> = everything.iter().filter(|event| passes(event, &filter)).collect();
            assert_eq!(pages.iter().collect::<Vec<_>>(), wanted, "{filter:?}");
        }
    }
}

#[tokio::test]
async fn pages_hold_nothing_twice_and_miss_nothing_while_the_log_grows() {
    for service in services().await {
        record(&service, (0..60).map(varied)).await;
        let filter = Filter { actor: "prn_b".into(), ..Filter::default() };
        let there: Vec<String> = service.list(filter).await.into_iter().map(|event| event.id).collect();
        let (mut found, mut token) = (Vec::new(), String::new());
        let mut client = service.client(&operator());
        loop {
            let request = proto::ListAuditEventsRequest {
                actor: "prn_b".into(),
                page_size: 7,
                page_token: token,
                ..Default::default()
            };
            let page = client.list_audit_events(request).await.unwrap().into_inner();
            found.extend(page.items.into_iter().map(|event| event.id));
            token = page.next_page_token;
            if token.is_empty() {
                break;
            }
            record(&service, (0..10).map(varied)).await;
        }
        assert_eq!(found, there);
    }
}

#[tokio::test]
async fn text_is_found_in_any_case_and_has_no_wildcards() {
    for log in logs().await {
        let mut one = intent("", "srv_one");
        one.open.comment = "100% of C:\\keys_old, ÄRGER".into();
        let mut two = intent("", "srv_two");
        two.clear.details = BTreeMap::from([("Name".to_owned(), "say \"Web\"".to_owned())]);
        record(&log, [one]).await;
        record(&log, [two]).await;
        let found = async |text: &str| {
            let events = log.list(Filter { text: text.into(), ..Filter::default() }).await;
            events.into_iter().map(|event| event.target).collect::<Vec<_>>().join(" ")
        };
        for (text, targets) in [
            ("100% OF", "srv_one"),
            ("c:\\KEYS_", "srv_one"),
            ("s_old", "srv_one"),
            ("s%d", ""),
            ("keys.old", ""),
            ("Ärger", "srv_one"),
            // Letters beyond ASCII are as they are written.
            ("ärger", ""),
            ("say \"web\"", "srv_two"),
            ("name", "srv_two"),
            ("SERVER.REG", "srv_two srv_one"),
            ("srv_t", "srv_two"),
        ] {
            assert_eq!(found(text).await, targets, "{text}");
        }
    }
}

#[tokio::test]
async fn a_page_ends_where_it_has_looked_enough_and_the_next_goes_on() {
    for log in logs().await {
        fill(&log.db, 25_000).await;
        let text = Filter { text: "no such thing".into(), ..Filter::default() };
        let (mut pages, mut next) = (0, Some(i64::MAX));
        while let Some(before) = next {
            let (page, further) = newest(&log.db, &text, before, 10).await.unwrap();
            assert!(page.is_empty() && further.is_none_or(|further| further < before));
            (pages, next) = (pages + 1, further);
        }
        assert!(pages > 1);
        // What is rare is found however much else there is.
        let rare = Filter { tenant: "ten_big".into(), actor: "prn_0".into(), ..Filter::default() };
        let (page, _) = newest(&log.db, &rare, i64::MAX, 10).await.unwrap();
        assert_eq!(page.len(), 10);
        assert!(page.iter().all(|event| event.tenant == "ten_big" && event.actor == "prn_0"));
    }
}

#[tokio::test]
async fn times_narrow_a_list_exactly_and_the_future_bounds_nothing() {
    for log in logs().await {
        fill(&log.db, 10_000).await;
        log.time.store(BEGAN + 1_000_000 * 10_000, Ordering::SeqCst);
        let at = |second: i64| Some(Instant::from_micros(BEGAN + 1_000_000 * second));
        let seconds = async |from, until| {
            let (page, _) =
                newest(&log.db, &Filter { from, until, ..Filter::default() }, i64::MAX, 500).await.unwrap();
            page.into_iter().map(|event| (event.time.micros() - BEGAN) / 1_000_000).collect::<Vec<_>>()
        };
        assert_eq!(seconds(at(8_000), at(8_003)).await, [8_002, 8_001, 8_000]);
        assert_eq!(seconds(at(9_998), None).await, [9_999, 9_998]);
        assert_eq!(seconds(None, at(2)).await, [1, 0]);
        assert_eq!(seconds(at(9_999), at(1_000_000)).await, [9_999]);
        assert_eq!(seconds(None, at(-5)).await, Vec::<i64>::new());
        // A clock that was set back for a while.
        let mut tx = log.db.begin_internal("a test's clock").await.unwrap();
        sqlx::query("UPDATE event SET recorded_at = recorded_at - 500000000 WHERE seq = 19000")
            .execute(tx.conn())
            .await
            .unwrap();
        tx.commit().await.unwrap();
        assert_eq!(seconds(at(9_000), at(9_001)).await, [9_000, 9_000]);
    }
}

#[tokio::test]
async fn mentions_are_the_actor_and_each_id_of_the_target() {
    for log in logs().await {
        record(&log, [intent("", "srv_1, srv_2 srv_1")]).await;
        record(&log, [intent("", "(not an id)")]).await;
        let rows = sqlx::query("SELECT subject, kind, seq FROM mention ORDER BY seq, kind, subject")
            .fetch_all(log.db.read())
            .await
            .unwrap();
        let rows: Vec<String> = rows
            .iter()
            .map(|row| {
                let (subject, kind): (String, String) =
                    (row.text("subject").unwrap(), row.text("kind").unwrap());
                format!("{} {kind} {subject}", row.int::<i64>("seq").unwrap())
            })
            .collect();
        assert_eq!(rows, ["0 actor prn_a", "0 target srv_1", "0 target srv_2", "1 actor prn_a"]);
    }
}

#[tokio::test]
async fn a_tenants_people_see_their_tenants_events_alone() {
    for service in services().await {
        let (own, other) = (TenantId::random().unwrap(), TenantId::random().unwrap());
        record(&service, [intent(own.as_str(), "srv_1"), intent(other.as_str(), "srv_1")]).await;
        let mut client = service.client(&person(Role::TenantOwner, Some(&own)));
        let about = proto::ListAuditEventsRequest { target: "srv_1".into(), ..Default::default() };
        let page = client.list_audit_events(about.clone()).await.unwrap().into_inner();
        assert_eq!(
            page.items.iter().map(|event| event.tenant_id.as_str()).collect::<Vec<_>>(),
            [own.as_str()]
        );
        let theirs = proto::ListAuditEventsRequest { tenant_id: other.to_string(), ..about };
        assert_eq!(client.list_audit_events(theirs).await.unwrap_err().code(), tonic::Code::NotFound);
    }
}
