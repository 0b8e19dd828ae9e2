//! An account that swaps its `.ssh` for a link to root's during the edits gains nothing.

use std::os::unix::fs::{MetadataExt, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use super::super::Host;
use super::super::digest::FileVersion;
use super::super::edit::{Edit, Edited};
use super::super::failure::HostFailure;
use super::super::files::FileState;
use super::super::shell::local::LocalShell;
use super::setup::*;

/// How many edits are attacked: hundreds, and thousands in the full run.
fn edits() -> usize {
    if std::env::var_os("KEYWRIGHT_TEST_FULL").is_some() { 4000 } else { 200 }
}

const ROOTS: &str = "# root's own file\n";

/// Swaps until it is dropped; counts.
struct Attacker {
    stop: Arc<AtomicBool>,
    swaps: Arc<AtomicU32>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Attacker {
    fn start(home: PathBuf, uid: u32) -> Self {
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
            }
        });
        Self { stop, swaps, thread: Some(thread) }
    }

    fn end(mut self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        self.swaps.load(Ordering::Relaxed)
    }
}

fn owned_by_root(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let meta = std::fs::symlink_metadata(entry.path()).unwrap();
        if meta.uid() == 0 {
            found.push(entry.path());
        }
        if meta.is_dir() {
            owned_by_root(&entry.path(), found);
        }
    }
}

async fn replace_by_the_same(shell: &LocalShell) -> Result<Edited, HostFailure> {
    let edit = Edit {
        path: "/home/alice/.ssh/authorized_keys",
        expected: &FileVersion::of(ROOTS.as_bytes()),
        owner: &owner(),
        revision: 1,
        overruled: None,
        bytes: ROOTS.as_bytes(),
    };
    Host::local(shell, &CLOCK).edit(&alice(), edit).await
}

async fn under_attack(shell: LocalShell) {
    let host = shell.host();
    host.write_authorized_keys("root", ROOTS);
    // The same bytes, so that an edit that is led astray finds what it expects.
    host.write_authorized_keys("alice", ROOTS);
    let root_ssh = host.outside("/root/.ssh");
    let before = std::fs::metadata(root_ssh.join("authorized_keys")).unwrap();
    let uid = host.account("alice").unwrap().uid;
    let attacker = Attacker::start(host.home("alice"), uid);
    let mut done = 0usize;
    for _ in 0..edits() {
        // Whether it meets the account's own folder or is refused is chance.
        done += usize::from(replace_by_the_same(&shell).await.is_ok());
    }
    let swaps = attacker.end();
    println!("{} edits under {swaps} swaps: {done} done, the others refused", edits());
    assert!(swaps > 1000, "the attacker hardly swapped");
    let after = std::fs::metadata(root_ssh.join("authorized_keys")).unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec(), before.mode()),
        (after.ino(), after.mtime_nsec(), after.mode())
    );
    assert_eq!(std::fs::read_dir(&root_ssh).unwrap().count(), 1);
    let mut roots = Vec::new();
    owned_by_root(&host.home("alice"), &mut roots);
    assert_eq!(roots, Vec::<PathBuf>::new());
    // Left alone, the same edit of the same file is done: it was the attack that it failed by, where it failed.
    for folder in [".ssh", "aside"] {
        let _absent = std::fs::remove_dir_all(host.home("alice").join(folder));
    }
    host.write_authorized_keys("alice", ROOTS);
    replace_by_the_same(&shell).await.unwrap();
}

#[tokio::test]
async fn swapping_the_folder_for_roots_gains_nothing_with_setpriv() {
    under_attack(one_shell().await).await;
}

#[tokio::test]
async fn swapping_the_folder_for_roots_gains_nothing_with_su() {
    under_attack(each_shell().await.pop().unwrap()).await;
}

/// Shows that the attack is one: it wins against the same scripts if they stay root.
#[tokio::test]
async fn the_same_swapping_beats_scripts_that_stay_root() {
    let mut shell = one_shell().await;
    shell.replace("if [ \"$drop\" = root ] || only_root_changes \"$1\"; then", "if true; then");
    let host = shell.host();
    host.write_authorized_keys("root", ROOTS);
    host.write_authorized_keys("alice", ROOTS);
    let file = host.outside("/root/.ssh/authorized_keys");
    let before = std::fs::metadata(&file).unwrap().ino();
    let attacker = Attacker::start(host.home("alice"), host.account("alice").unwrap().uid);
    let mut beaten = false;
    for _ in 0..2000 {
        let _ = replace_by_the_same(&shell).await;
        beaten = std::fs::metadata(&file).unwrap().ino() != before;
        if beaten {
            break;
        }
    }
    attacker.end();
    assert!(beaten);
}

#[tokio::test]
async fn the_judgement_that_root_may_write_there_follows_no_link_of_an_account() {
    let shell = one_shell().await;
    shell.host().write_authorized_keys("root", ROOTS);
    symlink("/root/.ssh", shell.host().home("alice").join(".ssh")).unwrap();
    let file = &default_facts(&shell).files[0];
    let found = Host::local(&shell, &CLOCK).read_file(&alice(), file).await.unwrap();
    assert!(found.link && !found.central, "{found:?}");
    assert!(!matches!(found.state, FileState::Regular(_)), "root's file was read for the account");
}
