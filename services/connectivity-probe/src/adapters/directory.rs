//! What credential-store says of servers and credentials, read at the moment of use, for the caller.
//!
//! Invariant: an object of another tenant is not seen here; credential-store answers as if it did not exist.

use crate::report::{CheckName, ConnectivityTest, Status};
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::host::{HostName, KnownHost, Port};
use keywright_domain::ids::{CredentialId, ServerId, TenantId};
use keywright_domain::key::{Certificate, PublicKey};
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_proto::credential::directory_service_client::DirectoryServiceClient;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_runtime::page::MOST;
use keywright_runtime::peer::Peer;
use keywright_ssh::{FailureCode, Target};
use std::collections::BTreeMap;

/// Servers or results of one call.
pub const MOST_AT_ONCE: usize = 100;

/// A registered server, as far as a probe needs to know it.
pub struct Server {
    pub id: ServerId,
    pub tenant: TenantId,
    pub name: String,
    pub host: HostName,
    pub port: Port,
    pub active: bool,
    pub known: KnownHost,
    /// It has shown a wrong host key, and that is not settled yet.
    pub mismatched: bool,
    /// The server through which it is reached.
    pub jump_host: Option<ServerId>,
    pub binding: Option<Binding>,
}

/// A server in a list.
pub struct Listed {
    pub server: Server,
    pub labels: BTreeMap<String, String>,
}

/// The saved credential that is bound to a server.
pub struct Binding {
    pub credential: CredentialId,
    pub username: String,
}

/// A credential without its key.
pub struct Credential {
    pub id: CredentialId,
    /// None for the platform's own.
    pub tenant: Option<TenantId>,
    pub managed: bool,
    /// The default user; may be empty.
    pub username: String,
    pub public_key: PublicKey,
    pub certificate: Option<Certificate>,
    pub encrypted_at_intake: bool,
}

/// A server, and the credential that is bound to it.
pub struct BoundServer {
    pub server: Server,
    pub credential: Option<Credential>,
}

/// A server on the way to another one, with what is bound to it.
pub struct OnTheWay {
    pub server: Server,
    pub credential: Credential,
}

impl Server {
    pub fn target(&self) -> Target {
        Target::new(self.host.as_str(), self.port.get())
    }

    /// A server without approved host keys is not logged in to.
    pub fn require_pins(&self) -> Result<&KnownHost, Failure> {
        if self.known.is_empty() {
            let message = "No host key of the server is approved yet.";
            return Err(Failure::new(Reason::HostKeyUnpinned, message).with("serverId", self.id.as_str()));
        }
        Ok(&self.known)
    }
}

#[derive(Clone)]
pub struct Directory {
    outbound: Outbound,
}

impl Directory {
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    fn client(&self) -> DirectoryServiceClient<Peer> {
        DirectoryServiceClient::new(self.outbound.peer(ServiceName::CredentialStore))
    }

    async fn request<T>(&self, caller: &Caller, message: T) -> Result<tonic::Request<T>, Failure> {
        self.outbound.request(ServiceName::CredentialStore, caller, message).await
    }

    pub async fn server(&self, caller: &Caller, id: &str) -> Result<Server, Failure> {
        let missing = || Failure::not_found(Reason::ServerNotFound, id);
        let known = ServerId::parse(id).map_err(|_| missing())?;
        let request =
            self.request(caller, proto::ResolveServerRequest { server_id: known.to_string() }).await?;
        let answer = self.client().resolve_server(request).await?.into_inner();
        decode_server(known, answer.server.ok_or_else(missing)?).ok_or_else(unreadable)
    }

    /// Those of these servers that there are, in no order, at most [`MOST_AT_ONCE`].
    pub async fn targets(&self, caller: &Caller, ids: &[ServerId]) -> Result<Vec<BoundServer>, Failure> {
        let message =
            proto::ResolveTargetsRequest { server_ids: ids.iter().map(ToString::to_string).collect() };
        let request = self.request(caller, message).await?;
        let answer = self.client().resolve_targets(request).await?.into_inner();
        let targets: Option<Vec<BoundServer>> = answer.targets.into_iter().map(decode_target).collect();
        targets.ok_or_else(unreadable)
    }

    /// One page of all servers, oldest first, narrowed by tenant and group, and where the next one begins. Asked under
    /// the service's own identity: who may see them is for the use case to say.
    pub async fn servers(
        &self,
        tenant: Option<&TenantId>,
        group: &str,
        token: &str,
    ) -> Result<(Vec<Listed>, String), Failure> {
        let message = proto::ListDirectoryServersRequest {
            tenant_id: tenant.map(ToString::to_string).unwrap_or_default(),
            group: group.to_owned(),
            managed_only: false,
            page_size: MOST,
            page_token: token.to_owned(),
        };
        let request = self.outbound.own_request(ServiceName::CredentialStore, None, message)?;
        let answer = self.client().list_directory_servers(request).await?.into_inner();
        let listed: Option<Vec<Listed>> = answer.items.into_iter().map(decode_listed).collect();
        Ok((listed.ok_or_else(unreadable)?, answer.next_page_token))
    }

    pub async fn credential(&self, caller: &Caller, id: &str) -> Result<Credential, Failure> {
        let missing = || Failure::not_found(Reason::CredentialNotFound, id);
        let known = CredentialId::parse(id).map_err(|_| missing())?;
        let request = self
            .request(caller, proto::ResolveCredentialRequest { credential_id: known.to_string() })
            .await?;
        let answer = self.client().resolve_credential(request).await?.into_inner();
        decode_credential(known, answer.credential.ok_or_else(missing)?).ok_or_else(unreadable)
    }

    /// The servers on the way through this one, the outermost first.
    pub async fn route(&self, caller: &Caller, jump_host: &ServerId) -> Result<Vec<OnTheWay>, Failure> {
        let message = proto::ResolveRouteRequest { jump_host_id: jump_host.to_string() };
        let request = self.request(caller, message).await?;
        let answer = self.client().resolve_route(request).await?.into_inner();
        let route: Option<Vec<OnTheWay>> = answer.jump_hosts.into_iter().map(decode_on_the_way).collect();
        route.ok_or_else(unreadable)
    }

    /// What a failure says of the server's host key, if anything. What is not heard is found again by the next login.
    pub async fn note_mismatch(&self, caller: &Caller, server: &ServerId, failure: &Failure) {
        if failure.is(Reason::HostKeyMismatch) && !failure.metadata.contains_key("jumpHost") {
            self.report(caller, server, failure.metadata.get("presented")).await;
        }
    }

    /// The same of a test.
    pub async fn note_mismatch_in(&self, caller: &Caller, test: &ConnectivityTest) {
        let (Some(server), Some(failed)) = (&test.server, test.report.failed()) else { return };
        if failed.name == CheckName::HostKey && failed.code == FailureCode::HostKeyMismatch.as_str() {
            self.report(caller, server, failed.metadata.get("presented")).await;
        }
    }

    async fn report(&self, caller: &Caller, server: &ServerId, presented: Option<&String>) {
        let Some(fingerprint) = presented.cloned() else { return };
        let message = proto::ReportHostKeyMismatchRequest { server_id: server.to_string(), fingerprint };
        let told = async {
            let request = self.request(caller, message).await?;
            self.client().report_host_key_mismatch(request).await.map_err(Failure::from)
        };
        if let Err(failure) = told.await {
            tracing::warn!(reason = failure.reason.as_str(), %server, "a changed host key was not reported");
        }
    }

    /// Tells credential-store how a server's test ended.
    pub async fn record(&self, caller: &Caller, seen: proto::DirectoryTestResult) -> Result<(), Failure> {
        let message = proto::RecordTestResultRequest {
            server_id: seen.server_id,
            credential_id: seen.credential_id,
            test_id: seen.test_id,
            status: seen.status,
            server_version: seen.server_version,
        };
        let request = self.request(caller, message).await?;
        self.client().record_test_result(request).await?;
        Ok(())
    }

    /// The same of many, at most [`MOST_AT_ONCE`].
    pub async fn record_all(
        &self,
        caller: &Caller,
        results: Vec<proto::DirectoryTestResult>,
    ) -> Result<(), Failure> {
        let request = self.request(caller, proto::RecordTestResultsRequest { results }).await?;
        self.client().record_test_results(request).await?;
        Ok(())
    }
}

/// A result as credential-store takes it; `bound` is the credential where it is the bound one. None of a draft.
pub fn told(
    test: &ConnectivityTest,
    bound: Option<&CredentialId>,
    server_version: &str,
) -> Option<proto::DirectoryTestResult> {
    let status: Status = test.report.status();
    Some(proto::DirectoryTestResult {
        server_id: test.server.as_ref()?.to_string(),
        credential_id: bound.map(ToString::to_string).unwrap_or_default(),
        test_id: test.id.as_ref()?.to_string(),
        status: status.as_str().to_owned(),
        server_version: server_version.to_owned(),
    })
}

fn decode_target(found: proto::DirectoryTarget) -> Option<BoundServer> {
    let server = found.server?;
    let server = decode_server(ServerId::parse(&server.id).ok()?, server)?;
    let credential = match found.credential {
        None => None,
        Some(bound) => Some(decode_credential(CredentialId::parse(&bound.id).ok()?, bound)?),
    };
    Some(BoundServer { server, credential })
}

fn decode_listed(server: proto::Server) -> Option<Listed> {
    let labels = server.labels.clone();
    let server = decode_server(ServerId::parse(&server.id).ok()?, server)?;
    Some(Listed { server, labels })
}

fn decode_server(id: ServerId, server: proto::Server) -> Option<Server> {
    let active = server.lifecycle_status() == proto::ServerLifecycle::Active;
    let keys = |authorities: bool| {
        let wanted = server.host_keys.iter().filter(move |key| key.certificate_authority == authorities);
        wanted.map(|key| PublicKey::parse_openssh(&key.public_key).ok()).collect::<Option<Vec<_>>>()
    };
    let known = KnownHost { keys: keys(false)?, authorities: keys(true)? };
    let jump_host = match server.jump_host_id.as_str() {
        "" => None,
        id => Some(ServerId::parse(id).ok()?),
    };
    let binding = match server.credential {
        None => None,
        Some(bound) => Some(Binding {
            credential: CredentialId::parse(&bound.credential_id).ok()?,
            username: bound.username,
        }),
    };
    Some(Server {
        id,
        tenant: TenantId::parse(&server.tenant_id).ok()?,
        name: server.name,
        host: HostName::parse(&server.host).ok()?,
        port: Port::try_from(i64::from(server.port)).ok()?,
        active,
        known,
        mismatched: server.host_key_mismatch.is_some(),
        jump_host,
        binding,
    })
}

fn decode_credential(id: CredentialId, credential: proto::SshCredential) -> Option<Credential> {
    let managed = credential.kind() != proto::CredentialKind::Saved;
    let tenant = match credential.tenant_id.as_str() {
        "" => None,
        tenant => Some(TenantId::parse(tenant).ok()?),
    };
    let certificate = match &credential.certificate {
        None => None,
        Some(found) => Some(Certificate::parse_openssh(&found.certificate).ok()?),
    };
    Some(Credential {
        id,
        certificate,
        tenant,
        managed,
        public_key: PublicKey::parse_openssh(&credential.public_key).ok()?,
        username: credential.username,
        encrypted_at_intake: credential.encrypted_at_intake,
    })
}

fn decode_on_the_way(found: proto::JumpHost) -> Option<OnTheWay> {
    let (server, credential) = (found.server?, found.credential?);
    let server = decode_server(ServerId::parse(&server.id).ok()?, server)?;
    let credential = decode_credential(CredentialId::parse(&credential.id).ok()?, credential)?;
    Some(OnTheWay { server, credential })
}

fn unreadable() -> Failure {
    Failure::new(Reason::Internal, "An answer of credential-store cannot be read.")
}
