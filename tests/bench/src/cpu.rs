//! CPU time of process trees by control groups: sshd's monitor ends without reaping its child, so that the times of
//! `wait` miss most of it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// A control group; what its processes start belongs to it too.
pub struct Group {
    path: PathBuf,
    unified: bool,
}

impl Group {
    pub fn new(name: &str) -> Self {
        let unified = fs::exists("/sys/fs/cgroup/cgroup.controllers").unwrap_or(false);
        let root = if unified { "/sys/fs/cgroup" } else { "/sys/fs/cgroup/cpuacct" };
        let path = PathBuf::from(root).join(format!("keywright-bench-{}-{name}", std::process::id()));
        fs::create_dir(&path)
            .expect("control groups cannot be made here: run as root, with cgroup v2 or cpuacct");
        Self { path, unified }
    }

    pub fn add(&self, pid: u32) {
        fs::write(self.path.join("cgroup.procs"), pid.to_string())
            .expect("adding a process to a control group");
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
        let _ = fs::remove_dir(&self.path);
    }
}
