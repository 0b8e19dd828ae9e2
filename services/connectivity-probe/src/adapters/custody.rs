//! Signing by credential-store: the key stays there.

use async_trait::async_trait;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::{CredentialId, ServerId, VersionId};
use keywright_domain::key::UserauthRequest;
use keywright_domain::reason::Reason;
use keywright_proto::credential::SignUserauthRequest;
use keywright_proto::credential::custody_service_client::CustodyServiceClient;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_ssh::{HostProof, PortFailure, SigningPort};

/// Signs logins to one server with one credential, on behalf of one caller.
pub struct Custody {
    pub outbound: Outbound,
    pub caller: Caller,
    pub server: ServerId,
    pub credential: CredentialId,
    /// None: the version in use.
    pub version: Option<VersionId>,
    /// The server behind it, of a jump host.
    pub towards: Option<ServerId>,
}

impl Custody {
    async fn ask(&self, login: &UserauthRequest) -> Result<Vec<u8>, Failure> {
        let message = SignUserauthRequest {
            credential_id: self.credential.to_string(),
            version_id: self.version.as_ref().map(ToString::to_string).unwrap_or_default(),
            server_id: self.server.to_string(),
            session_id: login.session_id().to_vec(),
            username: login.user().to_owned(),
            algorithm: login.algorithm().as_str().to_owned(),
            towards_server_id: self.towards.as_ref().map(ToString::to_string).unwrap_or_default(),
            certificate: login.certificate().map(|it| it.blob().to_vec()).unwrap_or_default(),
        };
        let request = self.outbound.request(ServiceName::CredentialStore, &self.caller, message).await?;
        let mut client = CustodyServiceClient::new(self.outbound.peer(ServiceName::CredentialStore));
        Ok(client.sign_userauth(request).await?.into_inner().signature)
    }
}

#[async_trait]
impl SigningPort for Custody {
    async fn sign(&self, request: UserauthRequest, _: &HostProof) -> Result<Vec<u8>, PortFailure> {
        let signature =
            self.ask(&request).await.map_err(|failure| PortFailure::new(failure.reason, failure.message))?;
        // The credential may have been rotated since its public key was read: the server would reject the signature,
        // and the blame would fall on the account.
        request.public_key().verify(&request.signed_bytes(), &signature).map_err(|_| {
            PortFailure::new(Reason::RevisionMismatch, "The credential's key was replaced meanwhile.")
        })?;
        Ok(signature)
    }
}
