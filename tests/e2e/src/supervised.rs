//! A program that ends with the value, or with the test, however that ends.
//!
//! Invariant: a small shell waits for the end of its own input, which the kernel closes even when the test is killed.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

const SUPERVISOR: &str = r#"signal=$1; shift
"$@" & program=$!
cat >/dev/null
kill -"$signal" "$program" 2>/dev/null
wait "$program""#;

#[derive(Debug)]
pub struct Supervised {
    shell: Child,
}

impl Supervised {
    /// Starts `program` with `arguments`; its output goes to the end of the file `log`, `signal` ends it.
    pub fn start(home: &Path, log: &Path, signal: &str, program: &Path, arguments: &[String]) -> Self {
        let open = || std::fs::File::options().create(true).append(true).open(log).unwrap();
        let mut command = clean_command(home, "sh");
        command.args(["-c", SUPERVISOR, "supervisor", signal]).arg(program).args(arguments);
        let shell = command.stdin(Stdio::piped()).stdout(open()).stderr(open()).spawn().unwrap();
        Self { shell }
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// A command without this person's settings, in a home of its own.
pub fn clean_command(home: &Path, program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(home).env("HOME", home);
    // What starts built binaries is to start those of this build.
    if let Some(target) = built().parent() {
        command.env("CARGO_TARGET_DIR", target);
    }
    for (name, _) in std::env::vars() {
        if ["KEYWRIGHT_", "OTEL_", "XDG_", "SSH_"].iter().any(|prefix| name.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// The folder of the binaries: the one above the test's, unless the environment names another.
pub fn binaries() -> PathBuf {
    std::env::var_os("KEYWRIGHT_TEST_BINARIES").map_or_else(built, PathBuf::from)
}

fn built() -> PathBuf {
    std::env::current_exe().unwrap().parent().and_then(Path::parent).unwrap().to_path_buf()
}
