//! Ending sessions that real clients opened.

use std::time::Duration;

use keywright_domain::fingerprint::Fingerprint;
use keywright_kit::{HostOptions, KeyPair, KeyType, TestHost, eventually, keygen, ssh};

use super::super::shell::local::LocalShell;
use super::super::{Host, SessionCount, SessionScope};
use super::setup::*;

const LIMIT: Duration = Duration::from_secs(20);

async fn both() -> [LocalShell; 2] {
    [
        LocalShell::new(TestHost::openssh(HostOptions::default()).await.unwrap(), &["dash"]),
        LocalShell::new(
            TestHost::dropbear(HostOptions::default().busybox()).await.unwrap(),
            &["busybox", "sh"],
        ),
    ]
}

async fn fingerprint(key: &KeyPair) -> Fingerprint {
    Fingerprint::parse(&key.fingerprint().await).unwrap()
}

/// Two sessions by two keys; answers when `act` is done.
async fn with_two_sessions(shell: &LocalShell, act: impl AsyncFnOnce(Fingerprint)) {
    shell.host().add_user("alice");
    let old = keygen(KeyType::Ed25519, "").await.unwrap();
    let new = keygen(KeyType::Ed25519, "").await.unwrap();
    shell.host().write_authorized_keys("alice", format!("{}\n{}\n", old.public_line(), new.public_line()));
    let (old_file, new_file) = (old.private_file(), new.private_file());
    let old_session = ssh(shell.host(), "alice", &old_file, "trap '' TERM HUP; while :; do sleep 1; done");
    let new_session = ssh(shell.host(), "alice", &new_file, "exec sleep 600");
    let work = async {
        assert!(eventually(LIMIT, async || shell.host().sessions("alice").await.len() == 2).await);
        act(fingerprint(&old).await).await;
    };
    let clients = async {
        tokio::join!(old_session, new_session);
        std::future::pending::<()>().await;
    };
    tokio::select! { () = work => (), () = clients => () }
}

#[tokio::test]
async fn the_session_of_one_key_ends_and_the_other_goes_on() {
    for shell in both().await {
        with_two_sessions(&shell, async |old| {
            let host = Host::local(&shell, &CLOCK);
            let scope = [old];
            let ended = host.end_sessions(&alice(), SessionScope::OpenedBy(&scope)).await.unwrap();
            assert_eq!(ended.sessions, SessionCount::Ended(1));
            assert!(eventually(LIMIT, async || shell.host().sessions("alice").await.len() == 1).await);
            assert!(ended.processes.iter().any(|process| process.name == "sleep"), "{ended:?}");
            let again = host.end_sessions(&alice(), SessionScope::OpenedBy(&scope)).await.unwrap();
            assert_eq!(again.sessions, SessionCount::Ended(0));
        })
        .await;
    }
}

#[tokio::test]
async fn without_a_log_the_answer_is_unknown_and_nothing_ends() {
    for shell in both().await {
        with_two_sessions(&shell, async |old| {
            shell.host().exec(&["sh", "-c", ": >/run/host/server.log"]).await.success();
            let scope = [old];
            let host = Host::local(&shell, &CLOCK);
            let ended = host.end_sessions(&alice(), SessionScope::OpenedBy(&scope)).await.unwrap();
            assert_eq!(ended.sessions, SessionCount::Unknown { ended: 0 });
            assert_eq!(shell.host().sessions("alice").await.len(), 2);
        })
        .await;
    }
}

#[tokio::test]
async fn all_ends_every_session_and_every_process_of_the_account() {
    for shell in both().await {
        with_two_sessions(&shell, async |_| {
            let left_running =
                "setsid sh -c 'trap \"\" HUP TERM; while :; do sleep 1; done' >/dev/null 2>&1 </dev/null &";
            let script = format!("su -s /bin/sh -c \"{}\" alice", left_running.replace('"', "\\\""));
            shell.host().exec(&["sh", "-c", &script]).await;
            shell
                .host()
                .exec(&[
                    "sh",
                    "-c",
                    "mkdir -p /var/spool/cron/crontabs; echo x >/var/spool/cron/crontabs/alice",
                ])
                .await;
            let host = Host::local(&shell, &CLOCK);
            let ended = host.end_sessions(&alice(), SessionScope::All).await.unwrap();
            assert_eq!(ended.sessions, SessionCount::Ended(2));
            assert!(ended.crontab);
            assert!(eventually(LIMIT, async || shell.host().processes_of("alice").await.is_empty()).await);
        })
        .await;
    }
}

#[tokio::test]
async fn a_session_with_more_than_a_thousand_processes_ends_with_all_of_them() {
    for shell in both().await {
        shell.host().add_user("alice");
        let key = keygen(KeyType::Ed25519, "").await.unwrap();
        shell.host().write_authorized_keys("alice", format!("{}\n", key.public_line()));
        let many = "n=0; while [ $n -lt 1200 ]; do sleep 600 & n=$((n + 1)); done; : >many; wait";
        let file = key.private_file();
        let session = ssh(shell.host(), "alice", &file, many);
        let work = async {
            let started = async || shell.host().home("alice").join("many").exists();
            assert!(eventually(LIMIT, started).await);
            let scope = [fingerprint(&key).await];
            let host = Host::local(&shell, &CLOCK);
            let ended = host.end_sessions(&alice(), SessionScope::OpenedBy(&scope)).await.unwrap();
            assert_eq!((ended.sessions, ended.process_count), (SessionCount::Ended(1), 0));
            assert_eq!(shell.host().processes_of("alice").await, [0u32; 0]);
        };
        tokio::join!(session, work);
    }
}

#[tokio::test]
async fn what_keywright_itself_runs_there_is_nobodys() {
    for shell in both().await {
        shell.host().add_user("alice");
        let end = || async {
            let scope = [fingerprint(&keygen(KeyType::Ed25519, "").await.unwrap()).await];
            Host::local(&shell, &CLOCK).end_sessions(&alice(), SessionScope::OpenedBy(&scope)).await.unwrap()
        };
        converge(&shell, &wanted(1, vec![key(BLOB_A, 1)])).await.unwrap();
        assert_eq!(shell.host().processes_of("alice").await, [0u32; 0], "an edit leaves nothing running");
        assert_eq!(end().await.processes, []);
        // Another look of ours is at the account's files, and stays there.
        let mut beside = shell.beside();
        beside.only("inspect");
        beside.before("link=no", "[ -e /tmp/held ] || { mkfifo /tmp/hold; : >/tmp/held; cat /tmp/hold; }");
        let look = async { converge(&beside, &wanted(2, vec![])).await.map(drop) };
        let judge = async {
            let busy = async || !shell.host().processes_of("alice").await.is_empty();
            assert!(eventually(LIMIT, busy).await);
            assert_eq!(end().await.processes, []);
            shell.host().exec(&["sh", "-c", "until [ -p /tmp/hold ]; do :; done; : >/tmp/hold"]).await;
        };
        let (looked, ()) = tokio::join!(look, judge);
        looked.unwrap();
    }
}
