//! An Ansible inventory: the INI form, or the JSON of `ansible-inventory --list`, which any inventory can be turned into.
//!
//! A host's own variable counts before its groups', a group's before those of the groups above it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{Found, Listed, SSH, jump_host, port, words};

/// More hosts than any range of an inventory stands for.
const MOST: usize = 100_000;

type Variables = BTreeMap<String, String>;

#[derive(Default)]
struct Inventory {
    /// In the order of the file.
    hosts: Vec<String>,
    variables: BTreeMap<String, Variables>,
    /// Groups by name: their hosts, their variables, the groups below them.
    groups: BTreeMap<String, Group>,
}

#[derive(Default)]
struct Group {
    hosts: Vec<String>,
    variables: Variables,
    children: Vec<String>,
}

pub fn read(text: &str) -> Result<Listed, String> {
    let start = text.trim_start();
    let mut listed = Listed::default();
    let inventory = if start.starts_with('{') {
        of_json(text)?
    } else if start.starts_with("---") || start.starts_with("all:") {
        return Err("it is YAML: give the output of `ansible-inventory --list -i FILE`".to_owned());
    } else {
        of_ini(text, &mut listed)?
    };
    for host in &inventory.hosts {
        match inventory.server(host) {
            Ok(found) => listed.found.push(found),
            Err(why) => listed.skip(host, why),
        }
    }
    Ok(listed)
}

impl Inventory {
    fn host(&mut self, name: &str) -> &mut Variables {
        if !self.variables.contains_key(name) {
            self.hosts.push(name.to_owned());
        }
        self.variables.entry(name.to_owned()).or_default()
    }

    /// Groups that have the host, the nearest first, `all` last.
    fn groups_of(&self, host: &str) -> Vec<&str> {
        let has =
            |group: &&String| self.groups.get(*group).is_some_and(|it| it.hosts.iter().any(|it| it == host));
        let mut found: Vec<&str> = self.groups.keys().filter(has).map(String::as_str).collect();
        let mut at = 0;
        while let Some(below) = found.get(at).copied() {
            for (name, group) in &self.groups {
                if group.children.iter().any(|child| child == below) && !found.contains(&name.as_str()) {
                    found.push(name);
                }
            }
            at += 1;
        }
        found.retain(|name| *name != "all");
        found.push("all");
        found
    }

    fn server(&self, name: &str) -> Result<Found, String> {
        let groups = self.groups_of(name);
        let own = self.variables.get(name);
        let of_groups =
            groups.iter().filter_map(|group| self.groups.get(*group)).map(|group| &group.variables);
        let layers: Vec<&Variables> = own.into_iter().chain(of_groups).collect();
        let variable = |names: [&str; 2]| {
            layers.iter().find_map(|layer| names.iter().find_map(|name| layer.get(*name))).map(String::as_str)
        };
        if let Some(connection) = variable(["ansible_connection"; 2]).filter(|it| !is_ssh(it)) {
            return Err(format!("it is reached by {connection} and not by SSH"));
        }
        let arguments = variable(["ansible_ssh_common_args", "ansible_ssh_extra_args"]).unwrap_or_default();
        let jump_host = way(arguments)?;
        let host = variable(["ansible_host", "ansible_ssh_host"]).unwrap_or(name);
        if host.contains("{{") {
            return Err(format!("its ansible_host is the template {host:?}"));
        }
        let port = variable(["ansible_port", "ansible_ssh_port"]).map_or(Ok(SSH), port)?;
        let group = groups.iter().find(|group| !matches!(**group, "all" | "ungrouped")).copied();
        let group = group.unwrap_or_default().to_owned();
        Ok(Found { name: name.to_owned(), host: host.to_owned(), port, group, jump_host, ..Found::default() })
    }
}

/// The jump host that arguments of `ssh` name: `-J name`, `-o ProxyJump=name`.
fn way(arguments: &str) -> Result<Option<String>, String> {
    let words = words(arguments);
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        // The value stands behind the letter, or is the next word.
        let mut value = |rest: &str| match rest {
            "" => words.next().unwrap_or_default().to_owned(),
            rest => rest.to_owned(),
        };
        if let Some(rest) = word.strip_prefix("-J") {
            return chosen(&value(rest));
        }
        let Some(rest) = word.strip_prefix("-o") else { continue };
        let option = value(rest);
        let end = option.find(|c: char| c.is_whitespace() || c == '=').unwrap_or(option.len());
        let (name, told) = option.split_at(end);
        let told = told.trim_start_matches(|c: char| c.is_whitespace() || c == '=');
        match name.to_ascii_lowercase().as_str() {
            "proxyjump" => return chosen(told),
            "proxycommand" if told.eq_ignore_ascii_case("none") => return Ok(None),
            "proxycommand" => {
                return Err(format!(
                    "it is reached by the ProxyCommand {told:?}, and only ProxyJump is known"
                ));
            }
            _ => {}
        }
    }
    if arguments.to_ascii_lowercase().contains("proxy") {
        return Err("its arguments of ssh tell of a proxy in a form that is not known".to_owned());
    }
    Ok(None)
}

fn chosen(way: &str) -> Result<Option<String>, String> {
    if way.eq_ignore_ascii_case("none") { Ok(None) } else { jump_host(way).map(Some) }
}

fn is_ssh(connection: &str) -> bool {
    let name = connection.rsplit('.').next().unwrap_or_default();
    matches!(name, "ssh" | "smart" | "paramiko" | "paramiko_ssh" | "libssh")
}

fn of_ini(text: &str, listed: &mut Listed) -> Result<Inventory, String> {
    let mut inventory = Inventory::default();
    let (mut group, mut part) = ("ungrouped".to_owned(), String::new());
    for line in text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim()) {
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(section) =
            line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).filter(|it| !it.contains(']'))
        {
            let (name, kind) = section.split_once(':').unwrap_or((section, ""));
            (group, part) = (name.trim().to_owned(), kind.trim().to_owned());
            inventory.groups.entry(group.clone()).or_default();
            continue;
        }
        match part.as_str() {
            "" => hosts(&mut inventory, &group, line, listed)?,
            "children" => {
                inventory.groups.entry(line.to_owned()).or_default();
                inventory.groups.entry(group.clone()).or_default().children.push(line.to_owned());
            }
            "vars" => {
                let (name, value) = line.split_once('=').unwrap_or((line, ""));
                let value = words(value).join(" ");
                inventory
                    .groups
                    .entry(group.clone())
                    .or_default()
                    .variables
                    .insert(name.trim().to_owned(), value);
            }
            other => return Err(format!("it has a section of the kind {other:?}")),
        }
    }
    Ok(inventory)
}

/// `web[01:20].example.com ansible_port=2222`
fn hosts(inventory: &mut Inventory, group: &str, line: &str, listed: &mut Listed) -> Result<(), String> {
    let mut words = words(line).into_iter();
    let Some(pattern) = words.next() else { return Ok(()) };
    let (pattern, old_port) = match pattern.rsplit_once(':') {
        Some((host, digits))
            if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) && !host.contains(':') =>
        {
            (host.to_owned(), Some(digits.to_owned()))
        }
        _ => (pattern, None),
    };
    let variables: Vec<(String, String)> = words
        .filter_map(|word| word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())))
        .collect();
    let names = match expand(&pattern) {
        Some(names) => names,
        None => {
            listed.skip(pattern, "its range cannot be read");
            return Ok(());
        }
    };
    if inventory.hosts.len().saturating_add(names.len()) > MOST {
        return Err(format!("it stands for more than {MOST} hosts"));
    }
    for name in names {
        let own = inventory.host(&name);
        own.extend(old_port.iter().map(|port| ("ansible_port".to_owned(), port.clone())));
        own.extend(variables.iter().cloned());
        inventory.groups.entry(group.to_owned()).or_default().hosts.push(name);
    }
    Ok(())
}

/// `[01:10]`, `[01:10:3]` and `[a:f]` stand for many; `None` for what is no such range.
fn expand(pattern: &str) -> Option<Vec<String>> {
    let Some((before, rest)) = pattern.split_once('[') else { return Some(vec![pattern.to_owned()]) };
    let (range, after) = rest.split_once(']')?;
    let parts: Vec<&str> = range.split(':').collect();
    let (from, to, step) = match parts.as_slice() {
        [from, to] => (*from, *to, 1),
        [from, to, step] => (*from, *to, step.parse().ok().filter(|step| *step > 0)?),
        _ => return None,
    };
    let letter = |text: &str| text.parse::<char>().ok().filter(char::is_ascii_alphabetic);
    let middle: Vec<String> = match (letter(from), letter(to)) {
        (Some(from), Some(to)) => (from..=to).step_by(step).map(String::from).collect(),
        _ => {
            let width = if from.starts_with('0') { from.len() } else { 0 };
            let (from, to): (usize, usize) =
                (if from.is_empty() { 0 } else { from.parse().ok()? }, to.parse().ok()?);
            if to.saturating_sub(from) > MOST {
                return None;
            }
            (from..=to).step_by(step).map(|number| format!("{number:0width$}")).collect()
        }
    };
    let ends = expand(after)?;
    if middle.len().saturating_mul(ends.len()) > MOST {
        return None;
    }
    Some(middle.iter().flat_map(|one| ends.iter().map(move |end| format!("{before}{one}{end}"))).collect())
}

fn of_json(text: &str) -> Result<Inventory, String> {
    let told: Value = serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?;
    let groups = told.as_object().ok_or("it is no inventory")?;
    let strings = |value: Option<&Value>| -> Vec<String> {
        let items = value.and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let variables = |value: Option<&Value>| -> Variables {
        let pairs = value.and_then(Value::as_object).into_iter().flatten();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        pairs.map(|(name, value)| (name.clone(), text(value))).collect()
    };
    let mut inventory = Inventory::default();
    let mut names = BTreeSet::new();
    for (name, group) in groups.iter().filter(|(name, _)| name.as_str() != "_meta") {
        let hosts = strings(group.get("hosts"));
        names.extend(hosts.iter().cloned());
        let children = strings(group.get("children"));
        let variables = variables(group.get("vars"));
        inventory.groups.insert(name.clone(), Group { hosts, variables, children });
    }
    let of_hosts = told.pointer("/_meta/hostvars").and_then(Value::as_object);
    names.extend(of_hosts.into_iter().flatten().map(|(name, _)| name.clone()));
    for name in names {
        let own = variables(of_hosts.and_then(|hosts| hosts.get(&name)));
        *inventory.host(&name) = own;
    }
    Ok(inventory)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(listed: &Listed) -> Vec<(&str, &str, u16, &str)> {
        listed
            .found
            .iter()
            .map(|it| (it.name.as_str(), it.host.as_str(), it.port, it.group.as_str()))
            .collect()
    }

    #[test]
    fn variables_come_from_the_host_its_group_and_what_lies_above() {
        let text = "\
jump.example.com:2200
[web]
web[01:03].example.com
old ansible_ssh_host=192.0.2.9 ansible_ssh_port=23 # by hand
[db]
db-[a:b] ansible_port=2222
far ansible_ssh_common_args='-o ProxyJump=jump.example.com'
piped ansible_ssh_common_args='-o ProxyCommand=\"ssh -W %h:%p jump\"'
here ansible_connection=local
[production:children]
web
db
[production:vars]
ansible_port = 2022
[all:vars]
ansible_port=1
";
        let listed = read(text).unwrap();
        assert_eq!(
            found(&listed),
            [
                ("jump.example.com", "jump.example.com", 2200, ""),
                ("web01.example.com", "web01.example.com", 2022, "web"),
                ("web02.example.com", "web02.example.com", 2022, "web"),
                ("web03.example.com", "web03.example.com", 2022, "web"),
                ("old", "192.0.2.9", 23, "web"),
                ("db-a", "db-a", 2222, "db"),
                ("db-b", "db-b", 2222, "db"),
                ("far", "far", 2022, "db"),
            ]
        );
        let ways =
            listed.found.iter().filter_map(|it| it.jump_host.as_deref().map(|way| (it.name.as_str(), way)));
        assert_eq!(ways.collect::<Vec<_>>(), [("far", "jump.example.com")]);
        let skipped: Vec<&str> = listed.skipped.iter().map(|it| it.entry.as_str()).collect();
        assert_eq!(skipped, ["piped", "here"]);
    }

    #[test]
    fn arguments_name_a_jump_host() {
        let named = Some("jump".to_owned());
        for arguments in
            ["-J jump", "-Jjump", "-v -o ProxyJump=jump", "-oproxyjump=jump", "-o 'ProxyJump jump'"]
        {
            assert_eq!(way(arguments), Ok(named.clone()), "{arguments}");
        }
        for arguments in ["", "-v", "-o ProxyJump=none", "-o ControlMaster=auto -C"] {
            assert_eq!(way(arguments), Ok(None), "{arguments}");
        }
        for wrong in [
            "-J a,b",
            "-J root@jump",
            "-J jump:22",
            "-o ProxyJump={{ jump }}",
            "-oProxyCommand=nc",
            "-J",
            "-vo ProxyJump=a",
        ] {
            assert!(way(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_json_of_any_inventory_is_read() {
        let text = r#"{"_meta": {"hostvars": {"web-1": {"ansible_host": "192.0.2.1", "ansible_port": 2222}, "win": {"ansible_connection": "winrm"}}},
                       "all": {"children": ["ungrouped", "web"]}, "web": {"hosts": ["web-1", "web-2"]}, "ungrouped": {"hosts": ["win"]}}"#;
        let listed = read(text).unwrap();
        assert_eq!(found(&listed), [("web-1", "192.0.2.1", 2222, "web"), ("web-2", "web-2", 22, "web")]);
        assert_eq!(listed.skipped[0].why, "it is reached by winrm and not by SSH");
    }

    #[test]
    fn ranges() {
        assert_eq!(expand("a[08:10:2]b").unwrap(), ["a08b", "a10b"]);
        assert_eq!(expand("[a:b][1:2]").unwrap(), ["a1", "a2", "b1", "b2"]);
        assert_eq!(expand("plain").unwrap(), ["plain"]);
        for wrong in ["a[1", "a[1:x]", "a[1:2:0]", "a[0:99999999999]", "a[1:999][1:999]"] {
            assert_eq!(expand(wrong), None, "{wrong}");
        }
        assert!(read("---\nall:\n  hosts:\n").unwrap_err().contains("ansible-inventory --list"));
    }
}
