//! Thousands of tenants and accesses: lists, dry runs and campaigns over them, and what they cost, as a table.

use std::time::{Duration, Instant};

use keywright_e2e::crowd::{Member, crowd, fill};
use keywright_e2e::{LIMIT, Sshd, Stores, World, text};
use reqwest::Method;
use serde_json::{Value, json};

/// A world with a crowd in its database.
struct Scale {
    world: World,
    crowd: Vec<Member>,
    figures: Vec<(String, Duration, usize)>,
}

/// Of ten: one is suspended, one revoked, two overdue, one due soon; a quarter of all is of the lab.
fn member(number: usize) -> Member {
    let (suspended, revoked) = (number.is_multiple_of(10), number % 10 == 1);
    let days = match number % 10 {
        2 | 3 => 100,
        4 => 85,
        _ => 3,
    };
    let labels = if number.is_multiple_of(4) { "{\"env\":\"lab\"}" } else { "{\"env\":\"prod\"}" };
    Member { key: String::new(), labels, suspended, revoked, days }
}

impl Scale {
    async fn new(stores: Stores, size: usize) -> Self {
        let mut world = World::new(stores, Sshd::OpenSsh).await;
        let access = world.provision().await.id.clone();
        let body = json!({"policy": {"automaticRotation": false}});
        world
            .keywright
            .operator()
            .send(Method::PUT, "/api/policies/platform", Some(body), &[])
            .await
            .success();
        let crowd = crowd(size, member);
        world.keywright.terminate().await;
        fill(&world.keywright, world.database.as_deref(), &crowd, &world.tenant, &access).await;
        world.keywright.restart().await.unwrap();
        Self { world, crowd, figures: Vec::new() }
    }

    fn count(&self, holds: impl Fn(&Member) -> bool) -> usize {
        self.crowd.iter().filter(|member| holds(member)).count()
    }

    async fn asked(&mut self, what: &str, method: Method, path: &str, body: Option<Value>) -> Value {
        let begun = Instant::now();
        let answer = self.world.keywright.operator().send(method, path, body, &[]).await;
        self.figures.push((what.to_owned(), begun.elapsed(), answer.bytes.len()));
        answer.success()
    }

    async fn dry_run(&mut self, what: &str, selector: Value) -> Value {
        let body = json!({"selector": selector, "dryRun": true});
        self.asked(what, Method::POST, "/api/admin/campaigns", Some(body)).await
    }

    /// Every item of a list, page by page.
    async fn listed(&mut self, what: &str, path: &str) -> Vec<Value> {
        let (mut items, mut token, mut page) = (Vec::new(), String::new(), 0);
        let joint = if path.contains('?') { '&' } else { '?' };
        loop {
            page += 1;
            let path = format!("{path}{joint}pageSize=500&pageToken={token}");
            let answer = self.asked(&format!("{what}, page {page}"), Method::GET, &path, None).await;
            items.extend(answer["items"].as_array().unwrap().iter().cloned());
            token = text(&answer, "/nextPageToken");
            if token.is_empty() {
                return items;
            }
        }
    }

    async fn campaign(&self, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.world.keywright.wait_for(&format!("/api/admin/campaigns/{id}"), LIMIT, holds).await
    }

    fn table(&self) {
        println!("{:>9}  {:>10}  {} accesses", "ms", "bytes", self.crowd.len());
        for (what, time, bytes) in &self.figures {
            println!("{:>9}  {bytes:>10}  {what}", time.as_millis());
        }
        let pid = self.world.keywright.pid().unwrap();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        for line in status.lines().filter(|line| line.starts_with("VmHWM") || line.starts_with("VmRSS")) {
            println!("{line}");
        }
    }
}

fn rotated(it: &Member) -> bool {
    !it.suspended && !it.revoked
}

/// What is counted of a campaign, all together.
fn sum(campaign: &Value) -> i64 {
    let all = ["pending", "running", "succeeded", "failed", "catchingUp", "skipped", "cancelled"];
    all.iter().map(|state| campaign[state].as_i64().unwrap()).sum()
}

async fn dry_runs(scale: &mut Scale) -> usize {
    let all = scale.dry_run("dry run of all", json!({"all": true})).await;
    let rotated_all = scale.count(rotated) + 1;
    assert_eq!(all["targetCount"], rotated_all, "{}", all["targetCount"]);
    assert_eq!(all["skipped"], scale.count(|it| it.suspended && !it.revoked));
    assert_eq!(all["targets"].as_array().unwrap().len(), sum(&all) as usize);
    let overdue = scale.dry_run("dry run of what is overdue", json!({"overdue": true})).await;
    assert_eq!(overdue["targetCount"], scale.count(|it| rotated(it) && it.days > 90));
    let soon = scale.dry_run("dry run of what is due soon", json!({"dueSoon": true})).await;
    assert_eq!(soon["targetCount"], scale.count(|it| rotated(it) && it.days > 83));
    let lab = scale.dry_run("dry run by label", json!({"all": true, "labels": {"env": "lab"}})).await;
    assert_eq!(lab["targetCount"], scale.count(|it| rotated(it) && it.labels.contains("lab")));
    let some = scale.crowd.iter().filter(|it| rotated(it)).take(1_000).map(Member::access);
    let named: Vec<String> = some.collect();
    let explicit = scale.dry_run("dry run of a thousand that are named", json!({"accessIds": named})).await;
    assert_eq!(explicit["targetCount"], named.len());
    rotated_all
}

async fn overviews(scale: &mut Scale) {
    let path = "/api/admin/secrets/tenants";
    let tenants = scale.listed("tenants", path).await;
    assert_eq!(tenants.len(), scale.crowd.len() + 1);
    let overdue = scale.listed("tenants that are overdue", &format!("{path}?due=overdue")).await;
    assert_eq!(overdue.len(), scale.count(|it| !it.revoked && it.days > 90));
    let revoked = scale.listed("tenants with a revoked access", &format!("{path}?status=revoked")).await;
    assert_eq!(revoked.len(), scale.count(|it| it.revoked));
    let one = scale.crowd[scale.crowd.len() / 2].tenant();
    let found = scale.listed("one tenant searched for", &format!("{path}?search={one}")).await;
    assert_eq!(found.len(), 1);
    scale.asked("one tenant", Method::GET, &format!("{path}/{one}"), None).await;
    scale.listed("exposures", "/api/admin/exposures").await;
}

/// No host knows of their accounts: every target fails, and more are not begun.
async fn a_campaign_stops_itself(scale: &mut Scale, count: usize) {
    let plan = json!({"canary": 10, "soak": "0s", "growth": 4, "maxParallel": 10, "failureBudgetPercent": 5});
    let body = json!({"selector": {"all": true}, "plan": plan, "confirmation": {"targetCount": count}});
    let begun = scale.asked("campaign confirmed", Method::POST, "/api/admin/campaigns", Some(body)).await;
    let id = text(&begun, "/id");
    let stopped = |it: &Value| it["state"] == "paused" && it["running"] == 0;
    let paused = scale.campaign(&id, stopped).await;
    assert_eq!(paused["pauseReason"], "FAILURE_BUDGET", "{paused}");
    let failed = paused["failed"].as_i64().unwrap();
    assert!((1..=10).contains(&failed), "{paused}");
    let path = format!("/api/admin/campaigns/{id}");
    let targets = scale.listed("targets", &format!("{path}/targets")).await;
    assert_eq!(targets.len() as i64, sum(&paused));
    let of_state = scale.listed("targets that failed", &format!("{path}/targets?state=failed")).await;
    assert_eq!(of_state.len() as i64, failed);

    scale.world.keywright.kill9().await;
    scale.world.keywright.restart().await.unwrap();
    scale.asked("campaign resumed", Method::POST, &format!("{path}/resume"), Some(json!({}))).await;
    let watched = scale.world.keywright.cli(&["admin", "campaign", "watch", &id]).await;
    assert_eq!(watched.code, 9, "{watched:?}");
    scale.campaign(&id, |it| stopped(it) && it["failed"].as_i64().unwrap() > failed).await;
    let cancelled =
        scale.asked("campaign cancelled", Method::POST, &format!("{path}/cancel"), Some(json!({}))).await;
    assert_eq!((&cancelled["state"], &cancelled["pending"]), (&json!("cancelled"), &json!(0)), "{cancelled}");
    assert_eq!(sum(&cancelled), sum(&paused));
}

async fn everything(stores: Stores, size: usize) {
    let mut scale = Scale::new(stores, size).await;
    let count = dry_runs(&mut scale).await;
    overviews(&mut scale).await;
    a_campaign_stops_itself(&mut scale, count).await;
    scale.table();
}

#[tokio::test]
async fn table_of_two_thousand_accesses() {
    everything(Stores::Embedded, 2_000).await;
}

mod whole_matrix {
    use super::*;

    #[tokio::test]
    async fn table_of_nineteen_thousand_accesses() {
        everything(Stores::Embedded, 19_000).await;
    }

    #[tokio::test]
    async fn table_of_five_thousand_accesses_in_postgresql() {
        everything(Stores::External, 5_000).await;
    }
}
