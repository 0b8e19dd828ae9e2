//! Scripts as text, what is asked of them, and the form in which both travel.
//!
//! Invariant: a script is fixed text; what differs from call to call stands in `name=value` lines on standard input,
//! each judged by the script before it is used. So the same operations can be installed on a host as one program
//! (`helper`) that a sudoers rule names.

use keywright_domain::account::AccountName;

/// Where the program stands on a host that the shipped sudoers rule is for.
#[cfg(test)]
pub const HELPER: &str = "/usr/local/libexec/keywright-host";
/// What both sides must agree in.
const PROTOCOL: &str = "keywright 1";

/// Standard input is the script as one line, the parameters, an empty line, and what the script reads itself. As root
/// it runs as it is. Any other account runs the program that a sudoers rule allows it, which has the script already;
/// else the script by `sudo`; else, for its own files, as itself.
/// The line that reads the script stands alone in an argument, so that an older rule can name the whole command.
pub(super) const COMMAND: &str = r#"sh -c 'u=$(id -u);echo "login=$u";if [ "$u" = 0 ];then exec /bin/sh -c "$0";fi;h=/usr/local/libexec/keywright-host;if [ -x "$h" ]&&sudo -n -l "$h" >/dev/null 2>&1 </dev/null;then read -r s;exec sudo -n "$h";fi;if sudo -n -l /bin/sh -c "$0" >/dev/null 2>&1 </dev/null;then exec sudo -n /bin/sh -c "$0";fi;exec /bin/sh -c "$0"' 'read -r s;eval "$(printf %b "$s")"'"#;

const UID: &str = include_str!("scripts/uid.sh");
const GUARD: &str = include_str!("scripts/guard.sh");
const ROOT: &str = include_str!("scripts/root.sh");
const SERVER: &str = include_str!("scripts/server.sh");
const WHOLE: &str = include_str!("scripts/whole.sh");
#[cfg(test)]
const HELPER_RULES: &str = include_str!("scripts/helper.sh");
#[cfg(test)]
const HELPER_HEAD: &str = include_str!("scripts/helper_head.sh");

/// What can be asked of a host.
#[derive(Debug)]
pub(super) struct Operation {
    pub(super) name: &'static str,
    /// What runs, once the account and the parameters are known.
    pub(super) body: &'static str,
    /// Scripts that the body starts with another uid, by the names under which it knows them.
    pub(super) inner: &'static [(&'static str, &'static str)],
    /// Besides `account`. `scripts/root.sh` judges each by its name.
    pub(super) parameters: &'static [&'static str],
    /// It asks for the server's settings (`scripts/server.sh`).
    pub(super) server: bool,
    /// An account can have it done for itself without root.
    pub(super) own: bool,
}

impl Operation {
    /// An ordinary one: as root, with nothing but a body.
    pub(super) const fn new(name: &'static str, body: &'static str) -> Self {
        Self { name, body, inner: &[], parameters: &[], server: false, own: false }
    }

    fn facts(&self) -> String {
        let own = if self.own { "yes" } else { "no" };
        format!("own={own} parameters='account {}'", self.parameters.join(" "))
    }

    /// Those inner scripts get a guard of their own.
    fn scripts(&self) -> String {
        self.inner
            .iter()
            .map(|(name, text)| format!("{name}={}\n", quote(&format!("{UID}{GUARD}{text}"))))
            .collect()
    }
}

/// One call of an operation.
#[derive(Debug)]
pub(super) struct Script {
    operation: &'static Operation,
    parameters: String,
}

impl Script {
    pub(super) fn new(account: &AccountName, operation: &'static Operation) -> Self {
        Self { operation, parameters: String::new() }.with("account", account.as_str())
    }

    /// One that is about no account in particular.
    pub(super) const fn for_host(operation: &'static Operation) -> Self {
        Self { operation, parameters: String::new() }
    }

    /// A value with a line end would be two: it is cut there, and the script refuses what is left.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let value = value.replace(['\n', '\r'], "\u{1}");
        self.parameters.push_str(&format!("{name}={value}\n"));
        self
    }

    /// The whole input: the script as one line, then what it reads itself.
    pub(super) fn input(&self, stdin: &[u8]) -> Vec<u8> {
        let Operation { name, body, .. } = self.operation;
        let (facts, scripts) = (self.operation.facts(), self.operation.scripts());
        let server = if self.operation.server { SERVER } else { "" };
        let text = format!(
            "{facts}\necho '@@keywright'\nread -r asked\n{UID}{ROOT}{GUARD}{WHOLE}{server}{scripts}{body}"
        );
        let line = text.replace('\\', "\\\\").replace('\n', "\\n");
        let asked = format!("\n{PROTOCOL} {name}\n{}\n", self.parameters);
        [line.as_bytes(), asked.as_bytes(), stdin].concat()
    }
}

/// All operations as one program, to be installed as [`HELPER`].
#[cfg(test)]
pub(super) fn helper(operations: &[&Operation]) -> String {
    let known: String = operations
        .iter()
        .map(|operation| {
            let name = operation.name;
            format!("  '{PROTOCOL} {name}') operation={name} {} ;;\n", operation.facts())
        })
        .collect();
    let scripts: String = operations.iter().map(|operation| operation.scripts()).collect();
    let bodies: String =
        operations.iter().map(|operation| format!("{})\n{};;\n", operation.name, operation.body)).collect();
    format!(
        "{HELPER_HEAD}echo '@@keywright'\nread -r asked\ncase $asked in\n{known}  *) printf \
         'result=helper_outdated\\n@@end\\n' && exit 0 ;;\nesac\n\n{UID}\n{ROOT}\n{GUARD}\n{HELPER_RULES}\n{SERVER}\n{scripts}\n\
         case $operation in\n{bodies}esac\n"
    )
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::adapters::host::OPERATIONS;

    const SUDOERS: &str = include_str!("../../../../../deploy/sudoers/keywright");
    const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/sudoers/keywright-host");

    #[test]
    fn a_quoted_value_is_one_word() {
        assert_eq!(quote("a b"), "'a b'");
        assert_eq!(quote("it's $(x)"), r"'it'\''s $(x)'");
    }

    /// KEYWRIGHT_WRITE_HELPER=1 writes it; a changed protocol wants another number in `PROTOCOL`.
    #[test]
    fn the_shipped_program_is_what_the_scripts_make() {
        let made = helper(OPERATIONS);
        if std::env::var_os("KEYWRIGHT_WRITE_HELPER").is_some() {
            std::fs::write(SHIPPED, &made).unwrap();
        }
        let shipped = std::fs::read_to_string(SHIPPED).unwrap();
        assert!(shipped == made, "run this test with KEYWRIGHT_WRITE_HELPER=1");
    }

    /// A new operation wants its place in `OPERATIONS`.
    #[test]
    fn every_script_is_in_the_program() {
        let made = helper(OPERATIONS);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/adapters/host/scripts");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let text = std::fs::read_to_string(&path).unwrap();
            let there = made.contains(&text) || made.contains(&text.replace('\'', r"'\''"));
            assert!(there || path.ends_with("whole.sh"), "{}", path.display());
        }
    }

    #[test]
    fn the_shipped_rule_allows_that_program_without_arguments_and_nothing_else() {
        let rules: Vec<&str> =
            SUDOERS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        assert_eq!(
            rules,
            ["Defaults:keywright !requiretty", &format!("keywright ALL=(root) NOPASSWD: {HELPER} \"\"")]
        );
        assert!(COMMAND.contains(&format!("h={HELPER};")));
    }

    #[test]
    fn an_older_rule_that_names_the_whole_command_still_holds() {
        assert!(COMMAND.contains(r#"exec sudo -n /bin/sh -c "$0""#));
        assert!(COMMAND.ends_with(r#"'read -r s;eval "$(printf %b "$s")"'"#));
    }

    #[test]
    fn a_script_travels_as_one_line_and_its_parameters_follow() {
        static ECHO: Operation = Operation::new("echo", "printf 'a\\n'\n");
        let account = AccountName::parse("alice").unwrap();
        let input = Script::new(&account, &ECHO).with("x", "1\n2").input(b"content\n");
        let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
        assert!(lines[0].ends_with(br"printf 'a\\n'\n"));
        assert_eq!(
            lines[1..],
            [&b"keywright 1 echo"[..], b"account=alice", b"x=1\x012", b"", b"content", b""]
        );
    }
}
