//! Rules that operators change, alerts that people handle, and readers of the log that stop or meet.

use super::*;

#[tokio::test]
async fn a_rule_is_disabled_changed_and_put_back() {
    for world in worlds().await {
        let change =
            |threshold, disabled| proto::AuditAlertRule { threshold, disabled, ..Default::default() };
        world.set("failed-logins", change(0, true)).await.unwrap();
        for _ in 0..6 {
            world.log(&STRANGER).await;
        }
        assert_eq!(short(&world.look().await), [], "it is off");
        let set = world.set("failed-logins", change(3, false)).await.unwrap();
        assert_eq!((set.threshold, set.window_seconds, set.built_in), (3, 300, true));
        for _ in 0..2 {
            world.log(&STRANGER).await;
        }
        assert_eq!(short(&world.look().await), [], "what came while it was off is not counted");
        // What was counted holds under the new threshold.
        world.set("failed-logins", change(10, false)).await.unwrap();
        world.log(&STRANGER).await;
        assert_eq!(short(&world.look().await), []);
        let asked = proto::DeleteAuditAlertRuleRequest { rule_id: "failed-logins".to_owned() };
        world.alerts.delete_audit_alert_rule(by(&operator(), asked.clone())).await.unwrap();
        let again = world.alerts.delete_audit_alert_rule(by(&operator(), asked)).await.unwrap_err();
        assert_eq!(Failure::from_status(&again).reason, Reason::AlertRuleNotFound);
        let asked = by(&operator(), proto::ListAuditAlertRulesRequest {});
        let rules = world.alerts.list_audit_alert_rules(asked).await.unwrap().into_inner().items;
        assert_eq!(rules.len(), built_in::all().len());
        let back = rules.iter().find(|rule| rule.id == "failed-logins").unwrap();
        assert_eq!((back.threshold, back.disabled), (5, false));
        // What a list shows may be sent back.
        for rule in rules {
            let id = rule.id.clone();
            assert_eq!(world.set(&id, rule.clone()).await, Ok(rule));
        }
    }
}

#[tokio::test]
async fn a_rule_that_makes_no_sense_is_refused() {
    for world in worlds().await {
        let good = own("session.login", 1);
        let with = |change: fn(&mut proto::AuditAlertRule)| {
            let mut rule = good.clone();
            change(&mut rule);
            rule
        };
        for bad in [
            with(|rule| rule.actions.clear()),
            with(|rule| rule.actions = vec!["session.*.x".to_owned()]),
            with(|rule| rule.actions = vec!["a.b".to_owned(); 21]),
            with(|rule| rule.threshold = 10_001),
            with(|rule| rule.threshold = -1),
            with(|rule| rule.window_seconds = 604_801),
            with(|rule| rule.window_seconds = -1),
            with(|rule| rule.hours = "2-6".to_owned()),
            with(|rule| rule.reason = "no such".to_owned()),
            with(|rule| rule.description = "x".repeat(201)),
            with(|rule| rule.outcome = proto::AuditOutcome::Pending.into()),
        ] {
            assert_eq!(world.set("mine", bad.clone()).await, Err(Reason::ValidationFailed), "{bad:?}");
        }
        for id in ["", "Mine", "a b", &"a".repeat(65)] {
            assert_eq!(world.set(id, good.clone()).await, Err(Reason::ValidationFailed), "{id}");
        }
        for fixed in
            [good.clone(), proto::AuditAlertRule { hours: "01:00-02:00".to_owned(), ..Default::default() }]
        {
            assert_eq!(world.set("second-download", fixed).await, Err(Reason::ValidationFailed));
        }
        for number in 0..100 {
            world.set(&format!("rule-{number}"), good.clone()).await.unwrap();
        }
        assert_eq!(world.set("one-too-many", good.clone()).await, Err(Reason::ValidationFailed));
        assert_eq!(world.set("rule-7", own("session.open", 2)).await.unwrap().threshold, 2);
        assert!(
            world.set("failed-logins", proto::AuditAlertRule::default()).await.is_ok(),
            "it is none of them"
        );
    }
}

#[tokio::test]
async fn an_acknowledged_alert_takes_no_more_and_the_next_breach_is_a_new_one() {
    for world in worlds().await {
        for _ in 0..7 {
            world.log(&STRANGER).await;
        }
        let first = world.look().await.remove(0);
        let who = operator();
        let done = world.acknowledge(&who, first.id.as_str()).await.unwrap();
        assert_eq!(
            (done.acknowledged_by.as_str(), done.comment.as_str()),
            (who.principal.id.as_str(), "seen")
        );
        assert_eq!(done.state(), proto::AuditAlertState::Acknowledged);
        world.pass(SECOND);
        assert_eq!(world.acknowledge(&operator(), first.id.as_str()).await, Ok(done.clone()), "repeated");
        for _ in 0..4 {
            world.log(&STRANGER).await;
        }
        assert_eq!(world.look().await.len(), 1, "what it covered is not counted again");
        world.log(&STRANGER).await;
        assert_eq!(
            short(&world.look().await),
            [("failed-logins", "192.0.2.1", 7), ("failed-logins", "192.0.2.1", 5)]
        );
        // An operator's doings are in the log too, once.
        let rows =
            sqlx::query("SELECT action FROM event WHERE action LIKE 'audit.%'").fetch_all(world.db.read());
        let actions: Vec<String> =
            rows.await.unwrap().iter().map(|row| row.text("action").unwrap()).collect();
        assert_eq!(actions, ["audit.alert"]);
        let missing = world.acknowledge(&operator(), "alt_none").await;
        assert_eq!(missing, Err(Reason::AlertNotFound));
    }
}

#[tokio::test]
async fn after_a_quiet_window_the_next_breach_is_a_new_alert() {
    for world in worlds().await {
        world.set("any", own("server.rename", 1)).await.unwrap();
        world.log(&NOTHING).await;
        world.pass(60 * SECOND - 1);
        world.log(&NOTHING).await;
        assert_eq!(short(&world.look().await), [("any", "prn_a", 2)]);
        world.pass(60 * SECOND);
        world.log(&NOTHING).await;
        world.log(&NOTHING).await;
        assert_eq!(short(&world.look().await), [("any", "prn_a", 2), ("any", "prn_a", 2)]);
    }
}

#[tokio::test]
async fn an_interruption_that_was_corrected_was_both() {
    for world in worlds().await {
        let ending = |outcome: proto::AuditOutcome| proto::AuditAlertRule {
            outcome: outcome.into(),
            ..own("server.rename", 1)
        };
        world.set("interrupted", ending(proto::AuditOutcome::Interrupted)).await.unwrap();
        world.set("succeeded", ending(proto::AuditOutcome::Succeeded)).await.unwrap();
        let event = world.log(&Happened { outcome: None, ..NOTHING }).await;
        world.end(&event, "interrupted", "").await;
        world.end(&event, "succeeded", "").await;
        assert_eq!(short(&world.look().await), [("interrupted", "prn_a", 1), ("succeeded", "prn_a", 1)]);
    }
}

#[tokio::test]
async fn a_restart_in_the_middle_neither_loses_nor_doubles() {
    for world in worlds().await {
        for number in 0..3 {
            world.log(&STRANGER).await;
            world.log(&Happened { source: "192.0.2.2", ..STRANGER }).await;
            // Killed after some entries of it: another goes on, with whatever step.
            assert!(world.another("killed").step(2 + number).await.unwrap());
        }
        // Held up in the middle of its transaction: nothing of it stays.
        let mut tx = world.db.begin_internal("killed").await.unwrap();
        crate::store::watch::advance(&mut tx, 1_000).await.unwrap();
        drop(tx);
        for _ in 0..2 {
            world.log(&STRANGER).await;
        }
        while world.another("next").step(1).await.unwrap() {}
        assert_eq!(short(&world.look().await), [("failed-logins", "192.0.2.1", 5)]);
        assert!(!world.another("again").step(10).await.unwrap(), "all was seen");
        let rows = sqlx::query("SELECT seen FROM alert_tally").fetch_all(world.db.read()).await.unwrap();
        assert_eq!(rows.len(), 1, "of the other address");
        world.pass(301 * SECOND);
        world.log(&Happened { source: "192.0.2.3", ..STRANGER }).await;
        world.look().await;
        let rows = sqlx::query("SELECT subject FROM alert_tally").fetch_all(world.db.read()).await.unwrap();
        let left: Vec<String> = rows.iter().map(|row| row.text("subject").unwrap()).collect();
        assert_eq!(left, ["192.0.2.3"], "what is over is forgotten");
    }
}

#[tokio::test]
async fn two_at_once_see_every_entry_once() {
    for world in worlds().await {
        world.set("any", own("server.rename", 1)).await.unwrap();
        for number in 0..60 {
            let actor = format!("prn_{}", number % 6);
            world.log(&Happened { actor: &actor, ..NOTHING }).await;
        }
        let tasks: Vec<_> = (0..4)
            .map(|number| {
                let one = world.another(&number.to_string());
                // Past the lease, as one that was held up would come.
                tokio::spawn(async move { while one.step(7).await.unwrap() {} })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let alerts = world.look().await;
        assert_eq!(alerts.len(), 6);
        assert!(alerts.iter().all(|alert| alert.times == 10), "{:?}", short(&alerts));
        let numbers: Vec<i64> = alerts.iter().map(|alert| alert.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    }
}

#[tokio::test]
async fn a_flood_is_seen_in_time_that_grows_with_it_alone() {
    for world in worlds().await {
        let everything = proto::AuditAlertRule { window_seconds: 604_800, ..own("*", 10_000) };
        world.set("everything", everything).await.unwrap();
        let world = Arc::new(world);
        for wave in 0..20 {
            let tasks: Vec<_> = (0..500)
                .map(|number| {
                    let world = world.clone();
                    tokio::spawn(async move {
                        let source = format!("198.51.100.{}", number % 250);
                        world.pass(1);
                        world.log(&Happened { outcome: None, ..NOTHING }).await;
                        if number % 2 == wave % 2 {
                            world.log(&Happened { source: &source, ..STRANGER }).await;
                        }
                    })
                })
                .collect();
            for task in tasks {
                task.await.unwrap();
            }
            world.pass(SECOND);
        }
        let began = std::time::Instant::now();
        let alerts = world.look().await;
        println!("{:?}: 20,000 entries in {:?}", world.db.dialect(), began.elapsed());
        let of = |rule: &str| alerts.iter().filter(|alert| alert.rule == rule).collect::<Vec<_>>();
        assert_eq!(of("everything").len(), 1);
        assert_eq!((of("everything")[0].subject.as_str(), of("everything")[0].times), ("prn_a", 10_000));
        assert_eq!(of("failed-logins").len(), 250, "each address 20 times");
        assert!(of("failed-logins").iter().all(|alert| alert.times == 20));
    }
}

#[tokio::test]
async fn people_are_told_once_the_tenants_own_and_the_platforms() {
    let ten = TenantId::random().unwrap();
    for world in worlds().await {
        world.set("any", own("server.rename", 1)).await.unwrap();
        world.log(&Happened { tenant: ten.as_str(), ..NOTHING }).await;
        world.log(&Happened { actor: "prn_b", ..NOTHING }).await;
        let alerts = world.look().await;
        world.told.down.store(true, Ordering::SeqCst);
        assert!(world.tell.round().await.is_err());
        world.told.down.store(false, Ordering::SeqCst);
        world.tell.round().await.unwrap();
        world.log(&Happened { tenant: ten.as_str(), ..NOTHING }).await;
        assert_eq!(world.look().await[0].times, 2);
        world.tell.round().await.unwrap();
        let said = world.told.said.lock().unwrap().clone();
        let said: Vec<_> =
            said.iter().map(|it| (it.event.as_str(), it.tenant_id.as_str(), it.dedup_id.as_str())).collect();
        let ids: Vec<&str> = alerts.iter().map(|alert| alert.id.as_str()).collect();
        assert_eq!(said, [("audit.alert", ten.as_str(), ids[0]), ("audit.alert", "", ids[1])]);
        let details = &world.told.said.lock().unwrap()[0].details.clone();
        assert_eq!((details["rule"].as_str(), details["actor"].as_str()), ("any", "prn_a"));
    }
}

#[tokio::test]
async fn a_tenants_people_see_their_own_alerts_and_operators_acknowledge() {
    let (ten, other) = (TenantId::random().unwrap(), TenantId::random().unwrap());
    for world in worlds().await {
        world.set("any", own("server.rename", 1)).await.unwrap();
        for (number, tenant) in [ten.as_str(), other.as_str(), "", ten.as_str()].iter().enumerate() {
            let actor = format!("prn_{number}");
            world.log(&Happened { tenant, actor: &actor, ..NOTHING }).await;
        }
        let all = world.look().await;
        let all_of = |page: Page| page.0.into_iter().map(|alert| alert.subject).collect::<Vec<_>>();
        let everything = proto::ListAuditAlertsRequest::default;
        let owner = person(Role::TenantOwner, Some(&ten));
        assert_eq!(all_of(world.list(&owner, everything()).await.unwrap()), ["prn_3", "prn_0"]);
        let foreign = proto::ListAuditAlertsRequest { tenant_id: other.to_string(), ..everything() };
        assert_eq!(world.list(&owner, foreign.clone()).await, Err(Reason::TenantNotFound));
        let member = person(Role::TenantMember, Some(&ten));
        assert_eq!(world.list(&member, everything()).await, Err(Reason::PermissionDenied));
        let auditor = person(Role::Auditor, None);
        assert_eq!(all_of(world.list(&auditor, foreign).await.unwrap()), ["prn_1"]);

        let page = proto::ListAuditAlertsRequest { page_size: 3, ..everything() };
        let (items, next) = world.list(&operator(), page.clone()).await.unwrap();
        assert_eq!(all_of((items, String::new())), ["prn_3", "prn_2", "prn_1"]);
        let rest = proto::ListAuditAlertsRequest { page_token: next.clone(), ..page.clone() };
        let (items, end) = world.list(&operator(), rest.clone()).await.unwrap();
        assert_eq!((all_of((items, String::new())), end), (vec!["prn_0".to_owned()], String::new()));
        let another = proto::ListAuditAlertsRequest { rule_id: "any".to_owned(), ..rest };
        assert_eq!(world.list(&operator(), another).await, Err(Reason::ValidationFailed));

        assert_eq!(world.acknowledge(&owner, all[0].id.as_str()).await, Err(Reason::PermissionDenied));
        assert_eq!(world.acknowledge(&owner, all[1].id.as_str()).await, Err(Reason::AlertNotFound));
        assert_eq!(world.acknowledge(&auditor, all[1].id.as_str()).await, Err(Reason::PermissionDenied));
        world.acknowledge(&operator(), all[1].id.as_str()).await.unwrap();
        let state = proto::AuditAlertState::Open.into();
        let open = proto::ListAuditAlertsRequest { state, ..everything() };
        assert_eq!(all_of(world.list(&auditor, open).await.unwrap()), ["prn_3", "prn_2", "prn_0"]);
        let rules = |caller: &Caller| by(caller, proto::ListAuditAlertRulesRequest {});
        assert!(world.alerts.list_audit_alert_rules(rules(&auditor)).await.is_ok());
        let refused = world.alerts.list_audit_alert_rules(rules(&owner)).await.unwrap_err();
        assert_eq!(Failure::from_status(&refused).reason, Reason::PermissionDenied);
    }
}
