//! The account's `authorized_keys`: whose line is whose.

use keywright_kit::TestHost;

use crate::World;

/// What a user may have written: comments, options, odd spaces, other people's keys, a line that is no key.
pub fn foreign_lines(public_line: &str, sshd: crate::Sshd) -> String {
    let options = match sshd {
        crate::Sshd::OpenSsh => "from=\"127.0.0.1,::1\",no-pty",
        crate::Sshd::Dropbear => "no-port-forwarding,no-pty",
    };
    format!(
        "# my own comment\n\n{public_line}\n  \t# indented,  odd   spaces \t\n{options} {public_line} robot\nnot a key at all\n"
    )
}

/// The lines of the account's file that hold this public key's blob.
pub fn lines_of(host: &TestHost, account: &str, public_key: &str) -> Vec<String> {
    let blob = public_key.split(' ').nth(1).unwrap();
    let bytes = host.read_authorized_keys(account).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap();
    text.lines().filter(|line| line.contains(blob)).map(str::to_owned).collect()
}

/// What is left of the account's file without Keywright's lines and its own comment line.
pub fn without_ours(world: &World, account: &str) -> String {
    foreign_on(&world.host, account)
}

/// The same of any host.
pub fn foreign_on(host: &TestHost, account: &str) -> String {
    let bytes = host.read_authorized_keys(account).unwrap_or_default();
    let text = String::from_utf8(bytes).unwrap();
    text.split_inclusive('\n').filter(|line| !line.contains("keywright:acc_")).collect()
}
