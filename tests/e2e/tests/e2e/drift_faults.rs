//! Scans and repairs that are cut off, doubled or lied to.

use keywright_e2e::authorized_keys::lines_of;
use keywright_e2e::world::{create_tenant, manage, options, owner, register};
use keywright_e2e::{LIMIT, Sshd, Stores, World, text};
use keywright_kit::{HostOptions, KeyType, Keywright, KeywrightOptions, TestHost, eventually, keygen};
use reqwest::Method;
use serde_json::{Value, json};

/// Stands between root's log-in and every script: writes down what is asked, and lies as /run/lie says. `hold scan`: the
/// script waits until that is gone.
const LIAR: &str = r#"#!/bin/sh
case $SSH_ORIGINAL_COMMAND in *'read -r s;eval'*) ;; *) exec /bin/sh -c "$SSH_ORIGINAL_COMMAND" ;; esac
IFS= read -r script
IFS= read -r asked
what=${asked##* } lie=
echo "$(date +%s%N) $what" >>/run/asked
[ ! -e /run/lie ] || read -r lie </run/lie
key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIPbaS/iuVj9IRmaMukuTljARFnVOiq6NYabJkFQmB/T1"
case $lie in
  "hold $what")
    : >/run/held
    while [ -e /run/lie ]; do sleep 0.05; done
    ;;
  endless) echo @@keywright && exec yes "account=1:a" ;;
  long) echo @@keywright && exec head -c 30000000 /dev/zero ;;
  junk)
    echo @@keywright
    head -c 3000000 /dev/urandom
    printf '\nresult=done\n@@end\n'
    exit 0
    ;;
  many)
    echo @@keywright
    seq 5000 | sed 's/.*/account=&:u&/'
    printf 'result=done\n@@end\n'
    exit 0
    ;;
  heavy)
    echo @@keywright
    for n in 1 2 3 4 5 6 7 8 9; do
      printf 'account=%s:u%s\na.ready=yes\na.file=/home/u%s/.ssh/authorized_keys\na.base64=' "$n" "$n" "$n"
      yes "$key $n" | head -c 1040000 | base64 -w 0
      echo
    done
    printf 'result=done\n@@end\n'
    exit 0
    ;;
  dead) exit 1 ;;
esac
{ printf '%s\n%s\n' "$script" "$asked"; cat; } | /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"#;

/// A world whose host can lie.
async fn lying(options: KeywrightOptions, database: Option<String>) -> World {
    let host = HostOptions::default()
        .config("Match User root")
        .config("ForceCommand /usr/local/bin/liar")
        .program("/usr/local/bin/liar", LIAR);
    let (keywright, host) = tokio::join!(Keywright::start(options), TestHost::openssh(host));
    let (keywright, host) = (keywright.unwrap(), host.unwrap());
    let bootstrap = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("root", format!("{}\n", bootstrap.public_line()));
    let tenant = create_tenant(&keywright, "Acme").await;
    let (invitation, owner_token) = owner(&keywright, &tenant).await;
    let server = register(&keywright, &tenant, &host, "web-1").await;
    manage(&keywright, &server, &bootstrap).await;
    World {
        keywright,
        host,
        sshd: Sshd::OpenSsh,
        database,
        tenant,
        server,
        owner_token,
        invitation,
        bootstrap,
    }
}

fn every(seconds: u32) -> KeywrightOptions {
    KeywrightOptions::default().arg("--key-scan-interval").arg(seconds.to_string())
}

fn lies(world: &World, how: &str) {
    std::fs::write(world.host.outside("/run/lie"), format!("{how}\n")).unwrap();
}

fn is_honest(world: &World) {
    std::fs::remove_file(world.host.outside("/run/lie")).unwrap();
}

/// When each script of this name was begun, in nanoseconds.
fn asked(world: &World, what: &str) -> Vec<i128> {
    let text = std::fs::read_to_string(world.host.outside("/run/asked")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| line.split_once(' '));
    lines.filter(|(_, name)| *name == what).map(|(at, _)| at.parse().unwrap()).collect()
}

async fn repair(world: &World, access: &str) {
    let path = format!("/api/policies/tenants/{}/ssh-access/{access}", world.tenant);
    let body = json!({"policy": {"driftAction": "repair"}});
    world.keywright.operator().send(Method::PUT, &path, Some(body), &[]).await.success();
}

fn peak_megabytes(world: &World) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", world.keywright.pid().unwrap())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

/// What a host says is bounded in bytes, accounts and keys, and costs nobody else anything.
#[tokio::test]
async fn table_of_lies_that_a_host_tells() {
    let world = lying(KeywrightOptions::default(), None).await;
    let access = world.provision().await;
    let path = format!("/api/servers/{}/keys/scan", world.server);
    println!("lie       status  answer    peak MB, {} before", peak_megabytes(&world));
    for how in ["endless", "long", "junk", "many", "heavy", "dead"] {
        lies(&world, how);
        let answer = world.keywright.post(&path, json!({})).await;
        println!(
            "{how:8}  {}  {} {} bytes  {}",
            answer.status,
            answer.reason(),
            answer.bytes.len(),
            peak_megabytes(&world)
        );
        match how {
            "junk" => assert_eq!(answer.status, 200, "{}", answer.json),
            "many" | "heavy" => {
                let keys = answer.json["keys"].as_array().map_or(0, Vec::len);
                assert!(answer.json["truncated"] == true && keys <= 10_001, "{how}: {keys} keys");
                assert!(answer.json["accounts"].as_array().is_none_or(|all| all.len() <= 1_000));
                assert!(answer.bytes.len() < 16_000_000, "{how}: {} bytes", answer.bytes.len());
            }
            _ => assert_eq!(answer.status, 409, "{how}: {}", answer.json),
        }
        is_honest(&world);
    }
    let scan = world.keywright.post(&path, json!({})).await.success();
    assert_eq!((&scan["drift"], &scan["truncated"]), (&json!(0), &json!(false)), "{scan}");
    assert!(
        scan["keys"].as_array().unwrap().iter().any(|key| key["accessId"] == access.id.as_str()),
        "{scan}"
    );
    assert!(
        !world.keywright.logs().contains("AAAAC3NzaC1lZDI1NTE5AAAAIPbaS"),
        "what a host says is in the log"
    );
    assert!(peak_megabytes(&world) < 1_000);
}

#[tokio::test]
async fn a_scan_that_dies_with_its_server_keeps_nobody_from_the_next() {
    let mut world = lying(KeywrightOptions::default(), None).await;
    world.provision().await;
    lies(&world, "hold scan");
    let path = format!("/api/servers/{}/keys", world.server);
    let scan = format!("{path}/scan");
    let token = world.keywright.operator_token();
    let dying = world.keywright.cli_running_as(&token, &["server", "keys", &world.server, "--scan"]);
    assert!(eventually(LIMIT, async || world.host.outside("/run/held").exists()).await);
    world.keywright.kill9().await;
    drop(dying);
    world.keywright.restart().await.unwrap();
    is_honest(&world);
    assert_eq!(world.keywright.get(&path).await.success()["scannedAt"], Value::Null, "nothing was seen");
    let again = eventually(LIMIT, async || world.keywright.post(&scan, json!({})).await.status == 200).await;
    assert!(again, "{}", world.keywright.logs());
}

/// Whatever of a repair was done: afterwards our line is there once and works, and foreign lines are as they were.
#[tokio::test]
async fn a_repair_that_dies_with_its_server_is_finished_by_the_next() {
    let mut world = lying(every(1), None).await;
    let theirs = format!("# mine\n{} me@home\n", keygen(KeyType::Ed25519, "").await.unwrap().public_line());
    let (id, public, key) = {
        let access = world.provision_existing("alice", &theirs).await;
        (access.id.clone(), text(&access.show().await, "/publicKey"), access.download().await)
    };
    repair(&world, &id).await;
    for moment in ["hold inspect", "hold edit"] {
        lies(&world, moment);
        world.host.write_authorized_keys("alice", &theirs);
        let held = world.host.outside("/run/held");
        let reached = eventually(LIMIT, async || held.exists()).await;
        assert!(
            reached,
            "{moment} was not reached:\n{:?}",
            std::fs::read_to_string(world.host.outside("/run/asked"))
        );
        world.keywright.kill9().await;
        std::fs::remove_file(&held).unwrap();
        is_honest(&world);
        world.keywright.restart().await.unwrap();
        let back = eventually(LIMIT, async || lines_of(&world.host, "alice", &public).len() == 1).await;
        assert!(back, "{moment}: {}", world.keywright.logs());
        let path = format!("/api/servers/{}/keys", world.server);
        world.keywright.wait_for(&path, LIMIT, |scan| scan["drift"] == 0).await;
        let file = String::from_utf8(world.host.read_authorized_keys("alice").unwrap()).unwrap();
        assert!(file.starts_with(&theirs), "{file}");
    }
    assert!(keywright_kit::ssh(&world.host, "alice", &key.path(), "true").await.ok());
    let folder = world.host.home("alice").join(".ssh");
    let left: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["authorized_keys"], "a temporary file or a lock was left");
}

#[tokio::test]
async fn two_replicas_look_at_a_server_once_a_period() {
    const PERIOD: u32 = 3;
    let folder = tempfile::tempdir().unwrap();
    let (options, database) = options(Stores::External).await;
    let options =
        options.data_dir(&folder.path().join("data")).arg("--key-scan-interval").arg(PERIOD.to_string());
    let world = lying(options.clone(), database).await;
    let _second = Keywright::start(options).await.unwrap();
    world.provision().await;
    let before = asked(&world, "scan").len();
    assert!(
        eventually(LIMIT, async || asked(&world, "scan").len() >= before + 5).await,
        "{}",
        world.keywright.logs()
    );
    let times = asked(&world, "scan");
    let gaps: Vec<i128> = times.windows(2).map(|pair| (pair[1] - pair[0]) / 1_000_000).collect();
    // The next is due a period after the last was recorded, which is after it was begun.
    assert!(
        gaps.iter().all(|gap| *gap >= i128::from(PERIOD) * 1_000),
        "milliseconds between looks: {gaps:?}"
    );
}

/// Accounts come and go while they are listed, homes vanish: what is seen is what was there.
#[tokio::test]
async fn accounts_that_vanish_while_they_are_looked_at_spoil_no_scan() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let line = keygen(KeyType::Ed25519, "").await.unwrap().public_line();
    let script = "cp /etc/passwd /run/passwd; (while [ ! -e /run/stop ]; do n=0; while [ $n -lt 40 ]; do n=$((n + 1)); \
                  mkdir -p /home/v$n/.ssh; echo \"$1\" >/home/v$n/.ssh/authorized_keys; chown -R 3$n:3$n /home/v$n; \
                  echo \"v$n:x:3$n:3$n::/home/v$n:/bin/sh\" >>/etc/passwd; done; rm -rf /home/v[0-9]*; \
                  cp /run/passwd /etc/passwd.old; mv /etc/passwd.old /etc/passwd; done) >/dev/null 2>&1 &";
    world.host.exec(&["sh", "-c", script, "sh", &line]).await.success();
    for _ in 0..4 {
        let path = format!("/api/servers/{}/keys/scan", world.server);
        let scan = world.keywright.post(&path, json!({})).await.success();
        let keys = scan["keys"].as_array().unwrap();
        let ours = keys.iter().filter(|key| key["accessId"] == access.id.as_str()).count();
        assert_eq!((ours, &scan["drift"]), (1, &json!(0)), "{scan}");
    }
    std::fs::write(world.host.outside("/run/stop"), "").unwrap();
}

#[tokio::test]
async fn an_account_that_is_gone_is_missing_its_key() {
    let world = World::embedded().await;
    let access = world.provision().await;
    let home = world.host.home(&access.account);
    let passwd = world.host.outside("/etc/passwd");
    let text = std::fs::read_to_string(&passwd).unwrap();
    let rest: String = text
        .lines()
        .filter(|line| !line.starts_with(&access.account))
        .map(|line| format!("{line}\n"))
        .collect();
    std::fs::write(&passwd, rest).unwrap();
    std::fs::remove_dir_all(home).unwrap();
    let path = format!("/api/servers/{}/keys/scan", world.server);
    let scan = world.keywright.post(&path, json!({})).await.success();
    let missing = scan["keys"].as_array().unwrap().iter().filter(|key| key["class"] == "missing").count();
    assert_eq!((missing, &scan["drift"]), (1, &json!(1)), "{scan}");
}

/// Somebody answers for a foreign key of the account whose key is replaced meanwhile.
#[tokio::test]
async fn adoption_and_rotation_do_not_meet() {
    let world = World::embedded().await;
    let foreign = keygen(KeyType::Ed25519, "").await.unwrap();
    let theirs = format!("{} me@home\n", foreign.public_line());
    let access = world.provision_existing("alice", &theirs).await;
    let keys = format!("/api/servers/{}/keys", world.server);
    world.keywright.post(&format!("{keys}/scan"), json!({})).await.success();
    let body = json!({"account": "alice", "fingerprint": foreign.fingerprint().await, "owner": "CI team"});
    let adopting = async {
        for _ in 0..10 {
            world.keywright.post(&format!("{keys}/adopt"), body.clone()).await.success();
            world.keywright.post(&format!("{keys}/scan"), json!({})).await;
        }
    };
    let ((), ()) = tokio::join!(adopting, async {
        access.rotate("0s").await;
    });
    let scan = world.keywright.post(&format!("{keys}/scan"), json!({})).await.success();
    let of = |class: &str| {
        scan["keys"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|key| key["account"] == "alice" && key["class"] == class)
            .count()
    };
    assert_eq!((of("tracked"), of("managed"), of("orphan"), of("missing")), (1, 1, 0, 0), "{scan}");
    let file = String::from_utf8(world.host.read_authorized_keys("alice").unwrap()).unwrap();
    assert!(file.starts_with(&theirs), "{file}");
}
