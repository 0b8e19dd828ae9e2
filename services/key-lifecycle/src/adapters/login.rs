//! Logging in to servers with a key that credential-store holds, or with one that a caller lent for one operation.

use super::credential_store::{CredentialStore, OnTheWay, Server};
use async_trait::async_trait;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::ids::{CredentialId, ServerId};
use keywright_domain::key::{PublicKey, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_proto::credential::custody_service_client::CustodyServiceClient;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_ssh::{
    Dialer, FailureCode, HostProof, Identity, JumpHost, LoginError, PortFailure, Session, SigningPort, Target,
};
use std::sync::Arc;

#[derive(Clone)]
pub struct Login {
    pub outbound: Outbound,
    pub store: CredentialStore,
    pub dialer: Dialer,
}

impl Login {
    /// As the server's management account, under `work`; with the key that the server has by now, where it was replaced
    /// since somebody looked.
    pub async fn with_management_key(&self, server: &Server, work: &str) -> Result<Session, Failure> {
        let failure = match self.manage(server, work).await {
            Ok(session) => return Ok(session),
            Err(failure) => failure,
        };
        match self.store.server(&server.id).await {
            Ok(now) if now.management.is_some() && now.management != server.management => {
                self.manage(&now, work).await
            }
            _ => Err(failure),
        }
    }

    async fn manage(&self, server: &Server, work: &str) -> Result<Session, Failure> {
        let Some((credential, username)) = &server.management else {
            return Err(Failure::new(Reason::ServerNotManaged, "The server has no management key.")
                .with("serverId", server.id.as_str()));
        };
        let public_key = self.store.active_key(credential, work).await?;
        let caller = Caller::background(ServiceName::KeyLifecycle, work);
        let identity = self.identity(caller.clone(), server, credential, username, public_key);
        self.open(&caller, server, &identity).await
    }

    /// An identity whose signatures credential-store makes for `caller`.
    pub fn identity(
        &self,
        caller: Caller,
        server: &Server,
        credential: &CredentialId,
        username: &str,
        public_key: PublicKey,
    ) -> Identity {
        let port = StoreSigner {
            outbound: self.outbound.clone(),
            caller,
            server: server.id.clone(),
            credential: credential.clone(),
            towards: None,
        };
        Identity { user: username.to_owned(), public_key, certificate: None, port: Arc::new(port) }
    }

    /// `caller` is for whom the servers on the way are logged in to.
    pub async fn open(
        &self,
        caller: &Caller,
        server: &Server,
        identity: &Identity,
    ) -> Result<Session, Failure> {
        if server.known.is_empty() {
            return Err(Failure::new(Reason::HostKeyUnpinned, "No host key of the server is approved."));
        }
        let target = Target::new(server.host.clone(), server.port);
        let dialer = self.dialer.through(&self.route(caller, server).await?);
        match dialer.connect(&target, &server.known, identity).await {
            Ok(connected) => Ok(connected.session),
            Err(LoginError::Signing(error)) => Err(Failure::new(error.reason, error.message)),
            Err(LoginError::Server(error)) => {
                self.tell_of_mismatch(server, &error).await;
                Err(unreachable(&error))
            }
        }
    }

    /// The jump hosts on the way to the server, each logged in to for the same caller.
    async fn route(&self, caller: &Caller, server: &Server) -> Result<Vec<JumpHost>, Failure> {
        let Some(jump_host) = &server.jump_host else { return Ok(Vec::new()) };
        let route = self.store.route(jump_host).await?;
        let jump_host = |on: OnTheWay| {
            let port = StoreSigner {
                outbound: self.outbound.clone(),
                caller: caller.clone(),
                server: on.server.id,
                credential: on.credential,
                towards: Some(server.id.clone()),
            };
            JumpHost {
                name: on.server.name,
                target: Target::new(on.server.host, on.server.port),
                known: on.server.known,
                identity: Identity {
                    user: on.username,
                    public_key: on.public_key,
                    certificate: on.certificate,
                    port: Arc::new(port),
                },
            }
        };
        Ok(route.into_iter().map(jump_host).collect())
    }

    /// From then on nothing is signed for the server. What is not heard is found again by the next login.
    async fn tell_of_mismatch(&self, server: &Server, error: &keywright_ssh::Failure) {
        let of_server = error.code == FailureCode::HostKeyMismatch && error.fact("jumpHost").is_none();
        let Some(presented) = error.fact("presented").filter(|_| of_server) else { return };
        if let Err(failure) = self.store.report_mismatch(&server.id, presented).await {
            tracing::warn!(
                reason = failure.reason.as_str(),
                server = %server.id,
                "a changed host key was not reported"
            );
        }
    }
}

/// A failure of the connection, in the reasons of the contract.
pub fn unreachable(error: &keywright_ssh::Failure) -> Failure {
    let reason = match error.code {
        FailureCode::TargetNotAllowed => Reason::TargetNotAllowed,
        FailureCode::HostKeyUnknown => Reason::HostKeyUnpinned,
        FailureCode::HostKeyMismatch => Reason::HostKeyMismatch,
        _ => Reason::HostUnreachable,
    };
    let failure = Failure::new(reason, format!("{} {}", error.message, error.remedy));
    let failure = failure.with("check", error.stage.as_str()).with("checkCode", error.code.as_str());
    error.facts.iter().fold(failure, |failure, (name, value)| failure.with(name, value.clone()))
}

struct StoreSigner {
    outbound: Outbound,
    caller: Caller,
    server: ServerId,
    credential: CredentialId,
    /// The server behind it, of a jump host.
    towards: Option<ServerId>,
}

#[async_trait]
impl SigningPort for StoreSigner {
    async fn sign(&self, request: UserauthRequest, _: &HostProof) -> Result<Vec<u8>, PortFailure> {
        let message = proto::SignUserauthRequest {
            credential_id: self.credential.to_string(),
            version_id: String::new(),
            server_id: self.server.to_string(),
            session_id: request.session_id().to_vec(),
            username: request.user().to_owned(),
            algorithm: request.algorithm().as_str().to_owned(),
            towards_server_id: self.towards.as_ref().map(ToString::to_string).unwrap_or_default(),
            certificate: request.certificate().map(|it| it.blob().to_vec()).unwrap_or_default(),
        };
        let refused = |failure: Failure| PortFailure::new(failure.reason, failure.message);
        let to = ServiceName::CredentialStore;
        let request = self.outbound.request(to, &self.caller, message).await.map_err(refused)?;
        let answer = CustodyServiceClient::new(self.outbound.peer(to)).sign_userauth(request).await;
        answer.map(|answer| answer.into_inner().signature).map_err(|status| refused(status.into()))
    }
}
