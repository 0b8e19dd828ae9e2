//! CPU time of process trees by control groups: sshd's monitor ends without reaping its child, so that the times of
//! `wait` miss most of it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use keywright_kit::eventually;

const PATIENCE: Duration = Duration::from_secs(60);
const WINDOW: Duration = Duration::from_millis(200);

/// A control group; what its processes start belongs to it too.
pub struct Group {
    path: PathBuf,
    unified: bool,
}

impl Group {
    pub fn new(name: &str) -> Self {
        let unified = fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false);
        let root = if unified { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/cpuacct" };
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path =
            PathBuf::from(root).join(format!("keywright-bench-{}-{number}-{name}", std::process::id()));
        fs::create_dir(&path)
            .expect("control groups cannot be made here: run as root, with cgroup v2 or cpuacct");
        Self { path, unified }
    }

    pub fn add(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
            .expect("adding a process to a control group");
    }

    pub fn processes(&self) -> usize {
        fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default().lines().count()
    }

    /// Waits until no more of them are left than there were: the ends of connections are work too.
    pub async fn settled(&self, processes: usize) {
        let settled = eventually(PATIENCE, async || self.processes() <= processes).await;
        assert!(settled, "{} processes are left of what were {processes}", self.processes());
    }

    /// Waits until there is next to nothing to do: what is put off is work too.
    pub async fn rests(&self) {
        let rests = eventually(PATIENCE, async || {
            let before = self.used();
            tokio::time::sleep(WINDOW).await;
            self.used() - before < WINDOW / 50
        });
        assert!(rests.await, "it does not come to rest");
    }

    pub fn used(&self) -> Duration {
        if self.unified {
            let text = fs::read_to_string(self.path.join("cpu.stat")).unwrap();
            let micros = text.lines().find_map(|line| line.strip_prefix("usage_usec ")).unwrap();
            Duration::from_micros(micros.parse().unwrap())
        } else {
            let text = fs::read_to_string(self.path.join("cpuacct.usage")).unwrap();
            Duration::from_nanos(text.trim().parse().unwrap())
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Its processes go back to the parent; a group with live ones cannot be removed.
        let parent = self.path.parent().unwrap().join("cgroup.procs");
        for pid in fs::read_to_string(self.path.join("cgroup.procs")).unwrap_or_default().lines() {
            let _ = fs::write(&parent, pid);
        }
        // The kernel may not have noticed yet that the last one is gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
