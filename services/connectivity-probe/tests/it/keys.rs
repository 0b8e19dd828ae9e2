//! Keys that no test begins with: each is told by its own name, and nobody is contacted.

use std::process::Command;

use crate::rig::{World, assert_failed_at};
use keywright_kit::free_port;
use keywright_proto::probe::{CreateConnectivityTestRequest, OneTimeCredential};

/// The text that a person sends, made in a folder with a key `k` by other people's tools.
fn made(commands: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let script = format!("ssh-keygen -q -t ecdsa -N '' -f k; {commands}; cat f");
    let output = Command::new("sh").args(["-euc", &script]).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "{commands}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn table_of_keys_that_are_refused() {
    let world = World::new().await;
    let port = free_port().unwrap();
    let server = world.register_at("127.0.0.1", port.number(), &[]);
    for (cause, commands, check, code) in [
        ("a sentence", "echo 'ssh-keygen makes a key' >f", "key", "KEY_UNPARSABLE"),
        ("a file without its last line", "sed '$d' k >f", "key", "KEY_TRUNCATED"),
        ("another kind of key", "openssl genpkey -algorithm ed448 -out f", "key", "KEY_UNSUPPORTED"),
        ("RSA of 1024 bits", "ssh-keygen -q -t rsa -b 1024 -N '' -f f", "key", "KEY_TOO_WEAK"),
        (
            "a costly derivation",
            "puttygen k -O private --new-passphrase k.pub --ppk-param passes=1,memory=1024 -o p; \
             sed 's/Passes: 1/Passes: 4000000000/' p >f",
            "key",
            "KEY_KDF_TOO_EXPENSIVE",
        ),
        ("the public half", "cp k.pub f", "key", "PUBLIC_KEY_GIVEN"),
        (
            "a certificate",
            "ssh-keygen -q -t ed25519 -N '' -f ca; ssh-keygen -q -s ca -I i -n u k.pub; cp k-cert.pub f",
            "key",
            "CERTIFICATE_GIVEN",
        ),
        ("two keys", "cat k k >f", "key", "MULTIPLE_KEYS"),
        (
            "another passphrase",
            "ssh-keygen -q -t ed25519 -N other -f f",
            "passphrase",
            "PASSPHRASE_INCORRECT",
        ),
    ] {
        let private_key = made(commands);
        let passphrase =
            if code == "PASSPHRASE_INCORRECT" || code == "KEY_KDF_TOO_EXPENSIVE" { "wrong" } else { "" };
        let one_time = OneTimeCredential {
            private_key,
            passphrase: passphrase.to_owned(),
            username: "alice".to_owned(),
        };
        let request = CreateConnectivityTestRequest {
            server_id: server.id.clone(),
            one_time: Some(one_time),
            ..Default::default()
        };
        println!("{cause:<32} {check:<12} {code}");
        assert_failed_at(&world.test(request).await.unwrap(), check, code);
    }
}
