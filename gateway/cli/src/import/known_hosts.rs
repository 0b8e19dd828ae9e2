//! Host keys by host. A hashed name cannot be read, and a pattern is no machine.

use ssh_key::known_hosts::{HostPatterns, KnownHosts};

use super::{Found, Listed, SSH, is_same_host, port};

pub fn read(text: &str) -> Listed {
    let mut listed = Listed::default();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        // One at a time: a line that cannot be read takes no other with it.
        match KnownHosts::new(line).next() {
            Some(Ok(entry)) => {
                let key = entry.public_key();
                let told = match (entry.marker(), entry.host_patterns()) {
                    (Some(marker), _) => Err(format!("{marker:?} says no key of one host")),
                    (None, HostPatterns::HashedName { .. }) => Err("its name is hashed".to_owned()),
                    (None, HostPatterns::Patterns(names)) => host(names),
                };
                match (told, ssh_key::PublicKey::new(key.key_data().clone(), "").to_openssh()) {
                    (Ok((host, port)), Ok(key)) => add(&mut listed, host, port, key),
                    (Err(why), _) => listed.skip(entry_of(line), why),
                    (_, Err(_)) => listed.skip(entry_of(line), "its key cannot be written down"),
                }
            }
            _ => listed.skip(entry_of(line), "it is no line of known_hosts, or its key is of no known kind"),
        }
    }
    listed
}

/// The line up to its key.
fn entry_of(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

/// The first name is the host's; the others are the same machine by other names.
fn host(names: &[String]) -> Result<(String, u16), String> {
    let name = names.first().map(String::as_str).unwrap_or_default();
    if name.is_empty() || name.contains(['*', '?', '!']) {
        return Err("it is a pattern and no one host".to_owned());
    }
    match name.strip_prefix('[').and_then(|rest| rest.split_once("]:")) {
        Some((host, text)) => Ok((host.to_owned(), port(text)?)),
        None => Ok((name.to_owned(), SSH)),
    }
}

fn add(listed: &mut Listed, host: String, port: u16, key: String) {
    let there = listed.found.iter_mut().find(|it| it.port == port && is_same_host(&it.host, &host));
    if let Some(server) = there {
        if !server.host_keys.contains(&key) {
            server.host_keys.push(key);
        }
        return;
    }
    let name = if port == SSH { host.clone() } else { format!("{host}-{port}") };
    listed.found.push(Found { name, host, port, host_keys: vec![key], ..Found::default() });
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";
    const ECDSA: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBHwf2HMM5TRXvo2SQJjsNkiDD5KqiiNjrGVv3UUh+mMT5RHxiRtOnlqvjhQtBq0VpmpCV/PwUdhOig4vkbqAcEc=";

    #[test]
    fn keys_are_gathered_by_host_and_port() {
        let text = format!(
            "# by ssh-keyscan\nweb-1,192.0.2.1 {ED25519} a comment\nWEB-1 {ECDSA}\n[web-1]:2222 {ED25519}\n\
             |1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= {ED25519}\n*.example.com {ED25519}\n\
             @cert-authority web {ED25519}\nweb-2 ssh-magic AAAA\n"
        );
        let listed = read(&text);
        let found: Vec<(&str, u16, usize)> =
            listed.found.iter().map(|it| (it.name.as_str(), it.port, it.host_keys.len())).collect();
        assert_eq!(found, [("web-1", 22, 2), ("web-1-2222", 2222, 1)]);
        assert_eq!(listed.found[0].host_keys[0], ED25519);
        assert_eq!(listed.skipped.len(), 4, "{:?}", listed.skipped);
    }
}
