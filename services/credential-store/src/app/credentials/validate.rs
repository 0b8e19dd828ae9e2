//! Checks a private key; nothing is stored, and a key that fails is a result.

use super::intake::{Check, KeyIntake, Supplied};
use keywright_domain::caller::Caller;
use keywright_domain::key::PublicKey;
use keywright_domain::reason::Reason;
use keywright_runtime::audit::Guard;
use keywright_runtime::failure::Failure;
use tracing::instrument;

pub struct ValidateCredential {
    pub guard: Guard,
    pub intake: KeyIntake,
}

/// What was found.
pub struct Validation {
    pub checks: Vec<Check>,
    /// Where the key is good.
    pub public: Option<PublicKey>,
}

impl ValidateCredential {
    #[instrument(skip_all)]
    pub async fn run(&self, caller: &Caller, supplied: Supplied) -> Result<Validation, Failure> {
        let own = caller.principal.tenant.as_ref();
        self.guard.allow(caller, "credential.validate", own, "", Reason::TenantNotFound).await?;
        match self.intake.take(own, supplied).await {
            Ok(taken) => Ok(Validation { checks: taken.checks, public: Some(taken.public) }),
            Err(refused)
                if matches!(
                    refused.failure.reason,
                    Reason::ValidationFailed
                        | Reason::PayloadTooLarge
                        | Reason::RateLimited
                        | Reason::Internal
                ) =>
            {
                Err(refused.failure)
            }
            Err(refused) => Ok(Validation { checks: refused.checks, public: None }),
        }
    }
}
