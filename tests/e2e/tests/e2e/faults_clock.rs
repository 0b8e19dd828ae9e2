//! Clocks that move: Keywright's while a grace runs and while work is leased, a host's beside Keywright's. No old key ends
//! earlier than promised, and nothing waits for a time that has been before.

use keywright_domain::clock::Clock;
use keywright_e2e::access::step_state;
use keywright_e2e::authorized_keys::lines_of;
use keywright_e2e::world::{options, register};
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World, text};
use keywright_kit::{
    HostOptions, KeyType, Keywright, KeywrightOptions, MovedClock, TestHost, eventually, keygen,
};
use serde_json::{Value, json};

const HOURS: i64 = 2 * 3600;

/// The database keeps the time: what Keywright's own machine believes ends no grace.
#[tokio::test]
async fn a_grace_ends_by_the_databases_clock_wherever_keywrights_own_is() {
    grace_by_the_database(&[100]).await;
}

/// Forward and back, while the grace is under way.
#[tokio::test]
async fn a_grace_that_runs_ends_by_the_databases_clock_wherever_keywrights_own_goes() {
    grace_while_the_clock_goes(&[(0, HOURS), (HOURS, 0)]).await;
}

#[tokio::test]
async fn sshd_ends_a_grace_though_the_clock_went_back_and_the_key_is_removed_once_it_is_right() {
    Moved::new(Sshd::OpenSsh).await.grace_outlasts_a_clock_that_went_back().await;
}

/// For `tests/run --full` alone.
mod whole_matrix {
    use super::{HOURS, Moved, Sshd, grace_by_the_database, grace_while_the_clock_goes, host_is_off};

    #[tokio::test]
    async fn a_grace_that_runs_ends_by_the_databases_clock_wherever_keywrights_own_goes() {
        grace_while_the_clock_goes(&[(0, 30), (30, 0), (0, 600), (600, 0), (HOURS, 30), (30, HOURS)]).await;
    }

    #[tokio::test]
    async fn a_grace_ends_by_the_databases_clock_wherever_keywrights_own_goes() {
        grace_by_the_database(&[HOURS, 100, 30, 0]).await;
    }

    #[tokio::test]
    async fn what_a_killed_server_had_begun_goes_on_though_the_clock_went_back() {
        for sshd in [Sshd::OpenSsh, Sshd::Dropbear] {
            Moved::new(sshd).await.goes_on_after_the_clock_went_back().await;
        }
    }

    #[tokio::test]
    async fn a_clock_that_goes_back_and_forth_stops_nothing() {
        let mut moved = Moved::new(Sshd::OpenSsh).await;
        for ahead in [HOURS, 0, 600, 0, 30, 0] {
            moved.works_with_its_clock_at(ahead).await;
        }
    }

    #[tokio::test]
    async fn a_host_whose_clock_is_off_ends_no_grace_early() {
        for (ahead, enforcer) in
            [(30, "SSHD"), (-30, "SSHD"), (-100, "SSHD"), (200, "KEYWRIGHT"), (HOURS, "KEYWRIGHT")]
        {
            host_is_off(ahead, enforcer).await;
        }
    }
}

/// Seconds since 1970, by the clock that nobody moves.
fn now() -> f64 {
    Clock::System.now().micros() as f64 / 1e6
}

/// Of an instant as the interface writes it.
async fn seconds(instant: &Value) -> f64 {
    let text = instant.as_str().unwrap_or_else(|| panic!("{instant} is no instant"));
    let output = tokio::process::Command::new("date").args(["-d", text, "+%s.%N"]).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// Looks until the key is refused; it is not before this time.
async fn ends_not_before(access: &Access<'_>, key: &KeyFile, end: f64, said: &str) {
    let refused = eventually(LIMIT, async || {
        let opened = access.opens(key).await;
        assert!(opened || now() >= end, "{said}: it ended {} s early", end - now());
        !opened
    });
    assert!(refused.await, "{said}: the old key never ended");
}

async fn grace_by_the_database(moves: &[i64]) {
    let clock = MovedClock::new().unwrap();
    let (options, database) = options(Stores::External).await;
    let world = World::with(options.clock(&clock), database, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let mut old = access.download().await;
    for ahead in moves {
        clock.set(*ahead);
        let said = format!("with the clock at {ahead}");
        let rotation = access.start_rotation(json!({"gracePeriod": "9s"})).await;
        let ended = access.finished(&rotation).await;
        let new = access.download().await;
        let end = seconds(&ended["graceEndsAt"]).await;
        let by = access.line(ended["oldVersion"].as_i64().unwrap()).await["graceEnforcedBy"].clone();
        let trusted = ahead.abs() <= 120;
        assert_eq!(by, json!(if trusted { "SSHD" } else { "KEYWRIGHT" }), "{said}");
        ends_not_before(&access, &old, end, &said).await;
        let path = format!("/api/rotations/{rotation}");
        world.keywright.wait_for(&path, LIMIT, |it| it["graceEndedAt"].is_string()).await;
        assert!(access.opens(&new).await, "{said}");
        old = new;
    }
}

/// The rotation begins and is promoted with the clock here; then it is moved there.
async fn grace_while_the_clock_goes(moves: &[(i64, i64)]) {
    let clock = MovedClock::new().unwrap();
    let (options, database) = options(Stores::External).await;
    let world = World::with(options.clock(&clock), database, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let mut old = access.download().await;
    for (here, there) in moves {
        let said = format!("moved from {here} to {there} during the grace");
        clock.set(*here);
        let rotation = access.start_rotation(json!({"gracePeriod": "9s"})).await;
        let ended = access.finished(&rotation).await;
        clock.set(*there);
        let new = access.download().await;
        let end = seconds(&ended["graceEndsAt"]).await;
        ends_not_before(&access, &old, end, &said).await;
        let path = format!("/api/rotations/{rotation}");
        let over = world.keywright.wait_for(&path, LIMIT, |it| it["graceEndedAt"].is_string()).await;
        assert!(seconds(&over["graceEndedAt"]).await >= end, "{said}: {over}");
        let public = text(&access.show().await, "/publicKey");
        assert_eq!(lines_of(&world.host, &access.account, &public).len(), 1, "{said}");
        assert_eq!(world.host.read_authorized_keys(&access.account).map(keys_in), Some(1), "{said}");
        assert!(access.opens(&new).await, "{said}");
        old = new;
    }
}

/// How many keys a file holds.
fn keys_in(file: Vec<u8>) -> usize {
    String::from_utf8(file).unwrap().lines().filter(|line| line.contains("ssh-ed25519 ")).count()
}

/// Embedded stores: the database's clock is the machine's.
struct Moved {
    clock: MovedClock,
    world: World,
    /// The answer that the access was provisioned with.
    provisioned: Value,
    key: KeyFile,
}

impl Moved {
    async fn new(sshd: Sshd) -> Self {
        let clock = MovedClock::new().unwrap();
        let world = World::with(KeywrightOptions::default().clock(&clock), None, sshd).await;
        let provisioned = world.provision().await.show().await;
        let key = Access::new(&world, &provisioned).download().await;
        Self { clock, world, provisioned, key }
    }

    fn access(&self) -> Access<'_> {
        Access::new(&self.world, &self.provisioned)
    }

    /// It dies with a lease on its work, and with a host that is to be tried again.
    async fn goes_on_after_the_clock_went_back(&mut self) {
        self.clock.set(HOURS);
        let rotation = self.access().start_rotation(json!({"gracePeriod": "3600s"})).await;
        let path = format!("/api/rotations/{rotation}");
        self.world.keywright.wait_for(&path, LIMIT, |it| step_state(it, "install") != "pending").await;
        self.dies_and_the_clock_is(0).await;
        self.access().finished(&rotation).await;
        let new = self.access().download().await;
        assert!(self.access().opens(&new).await && self.access().opens(&self.key).await);

        self.clock.set(HOURS);
        self.world.host.stop_server().await;
        let body = json!({"confirmation": {"accessId": self.access().id}});
        let started = self.world.owner().post(&self.access().path("/revoke"), body).await.success();
        let path = format!("/api/revocations/{}", text(&started, "/id"));
        let tried = |it: &Value| it["hosts"][0]["attempts"].as_i64() > Some(1);
        self.world.keywright.wait_for(&path, LIMIT, tried).await;
        self.dies_and_the_clock_is(0).await;
        self.world.host.start_server().await;
        let ended = self.world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
        assert_eq!(ended["hosts"][0]["state"], "REMOVED_PROVEN", "{ended}");
        assert!(!self.access().opens(&new).await && !self.access().opens(&self.key).await);
    }

    /// What Keywright believes too early, sshd ends by the host's own clock; what is left of it goes when the time has come.
    async fn grace_outlasts_a_clock_that_went_back(&mut self) {
        let rotation = self.access().start_rotation(json!({"gracePeriod": "12s"})).await;
        let ended = self.access().finished(&rotation).await;
        let new = self.access().download().await;
        let end = seconds(&ended["graceEndsAt"]).await;

        self.clock.set(-HOURS);

        ends_not_before(&self.access(), &self.key, end, "with a clock that went back").await;
        let file = || self.world.host.read_authorized_keys(&self.access().account).map(keys_in);
        assert_eq!(file(), Some(2), "to Keywright the grace still runs");
        self.clock.set(0);
        let path = format!("/api/rotations/{rotation}");
        self.world.keywright.wait_for(&path, LIMIT, |it| it["graceEndedAt"].is_string()).await;
        assert_eq!(file(), Some(1));
        assert!(self.access().opens(&new).await && !self.access().opens(&self.key).await);
    }

    async fn dies_and_the_clock_is(&mut self, ahead: i64) {
        self.world.keywright.kill9().await;
        self.clock.set(ahead);
        self.world.keywright.restart().await.unwrap();
    }

    /// It is moved under a server that runs, with work under way.
    async fn works_with_its_clock_at(&mut self, ahead: i64) {
        let asked = json!({"gracePeriod": "604800s", "dropGraceKey": true});
        let rotation = self.access().start_rotation(asked).await;
        self.clock.set(ahead);
        self.access().finished(&rotation).await;
        let new = self.access().download().await;
        assert!(self.access().opens(&new).await && self.access().opens(&self.key).await, "at {ahead}");
        self.key = new;
    }
}

/// The host's own clock, and with it its sshd's.
async fn host_is_off(ahead: i64, enforcer: &str) {
    let keywright = Keywright::start(KeywrightOptions::default()).await.unwrap();
    let host = TestHost::openssh(HostOptions::default().clock(ahead)).await.unwrap();
    let shown = host.exec(&["date", "+%s"]).await.success().trim().parse::<f64>().unwrap();
    #[allow(clippy::cast_precision_loss, reason = "a few hours")]
    let off = shown - now() - ahead as f64;
    assert!(off.abs() < 60.0, "the host's clock was not moved: {off}");
    let world = on(keywright, host).await;
    let access = world.provision().await;
    let old = access.download().await;
    let ended = access.rotate("8s").await;
    let said = format!("on a host at {ahead}");
    let by = access.line(1).await["graceEnforcedBy"].clone();
    assert_eq!(by, json!(enforcer), "{said}");
    let new = access.download().await;
    ends_not_before(&access, &old, seconds(&ended["graceEndsAt"]).await, &said).await;
    access.line_becomes(1, "removed_proven").await;
    assert!(access.opens(&new).await, "{said}");
}

async fn on(keywright: Keywright, host: TestHost) -> World {
    let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("root", format!("{}\n", bootstrap.public_line()));
    let tenant = keywright_e2e::world::create_tenant(&keywright, "Acme").await;
    let (invitation, owner_token) = keywright_e2e::world::owner(&keywright, &tenant).await;
    let server = register(&keywright, &tenant, &host, "web-1").await;
    keywright_e2e::world::manage(&keywright, &server, &bootstrap).await;
    let sshd = Sshd::OpenSsh;
    World { keywright, host, sshd, database: None, tenant, server, owner_token, invitation, bootstrap }
}
