//! A BusyBox userland: every command of the host is an applet of one static binary.

use std::os::unix::fs::symlink;
use std::path::Path;

use tokio::process::Command;

use crate::error::{During, KitError};
use crate::process::{program, run_ok};

/// Commands that the SSH servers and process 1 of the host need under their own names.
const SERVERS: [&str; 2] = ["sshd", "dropbear"];

/// Fills `folder/busybox` with BusyBox, its applets, and the SSH servers that the machine has.
pub(super) async fn install(folder: &Path) -> Result<(), KitError> {
    let busybox = program("busybox", &[], "apt-get install busybox-static (tests/run does it)")?;
    let target = folder.join("busybox");
    std::fs::create_dir(&target).during("making a BusyBox userland")?;
    std::fs::copy(&busybox, target.join("busybox")).during("making a BusyBox userland")?;
    for applet in run_ok("busybox", Command::new(&busybox).arg("--list")).await?.lines() {
        if applet != "busybox" {
            symlink("busybox", target.join(applet)).during("making a BusyBox userland")?;
        }
    }
    for server in SERVERS {
        if let Ok(found) = program(server, &[], "") {
            std::fs::copy(found, target.join(server)).during("making a BusyBox userland")?;
        }
    }
    std::fs::remove_file(folder.join("etc/shells")).during("making a BusyBox userland")?;
    std::fs::write(folder.join("etc/shells"), "/bin/sh\n/bin/ash\n").during("making a BusyBox userland")?;
    root_shell(&folder.join("etc/passwd"))
}

/// There is no bash on such a host.
fn root_shell(passwd: &Path) -> Result<(), KitError> {
    let text = std::fs::read_to_string(passwd).during("making a BusyBox userland")?;
    std::fs::write(passwd, text.replace(":/bin/bash\n", ":/bin/sh\n")).during("making a BusyBox userland")
}
