//! A process of its own on the shared database: reads deeds line by line, does them beside each other, answers.

use super::deed::{Answer, Deed};
use crate::tests::world::{World, person};
use keywright_domain::caller::{Caller, Principal, Role, ServiceName};
use keywright_domain::ids::{PrincipalId, TenantId};
use keywright_storage::Source;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::oneshot;

/// The test by which a worker process is entered.
const ENTRY: &str = "tests::races::a_broken_promise_is_seen";

const SETUP: &str = "KEYWRIGHT_RACES_WORKER";
const MARK: &str = "race> ";
const LIMIT: Duration = Duration::from_secs(120);

#[derive(Serialize, Deserialize)]
pub enum Place {
    Directory(PathBuf),
    Postgres(String),
}

#[derive(Serialize, Deserialize)]
struct Setup {
    place: Place,
    tenant: String,
    owner: String,
}

#[derive(Serialize, Deserialize)]
struct Order {
    number: u64,
    /// Microseconds to wait first: another interleaving.
    pause: u64,
    deed: Deed,
}

#[derive(Serialize, Deserialize)]
struct Reply {
    number: u64,
    answer: Answer,
}

/// The tenant's owner, the same person in every process.
pub fn owner(tenant: &TenantId, id: &PrincipalId) -> Caller {
    Caller {
        principal: Principal::person(id, Role::TenantOwner, Some(tenant.clone())),
        ..person(Role::TenantOwner, Some(tenant), ServiceName::Gateway)
    }
}

type Waiting = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Answer>>>>;

pub struct Worker {
    child: tokio::sync::Mutex<Child>,
    input: tokio::sync::Mutex<ChildStdin>,
    waiting: Waiting,
    next: AtomicU64,
}

impl Worker {
    pub fn start(place: &Place, tenant: &TenantId, owner: &PrincipalId) -> Self {
        let place = match place {
            Place::Directory(path) => Place::Directory(path.clone()),
            Place::Postgres(url) => Place::Postgres(url.clone()),
        };
        let setup = Setup { place, tenant: tenant.to_string(), owner: owner.to_string() };
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([ENTRY, "--exact", "--nocapture"])
            .env(SETUP, serde_json::to_string(&setup).unwrap())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let waiting = Waiting::default();
        let answered = waiting.clone();
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let Some((_, text)) = line.split_once(MARK) else { continue };
                let reply: Reply = serde_json::from_str(text).unwrap();
                let waiter = answered.lock().unwrap().remove(&reply.number).unwrap();
                let _gone = waiter.send(reply.answer);
            }
        });
        Self {
            child: tokio::sync::Mutex::new(child),
            input: tokio::sync::Mutex::new(input),
            waiting,
            next: AtomicU64::new(0),
        }
    }

    /// SIGKILL, and waits for the end.
    pub async fn kill(&self) {
        self.child.lock().await.kill().await.unwrap();
    }

    pub async fn order(&self, pause: u64, deed: Deed) -> Answer {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let (sender, receiver) = oneshot::channel();
        self.waiting.lock().unwrap().insert(number, sender);
        let mut line = serde_json::to_vec(&Order { number, pause, deed }).unwrap();
        line.push(b'\n');
        let mut input = self.input.lock().await;
        input.write_all(&line).await.unwrap();
        input.flush().await.unwrap();
        drop(input);
        tokio::time::timeout(LIMIT, receiver).await.expect("no answer in time").expect("the process ended")
    }
}

/// In a process that was started as a worker: until its input ends. False in any other.
pub async fn serve() -> bool {
    let Ok(setup) = std::env::var(SETUP) else { return false };
    let setup: Setup = serde_json::from_str(&setup).unwrap();
    let world = Arc::new(match setup.place {
        Place::Directory(path) => World::at(Source::Directory(path)).await,
        Place::Postgres(url) => World::at(Source::Postgres(url)).await,
    });
    let (tenant, id) = (TenantId::parse(&setup.tenant).unwrap(), PrincipalId::parse(&setup.owner).unwrap());
    let (sender, mut lines) = tokio::sync::mpsc::unbounded_channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            if sender.send(line.unwrap()).is_err() {
                return;
            }
        }
    });
    while let Some(line) = lines.recv().await {
        let order: Order = serde_json::from_str(&line).unwrap();
        let (world, caller) = (world.clone(), owner(&tenant, &id));
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_micros(order.pause)).await;
            let answer = order.deed.run(&world, &caller).await;
            let reply = serde_json::to_string(&Reply { number: order.number, answer }).unwrap();
            // One write: lines of other tasks do not run into it.
            println!("{MARK}{reply}");
        });
    }
    true
}
