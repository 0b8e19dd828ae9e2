//! Reaching a server through others: each has its own key and its own host keys.

use keywright_domain::key::PrivateKey;
use keywright_ssh::{ExecLimits, FailureCode, Identity, JumpHost, Stage, Target};

use crate::hosts::{Host, dialer, dropbear, failure, free_port, key, openssh, root};

struct Way {
    host: Host,
    key: PrivateKey,
}

fn way(start: impl Fn(&[crate::hosts::Line<'_>]) -> Host, options: &str) -> Way {
    let key = key("ed25519");
    Way { host: start(&[(options, key.public())]), key }
}

impl Way {
    fn hop(self, name: &str) -> (Host, JumpHost) {
        let jump_host = JumpHost {
            name: name.to_owned(),
            target: self.host.target(),
            known: self.host.host_keys.as_slice().into(),
            identity: root(self.key),
        };
        (self.host, jump_host)
    }
}

#[tokio::test]
async fn a_server_is_reached_through_two_others_and_each_saw_its_own_login() {
    let (outer, first) = way(|keys| openssh(keys, ""), "").hop("outer");
    let (inner, second) = way(dropbear, "").hop("inner");
    let end = way(|keys| openssh(keys, ""), "");
    let through = dialer().through(&[first, second]);
    let identity = root(end.key);
    let connected = through.connect(&end.host.target(), &end.host.host_keys, &identity).await.unwrap();
    assert_eq!(connected.session.local().port(), 0, "only the last jump host knows it");
    let said = connected.session.exec("echo $SSH_CONNECTION", b"", ExecLimits::default()).await.unwrap();
    assert!(String::from_utf8(said.stdout).unwrap().contains(&end.host.port.to_string()));
    let big: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let wide = ExecLimits { output: 4_000_000, ..ExecLimits::default() };
    // In both directions at once.
    assert!(connected.session.exec("cat", &big, wide).await.unwrap().stdout == big);
    outer.log_with("Accepted publickey for root").await;
    inner.log_with("Pubkey auth succeeded for 'root'").await;
    connected.session.close().await;
    end.host.log_with("Received disconnect from").await;
    // Nothing stays open behind.
    outer.log_with("Closing connection to").await;
    // What needs no login, or several connections, takes the same way.
    let (target, key) = (end.host.target(), &identity.public_key);
    assert!(through.prove_offer(&target, &end.host.host_keys, "root", key).await.unwrap().accepted);
    assert_eq!(through.scan_host_keys(&target).await.unwrap().keys.len(), 3);
}

#[tokio::test]
async fn what_fails_on_the_way_names_the_jump_host_and_the_stage() {
    let end = way(|keys| openssh(keys, ""), "");
    let identity = root(end.key);
    let target = end.host.target();
    let known = &end.host.host_keys;

    let (_held, mut stranger) = way(|keys| openssh(keys, ""), "").hop("bastion");
    stranger.identity = root(key("ed25519"));
    let error = dialer().through(&[stranger]).connect(&target, known, &identity).await.err().unwrap();
    let found = failure(error);
    assert_eq!((found.code, found.stage), (FailureCode::AuthenticationRejected, Stage::Tcp));
    assert_eq!((found.fact("jumpHost"), found.fact("jumpStage")), (Some("bastion"), Some("authentication")));
    assert!(found.message.starts_with("At the jump host bastion: "), "{}", found.message);

    let (_held, mut changed) = way(|keys| openssh(keys, ""), "").hop("bastion");
    changed.known = known.as_slice().into();
    let found = failure(dialer().through(&[changed]).connect(&target, known, &identity).await.err().unwrap());
    assert_eq!((found.code, found.fact("jumpStage")), (FailureCode::HostKeyMismatch, Some("host-key")));

    for options in ["restrict", "permitopen=\"127.0.0.1:1\""] {
        let (_held, closed) = way(|keys| openssh(keys, ""), options).hop("bastion");
        let error = dialer().through(&[closed]).connect(&target, known, &identity).await.err().unwrap();
        let found = failure(error);
        assert_eq!(found.code, FailureCode::SessionRefused, "{options}");
        assert_eq!(found.fact("jumpStage"), Some("forward"), "{options}");
        assert!(found.remedy.contains("AllowTcpForwarding"), "{}", found.remedy);
    }

    let (_held, open) = way(|keys| openssh(keys, ""), "").hop("bastion");
    let nobody = Target::new("127.0.0.1", free_port());
    let through = dialer().through(&[open]);
    let found = failure(through.connect(&nobody, known, &identity).await.err().unwrap());
    assert_eq!(found.code, FailureCode::NetworkUnreachable);
    // Behind a jump host the same addresses are forbidden.
    let found =
        failure(through.connect(&Target::new("169.254.169.254", 22), known, &identity).await.err().unwrap());
    assert_eq!((found.code, found.stage), (FailureCode::TargetNotAllowed, Stage::Dns));
    assert!(!end.host.log().contains("Accepted"), "{}", end.host.log());
}

#[tokio::test]
async fn the_target_is_still_judged_by_its_own_host_keys() {
    let (_held, open) = way(|keys| openssh(keys, ""), "").hop("bastion");
    let end = way(|keys| openssh(keys, ""), "");
    let others = [key("ed25519").public().clone()];
    let connecting = dialer().through(&[open]);
    let identity = Identity::one_time("root", end.key);
    let found = failure(connecting.connect(&end.host.target(), &others, &identity).await.err().unwrap());
    assert_eq!((found.code, found.fact("jumpHost")), (FailureCode::HostKeyMismatch, None));
}
