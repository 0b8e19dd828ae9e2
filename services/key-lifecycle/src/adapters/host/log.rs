//! The lines of a host's log that name keys or our own connection. Nothing of them is believed here.

use std::time::Duration;

use keywright_domain::account::AccountName;
use keywright_domain::clock::Instant;
use keywright_domain::fingerprint::Fingerprint;
use keywright_ssh::ExecLimits;
use tracing::instrument;

use super::Host;
use super::failure::HostFailure;
use super::scan::offset;
use super::script::{Operation, Script};
use crate::model::LogLines;

pub(super) static LOG: Operation = Operation {
    parameters: &["user", "port", "fingerprints"],
    ..Operation::new("log", include_str!("scripts/log.sh"))
};
const LIMITS: ExecLimits = ExecLimits { output: 8 * 1024 * 1024, deadline: Duration::from_secs(35) };

impl Host<'_> {
    /// `own`: the account of our connection; `user`: whose log-ins.
    #[instrument(skip_all)]
    pub async fn log(
        &self,
        own: &str,
        user: &AccountName,
        keys: &[Fingerprint],
    ) -> Result<LogLines, HostFailure> {
        let names: Vec<&str> = keys.iter().map(Fingerprint::as_str).collect();
        let our_time = self.clock.now();
        let script = Script::for_host(&LOG)
            .with("account", own)
            .with("user", user.as_str())
            .with("port", &self.shell.local_port())
            .with("fingerprints", &names.join(" "));
        let answer = self.shell.run_within(&script, b"", LIMITS).await?.done()?;
        let lines = |key: &str| answer.all(key).map(str::to_owned).collect();
        Ok(LogLines {
            keys: lines("line"),
            own: lines("own"),
            first: lines("first"),
            host_time: answer.number("now").map(Instant::from_secs),
            our_time: Some(our_time),
            offset_seconds: offset(&answer),
        })
    }
}
