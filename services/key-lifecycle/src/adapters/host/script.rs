//! Scripts as text: assignments, quoting, and the form in which they travel.

use keywright_domain::account::AccountName;

/// Runs as root whatever script comes as the first line of standard input; the rest of the input is the script's.
/// The line that reads it stands alone in an argument, so that a sudoers rule can name the whole command:
/// `deploy/sudoers/keywright`.
pub(super) const COMMAND: &str = r#"sh -c 'u=$(id -u);echo "login=$u";if [ "$u" = 0 ];then exec /bin/sh -c "$0";fi;exec sudo -n /bin/sh -c "$0"' 'read -r s;eval "$(printf %b "$s")"'"#;

const GUARD: &str = include_str!("scripts/guard.sh");
const ROOT: &str = include_str!("scripts/root.sh");

/// A script that starts as root and knows the account.
#[derive(Debug)]
pub(super) struct Script {
    assignments: String,
    body: String,
}

impl Script {
    pub(super) fn new(account: &AccountName, body: &str) -> Self {
        Self { assignments: String::new(), body: body.to_owned() }.with("account", account.as_str())
    }

    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.assignments.push_str(&assign(name, value));
        self
    }

    /// The whole input: the script as one line, then what it reads itself.
    pub(super) fn input(&self, stdin: &[u8]) -> Vec<u8> {
        let text = format!("{}{ROOT}{GUARD}{}", self.assignments, self.body);
        let line = text.replace('\\', "\\\\").replace('\n', "\\n");
        [line.as_bytes(), b"\n", stdin].concat()
    }
}

/// The text of a script that runs with another uid: it gets the guard of its own.
pub(super) fn inner(assignments: &[(&str, &str)], body: &str) -> String {
    let head: String = assignments.iter().map(|(name, value)| assign(name, value)).collect();
    format!("{head}{GUARD}{body}")
}

fn assign(name: &str, value: &str) -> String {
    format!("{name}={}\n", quote(value))
}

pub(super) fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one command that a sudoers rule has to allow, in the form of sudoers.
    const SUDOERS_COMMAND: &str = r#"/bin/sh -c read -r s;eval "$(printf %b "$s")""#;
    const SUDOERS: &str = include_str!("../../../../../deploy/sudoers/keywright");

    #[test]
    fn a_quoted_value_is_one_word() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $(x)"), r"'it'\''s $(x)'");
    }

    #[test]
    fn the_command_runs_what_the_sudoers_rule_allows() {
        let script = SUDOERS_COMMAND.strip_prefix("/bin/sh -c ").unwrap();
        assert!(COMMAND.contains(r#"exec sudo -n /bin/sh -c "$0""#));
        assert!(COMMAND.ends_with(&format!("'{script}'")));
        // Characters that sudoers would want escaped.
        assert!(!script.contains([',', ':', '=', '\\']));
    }

    #[test]
    fn the_shipped_sudoers_rule_allows_that_command_and_nothing_else() {
        let rules: Vec<&str> =
            SUDOERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert_eq!(rules, [format!("keywright ALL=(root) NOPASSWD: {SUDOERS_COMMAND}")]);
    }

    #[test]
    fn a_script_travels_as_one_line() {
        let account = AccountName::parse("alice").unwrap();
        let input = Script::new(&account, "printf 'a\\n'\n").input(b"content\n");
        let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].ends_with(br"printf 'a\\n'\n"));
        assert_eq!(lines[1], b"content");
    }
}
