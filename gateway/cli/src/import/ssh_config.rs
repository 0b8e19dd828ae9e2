//! OpenSSH's client configuration: the first value of a setting counts, of the blocks whose patterns match.

use super::{Found, Listed, SSH, jump_host, port, words};

/// A `Host` with the settings that follow it, or what stands before the first.
struct Block {
    /// `None`: for every host.
    patterns: Option<Vec<String>>,
    settings: Vec<(String, String)>,
}

pub fn read(text: &str) -> Listed {
    let mut listed = Listed::default();
    let blocks = blocks(text, &mut listed);
    let mut aliases: Vec<&str> = Vec::new();
    for pattern in blocks.iter().filter_map(|block| block.patterns.as_ref()).flatten() {
        if !pattern.contains(['*', '?', '!']) && !aliases.contains(&pattern.as_str()) {
            aliases.push(pattern);
        }
    }
    for alias in aliases {
        match server(&blocks, alias) {
            Ok(found) => listed.found.push(found),
            Err(why) => listed.skip(alias, why),
        }
    }
    listed
}

fn blocks(text: &str, listed: &mut Listed) -> Vec<Block> {
    let mut blocks = vec![Block { patterns: None, settings: Vec::new() }];
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let end = line.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(line.len());
        let (keyword, rest) = line.split_at(end);
        let rest = rest.trim_start().strip_prefix('=').unwrap_or(rest);
        let values = words(rest);
        match keyword.to_ascii_lowercase().as_str() {
            "host" => blocks.push(Block { patterns: Some(values), settings: Vec::new() }),
            "match" => {
                listed.skip(line, "Match is not evaluated: what it sets is left out");
                blocks.push(Block { patterns: Some(Vec::new()), settings: Vec::new() });
            }
            "include" => listed.skip(line, "included files are not read: import each by itself"),
            keyword => {
                if let Some(block) = blocks.last_mut() {
                    block.settings.push((keyword.to_owned(), values.join(" ")));
                }
            }
        }
    }
    blocks
}

fn server(blocks: &[Block], alias: &str) -> Result<Found, String> {
    let first = |names: &[&str]| {
        let matching = blocks.iter().filter(|block| block.matches(alias));
        matching
            .flat_map(|block| &block.settings)
            .find(|(key, _)| names.contains(&key.as_str()))
            .map(|(key, value)| (key.as_str(), value.as_str()))
    };
    let setting = |name: &str| first(&[name]).map(|(_, value)| value);
    let is_none = |way: &str| way.eq_ignore_ascii_case("none");
    // Of these two the one that comes first counts; but `ProxyJump none` leaves a ProxyCommand as it is.
    let jump_host = match first(&["proxyjump", "proxycommand"]) {
        Some(("proxyjump", way)) if !is_none(way) => Some(jump_host(way)?),
        _ => match setting("proxycommand").filter(|way| !is_none(way)) {
            Some(way) => {
                return Err(format!(
                    "it is reached by the ProxyCommand {way:?}, and only ProxyJump is known"
                ));
            }
            None => None,
        },
    };
    let host = setting("hostname").unwrap_or("%h").replace("%h", alias).replace("%%", "%");
    if host.contains('%') {
        return Err(format!("its HostName is {host:?}"));
    }
    let port = setting("port").map_or(Ok(SSH), port)?;
    Ok(Found { name: alias.to_owned(), host, port, jump_host, ..Found::default() })
}

impl Block {
    fn matches(&self, alias: &str) -> bool {
        let Some(patterns) = &self.patterns else { return true };
        let mut matched = false;
        for pattern in patterns {
            match pattern.strip_prefix('!') {
                Some(excluded) if is_like(excluded, alias) => return false,
                Some(_) => {}
                None => matched |= is_like(pattern, alias),
            }
        }
        matched
    }
}

/// `*` stands for any letters, `?` for one.
fn is_like(pattern: &str, text: &str) -> bool {
    match pattern.split_at_checked(1) {
        None => pattern.is_empty() && text.is_empty(),
        Some(("*", rest)) => text
            .char_indices()
            .map(|(at, _)| at)
            .chain([text.len()])
            .any(|at| text.get(at..).is_some_and(|left| is_like(rest, left))),
        Some((one, rest)) => {
            let mut letters = text.chars();
            letters.next().is_some_and(|letter| one == "?" || one.starts_with(letter))
                && is_like(rest, letters.as_str())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const FILE: &str = r#"
# Ours
Port 2200
Host web-1 web-2 !web-3
    HostName = %h.example.com
    Port 22
Host "db one" db
    HostName "192.0.2.7"
Host far
    ProxyJump bastion
Host near
    ProxyJump none
Host long
    ProxyJump bastion,web-1
Host other
    ProxyJump root@bastion:22
Host no-jump
    ProxyJump none
    ProxyCommand nc -X 5 %h %p
Host piped
    ProxyCommand nc -X 5 %h %p
    ProxyJump bastion
Host web-*
    HostName never.example.com
Host * !db
    Port 99
Match host db exec "touch /tmp/no"
    HostName evil.example.com
Include other
Host last
"#;

    #[test]
    fn the_first_value_of_a_matching_block_counts() {
        let listed = read(FILE);
        let found: Vec<(&str, &str, u16)> =
            listed.found.iter().map(|it| (it.name.as_str(), it.host.as_str(), it.port)).collect();
        assert_eq!(
            found,
            [
                ("web-1", "web-1.example.com", 2200),
                ("web-2", "web-2.example.com", 2200),
                ("db one", "192.0.2.7", 2200),
                ("db", "192.0.2.7", 2200),
                ("far", "far", 2200),
                ("near", "near", 2200),
                ("last", "last", 2200),
            ]
        );
        let skipped: Vec<&str> = listed.skipped.iter().map(|it| it.entry.as_str()).collect();
        let left_out =
            [r#"Match host db exec "touch /tmp/no""#, "Include other", "long", "other", "no-jump", "piped"];
        assert_eq!(skipped, left_out);
        let why = |entry: &str| &listed.skipped.iter().find(|it| it.entry == entry).unwrap().why;
        assert!(why("long").contains("several jump hosts"), "{}", why("long"));
        assert!(why("other").contains("no user and no port"), "{}", why("other"));
        assert!(why("piped").contains("only ProxyJump is known"), "{}", why("piped"));
        let ways =
            listed.found.iter().filter_map(|it| it.jump_host.as_deref().map(|way| (it.name.as_str(), way)));
        assert_eq!(ways.collect::<Vec<_>>(), [("far", "bastion")]);
    }

    /// `ssh -G` says what it would connect to.
    #[test]
    fn openssh_reads_the_same() {
        let text = "Host a\n HostName 192.0.2.1\nHost a b c-1 !c-2\n Port 2222\nHost c-? d\n HostName %h.example.com\n \
                    Port=23\nHost *\n HostName last.example.com\nHost b\n Port 9\n ProxyJump a\nHost d\n \
                    ProxyCommand none\n ProxyJump a\n";
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config");
        std::fs::write(&file, text).unwrap();
        let listed = read(text);
        assert_eq!(listed.found.len(), 4);
        for server in listed.found {
            let output =
                Command::new("ssh").arg("-F").arg(&file).args(["-G", &server.name]).output().unwrap();
            let said = String::from_utf8(output.stdout).unwrap();
            let lines: Vec<&str> = said.lines().collect();
            assert!(lines.contains(&format!("hostname {}", server.host).as_str()), "{server:?}: {said}");
            assert!(lines.contains(&format!("port {}", server.port).as_str()), "{server:?}: {said}");
            let way = lines.iter().find_map(|line| line.strip_prefix("proxyjump "));
            assert_eq!(server.jump_host.as_deref(), way, "{server:?}: {said}");
        }
    }

    #[test]
    fn patterns() {
        for (pattern, text, like) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("w?b", "web", true),
            ("w?b", "wb", false),
        ] {
            assert_eq!(is_like(pattern, text), like, "{pattern} {text}");
        }
    }
}
