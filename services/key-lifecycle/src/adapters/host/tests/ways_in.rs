//! By which account the work is done: one with the shipped sudoers rule, one with all of sudo, the account itself.

use keywright_domain::account::AccountName;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_kit::{HostOptions, KeyType, Output, TestHost, keygen, ssh};

use super::super::script::HELPER;
use super::super::{Drop, Host, SessionCount, SessionScope};
use super::over_ssh::login;
use super::setup::{CLOCK, FOREIGN, alice, key, reason, wanted};

pub(super) const RULE: &str = include_str!("../../../../../../deploy/sudoers/keywright");
pub(super) const PROGRAM: &str = include_str!("../../../../../../deploy/sudoers/keywright-host");
/// As it was shipped before there was a program.
const OLDER_RULE: &str = r#"keywright ALL=(root) NOPASSWD: /bin/sh -c read -r s;eval "$(printf %b "$s")""#;

pub(super) fn as_shipped() -> HostOptions {
    HostOptions::default().sudoers(RULE).program(HELPER, PROGRAM)
}

pub(super) async fn with_people(host: TestHost) -> TestHost {
    host.add_user("keywright");
    host.add_user("alice");
    host
}

async fn each_server(options: HostOptions) -> [TestHost; 2] {
    [
        with_people(TestHost::openssh(options.clone()).await.unwrap()).await,
        with_people(TestHost::dropbear(options).await.unwrap()).await,
    ]
}

/// Installs a key for alice that the server takes, and takes it away again.
async fn does_all_the_work(host: &TestHost) {
    host.write_authorized_keys("alice", format!("{FOREIGN}\n"));
    let session = login(host, "keywright").await;
    let work = Host::new(&session, &CLOCK);
    let pair = keygen(KeyType::Ed25519, "").await.unwrap();
    let mut goal = wanted(1, vec![key(&pair.public_line(), 1)]);
    goal.all_blobs.push(goal.keys[0].public_key.blob().to_vec());
    let done = work.converge(&alice(), &goal).await.unwrap();
    assert_eq!((done.changed.len(), done.foreign_keys(), done.facts.drop), (1, 1, Drop::Setpriv));
    assert_eq!(done.facts.seen.unwrap().to_string(), "127.0.0.1");
    assert!(ssh(host, "alice", &pair.private_file(), "true").await.ok());
    (goal.revision, goal.keys) = (2, vec![]);
    work.converge(&alice(), &goal).await.unwrap();
    assert!(!ssh(host, "alice", &pair.private_file(), "true").await.ok());

    let name = AccountName::parse("tenant-abcd2345").unwrap();
    assert!(work.create_account(&name).await.unwrap().created);
    let ended = work.end_sessions(&alice(), SessionScope::All).await.unwrap();
    assert_eq!(ended.sessions, SessionCount::Ended(0));
    // Its own key file, as a management key is installed.
    let own = AccountName::parse("keywright").unwrap();
    let before = host.read_authorized_keys("keywright").unwrap();
    let mut goal = wanted(1, vec![key(&pair.public_line(), 1)]);
    goal.all_blobs.push(goal.keys[0].public_key.blob().to_vec());
    work.converge(&own, &goal).await.unwrap();
    assert!(host.read_authorized_keys("keywright").unwrap().starts_with(&before));
    assert!(ssh(host, "keywright", &pair.private_file(), "true").await.ok());
    session.close().await;
}

#[tokio::test]
async fn the_shipped_rule_and_program_do_all_the_work() {
    for host in each_server(as_shipped()).await {
        does_all_the_work(&host).await;
    }
}

#[tokio::test]
async fn all_of_sudo_and_the_older_rule_go_on_as_before() {
    for rule in ["keywright ALL=(ALL) NOPASSWD: ALL", OLDER_RULE] {
        let options = HostOptions::default().sudoers(format!("{rule}\n"));
        does_all_the_work(&with_people(TestHost::openssh(options).await.unwrap()).await).await;
    }
}

#[tokio::test]
async fn a_central_file_of_roots_is_edited_by_the_program() {
    let options = as_shipped().config("AuthorizedKeysFile /etc/ssh//keys.d/./%u");
    let host = with_people(TestHost::openssh(options).await.unwrap()).await;
    std::fs::create_dir(host.outside("/etc/ssh/keys.d")).unwrap();
    // The account's own key stands there, too.
    let pair = keygen(KeyType::Ed25519, "").await.unwrap();
    std::fs::write(host.outside("/etc/ssh/keys.d/keywright"), pair.public_line()).unwrap();
    let said = by_hand(&host, &pair, &asked_to_edit("alice", "/etc/ssh/keys.d/alice")).await;
    assert!(said.stdout.contains("result=done"), "{said:?}");
    assert_eq!(std::fs::read_to_string(host.outside("/etc/ssh/keys.d/alice")).unwrap(), "x\n");
    // Of a file that the server does not read keys from there is no editing.
    for path in ["/etc/cron.d/alice", "/etc/ssh/keys.d/keywright", "/home/alice/.ssh/authorized_keys"] {
        let said = by_hand(&host, &pair, &asked_to_edit("alice", path)).await;
        assert!(said.stdout.contains("result=failed"), "{path}: {said:?}");
        assert!(!host.outside(path).exists() || path.ends_with("keywright"), "{path}");
    }
}

pub(super) fn asked_to_edit(account: &str, path: &str) -> String {
    let (sha, md5) = (
        "73cb3858a687a8494ca3323053016282f3dad39d42cf62ca4e79dda2aac7d9ac",
        "401b30e3b8b5d629635a5c613cdb7919",
    );
    format!(
        "keywright 1 edit\naccount={account}\npath={path}\nsha=absent\nmd5=absent\nnew_sha={sha}\nnew_md5={md5}\n\
         tag=acc_x\nrev=1\noverruled=\ntoken=abc\n\nx\n"
    )
}

/// The program, run by hand with this input.
pub(super) async fn by_hand(host: &TestHost, pair: &keywright_kit::KeyPair, input: &str) -> Output {
    let quoted = input.replace('\'', r"'\''");
    ssh(host, "keywright", &pair.private_file(), &format!("printf %s '{quoted}' | sudo -n {HELPER}")).await
}

#[tokio::test]
async fn whoever_has_the_rule_gets_no_more_than_the_program_does() {
    let host = with_people(TestHost::openssh(as_shipped()).await.unwrap()).await;
    let pair = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("keywright", pair.public_line() + "\n");
    host.write_authorized_keys("root", "# root's own\n");
    for command in ["id -u", "/bin/sh -c id", &format!("{HELPER} x"), "-e /etc/passwd", "-u alice id"] {
        let said = ssh(&host, "keywright", &pair.private_file(), &format!("sudo -n {command}")).await;
        assert!(!said.ok() && said.stdout.is_empty(), "{command}: {said:?}");
    }
    let refused = [
        (asked_to_edit("root", "/root/.ssh/authorized_keys"), "account_not_allowed"),
        (asked_to_edit("daemon", "/usr/sbin/.ssh/authorized_keys"), "account_not_allowed"),
        (asked_to_edit("alice", "/etc/cron.d/x"), "failed"),
        (asked_to_edit("alice", "/home/alice/.ssh/../../../etc/cron.d/x"), "failed"),
        (asked_to_edit("alice;id", "/x"), "failed"),
        (asked_to_edit("alice", "/home/alice'; touch /tmp/got'"), "failed"),
        ("keywright 1 end_sessions\naccount=root\nall=yes\n\n".to_owned(), "account_not_allowed"),
        ("keywright 1 inspect\naccount=alice\nuntil=a[$(touch /tmp/got)]\n\n".to_owned(), "failed"),
        ("keywright 1 inspect\naccount=alice\nepoch=010\n\n".to_owned(), "failed"),
        ("keywright 1 inspect\naccount=alice\nfrom=$(touch /tmp/got)\n\n".to_owned(), "failed"),
        ("keywright 1 inspect\naccount=alice\nguard_pid=1\n\n".to_owned(), "failed"),
        ("keywright 1 inspect\naccount=alice\nepoch until=1\n\n".to_owned(), "failed"),
        ("keywright 1 inspect\naccount=alice\nPATH=/tmp\n\n".to_owned(), "failed"),
        ("keywright 1 log\naccount=root\nfingerprints=x\n\n".to_owned(), "account_not_allowed"),
        ("keywright 1 log\naccount=keywright\nfingerprints=root:\n\n".to_owned(), "failed"),
        ("keywright 1 log\naccount=keywright\nfingerprints=\n\n".to_owned(), "failed"),
        ("keywright 1 shell\naccount=alice\n\n".to_owned(), "helper_outdated"),
        ("keywright 2 inspect\naccount=alice\n\n".to_owned(), "helper_outdated"),
        (String::new(), "helper_outdated"),
    ];
    for (input, result) in refused {
        let said = by_hand(&host, &pair, &input).await;
        assert!(said.stdout.contains(&format!("result={result}\n")), "{input}: {said:?}");
    }
    assert_eq!(host.read_authorized_keys("root").unwrap(), b"# root's own\n");
    for path in ["/etc/cron.d/x", "/tmp/got"] {
        assert!(!host.outside(path).exists(), "{path}");
    }
    // By the way that Keywright takes.
    let session = login(&host, "keywright").await;
    let work = Host::new(&session, &CLOCK);
    let root = AccountName::parse("root").unwrap();
    assert_eq!(reason(work.converge(&root, &wanted(1, vec![])).await), Reason::AccountNotAllowed);
    assert!(work.inspect(&root).await.unwrap().account.unwrap().is_system());
}

/// The account runs the program below a shell that it calls `sshd`, and gives that a configuration of its own.
async fn below_a_server_of_its_own(program: &str) -> (TestHost, [Output; 2]) {
    let options = HostOptions::default().sudoers(RULE).program(HELPER, program);
    let host = with_people(TestHost::openssh(options).await.unwrap()).await;
    let pair = keygen(KeyType::Ed25519, "").await.unwrap();
    host.write_authorized_keys("keywright", pair.public_line() + "\n");
    let attack = async |keys_file: &str, input: &str| {
        let input = input.replace('\'', r"'\''");
        let command = format!(
            "cp /bin/sh ./sshd; printf %s '{input}' >./asked; ssh-keygen -q -t ed25519 -N '' -f ./key <&-; \
             echo \"HostKey $HOME/key\" >./config; echo 'AuthorizedKeysFile {keys_file}' >>./config; \
             ./sshd -c 'sudo -n {HELPER} <./asked; exit' own -f \"$HOME/config\""
        );
        ssh(&host, "keywright", &pair.private_file(), &command).await
    };
    let edited = attack("/etc/got/x", &asked_to_edit("alice", "/etc/got/x")).await;
    let read = attack("/etc/shadow", "keywright 1 read\naccount=alice\npath=/etc/shadow\n\n").await;
    (host, [edited, read])
}

#[tokio::test]
async fn a_server_that_an_account_made_up_opens_no_file_of_roots() {
    let (host, said) = below_a_server_of_its_own(PROGRAM).await;
    for said in said {
        assert!(said.stdout.contains("result=failed\n") && !said.stdout.contains("base64="), "{said:?}");
    }
    assert!(!host.outside("/etc/got").exists());
}

#[tokio::test]
async fn a_program_that_does_not_understand_us_is_as_good_as_none() {
    let older = PROGRAM.replace("keywright 1 ", "keywright 0 ");
    let options = HostOptions::default().sudoers(RULE).program(HELPER, older);
    let host = with_people(TestHost::openssh(options).await.unwrap()).await;
    let session = login(&host, "keywright").await;
    let work = Host::new(&session, &CLOCK);
    assert_eq!(reason(work.inspect(&alice()).await), Reason::SudoUnavailable);
}

#[tokio::test]
async fn an_account_works_on_its_own_file_without_root() {
    for host in each_server(HostOptions::default()).await {
        let session = login(&host, "alice").await;
        let work = Host::new(&session, &CLOCK);
        let before = host.read_authorized_keys("alice").unwrap();
        let pair = keygen(KeyType::Ed25519, "").await.unwrap();
        let mut goal = wanted(1, vec![key(&pair.public_line(), 1)]);
        goal.all_blobs.push(PublicKey::parse_openssh(&pair.public_line()).unwrap().blob().to_vec());
        let done = work.converge(&alice(), &goal).await.unwrap();
        assert_eq!((done.changed.len(), done.facts.drop), (1, Drop::NotNeeded));
        assert_eq!(done.facts.settings_read, host.log().contains("Accepted"), "sshd tells its settings");
        assert!(ssh(&host, "alice", &pair.private_file(), "true").await.ok());
        (goal.revision, goal.keys) = (2, vec![]);
        work.converge(&alice(), &goal).await.unwrap();
        assert!(!ssh(&host, "alice", &pair.private_file(), "true").await.ok());
        let left = host.read_authorized_keys("alice").unwrap();
        assert_eq!(left, [&before[..], b"# keywright:acc_test rev=2\n"].concat());

        // Another's file, a new account and the ending of sessions are root's affair.
        let other = AccountName::parse("keywright").unwrap();
        assert_eq!(reason(work.converge(&other, &goal).await), Reason::SudoUnavailable);
        assert_eq!(reason(work.create_account(&other).await), Reason::SudoUnavailable);
        let said = work.end_sessions(&alice(), SessionScope::All).await;
        assert_eq!(reason(said), Reason::SudoUnavailable);
    }
}

#[tokio::test]
async fn an_account_by_itself_changes_no_central_file() {
    let options = HostOptions::default().config("AuthorizedKeysFile /etc/ssh/keys.d/%u .ssh/authorized_keys");
    let host = with_people(TestHost::openssh(options).await.unwrap()).await;
    let central = host.outside("/etc/ssh/keys.d");
    std::fs::create_dir(&central).unwrap();
    std::fs::write(central.join("alice"), FOREIGN).unwrap();
    let session = login(&host, "alice").await;
    let work = Host::new(&session, &CLOCK);
    let goal = wanted(1, vec![key(super::setup::BLOB_A, 1)]);
    assert_eq!(reason(work.converge(&alice(), &goal).await), Reason::SudoUnavailable);
    assert_eq!(std::fs::read_to_string(central.join("alice")).unwrap(), FOREIGN);
}
