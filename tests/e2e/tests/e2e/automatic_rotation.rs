//! Keys that are rotated because of their age, by themselves: when, how many at once, and what people are told.
//!
//! The schedule looks at everything as soon as a server starts, the oldest keys first: whoever is looked at before one
//! that something was done about has been passed over.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use keywright_domain::clock::Clock;
use keywright_e2e::authorized_keys::lines_of;
use keywright_e2e::elapsed::{DAY, HOUR, older};
use keywright_e2e::receiver::Receiver;
use keywright_e2e::world::{manage, options, register, start_host};
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World, audit_log, text};
use keywright_kit::{KeyType, Keywright, TestHost, eventually, keygen};
use reqwest::Method;
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
/// The smallest that a policy may say.
const MAXIMUM_AGE: Duration = DAY.saturating_mul(30);

/// A server whose policy is the smallest maximum age, and somebody who is told of everything.
struct Ages {
    world: World,
    receiver: Receiver,
}

impl Ages {
    async fn new() -> Self {
        let (world, receiver) = tokio::join!(World::embedded(), Receiver::start());
        let hook = json!({"kind": "webhook", "address": receiver.hook()});
        let made = world.keywright.post("/api/notification-targets", hook).await.success();
        receiver.knows(&text(&made, "/secret"));
        let it = Self { world, receiver };
        it.command(&["policy", "set", "--platform", "maximum-age=30d"]).await;
        it
    }

    async fn command(&self, arguments: &[&str]) -> String {
        self.world.keywright.cli(arguments).await.success()
    }

    /// Accesses to accounts of the world's host, each with a key in use.
    async fn provision<const N: usize>(&self, accounts: [&str; N]) -> [String; N] {
        let mut accesses = accounts.map(str::to_owned);
        for access in &mut accesses {
            *access = begin(&self.world, &self.world.host, &self.world.server, access).await;
        }
        for access in &accesses {
            self.becomes(access, 1).await;
        }
        accesses
    }

    async fn view(&self, access: &str) -> Value {
        self.world.keywright.get(&path(&self.world, access)).await.success()
    }

    async fn becomes(&self, access: &str, version: i64) -> Value {
        let there = |it: &Value| it["version"] == version && it["activity"] != "rotating";
        self.world.keywright.wait_for(&path(&self.world, access), LIMIT, there).await
    }

    async fn rotation(&self, id: &str, holds: impl Fn(&Value) -> bool) -> Value {
        self.world.keywright.wait_for(&format!("/api/rotations/{id}"), LIMIT, holds).await
    }

    /// The schedule looks at everything.
    async fn round(&mut self) {
        self.world.keywright.restart().await.unwrap();
    }

    /// The details of this notice.
    async fn told(&self, event: &str, subject: &str) -> Value {
        let got = self.receiver.waits_for(|got| is_about(got, event, subject)).await;
        assert_eq!(got["verified"], true, "{got}");
        got["body"]["data"]["details"].clone()
    }

    fn was_told(&self, event: &str, subject: &str) -> bool {
        self.receiver.got().iter().any(|got| is_about(got, event, subject))
    }
}

/// An access to an account of the host, its first key on the way.
async fn begin(world: &World, host: &TestHost, server: &str, account: &str) -> String {
    host.add_user(account);
    let body = json!({"serverIds": [server], "account": account});
    let started = world.keywright.post(&format!("/api/tenants/{}/ssh-access", world.tenant), body).await;
    text(&started.success(), "/id")
}

fn path(world: &World, access: &str) -> String {
    format!("/api/tenants/{}/ssh-access/{access}", world.tenant)
}

fn is_about(got: &Value, event: &str, subject: &str) -> bool {
    got["body"]["type"] == event && got["body"]["data"]["subject"] == subject
}

fn automatic(view: &Value) -> Vec<Value> {
    let rotations = view["recentRotations"].as_array().unwrap().iter();
    rotations.filter(|rotation| rotation["automatic"] == true).cloned().collect()
}

fn now() -> Timestamp {
    Timestamp::from_microsecond(Clock::System.now().micros()).unwrap()
}

fn at(value: &Value, pointer: &str) -> Timestamp {
    text(value, pointer).parse().unwrap()
}

fn between(early: Timestamp, late: Timestamp) -> Duration {
    Duration::try_from(late.duration_since(early)).unwrap()
}

#[tokio::test]
async fn a_week_of_notice_and_then_each_key_at_its_own_moment_in_the_last_three_days() {
    let mut ages = Ages::new().await;
    let accesses = ages.provision(["red", "green", "blue"]).await;
    let all: Vec<&str> = accesses.iter().map(String::as_str).collect();
    older(&ages.world, &all, MAXIMUM_AGE - (DAY * 6 + HOUR * 12)).await;

    ages.round().await;

    let mut moments = Vec::new();
    for access in &all {
        let told = ages.told("rotation.due", access).await;
        let (planned, end) = (at(&told, "/plannedAt"), at(&told, "/maximumAgeEndsAt"));
        let before_end = between(planned, end);
        assert!(Duration::ZERO < before_end && before_end <= DAY * 3, "{told}");
        let view = ages.view(access).await;
        assert_eq!((&view["version"], &view["due"]), (&json!(1), &json!("due_soon")), "{view}");
        assert_eq!(at(&view, "/nextRotationAt"), end);
        moments.push((before_end, *access, planned));
    }
    moments.sort();
    let [(_, early, its_moment), (_, other, _), (_, late, moment_of_late)] = moments[..] else { panic!() };
    // One ten minutes before its moment, and after it in the row another whose moment has come.
    older(&ages.world, &[early], between(now() + MINUTE * 10, its_moment)).await;
    older(&ages.world, &[late], between(now(), moment_of_late + MINUTE)).await;

    ages.round().await;

    let begun = automatic(&ages.becomes(late, 2).await);
    assert_eq!((begun.len(), automatic(&ages.view(early).await).len()), (1, 0));
    let told = ages.told("rotation.started", &text(&begun[0], "/id")).await;
    assert_eq!((&told["automatic"], &told["accessId"]), (&json!("true"), &json!(late)), "{told}");
    ages.told("rotation.succeeded", &text(&begun[0], "/id")).await;
    older(&ages.world, &[early], MINUTE * 11).await;
    ages.round().await;
    let view = ages.becomes(early, 2).await;
    assert_eq!((&view["status"], &view["due"]), (&json!("active"), &json!("not_due")));
    assert_eq!(ages.view(other).await["version"], 1);
    assert!(all.iter().all(|access| !ages.was_told("key.expired", access)), "too old before it was rotated");
}

#[tokio::test]
async fn nothing_begins_outside_of_the_window_and_what_missed_it_is_caught_up_in_the_next() {
    let mut ages = Ages::new().await;
    let [kept, free] = ages.provision(["kept", "free"]).await;
    // By the clock of the tenant, which is no whole hour off.
    let zone = json!({"timeZone": "Asia/Kathmandu"});
    let tenant = format!("/api/tenants/{}", ages.world.tenant);
    ages.world.keywright.operator().send(Method::PATCH, &tenant, Some(zone), &[]).await.success();
    let window = async |ages: &Ages, from_now: SignedDuration| {
        let local = (now() + from_now).to_zoned(TimeZone::get("Asia/Kathmandu").unwrap());
        let setting = format!("rotation-window={} 3h", local.strftime("%H:%M"));
        let tenant = ages.world.tenant.clone();
        ages.command(&["policy", "set", "--tenant", &tenant, "--access", &kept, &setting]).await
    };
    let shown = window(&ages, SignedDuration::from_hours(3)).await;
    assert!(
        shown.lines().any(|line| line.contains("rotation-window") && line.ends_with("access")),
        "{shown}"
    );
    older(&ages.world, &[&kept], MAXIMUM_AGE + DAY * 9).await;
    older(&ages.world, &[&free], MAXIMUM_AGE + DAY * 8).await;

    ages.round().await;

    ages.becomes(&free, 2).await;
    let view = ages.view(&kept).await;
    assert_eq!(
        (&view["version"], &view["status"], &view["due"]),
        (&json!(1), &json!("expired"), &json!("overdue"))
    );
    assert_eq!(automatic(&view), Vec::<Value>::new());
    ages.told("key.expired", &kept).await;
    // Open for more than the hour over which what was missed is spread; the server starts in the middle.
    window(&ages, SignedDuration::from_mins(-90)).await;
    ages.round().await;
    assert_eq!(automatic(&ages.becomes(&kept, 2).await).len(), 1);
}

#[tokio::test]
async fn after_a_downtime_a_few_begin_at_a_time_of_one_tenant_and_on_one_host() {
    let mut ages = Ages::new().await;
    let others = [start_host(Sshd::OpenSsh).await, start_host(Sshd::OpenSsh).await];
    let mut accesses = Vec::new();
    for name in ["one", "two", "three"] {
        accesses.push((begin(&ages.world, &ages.world.host, &ages.world.server, name).await, 0));
    }
    for (number, host) in (1..).zip(&others) {
        let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
        host.write_authorized_keys("root", format!("{}\n", bootstrap.public_line()));
        let server =
            register(&ages.world.keywright, &ages.world.tenant, host, &format!("other-{number}")).await;
        manage(&ages.world.keywright, &server, &bootstrap).await;
        for name in ["one", "two"] {
            accesses.push((begin(&ages.world, host, &server, name).await, number));
        }
    }
    for (access, _) in &accesses {
        ages.becomes(access, 1).await;
    }
    let all: Vec<&str> = accesses.iter().map(|(access, _)| access.as_str()).collect();
    ages.world.keywright.terminate().await;
    older(&ages.world, &all, MAXIMUM_AGE + DAY * 20).await;

    ages.round().await;

    // What the first look left waits for another one.
    let rotated = async |ages: &Ages| {
        let mut count = 0;
        for access in &all {
            count += usize::from(ages.view(access).await["version"] == 2);
        }
        count
    };
    let first = eventually(LIMIT, async || rotated(&ages).await >= 5).await;
    assert!(first, "{}", ages.world.keywright.logs());
    ages.round().await;
    let mut runs = Vec::new();
    for (access, host) in &accesses {
        let begun = automatic(&ages.becomes(access, 2).await);
        assert_eq!(begun.len(), 1, "{begun:?}");
        runs.push((at(&begun[0], "/startedAt"), at(&begun[0], "/promotedAt"), *host));
    }
    runs.sort();
    for (began, ..) in &runs {
        let busy: Vec<i32> =
            runs.iter().filter(|(from, to, _)| from <= began && began < to).map(|run| run.2).collect();
        assert!(busy.len() <= 5, "{runs:?}");
        assert!((0..3).all(|host| busy.iter().filter(|there| **there == host).count() <= 2), "{runs:?}");
    }
    let first_promoted = runs.iter().map(|run| run.1).min().unwrap();
    assert!(runs[5].0 >= first_promoted, "more than five began together: {runs:?}");
}

#[tokio::test]
async fn while_nobody_has_the_new_key_the_old_one_works_for_a_week_and_its_use_is_told() {
    let mut ages = Ages::new().await;
    log_like_syslog(&ages.world).await;
    let [access] = ages.provision(["deploy"]).await;
    let shown = ages.view(&access).await;
    let old_public = text(&shown, "/publicKey");
    let old = Access::new(&ages.world, &shown).download().await;
    older(&ages.world, &[&access], MAXIMUM_AGE).await;
    ages.round().await;
    let rotation = text(&automatic(&ages.becomes(&access, 2).await)[0], "/id");
    let begun = ages.rotation(&rotation, |it| it["state"] == "succeeded").await;
    let grace = between(at(&begun, "/promotedAt"), at(&begun, "/graceEndsAt"));
    assert!((DAY..DAY + HOUR).contains(&grace), "{begun}");
    assert!(Access::new(&ages.world, &shown).opens(&old).await);

    older(&ages.world, &[&access], HOUR * 20 + MINUTE * 5).await;
    ages.round().await;

    let extended = ages.rotation(&rotation, |it| it["graceExtendedAt"].is_string()).await;
    let grace = between(at(&extended, "/promotedAt"), at(&extended, "/graceEndsAt"));
    assert!((DAY * 7..DAY * 7 + HOUR).contains(&grace), "{extended}");
    let told = ages.told("grace.extended", &rotation).await;
    assert_eq!(at(&told, "/graceEndsAt"), at(&extended, "/graceEndsAt"));
    let log = audit_log::settled(&ages.world.keywright, "action=rotation.extend_grace").await;
    let [entry] = log.as_slice() else { panic!("{log:?}") };
    assert_eq!((&entry["target"], &entry["outcome"]), (&json!(access), &json!("succeeded")));
    // The host was told too.
    let ends = at(&extended, "/graceEndsAt").strftime("%Y%m%d%H").to_string();
    let until = eventually(LIMIT, async || {
        lines_of(&ages.world.host, "deploy", &old_public).iter().any(|line| line.contains(&ends))
    });
    assert!(until.await, "{:?} {ends}", lines_of(&ages.world.host, "deploy", &old_public));
    assert!(Access::new(&ages.world, &shown).opens(&old).await);
    assert!(!ages.was_told("grace.ending", &rotation));
    let seen = eventually(LIMIT, async || {
        let it = Access::new(&ages.world, &shown);
        let read = ages.world.owner().post(&it.path("/key-use"), json!({})).await.success();
        let uses = read["items"].as_array().unwrap().iter();
        uses.filter(|one| one["version"] == 1).all(|one| one["evidence"] == "used")
    });
    assert!(seen.await, "{}", ages.world.host.log());

    older(&ages.world, &[&access], DAY * 6 + MINUTE * 5).await;
    ages.round().await;

    let told = ages.told("grace.ending", &rotation).await;
    assert_eq!(
        (&told["oldKeyUse"], &told["oldKeyLastUsedFrom"]),
        (&json!("USED"), &json!("127.0.0.1")),
        "{told}"
    );
    assert_eq!(told["oldKeyLastUsedOn"], json!(ages.world.server));
    let ending = ages.rotation(&rotation, |_| true).await;
    assert!(ending["graceExtendedAt"].is_string());
    let grace = between(at(&ending, "/promotedAt"), at(&ending, "/graceEndsAt"));
    assert!((DAY * 7..DAY * 7 + HOUR).contains(&grace), "extended twice: {ending}");
    older(&ages.world, &[&access], HOUR * 5).await;
    ages.round().await;
    ages.rotation(&rotation, |it| it["graceEndedAt"].is_string()).await;
    let it = Access::new(&ages.world, &shown);
    assert!(it.is_refused_within(LIMIT, &old).await && it.opens(&it.download().await).await);
}

/// OpenSSH's log of a test host has no times; a system's has.
async fn log_like_syslog(world: &World) {
    let script = "setsid sh -c 'tail -n +1 -F /run/host/server.log 2>/dev/null | while IFS= read -r line; do \
                  printf \"%s host sshd[1]: %s\\n\" \"$(date \"+%b %e %T\")\" \"$line\"; done >/var/log/auth.log' \
                  </dev/null >/dev/null 2>&1 &";
    world.host.exec(&["sh", "-c", script]).await.success();
}

#[tokio::test]
async fn a_freeze_stops_it_at_once_and_what_its_holder_made_waits_for_him() {
    let mut ages = Ages::new().await;
    let [made, held, watched] = ages.provision(["made", "held", "watched"]).await;
    let own = keygen(KeyType::Ed25519, "").await.unwrap();
    let files = [own.private_file().with_extension("pub"), own.private_file()];
    let [public, private] = files.each_ref().map(|file| file.to_str().unwrap());
    let by_hand = ["access", "rotate", &made, "--tenant", &ages.world.tenant, "--confirm", &made];
    let with_own =
        [&by_hand[..], &["--grace", "0s", "--public-key-file", public, "--sign-with", private]].concat();
    ages.command(&with_own).await;
    older(&ages.world, &[&made], MAXIMUM_AGE + DAY * 3).await;
    older(&ages.world, &[&held], MAXIMUM_AGE + DAY * 2).await;
    older(&ages.world, &[&watched], MAXIMUM_AGE + DAY).await;
    ages.command(&["admin", "freeze", "--on", "--reason", "incident 4711"]).await;

    ages.round().await;

    // It is told of after the two before it were looked at.
    ages.told("key.expired", &watched).await;
    for access in [&made, &held] {
        ages.told("key.expired", access).await;
        assert_eq!(automatic(&ages.view(access).await), Vec::<Value>::new());
    }
    // What people ask for goes on.
    ages.command(&["access", "rotate", &watched, "--tenant", &ages.world.tenant, "--confirm", &watched])
        .await;
    ages.becomes(&watched, 2).await;
    ages.command(&["admin", "freeze", "--off"]).await;
    ages.round().await;
    assert_eq!(automatic(&ages.becomes(&held, 2).await).len(), 1);
    let view = ages.view(&made).await;
    assert_eq!((&view["version"], &view["clientMade"]), (&json!(2), &json!(true)));
    assert_eq!((&view["status"], &view["due"]), (&json!("expired"), &json!("overdue")));
    assert_eq!(automatic(&view), Vec::<Value>::new());
    let told = ages.told("rotation.due", &made).await;
    assert_eq!((&told["automatic"], &told["clientMade"]), (&json!("false"), &json!("true")), "{told}");
    assert!(Access::new(&ages.world, &view).opens(&KeyFile::new(own.private_text().as_bytes())).await);
}

#[tokio::test]
async fn of_two_servers_one_begins() {
    let folder = tempfile::tempdir().unwrap();
    let (options, database) = options(Stores::External).await;
    let options = options.data_dir(&folder.path().join("data"));
    let mut world = World::with(options.clone(), database, Sshd::OpenSsh).await;
    let mut other = Keywright::start(options).await.unwrap();
    let mut accesses = Vec::new();
    for account in ["red", "green"] {
        accesses.push(begin(&world, &world.host, &world.server, account).await);
    }
    for access in &accesses {
        world.keywright.wait_for(&path(&world, access), LIMIT, |it| it["activity"] == "none").await;
    }
    let all: Vec<&str> = accesses.iter().map(String::as_str).collect();
    older(&world, &all, DAY * 90).await;

    let (one, two) = tokio::join!(world.keywright.restart(), other.restart());

    one.unwrap();
    two.unwrap();
    for access in &all {
        let done = |it: &Value| it["version"] == 2 && it["activity"] != "rotating";
        let view = other.wait_for(&path(&world, access), LIMIT, done).await;
        assert_eq!(automatic(&view).len(), 1, "{view}");
    }
    // Both look again.
    let (one, two) = tokio::join!(world.keywright.restart(), other.restart());
    one.unwrap();
    two.unwrap();
    for access in &all {
        let view = other.get(&path(&world, access)).await.success();
        assert_eq!((&view["version"], automatic(&view).len()), (&json!(2), 1), "{view}");
    }
}
