//! Networks that do not carry a connection, or carry it on one of two ways: each test in a network, and with a file of
//! names, of its own, so that the machine's stay as they are.

use std::process::Command;
use std::time::Duration;

use crate::rig::{World, assert_failed_at, assert_healthy, check, with_alice};
use keywright_kit::{HostOptions, KeyType, TestHost, free_port, keygen};
use keywright_proto::credential::Server;

/// Set within the namespaces.
const INSIDE: &str = "KEYWRIGHT_TEST_NETWORK";
/// A whole test ends by itself before that, whatever the network does.
const BOUND: Duration = Duration::from_secs(45);

/// The network: loopback, and networks that are there in name only. The last of them takes every packet and answers none.
const NETWORK: &str = "
    busybox ip link set lo up
    busybox ip route add unreachable 198.51.100.0/24
    busybox ip route add prohibit 203.0.113.0/24
    busybox ip route add 198.18.0.0/15 dev lo
    mount -t tmpfs tmpfs /mnt
    printf '%s\\n' '127.0.0.1 localhost' '::1 two-v4' '127.0.0.1 two-v4' '127.0.0.2 two-v6' '::1 two-v6' \
        '198.18.0.1 two-filtered' '127.0.0.1 two-filtered' '::1 two-closed' '127.0.0.2 two-closed' \
        '169.254.169.254 two-forbidden' '127.0.0.1 two-forbidden' '127.0.0.1 web.example.test' >/mnt/hosts
    mount --bind /mnt/hosts /etc/hosts
";

/// Begins a test once more, alone in such a network, and waits for its end. True for the one in there.
pub fn is_alone(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    let script = format!("{NETWORK}\nexec \"$0\" \"$1\" --exact --nocapture");
    let mut unshare = Command::new("unshare");
    unshare.args(["--net", "--mount", "sh", "-euc", &script]).arg(std::env::current_exe().unwrap()).arg(test);
    let output = unshare.env(INSIDE, "1").output().expect("apt-get install util-linux busybox-static");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
    print!("{said}");
    false
}

#[tokio::test]
async fn table_of_addresses_without_a_path() {
    if !is_alone("networks::table_of_addresses_without_a_path") {
        return;
    }
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let closed = free_port().unwrap();
    for (cause, address, port, code) in [
        ("no route", "192.0.2.1", 22, "NETWORK_UNREACHABLE"),
        ("no IPv6 route", "2001:db8::1", 22, "NETWORK_UNREACHABLE"),
        ("a router that knows no way", "198.51.100.1", 22, "NETWORK_UNREACHABLE"),
        ("a router that forbids it", "203.0.113.1", 22, "NETWORK_UNREACHABLE"),
        ("a filter that drops it", "198.18.0.1", 22, "CONNECT_TIMEOUT"),
        ("nobody listens", "127.0.0.1", closed.number(), "CONNECTION_REFUSED"),
        ("nobody listens on IPv6", "::1", closed.number(), "CONNECTION_REFUSED"),
        ("nobody listens on either address", "two-closed", closed.number(), "CONNECTION_REFUSED"),
    ] {
        let server = world.register_at(address, port, &[]);
        let test =
            tokio::time::timeout(BOUND, world.test_once(&server, &key, "alice")).await.expect("no end");
        println!("{cause:<36} {address:<16} {code}");
        assert_failed_at(&test, "tcp", code);
        let tried = &check(&test, "tcp").metadata["address"];
        assert!(tried.ends_with(&format!(":{port}")), "{tried}");
    }
    // One forbidden address makes the name forbidden.
    let server = world.register_at("two-forbidden", 22, &[]);
    assert_failed_at(&world.test_once(&server, &key, "alice").await, "dns", "TARGET_NOT_ALLOWED");
}

#[tokio::test]
async fn table_of_names_with_two_addresses() {
    if !is_alone("networks::table_of_names_with_two_addresses") {
        return;
    }
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let line = key.public_line();
    let v4 = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &line);
    let v6 = with_alice(TestHost::openssh(HostOptions::default().ipv6()).await.unwrap(), &line);
    for (name, host, reached) in
        [("two-v4", &v4, "127.0.0.1"), ("two-v6", &v6, "[::1]"), ("two-filtered", &v4, "127.0.0.1")]
    {
        let server = world.register_at(name, host.port(), &host.host_keys());
        let test = world.test_once(&server, &key, "alice").await;
        assert_healthy(&test);
        let addresses = &check(&test, "dns").metadata["addresses"];
        println!("{name:<16} {addresses:<24} reached at {reached}");
        assert_eq!(addresses.split(", ").count(), 2, "{addresses}");
        assert_eq!(check(&test, "tcp").metadata["address"], format!("{reached}:{}", host.port()));
    }
}

#[tokio::test]
async fn a_server_that_is_registered_by_its_ipv6_address_is_healthy() {
    let world = World::new().await;
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let options = HostOptions::default().ipv6();
    for host in [
        TestHost::openssh(options.clone()).await.unwrap(),
        TestHost::dropbear(options.clone()).await.unwrap(),
    ] {
        let host = with_alice(host, &key.public_line());
        let server: Server = world.register_at("::1", host.port(), &host.host_keys());
        let test = world.test_once(&server, &key, "alice").await;
        assert_healthy(&test);
        assert_eq!(check(&test, "dns").metadata["addresses"], "::1");
        assert_eq!(check(&test, "tcp").metadata["address"], format!("[::1]:{}", host.port()));
    }
}
