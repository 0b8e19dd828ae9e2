//! The other way into a server: the saved credential that is bound to it, as root or with sudo.

use super::Releaser;
use crate::adapters::bootstrap::{Bootstrap, Entered};
use crate::adapters::credential_store::Server;
use keywright_domain::caller::Caller;
use keywright_domain::ids::CredentialId;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::Failure;

impl Releaser {
    /// A session of the other way in; LAST_PATH_UNPROVEN where none is bound, or the server does not let it do what the
    /// management key may. A bound credential that cannot be used says so itself.
    pub(super) async fn enter(
        &self,
        caller: &Caller,
        server: &Server,
    ) -> Result<(CredentialId, Entered), Failure> {
        let unproven = |why: String| {
            let failure = Failure::new(Reason::LastPathUnproven, format!("No other way in is proven: {why}"));
            failure.with("serverId", server.id.as_str())
        };
        let Some((credential, username)) = &server.binding else {
            return Err(unproven("no saved credential is bound to the server.".to_owned()));
        };
        let empty = || Secret::from_text(String::new());
        let asked = Bootstrap {
            credential: credential.to_string(),
            private_key: empty(),
            passphrase: empty(),
            username: username.clone(),
        };
        let entered = async {
            let entrance = self.bootstrapper.parse(caller, server, asked).await?;
            self.bootstrapper.enter_as_root(server, &entrance).await
        };
        match entered.await {
            Ok(entered) => Ok((credential.clone(), entered)),
            Err(failure) if is_rejection(&failure) => Err(unproven(failure.message)),
            Err(failure) => Err(failure),
        }
    }
}

/// The server was asked and said no.
fn is_rejection(failure: &Failure) -> bool {
    let rejected = failure.metadata.get("check").is_some_and(|stage| stage == "authentication");
    rejected || matches!(failure.reason, Reason::SudoUnavailable | Reason::AccountNotFound)
}

/// Whether nothing but a change of the binding could prove another way in.
pub(super) const fn is_missing(failure: &Failure) -> bool {
    matches!(
        failure.reason,
        Reason::LastPathUnproven
            | Reason::CredentialNotFound
            | Reason::CredentialIsManaged
            | Reason::ValidationFailed
            | Reason::VersionNotFound
    )
}
