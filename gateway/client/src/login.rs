//! Logins signed by Keywright: for a service that speaks SSH itself and never holds a key.

use keywright_proto::credential::signing_service_client::SigningServiceClient;
use keywright_proto::credential::{ListSigningKeysRequest, SignLoginRequest, SigningKey};

use crate::connect::{Client, answer};
use crate::error::Error;

/// A session with the server, proven by the server's host key.
#[derive(Debug, Clone, Copy)]
pub struct Session<'a> {
    /// The exchange hash of the first key exchange (RFC 4253, section 7.2).
    pub id: &'a [u8],
    /// The host key of that exchange, in wire form; it must be approved for the server.
    pub host_key: &'a [u8],
    /// The host key's signature over the exchange hash, in wire form, as the server sent it.
    pub host_signature: &'a [u8],
}

/// The login to sign (RFC 4252, section 7), by the method `publickey` for the service `ssh-connection`.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    pub username: &'a str,
    /// `ssh-ed25519`, `ecdsa-sha2-nistp256` (384, 521), `rsa-sha2-256` or `rsa-sha2-512`.
    pub algorithm: &'a str,
    /// Sign the form that names the host key (`publickey-hostbound-v00@openssh.com`).
    pub host_bound: bool,
}

/// A credential on one server: what an SSH library's own signer asks.
#[derive(Clone)]
pub struct Signer {
    client: Client,
    credential_id: String,
    server_id: String,
}

impl Signer {
    /// The signature in wire form (algorithm and signature), to be put at the end of the request.
    ///
    /// # Errors
    /// `CredentialNotFound`, `VersionNotFound`, `ServerNotFound`, `ServerInactive`, `HostKeyUnpinned`,
    /// `HostKeyMismatch`, `ValidationFailed`, `RateLimited`, `SecretStoreSealed`, `AuditUnavailable`.
    pub async fn sign(&self, session: Session<'_>, login: Login<'_>) -> Result<Vec<u8>, Error> {
        let request = SignLoginRequest {
            credential_id: self.credential_id.clone(),
            server_id: self.server_id.clone(),
            session_id: session.id.to_vec(),
            username: login.username.to_owned(),
            algorithm: login.algorithm.to_owned(),
            host_key: session.host_key.to_vec(),
            host_signature: session.host_signature.to_vec(),
            host_bound: login.host_bound,
        };
        let mut service = SigningServiceClient::new(self.client.channel.clone());
        Ok(answer(service.sign_login(self.client.request(request)).await)?.signature)
    }
}

impl Client {
    /// Signs logins on a server with a credential that the server uses.
    pub fn signer(&self, credential_id: &str, server_id: &str) -> Signer {
        Signer {
            client: self.clone(),
            credential_id: credential_id.to_owned(),
            server_id: server_id.to_owned(),
        }
    }

    /// Everything that signs for this service, with the servers and host keys that it is good for.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub async fn signing_keys(&self) -> Result<Vec<SigningKey>, Error> {
        let mut keys = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = ListSigningKeysRequest { page_token, page_size: 500, ..Default::default() };
            let mut service = SigningServiceClient::new(self.channel.clone());
            let page = answer(service.list_signing_keys(self.request(request)).await)?;
            keys.extend(page.items);
            if page.next_page_token.is_empty() {
                return Ok(keys);
            }
            page_token = page.next_page_token;
        }
    }
}
