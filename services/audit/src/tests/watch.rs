//! Watching: nothing is missed, whoever appends and wherever one goes on.

use super::world::{Service, operator, person, services};
use super::{Intent, intent, outcome};
use keywright_domain::caller::{Caller, Role};
use keywright_domain::ids::TenantId;
use keywright_proto::audit as proto;
use std::collections::BTreeSet;
use std::time::Duration;
use tonic::Streaming;

type Events = Streaming<proto::WatchAuditEventsResponse>;

async fn watch(service: &Service, caller: &Caller, request: proto::WatchAuditEventsRequest) -> Events {
    service.client(caller).watch_audit_events(request).await.unwrap().into_inner()
}

fn since(position: i64) -> proto::WatchAuditEventsRequest {
    proto::WatchAuditEventsRequest { since: Some(position), ..Default::default() }
}

async fn next(events: &mut Events) -> proto::AuditEvent {
    let message = tokio::time::timeout(Duration::from_secs(20), events.message()).await.unwrap();
    message.unwrap().unwrap().event.unwrap()
}

/// Its last position.
fn place(event: &proto::AuditEvent) -> i64 {
    let last = if event.outcome_sequence.is_empty() { &event.sequence } else { &event.outcome_sequence };
    last.parse().unwrap()
}

#[tokio::test]
async fn an_event_is_told_when_it_begins_and_when_it_ends() {
    for service in services().await {
        service.record(&intent("", "srv_before")).await;
        let mut events = watch(&service, &operator(), Default::default()).await;
        let sent = intent("", "srv_1");
        service.record(&sent).await;
        let begun = next(&mut events).await;
        assert_eq!((begun.target.as_str(), begun.outcome()), ("srv_1", proto::AuditOutcome::Pending));
        service.end(&[outcome(&sent.event, "interrupted")]).await;
        assert_eq!(next(&mut events).await.outcome(), proto::AuditOutcome::Interrupted);
        service.end(&[outcome(&sent.event, "succeeded")]).await;
        let ended = next(&mut events).await;
        assert_eq!(
            (ended.id.as_str(), ended.outcome()),
            (sent.event.as_str(), proto::AuditOutcome::Succeeded)
        );
    }
}

#[tokio::test]
async fn whoever_goes_on_after_the_last_position_misses_nothing() {
    for service in services().await {
        let sent: Vec<Intent> = (0..40).map(|number| intent("", &format!("srv_{number}"))).collect();
        for one in &sent {
            service.record(one).await;
        }
        // The first ends last.
        let ends: Vec<_> = sent.iter().rev().step_by(3).map(|one| outcome(&one.event, "failed")).collect();
        service.end(&ends).await;
        let (mut seen, mut from) = (BTreeSet::new(), 0);
        while seen.len() < sent.len() {
            let mut events = watch(&service, &operator(), since(from)).await;
            for _ in 0..3.min(sent.len() - seen.len()) {
                let event = next(&mut events).await;
                assert!(place(&event) >= from, "in the order of positions");
                from = place(&event) + 1;
                assert!(seen.insert(event.id), "twice");
            }
        }
        assert_eq!(from, 40 + i64::try_from(ends.len()).unwrap());
    }
}

#[tokio::test]
async fn every_entry_is_told_while_many_append() {
    for service in services().await {
        let service = std::sync::Arc::new(service);
        let mut events = watch(&service, &operator(), since(0)).await;
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let service = service.clone();
                tokio::spawn(async move {
                    for _ in 0..20 {
                        let sent = intent("", "srv_1");
                        service.record(&sent).await;
                        service.end(&[outcome(&sent.event, "succeeded")]).await;
                    }
                })
            })
            .collect();
        let (mut ended, mut last) = (BTreeSet::new(), -1);
        while ended.len() < 160 {
            let event = next(&mut events).await;
            assert!(place(&event) > last);
            last = place(&event);
            if event.outcome() == proto::AuditOutcome::Succeeded {
                assert!(ended.insert(event.id));
            }
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn only_what_passes_the_filter_is_told_and_only_to_whom_it_is_shown() {
    for service in services().await {
        let (own, other) = (TenantId::random().unwrap(), TenantId::random().unwrap());
        for (tenant, target) in [(&other, "srv_1"), (&own, "srv_2"), (&own, "srv_1")] {
            service.record(&intent(tenant.as_str(), target)).await;
        }
        let owner = person(Role::TenantOwner, Some(&own));
        assert_eq!(next(&mut watch(&service, &owner, since(0)).await).await.target, "srv_2");
        let about = proto::WatchAuditEventsRequest { target: "srv_1".into(), ..since(0) };
        let told = next(&mut watch(&service, &owner, about).await).await;
        assert_eq!((told.tenant_id.as_str(), told.sequence.as_str()), (own.as_str(), "2"));
        let text = proto::WatchAuditEventsRequest { text: "SRV_2".into(), ..since(0) };
        assert_eq!(next(&mut watch(&service, &operator(), text).await).await.sequence, "1");
        let theirs = proto::WatchAuditEventsRequest { tenant_id: other.to_string(), ..since(0) };
        let refused = service.client(&owner).watch_audit_events(theirs).await.err().unwrap();
        assert_eq!(refused.code(), tonic::Code::NotFound);
        let negative = service.client(&owner).watch_audit_events(since(-1)).await.err().unwrap();
        assert_eq!(negative.code(), tonic::Code::InvalidArgument);
    }
}

#[tokio::test]
async fn one_principal_has_so_many_watches_and_leaves_the_others_theirs() {
    let service = services().await.remove(0);
    let (many, other) = (operator(), person(Role::Auditor, None));
    let mut open = Vec::new();
    for _ in 0..16 {
        open.push(watch(&service, &many, since(0)).await);
    }
    let refused = service.client(&many).watch_audit_events(since(0)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    drop(watch(&service, &other, since(0)).await);
    drop(open);
    // Its place is free when the server has seen that it is gone.
    super::world::until(async || service.client(&many).watch_audit_events(since(0)).await.is_ok()).await;
}
