//! What a configuration tool does: Ansible's `authorized_key`, over one shared connection with pipelining, which is its
//! best case. It puts the new line there and takes the old one away; it proves and records nothing.

use std::process::Stdio;

use keywright_kit::{KeyType, keygen};
use tokio::process::Command;
use tokio::time::Instant;

use crate::cpu::Group;
use crate::fixture::Fixture;
use crate::round::Round;

const PLAYBOOK: &str = "
- hosts: all
  gather_facts: false
  tasks:
    - ansible.posix.authorized_key: {user: '{{ account }}', key: '{{ new }}', state: present}
    - ansible.posix.authorized_key: {user: '{{ account }}', key: '{{ old }}', state: absent}
";

/// None where it is not installed.
pub async fn rotations(fixture: &Fixture, count: usize, parallel: usize) -> Option<Round> {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("play.yaml"), PLAYBOOK).unwrap();
    std::fs::write(at("known_hosts"), fixture.host.known_hosts()).unwrap();
    let mut inventory = String::new();
    for number in 0..count {
        let account = format!("play{number}");
        let (old, new) =
            (keygen(KeyType::Ed25519, "").await.unwrap(), keygen(KeyType::Ed25519, "").await.unwrap());
        if fixture.host.account(&account).is_none() {
            fixture.host.add_user(&account);
        }
        fixture.host.write_authorized_keys(&account, format!("{}\n", old.public_line()));
        let (old, new) = (old.public_line(), new.public_line());
        inventory += &format!("{account} account={account} old='{old}' new='{new}'\n");
    }
    inventory += &format!(
        "[all:vars]\nansible_host={}\nansible_port={}\nansible_user=root\nansible_ssh_private_key_file={}\n\
         ansible_python_interpreter=/usr/bin/python3\n",
        fixture.host.address(),
        fixture.host.port(),
        fixture.key.private_file().display()
    );
    std::fs::write(at("inventory"), inventory).unwrap();
    let options = format!(
        "-F none -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=yes \
         -o IdentitiesOnly=yes -o IdentityAgent=none -o KexAlgorithms={} -o ControlMaster=auto \
         -o ControlPersist=60s",
        at("known_hosts").display(),
        fixture.key_exchange
    );
    let cpu = Group::new("ansible");
    // Holds until it is counted.
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "read go; exec ansible-playbook -i inventory play.yaml"])
        .current_dir(folder.path())
        .env("HOME", folder.path())
        .env("ANSIBLE_FORKS", parallel.to_string())
        .env("ANSIBLE_PIPELINING", "True")
        .env("ANSIBLE_SSH_ARGS", options)
        .env("ANSIBLE_SSH_CONTROL_PATH_DIR", at("cp"))
        .env("ANSIBLE_NOCOWS", "1")
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = shell.spawn().unwrap();
    cpu.add(child.id().unwrap());
    let (host, begun) = (fixture.host_cpu.used(), Instant::now());
    drop(child.stdin.take());
    let output = child.wait_with_output().await.unwrap();
    let wall = begun.elapsed();
    if output.status.code() == Some(127) {
        return None;
    }
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said.matches("changed=2").count(), count, "{said}");
    Some(Round { count, wall, host: fixture.host_cpu.used() - host, client: cpu.used() })
}
