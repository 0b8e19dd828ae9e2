//! Two hosts under one Keywright, and what is done to a number of operations at once.
//!
//! Invariant: from the first request to the last check, whoever had a working key has one at every look, and no access
//! has two keys in use.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use keywright_e2e::authorized_keys::{foreign_lines, foreign_on};
use keywright_e2e::gates::Gates;
use keywright_e2e::secrets::Needles;
use keywright_e2e::world::{entries_below, manage, register, start_host};
use keywright_e2e::{Access, KeyFile, LIMIT, Sshd, Stores, World};
use keywright_kit::{Answer, KeyType, TestHost, eventually, keygen, ssh};
use reqwest::Method;
use serde_json::{Value, json};

use super::case::{Begun, Case, step};
use super::moments::{Moment, Operation};
use super::watch::Watched;

/// Operations that are hurt by the same kill. Dropbear lets five connections of one address log in at a time.
const AT_ONCE: [(Sshd, usize); 2] = [(Sshd::OpenSsh, 6), (Sshd::Dropbear, 3)];
/// What happens to operations that are held at their gates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// SIGKILL, and a new start.
    Kill,
    /// The gate opens: what was done and not recorded is done again.
    Again,
    /// The hosts are gone when the step reaches them.
    HostDown,
    /// The account's folder cannot be written.
    FolderShut,
    /// The gate stays closed until the step has had its tries.
    NeverRecorded,
}

pub struct Scene {
    pub world: World,
    pub far: TestHost,
    pub far_server: String,
    pub gates: Gates,
    foreign: String,
    /// Root's own files on the two hosts, which nothing here is about.
    roots: [Vec<u8>; 2],
    accounts: Cell<usize>,
    requests: Cell<usize>,
    secrets: RefCell<Needles>,
}

impl Scene {
    pub async fn new(stores: Stores, sshd: Sshd) -> Self {
        let world = World::new(stores, sshd).await;
        let far = start_host(sshd).await;
        far.write_authorized_keys("root", format!("{}\n", world.bootstrap.public_line()));
        let far_server = register(&world.keywright, &world.tenant, &far, "web-2").await;
        manage(&world.keywright, &far_server, &world.bootstrap).await;
        let friend = keygen(KeyType::Ed25519, "").await.unwrap();
        let foreign = foreign_lines(&friend.public_line(), sshd);
        let gates = Gates::of(&world).await;
        let (accounts, requests) = (Cell::new(0), Cell::new(0));
        let mut secrets = Needles::default();
        secrets.add_any_private_key();
        let secrets = RefCell::new(secrets);
        let roots = [&world.host, &far].map(|host| host.read_authorized_keys("root").unwrap());
        Self { world, far, far_server, gates, foreign, roots, accounts, requests, secrets }
    }

    pub fn add_account(&self, account: &str) {
        for host in [&self.world.host, &self.far] {
            host.add_user(account);
            host.write_authorized_keys(account, &self.foreign);
        }
    }

    fn new_account(&self) -> String {
        self.accounts.set(self.accounts.get() + 1);
        format!("user{}", self.accounts.get())
    }

    /// Of a request that may have to be repeated.
    pub fn new_key(&self) -> String {
        self.requests.set(self.requests.get() + 1);
        format!("request-{}", self.requests.get())
    }

    pub async fn provision(&self, account: &str, servers: &[String]) -> Value {
        let path = format!("/api/tenants/{}/ssh-access", self.world.tenant);
        let body = json!({"serverIds": servers, "account": account, "idempotencyKey": self.new_key()});
        self.asked(async || self.world.keywright.post(&path, body.clone()).await).await.success()
    }

    /// Must be found nowhere.
    pub fn remember(&self, key: &KeyFile) {
        self.secrets.borrow_mut().add_all("a downloaded key", key.secrets());
    }

    /// As soon as the host says yes or no.
    pub async fn opens(&self, host: &TestHost, account: &str, key: &KeyFile) -> bool {
        let mut opens = None;
        let said = eventually(LIMIT, async || {
            let output = ssh(host, account, &key.path(), "id -un").await;
            let refused = output.stderr.contains("Permission denied");
            opens = (output.ok() || refused).then_some(output.ok());
            opens.is_some()
        });
        assert!(said.await, "the host says nothing to {account}");
        opens.unwrap()
    }

    /// Asks again as long as the database has too much to do, as the answer says.
    pub async fn asked(&self, request: impl AsyncFn() -> Answer) -> Answer {
        let mut answer = request().await;
        let busy = eventually(LIMIT, async || {
            if answer.status == 503 {
                answer = request().await;
            }
            answer.status != 503
        });
        busy.await;
        answer
    }

    pub async fn download(&self, access: &Access<'_>) -> KeyFile {
        let answer = self.asked(async || access.try_download().await).await;
        assert_eq!(answer.status, 200, "{}", answer.json);
        let claim = answer.headers["keywright-claim-id"].to_str().unwrap();
        let (owner, path) = (self.world.owner(), access.path(&format!("/download/{claim}/acknowledge")));
        self.asked(async || owner.post(&path, json!({})).await).await.success();
        KeyFile::new(&answer.bytes)
    }

    /// By its policy the access may be promoted where a host is away.
    pub async fn may_leave_behind(&self, access: &Access<'_>) {
        let path = format!("/api/policies/tenants/{}/ssh-access/{}", self.world.tenant, access.id);
        let body = json!({"policy": {"promoteWithOutstanding": true}});
        self.world.keywright.operator().send(Method::PUT, &path, Some(body), &[]).await.success();
    }

    /// Byte for byte; and of what an edit uses nothing is left, be it a link that leads nowhere.
    pub async fn assert_nothing_foreign_changed(&self, host: &TestHost, account: &str, what: &str) {
        assert_eq!(foreign_on(host, account), self.foreign, "{what}");
        let beside = || {
            let mut beside = entries_below(&host.home(account));
            beside.retain(|file| !file.ends_with(".ssh/authorized_keys"));
            beside
        };
        // What a killed Keywright had begun may still come to its end.
        assert!(eventually(LIMIT, async || beside().is_empty()).await, "{:?} lie about: {what}", beside());
        assert_eq!(foreign_on(host, account), self.foreign, "{what}");
    }

    /// Everything on this list, some at a time.
    pub async fn hurt(&mut self, harm: Harm, mut moments: Vec<Moment>) {
        let started = Instant::now();
        let number = moments.len();
        let at_once = AT_ONCE.into_iter().find(|(sshd, _)| *sshd == self.world.sshd).unwrap().1;
        let mut done = 0;
        moments.sort_by_key(|moment| moment.operation.misses_a_host());
        let alone = |moment: &Moment| moment.operation.misses_a_host().then_some(moment.operation);
        for alike in moments.chunk_by(|one, next| alone(one) == alone(next)) {
            for some in alike.chunks(at_once) {
                self.hurt_some(harm, some).await;
                done += some.len();
                println!("{harm:?}: {done} of {number} moments in {} s", started.elapsed().as_secs());
            }
        }
        self.assert_nothing_lies_about().await;
    }

    async fn hurt_some(&mut self, harm: Harm, moments: &[Moment]) {
        let cases = self.prepare(moments).await;
        if cases[0].moment.operation.misses_a_host() {
            self.far.stop_server().await;
        }
        let begin = join_all(cases.iter().map(|case| case.begin(self)));
        let begun = self.watched(&cases, begin).await;
        if cases[0].moment.operation == Operation::CatchUp {
            self.far.start_server().await;
        }
        self.watched(&cases, join_all(begun.iter().map(|begun| begun.held(self)))).await;
        match harm {
            Harm::Kill => {
                self.kill(&cases).await;
                self.open(&cases).await;
                self.restart(&cases).await;
            }
            Harm::Again => self.open(&cases).await,
            Harm::HostDown => self.without_hosts(&cases, &begun).await,
            Harm::FolderShut => self.without_folders(&cases, &begun).await,
            Harm::NeverRecorded => {
                self.watched(&cases, self.all_failed(&begun, "STORAGE_UNAVAILABLE")).await;
                self.open(&cases).await;
            }
        }
        self.end(harm, &cases, &begun).await;
    }

    /// No gates: SIGKILL after so many milliseconds, and again as often as there are any.
    pub async fn hurt_at(&mut self, lives: &[u64], moments: &[Moment]) {
        let cases = self.prepare(moments).await;
        let begun = self.watched(&cases, join_all(cases.iter().map(|case| case.ask(self)))).await;
        for life in lives {
            let life = tokio::time::sleep(Duration::from_millis(*life));
            self.watched(&cases, life).await;
            self.kill(&cases).await;
            self.restart(&cases).await;
        }
        self.end(Harm::Kill, &cases, &begun).await;
        self.assert_nothing_lies_about().await;
    }

    pub async fn prepare(&self, moments: &[Moment]) -> Vec<Case> {
        let prepared = moments.iter().map(|moment| {
            let account = self.new_account();
            Case::prepare(self, account, moment.clone())
        });
        let cases = join_all(prepared).await;
        for key in cases.iter().flat_map(|case| case.key.iter().chain(&case.old)) {
            self.remember(key);
        }
        cases
    }

    pub async fn end(&self, harm: Harm, cases: &[Case], begun: &[Begun]) {
        if cases[0].moment.operation == Operation::LeaveBehind {
            let left = cases.iter().zip(begun).map(|(case, begun)| case.is_left_behind(self, begun));
            self.watched(cases, join_all(left)).await;
            self.far.start_server().await;
        }
        let ended = join_all(cases.iter().zip(begun).map(|(case, begun)| case.ended(self, begun)));
        let ended = self.watched(cases, ended).await;
        let checked = cases.iter().zip(begun).zip(&ended).map(async |((case, begun), ended)| {
            if ended["state"] == "succeeded" {
                let fails = harm == Harm::NeverRecorded || case.moment.operation == Operation::TurnBack;
                assert!(!fails, "it cannot have succeeded: {ended}");
                return case.check(self, begun, ended).await;
            }
            assert!(may_fail(harm, case, ended), "{harm:?} {:?}: {ended}", case.moment);
            case.check_undone(self, ended).await;
            let again = case.ask(self).await;
            let ended = case.ended(self, &again).await;
            assert_eq!(ended["state"], "succeeded", "asked for again: {ended}");
            case.check(self, &again, &ended).await;
        });
        self.watched(cases, join_all(checked)).await;
    }

    pub async fn kill(&mut self, cases: &[Case]) {
        let Self { world, far, gates, .. } = self;
        let watched = Watched::of([&world.host, far], gates, cases);
        watched.during(world.keywright.kill9()).await;
        watched.once().await;
    }

    pub async fn restart(&mut self, cases: &[Case]) {
        let Self { world, far, gates, .. } = self;
        let watched = Watched::of([&world.host, far], gates, cases);
        watched.during(world.keywright.restart()).await.unwrap();
    }

    async fn open(&self, cases: &[Case]) {
        for case in cases {
            self.gates.open(&case.account, &case.moment.gate).await;
        }
    }

    async fn without_hosts(&self, cases: &[Case], begun: &[Begun]) {
        for host in [&self.world.host, &self.far] {
            host.stop_server().await;
        }
        self.open(cases).await;
        self.all_failed(begun, "HOST_UNREACHABLE").await;
        for host in [&self.world.host, &self.far] {
            host.start_server().await;
        }
    }

    async fn without_folders(&self, cases: &[Case], begun: &[Begun]) {
        self.set_folders(cases, 0o500);
        self.open(cases).await;
        self.watched(cases, self.all_failed(begun, "HOST_FILE_READ_ONLY")).await;
        self.set_folders(cases, 0o700);
    }

    fn set_folders(&self, cases: &[Case], mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        for case in cases {
            for host in [&self.world.host, &self.far] {
                let folder = host.home(&case.account).join(".ssh");
                std::fs::set_permissions(folder, std::fs::Permissions::from_mode(mode)).unwrap();
            }
        }
    }

    /// Before the promotion it has begun to lead back; after it, the step has failed at least once.
    async fn all_failed(&self, begun: &[Begun], reason: &str) {
        let failed = |it: &Value| {
            let promoted = it["promotedAt"].is_string();
            let steps = it["steps"].as_array().unwrap();
            if promoted { steps.iter().any(|step| step["reason"] == reason) } else { it["reason"] == reason }
        };
        let waiting = begun.iter().map(async |it| {
            self.world.keywright.wait_for(&it.work_path(), LIMIT, failed).await;
        });
        join_all(waiting).await;
    }

    pub async fn watched<T>(&self, cases: &[Case], doing: impl Future<Output = T>) -> T {
        Watched::of([&self.world.host, &self.far], &self.gates, cases).during(doing).await
    }

    pub async fn assert_nothing_lies_about(&self) {
        let hosts = [&self.world.host, &self.far];
        let secrets = self.secrets.take();
        secrets.assert_nowhere(&self.world, &hosts).await;
        self.secrets.replace(secrets);
        let temporary = entries_below(&self.world.keywright.tmp_dir());
        assert_eq!(temporary, Vec::<PathBuf>::new(), "temporary files of Keywright's");
        for (host, root) in hosts.into_iter().zip(&self.roots) {
            assert_eq!(host.read_authorized_keys("root").as_ref(), Some(root), "root's own file");
            let ours = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().contains("keywright-");
            let left = ["/home", "/root"].map(|folder| entries_below(&host.outside(folder))).concat();
            assert_eq!(left.iter().find(|path| ours(path)), None, "of an edit");
        }
    }
}

/// What is hurt may fail where that is all that it could do, and where it has had all its tries.
fn may_fail(harm: Harm, case: &Case, ended: &Value) -> bool {
    let tries = |name: &str| step(ended, name).and_then(|step| step["attempts"].as_i64());
    let tired = ["generate", "hold", "account", "install", "prove", "promote"].map(tries);
    case.moment.operation == Operation::TurnBack
        || !matches!(harm, Harm::Kill | Harm::Again)
        || tired.into_iter().flatten().any(|tries| tries >= 5)
}
