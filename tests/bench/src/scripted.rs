//! What people do without Keywright: the same steps by a shell script over `ssh`, at the same key exchange.
//!
//! The script makes a key, adds its line as root (temporary file, flush, rename), logs in with it, takes the old line
//! out the same way, and sees that the old key is refused. It locks, records and audits nothing.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::Instant;

use crate::cpu::Group;
use crate::fixture::Fixture;
use crate::round::Round;

const SCRIPT: &str = r#"
set -eu
number=$1
run() { ssh -F none -T -p "$PORT" -i "$1" -o UserKnownHostsFile="$KNOWN" -o GlobalKnownHostsFile=/dev/null \
  -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o LogLevel=ERROR \
  -o PreferredAuthentications=publickey -o KexAlgorithms="$KEX" "$2@$HOST" "$3"; }
user=script$number
old=$WORK/$user new=$WORK/$user.new
rm -f "$new" "$new.pub"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$new"
file=.ssh/authorized_keys
line=$(cat "$new.pub")
run "$ROOT" root "cd ~$user && umask 077 && { cat $file; echo '$line'; } >$file.new && sync $file.new \
  && chown $user: $file.new && mv $file.new $file && sync .ssh"
run "$new" "$user" true
gone=$(cut -d' ' -f2 "$old.pub")
run "$ROOT" root "cd ~$user && umask 077 && { grep -vF '$gone' $file || :; } >$file.new && sync $file.new \
  && chown $user: $file.new && mv $file.new $file && sync .ssh"
if run "$old" "$user" true 2>/dev/null; then echo "the old key of $user still works" >&2; exit 1; fi
mv -f "$new" "$old" && mv -f "$new.pub" "$old.pub"
"#;

/// `ssh` with one key, one known host, one key exchange.
pub struct Client {
    folder: TempDir,
}

impl Client {
    pub fn new(fixture: &Fixture) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("known_hosts"), fixture.host.known_hosts()).unwrap();
        Self { folder }
    }

    fn known_hosts(&self) -> PathBuf {
        self.folder.path().join("known_hosts")
    }

    pub async fn run(&self, fixture: &Fixture, user: &str, command: &str) {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-T", "-p", &fixture.host.port().to_string(), "-i"])
            .arg(fixture.key.private_file())
            .arg("-o")
            .arg(format!("UserKnownHostsFile={}", self.known_hosts().display()))
            .args(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes"])
            .args(["-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none", "-o", "BatchMode=yes"])
            .args(["-o", "PreferredAuthentications=publickey", "-o", "LogLevel=ERROR"])
            .args(["-o", &format!("KexAlgorithms={}", fixture.key_exchange)])
            .args([&format!("{user}@{}", fixture.host.address()), command])
            .env_remove("SSH_AUTH_SOCK")
            .stdin(Stdio::null());
        assert!(ssh.status().await.unwrap().success());
    }
}

/// `count` accounts at once, `parallel` scripts at a time.
pub async fn rotations(fixture: &Fixture, count: usize, parallel: usize) -> Round {
    let client = Client::new(fixture);
    let work = client.folder.path();
    std::fs::write(work.join("rotate.sh"), SCRIPT).unwrap();
    for number in 0..count {
        let user = format!("script{number}");
        let key = work.join(&user);
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
            .arg(&key)
            .status()
            .await
            .unwrap();
        assert!(made.success());
        if fixture.host.account(&user).is_none() {
            fixture.host.add_user(&user);
        }
        let line = std::fs::read_to_string(key.with_extension("pub")).unwrap();
        fixture.host.write_authorized_keys(&user, line);
    }
    let cpu = Group::new("script");
    // Holds until it is counted.
    let command =
        format!("read go; seq 0 {} | xargs -P {parallel} -n 1 sh {}/rotate.sh", count - 1, work.display());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", &command])
        .env("PORT", fixture.host.port().to_string())
        .env("HOST", fixture.host.address())
        .env("KNOWN", client.known_hosts())
        .env("KEX", &fixture.key_exchange)
        .env("WORK", work)
        .env("ROOT", fixture.key.private_file())
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    cpu.add(child.id().unwrap());
    let (host, begun) = (fixture.host_cpu.used(), Instant::now());
    drop(child.stdin.take());
    assert!(child.wait().await.unwrap().success(), "the scripted rotation failed");
    let wall = begun.elapsed();
    Round { count, wall, host: fixture.host_cpu.used() - host, client: cpu.used() }
}
