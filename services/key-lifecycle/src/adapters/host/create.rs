//! Makes an account that logs in by key only.

use keywright_domain::account::AccountName;
use keywright_domain::reason::Reason;
use tracing::instrument;

use super::Host;
use super::facts::Account;
use super::failure::HostFailure;
use super::script::{Operation, Script};

pub(super) static CREATE: Operation = Operation::new("create", include_str!("scripts/create_account.sh"));

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// False: it existed and was left as it is.
    pub created: bool,
    pub account: Account,
}

impl Host<'_> {
    /// Idempotent. An account that exists is not changed, unless an earlier try of ours left it locked.
    #[instrument(skip_all)]
    pub async fn create_account(&self, account: &AccountName) -> Result<Created, HostFailure> {
        let answer = self.shell.run(&Script::new(account, &CREATE), b"").await?.done()?;
        let missing = || HostFailure::refused(Reason::HostEditFailed);
        let account = Account {
            uid: answer.number("uid").ok_or_else(missing)?,
            gid: answer.number("gid").ok_or_else(missing)?,
            home: answer.get("home").ok_or_else(missing)?.to_owned(),
            shell: answer.get("shell").ok_or_else(missing)?.to_owned(),
        };
        Ok(Created { created: answer.is("created", "yes"), account })
    }
}
