//! A process in which nothing happens but Keywright's own client, `lib/ssh`, so that its CPU time and its memory can
//! be told from everything else.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::key::{PrivateKey, PublicKey};
use keywright_domain::secret::Secret;
use keywright_kit::eventually;
use keywright_ssh::{Dialer, ExecLimits, Identity, Target, Timeouts};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::errand::Errand;
use crate::logins::dialer;

/// What makes this program that process.
pub const WORD: &str = "client";
/// Logins that are held before memory is looked at: what is made once has been made by then.
const FIRST: usize = 16;
/// What a held session runs where the server runs anything.
pub const FOREVER: &str = "sleep 3600";
const HOUR: Duration = Duration::from_secs(3600);

/// The program itself, to be started with what it is to do: `login`, `handshake` or `hold`.
pub fn program(what: &str) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(std::env::current_exe().unwrap());
    command.args([WORD, what]);
    command
}

#[derive(Clone)]
struct Client {
    dialer: Dialer,
    targets: Arc<Vec<Target>>,
    pins: Arc<Vec<PublicKey>>,
    identity: Identity,
    command: Arc<str>,
}

pub async fn run(what: Option<&str>) {
    let errand = Errand::told();
    let client = Client::new(&errand);
    println!("ready");
    next_line();
    match what {
        Some("login") => at_once(&errand, |number| client.clone().login(number)).await,
        Some("handshake") => at_once(&errand, |number| client.clone().handshake(number)).await,
        Some("hold") => return hold(&errand, &client).await,
        _ => panic!("{WORD} login, handshake or hold"),
    }
    println!("done");
}

async fn at_once<F: Future<Output = ()> + Send + 'static>(errand: &Errand, one: impl Fn(usize) -> F) {
    let mut running = JoinSet::new();
    for number in 0..errand.count {
        if running.len() == errand.parallel {
            running.join_next().await.unwrap().unwrap();
        }
        running.spawn(one(number));
    }
    running.join_all().await;
}

/// Says how many bytes of memory each login took: resident ones, and of these the anonymous ones.
async fn hold(errand: &Errand, client: &Client) {
    let slots = Arc::new(Semaphore::new(errand.parallel));
    let mut held = JoinSet::new();
    let mut before = Memory::default();
    for number in 0..FIRST + errand.count {
        if number == FIRST {
            settled(&slots, errand.parallel).await;
            before = Memory::now();
        }
        let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
        let client = client.clone();
        held.spawn(async move { client.hold(number, slot).await });
    }
    settled(&slots, errand.parallel).await;
    let after = Memory::now();
    assert!(held.try_join_next().is_none(), "a held session has ended");
    let each = |bytes: fn(&Memory) -> i64| (bytes(&after) - bytes(&before)) / errand.count as i64;
    println!("done {} {}", each(|it| it.resident), each(|it| it.anonymous));
    next_line();
    // Nobody waits for ten thousand farewells.
    std::process::exit(0);
}

/// Waits until all are logged in, and nothing is left to do.
async fn settled(slots: &Semaphore, all: usize) {
    drop(slots.acquire_many(u32::try_from(all).unwrap()).await.unwrap());
    let rests = eventually(Duration::from_secs(60), async || {
        let before = ticks();
        tokio::time::sleep(Duration::from_millis(500)).await;
        ticks() - before <= 1
    });
    assert!(rests.await, "it does not come to rest");
}

impl Client {
    fn new(errand: &Errand) -> Self {
        let key = Secret::from_text(std::fs::read_to_string(&errand.key).unwrap());
        let known = std::fs::read_to_string(&errand.known_hosts).unwrap();
        let pins =
            known.lines().map(|line| PublicKey::parse_openssh(line.split_once(' ').unwrap().1).unwrap());
        // Servers that also hold what was logged in before answer late.
        let patient = Timeouts { handshake: HOUR, authentication: HOUR, ..Timeouts::default() };
        Self {
            dialer: dialer(patient),
            targets: Arc::new(errand.ports.iter().map(|port| Target::new(&errand.host, *port)).collect()),
            pins: Arc::new(pins.collect()),
            identity: Identity::one_time(&errand.account, PrivateKey::from_stored(&key).unwrap()),
            command: errand.command.as_str().into(),
        }
    }

    fn target(&self, number: usize) -> &Target {
        &self.targets[number % self.targets.len()]
    }

    async fn login(self, number: usize) {
        let connected = self.dialer.connect(self.target(number), self.pins.as_slice(), &self.identity).await;
        let session = connected.map_err(|error| error.to_string()).expect("a login").session;
        let output = session.exec(&self.command, b"", ExecLimits::default()).await.unwrap();
        assert!(output.succeeded());
        session.close().await;
    }

    /// Up to the verified host key.
    async fn handshake(self, number: usize) {
        let resolved = self.dialer.resolve(self.target(number)).await.unwrap().value;
        let dialed = self.dialer.dial(&resolved).await.unwrap().value;
        self.dialer.handshake(dialed, self.pins.as_slice()).await.unwrap().value.verify().unwrap();
    }

    /// Logs in, gives its slot to the next, and waits for a command that does not end.
    async fn hold(self, number: usize, slot: tokio::sync::OwnedSemaphorePermit) {
        let connected = self.dialer.connect(self.target(number), self.pins.as_slice(), &self.identity).await;
        let session = connected.map_err(|error| error.to_string()).expect("a login").session;
        drop(slot);
        let limits = ExecLimits { deadline: HOUR, ..ExecLimits::default() };
        session.exec(FOREVER, b"", limits).await.unwrap();
    }
}

/// Of this process, in bytes.
#[derive(Default)]
struct Memory {
    resident: i64,
    anonymous: i64,
}

impl Memory {
    fn now() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().split(' ').next().unwrap().parse::<i64>().unwrap() * 1024
        };
        Self { resident: bytes("VmRSS:"), anonymous: bytes("RssAnon:") }
    }
}

/// Waits for it, or for the end of the input. Whoever waits here has nothing else to do.
fn next_line() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// CPU time of this process, in the kernel's ticks.
fn ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[11..=12].iter().map(|field| field.parse::<u64>().unwrap()).sum()
}
