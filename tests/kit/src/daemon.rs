//! A server that ends with the value, or with the test process, however that ends.
//!
//! Invariant: a small shell stands between us and the server and waits for the end of its own input; the kernel
//! closes that pipe even when this process is killed.

use std::fs::File;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::error::{During, KitError};

const SUPERVISOR: &str = r#"signal=$1; folder=$2; shift 2
"$@" &
server=$!
cat >/dev/null
kill -"$signal" "$server" 2>/dev/null
wait "$server"
[ -z "$folder" ] || rm -rf -- "$folder""#;

/// A running server.
#[derive(Debug)]
pub(crate) struct Daemon {
    supervisor: Child,
}

impl Daemon {
    /// Starts `argv`; its output goes to the end of the file `log`; `signal` is what ends it. A folder named by
    /// `remove` goes after that: a static value is never dropped, and its folder would stay.
    pub(crate) fn start(
        argv: &[&str],
        log: &Path,
        signal: &str,
        remove: Option<&Path>,
    ) -> Result<Self, KitError> {
        let open = || File::options().create(true).append(true).open(log).during("opening a server's log");
        let supervisor = Command::new("sh")
            .args(["-c", SUPERVISOR, "keywright-test-daemon", signal])
            .arg(remove.unwrap_or(Path::new("")))
            .args(argv)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(open()?)
            .stderr(open()?)
            .spawn()
            .during("starting a server")?;
        Ok(Self { supervisor })
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        drop(self.supervisor.stdin.take());
        // The server is dead when this returns, so that its folder can go.
        let _ = self.supervisor.wait();
    }
}
