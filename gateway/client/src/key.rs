//! A private key, for one use.

use std::fmt;

use keywright_proto::credential::ResolveRequest;
use keywright_proto::credential::resolve_service_client::ResolveServiceClient;
use zeroize::Zeroizing;

use crate::connect::{Client, answer};
use crate::error::Error;

/// A key and whose it is. Drop it after use; do not keep it.
pub struct ResolvedKey {
    /// In OpenSSH form, not encrypted.
    pub private_key: Zeroizing<Vec<u8>>,
    /// In OpenSSH form.
    pub public_key: String,
    /// The user to log in as: of the binding, or the credential's default; may be empty.
    pub username: String,
    /// Which version of the credential it is.
    pub version: i32,
}

impl fmt::Debug for ResolvedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResolvedKey").field("public_key", &self.public_key).finish_non_exhaustive()
    }
}

impl Client {
    /// The key of a saved credential, where its tenant allowed that it is handed out; prefer [`Client::signer`], with
    /// which no key leaves Keywright. `purpose` stands in the audit log. With a server, which must be bound to the
    /// credential, `username` is the binding's.
    ///
    /// # Errors
    /// `CredentialNotFound`, `ResolveNotAllowed`, `CredentialIsManaged`, `ValidationFailed`, `ServerInactive`,
    /// `RateLimited`, `SecretStoreSealed`, `AuditUnavailable`.
    pub async fn resolve(
        &self,
        credential_id: &str,
        purpose: &str,
        server_id: Option<&str>,
    ) -> Result<ResolvedKey, Error> {
        let wanted = ResolveRequest {
            credential_id: credential_id.to_owned(),
            purpose: purpose.to_owned(),
            server_id: server_id.unwrap_or_default().to_owned(),
        };
        let resolved = ResolveServiceClient::new(self.channel.clone()).resolve(self.request(wanted)).await;
        let resolved = answer(resolved)?;
        Ok(ResolvedKey {
            private_key: Zeroizing::new(resolved.private_key),
            public_key: resolved.public_key,
            username: resolved.username,
            version: resolved.version,
        })
    }
}
