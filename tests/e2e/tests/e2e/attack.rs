//! The account that swaps its `.ssh` for a link to root's while Keywright edits gains nothing.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use keywright_e2e::access::has_ended;
use keywright_e2e::{LIMIT, Sshd, Stores, World};
use keywright_kit::eventually;
use serde_json::json;

/// Between two swaps: without a pause hardly an edit comes through, with longer ones most do.
const PACES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(3), Duration::from_millis(15), Duration::from_millis(60)];
const UNDER_ATTACK: Duration = Duration::from_secs(6);

#[tokio::test]
async fn swapping_ssh_for_a_link_gains_nothing_on_an_openssh_host() {
    attack(World::new(Stores::Embedded, Sshd::OpenSsh).await).await;
}

#[tokio::test]
async fn swapping_ssh_for_a_link_gains_nothing_on_a_dropbear_host() {
    attack(World::new(Stores::Embedded, Sshd::Dropbear).await).await;
}

async fn attack(world: World) {
    let access = world.provision_existing("eve", "").await;
    let mut key = access.download().await;
    let before = snapshot(&world.host.outside("/root"));
    let uid = world.host.account("eve").unwrap().uid;
    let mut swaps = 0;

    for pace in PACES {
        let attacker = Swapper::start(world.host.home("eve"), uid, pace);
        let rotation = access.start_rotation(json!({"gracePeriod": "0s", "dropGraceKey": true})).await;
        let path = format!("/api/rotations/{rotation}");
        eventually(UNDER_ATTACK, async || has_ended(&world.keywright.get(&path).await.json)).await;
        swaps += attacker.end();

        let ended = world.keywright.wait_for(&path, LIMIT, has_ended).await;
        if ended["state"] == "succeeded" {
            key = access.download().await;
        } else {
            assert_eq!(ended["state"], "failed", "{ended}");
        }
        assert!(access.opens(&key).await, "the attacker locked himself out for good: {ended}");
    }

    assert!(swaps > 100, "the attacker swapped only {swaps} times");
    assert_eq!(snapshot(&world.host.outside("/root")), before, "root's files changed");
    let roots: Vec<PathBuf> = owned_by_root(&world.host.home("eve"));
    assert_eq!(roots, Vec::<PathBuf>::new(), "root wrote below the account's home");
    access.rotate("3600s").await;
    assert!(access.opens(&access.download().await).await);
}

/// Swaps until it is ended.
struct Swapper {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicU32>,
    thread: std::thread::JoinHandle<()>,
}

impl Swapper {
    fn start(home: PathBuf, uid: u32, pace: Duration) -> Self {
        let (stop, swaps) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let (stopped, count) = (Arc::clone(&stop), Arc::clone(&swaps));
        let thread = std::thread::spawn(move || {
            let (ssh, aside) = (home.join(".ssh"), home.join("aside"));
            while !stopped.load(Ordering::Relaxed) {
                let _ = std::fs::rename(&ssh, &aside);
                let _ = symlink("/root/.ssh", &ssh);
                let _ = lchown(&ssh, Some(uid), Some(uid));
                std::thread::yield_now();
                let _ = std::fs::remove_file(&ssh);
                let _ = std::fs::rename(&aside, &ssh);
                count.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(pace);
            }
        });
        Self { stop, swaps, thread }
    }

    fn end(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.swaps.load(Ordering::Relaxed)
    }
}

/// Inode, mode, owner, time and content of everything below a folder.
type Snapshot = BTreeMap<PathBuf, (u64, u32, u32, i64, Vec<u8>)>;

fn snapshot(folder: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, meta) = (entry.path(), entry.metadata().unwrap());
        let content = if meta.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        if meta.is_dir() {
            found.extend(snapshot(&path));
        }
        found.insert(path, (meta.ino(), meta.mode(), meta.uid(), meta.mtime_nsec(), content));
    }
    found
}

fn owned_by_root(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let meta = std::fs::symlink_metadata(entry.path()).unwrap();
        if meta.uid() == 0 {
            found.push(entry.path());
        }
        if meta.is_dir() {
            found.extend(owned_by_root(&entry.path()));
        }
    }
    found
}
