//! How a script gets to a host: over SSH, or in tests to a shell on a test host.

use std::time::Duration;

use keywright_domain::reason::Reason;
use keywright_ssh::{ExecLimits, Session};
use tracing::instrument;

use super::answer::Answer;
use super::failure::HostFailure;
use super::script::{COMMAND, Script};

/// Longer than any script lets itself run.
const DEADLINE: Duration = Duration::from_secs(40);
/// A file of 1 MiB in hexadecimal and some room.
const MAX_OUTPUT: usize = 3 * 1024 * 1024;

pub(super) enum Shell<'a> {
    Ssh(&'a Session),
    #[cfg(test)]
    Local(&'a local::LocalShell),
}

impl std::fmt::Debug for Shell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shell")
    }
}

impl Shell<'_> {
    #[instrument(skip_all)]
    pub(super) async fn run(&self, script: &Script, stdin: &[u8]) -> Result<Answer, HostFailure> {
        self.run_within(script, stdin, ExecLimits { output: MAX_OUTPUT, deadline: DEADLINE }).await
    }

    /// The same for a script that says more or takes longer.
    pub(super) async fn run_within(
        &self,
        script: &Script,
        stdin: &[u8],
        limits: ExecLimits,
    ) -> Result<Answer, HostFailure> {
        let input = script.input(stdin);
        let stdout = match self {
            Self::Ssh(session) => {
                let output = session.exec(COMMAND, &input, limits).await.map_err(HostFailure::Connection)?;
                if output.truncated || output.timed_out {
                    return Err(HostFailure::refused(Reason::HostEditFailed));
                }
                output.stdout
            }
            #[cfg(test)]
            Self::Local(shell) => shell.run(&input).await,
        };
        Answer::parse(&stdout)
    }

    /// The server's identification, such as `SSH-2.0-OpenSSH_9.2p1`, as far as it is known.
    pub(super) fn server_version(&self) -> &str {
        match self {
            Self::Ssh(session) => session.server_version(),
            #[cfg(test)]
            Self::Local(_) => "",
        }
    }

    /// Our port, as the host sees it if nothing between us changes it.
    pub(super) fn local_port(&self) -> String {
        match self {
            Self::Ssh(session) => session.local().port().to_string(),
            #[cfg(test)]
            Self::Local(_) => String::new(),
        }
    }

    /// Our address, as the host may see it.
    pub(super) fn local_address(&self) -> String {
        match self {
            Self::Ssh(session) => session.local().ip().to_string(),
            #[cfg(test)]
            Self::Local(_) => "127.0.0.1".to_owned(),
        }
    }
}

#[cfg(test)]
pub(super) mod local {
    //! A shell started on a test host without SSH.

    use std::sync::Arc;

    use keywright_kit::TestHost;

    use super::COMMAND;

    #[derive(Debug)]
    pub(crate) struct LocalShell {
        host: Arc<TestHost>,
        /// Such as `["busybox", "sh"]`.
        shell: Vec<&'static str>,
        /// Text put in for other text, to make a moment of a script happen at will.
        replaced: Vec<(String, String)>,
        /// Of which operation alone.
        only: Option<&'static str>,
    }

    impl LocalShell {
        pub(crate) fn new(host: TestHost, shell: &[&'static str]) -> Self {
            Self { host: Arc::new(host), shell: shell.to_vec(), replaced: Vec::new(), only: None }
        }

        /// Another on the same host, with the scripts as they are.
        pub(crate) fn beside(&self) -> Self {
            Self { host: Arc::clone(&self.host), shell: self.shell.clone(), replaced: Vec::new(), only: None }
        }

        /// The text of this operation alone is changed, not of all.
        pub(crate) fn only(&mut self, operation: &'static str) {
            self.only = Some(operation);
        }

        pub(crate) fn host(&self) -> &TestHost {
            &self.host
        }

        /// Puts `text` before the line of a script that holds `line`.
        pub(crate) fn before(&mut self, line: &str, text: &str) {
            let travelling = |text: &str| text.replace('\\', "\\\\").replace('\n', "\\n");
            let quoted = |text: &str| travelling(&text.replace('\'', r"'\''"));
            self.replaced.push((quoted(line), quoted(&format!("{text}\n{line}"))));
        }

        /// Puts one text for another.
        pub(crate) fn replace(&mut self, from: &str, to: &str) {
            self.replaced.push((from.to_owned(), to.to_owned()));
        }

        pub(crate) fn as_it_is(&mut self) {
            self.replaced.clear();
        }

        pub(super) async fn run(&self, input: &[u8]) -> Vec<u8> {
            let end = input.iter().position(|byte| *byte == b'\n').unwrap();
            let mut script = String::from_utf8(input[..end].to_vec()).unwrap();
            let asked = String::from_utf8_lossy(&input[end..]);
            let meant = self.only.is_none_or(|name| asked.starts_with(&format!("\nkeywright 1 {name}\n")));
            for (from, to) in self.replaced.iter().filter(|_| meant) {
                assert!(script.contains(from), "the script has no such line: {from}");
                script = script.replace(from, to);
            }
            // This shell everywhere, also for the scripts that run with the account's uid.
            let shell = self.shell.join(" ");
            script = script.replace("/bin/sh -c \"$inner\" ;;", &format!("{shell} -c \"$inner\" ;;"));
            script = script.replace("    sh -c \"U=0", &format!("    {shell} -c \"U=0"));
            let input = [script.as_bytes(), &input[end..]].concat();
            let mut argv = self.shell.clone();
            let command = COMMAND.replace("/bin/sh", &shell);
            argv.extend(["-c", command.as_str()]);
            self.host.exec_with_input(&argv, &input).await.stdout.into_bytes()
        }
    }
}
