//! credential-store: servers, managed credentials and their versions, references, release.

use super::directory::TenantState;
use crate::model::VersionState;
use keywright_domain::caller::{Caller, ServiceName};
use keywright_domain::host::KnownHost;
use keywright_domain::ids::{CredentialId, ServerId, TenantId, VersionId};
use keywright_domain::key::{Certificate, KeyAlgorithm, PublicKey};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_proto::credential as proto;
use keywright_proto::credential::custody_service_client::CustodyServiceClient;
use keywright_proto::credential::directory_service_client::DirectoryServiceClient;
use keywright_proto::credential::release_service_client::ReleaseServiceClient;
use keywright_proto::credential::tenant_service_client::TenantServiceClient;
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_runtime::peer::Peer;

const STORE: ServiceName = ServiceName::CredentialStore;

/// What the lifecycle needs to know of a server.
#[derive(Debug, Clone)]
pub struct Server {
    pub id: ServerId,
    pub tenant: TenantId,
    pub name: String,
    pub host: String,
    pub port: u16,
    pub active: bool,
    /// One KRL serves one group.
    pub group: String,
    pub known: KnownHost,
    /// It has shown a wrong host key, and that is not settled yet.
    pub mismatched: bool,
    /// The server through which it is reached.
    pub jump_host: Option<ServerId>,
    /// The management credential and the account it logs in to.
    pub management: Option<(CredentialId, String)>,
    /// The saved credential that is bound to it, and its user.
    pub binding: Option<(CredentialId, String)>,
}

/// A server on the way to another one, with what is bound to it.
#[derive(Debug, Clone)]
pub struct OnTheWay {
    pub server: Server,
    pub credential: CredentialId,
    pub username: String,
    pub public_key: PublicKey,
    pub certificate: Option<Certificate>,
}

/// A saved credential, to log in with once.
#[derive(Debug, Clone)]
pub struct Saved {
    pub tenant: Option<TenantId>,
    pub username: String,
    pub public_key: PublicKey,
    pub certificate: Option<Certificate>,
}

#[derive(Clone)]
pub struct CredentialStore {
    outbound: Outbound,
}

impl CredentialStore {
    pub fn new(outbound: Outbound) -> Self {
        Self { outbound }
    }

    pub async fn server(&self, id: &ServerId) -> Result<Server, Failure> {
        let request = self.own(None, proto::ResolveServerRequest { server_id: id.to_string() })?;
        let answer = self.directory().resolve_server(request).await?.into_inner();
        answer.server.and_then(server).ok_or_else(|| unreadable("server"))
    }

    pub async fn saved(&self, id: &CredentialId) -> Result<Saved, Failure> {
        let request = self.own(None, proto::ResolveCredentialRequest { credential_id: id.to_string() })?;
        let answer = self.directory().resolve_credential(request).await?.into_inner();
        let found = answer.credential.ok_or_else(|| unreadable("credential"))?;
        if found.kind() == proto::CredentialKind::Managed {
            return Err(Failure::new(Reason::CredentialIsManaged, "Keywright manages this credential."));
        }
        let public_key = PublicKey::parse_openssh(&found.public_key).map_err(|_| unreadable("credential"))?;
        let certificate = certificate(&found)?;
        let tenant = TenantId::parse(&found.tenant_id).ok();
        Ok(Saved { tenant, username: found.username, public_key, certificate })
    }

    /// The servers on the way through this one, the outermost first.
    pub async fn route(&self, jump_host: &ServerId) -> Result<Vec<OnTheWay>, Failure> {
        let request = self.own(None, proto::ResolveRouteRequest { jump_host_id: jump_host.to_string() })?;
        let answer = self.directory().resolve_route(request).await?.into_inner();
        answer.jump_hosts.into_iter().map(on_the_way).collect()
    }

    /// Another host key than a pinned one was shown.
    pub async fn report_mismatch(&self, server: &ServerId, presented: &str) -> Result<(), Failure> {
        let message = proto::ReportHostKeyMismatchRequest {
            server_id: server.to_string(),
            fingerprint: presented.to_owned(),
        };
        self.directory().report_host_key_mismatch(self.own(None, message)?).await?;
        Ok(())
    }

    /// TENANT_NOT_FOUND if there is none for this caller.
    pub async fn require_tenant(&self, caller: &Caller, id: &TenantId) -> Result<(), Failure> {
        let message = proto::GetTenantRequest { tenant_id: id.to_string() };
        let request = self.outbound.request(STORE, caller, message).await?;
        TenantServiceClient::new(self.outbound.peer(STORE)).get_tenant(request).await?;
        Ok(())
    }

    /// The e-mail addresses of the tenant's people, as its tenant says them.
    pub async fn contacts(&self, id: &TenantId) -> Result<Vec<String>, Failure> {
        let request = self.own(None, proto::GetTenantRequest { tenant_id: id.to_string() })?;
        let answer = TenantServiceClient::new(self.outbound.peer(STORE)).get_tenant(request).await?;
        Ok(answer.into_inner().tenant.map(|tenant| tenant.contacts).unwrap_or_default())
    }

    /// Something new may be done for the tenant: TENANT_SUSPENDED or TENANT_NOT_FOUND if not, whoever asks.
    pub async fn require_open_tenant(&self, id: &TenantId) -> Result<(), Failure> {
        let message = proto::GetTenantRequest { tenant_id: id.to_string() };
        let request = self.own(None, message)?;
        let answer = TenantServiceClient::new(self.outbound.peer(STORE)).get_tenant(request).await?;
        match answer.into_inner().tenant {
            Some(tenant) if tenant.state() == proto::TenantState::Suspended => Err(Failure::new(
                Reason::TenantSuspended,
                "The tenant is suspended: nothing new is done for it.",
            )),
            _ => Ok(()),
        }
    }

    /// Idempotent by id.
    pub async fn create_credential(
        &self,
        work: &str,
        id: &CredentialId,
        tenant: Option<&TenantId>,
        name: &str,
        owner: &str,
    ) -> Result<(), Failure> {
        let message = proto::CreateManagedCredentialRequest {
            credential_id: id.to_string(),
            tenant_id: tenant.map(ToString::to_string).unwrap_or_default(),
            name: name.to_owned(),
            owner: owner.to_owned(),
        };
        self.custody().create_managed_credential(self.own(Some(work), message)?).await?;
        Ok(())
    }

    /// Durable before it answers; the same version id gives the same key.
    pub async fn generate(
        &self,
        work: &str,
        credential: &CredentialId,
        version: &VersionId,
        algorithm: KeyAlgorithm,
    ) -> Result<PublicKey, Failure> {
        let message = proto::GenerateVersionRequest {
            credential_id: credential.to_string(),
            version_id: version.to_string(),
            algorithm: algorithm.as_str().to_owned(),
        };
        let answer = self.custody().generate_version(self.own(Some(work), message)?).await?.into_inner();
        let generated = answer.version.ok_or_else(|| unreadable("version"))?;
        PublicKey::parse_openssh(&generated.public_key).map_err(|_| unreadable("version"))
    }

    /// The public half of a key that its holder made; the same version id again changes nothing.
    pub async fn register(
        &self,
        work: &str,
        credential: &CredentialId,
        version: &VersionId,
        key: &PublicKey,
    ) -> Result<(), Failure> {
        let message = proto::RegisterVersionRequest {
            credential_id: credential.to_string(),
            version_id: version.to_string(),
            public_key: key.openssh(),
        };
        self.custody().register_version(self.own(Some(work), message)?).await?;
        Ok(())
    }

    /// Idempotent.
    pub async fn set_state(
        &self,
        work: Option<&str>,
        credential: &CredentialId,
        change: &Change<'_>,
    ) -> Result<(), Failure> {
        let message = proto::SetVersionStateRequest {
            credential_id: credential.to_string(),
            version_id: change.version.to_string(),
            state: state(change.state).into(),
            destroy_material: change.destroy,
            compromised: change.compromised,
        };
        self.custody().set_version_state(self.own(work, message)?).await?;
        Ok(())
    }

    /// The key in use of a managed credential.
    pub async fn active_key(&self, credential: &CredentialId, work: &str) -> Result<PublicKey, Failure> {
        let message = proto::GetManagedCredentialRequest { credential_id: credential.to_string() };
        let answer =
            self.custody().get_managed_credential(self.own(Some(work), message)?).await?.into_inner();
        let active = answer.versions.iter().find(|version| version.state() == proto::VersionState::Active);
        let active = active.ok_or_else(|| unreadable("credential"))?;
        PublicKey::parse_openssh(&active.public_key).map_err(|_| unreadable("version"))
    }

    pub async fn set_management_key(
        &self,
        work: &str,
        server: &ServerId,
        credential: &CredentialId,
        username: &str,
    ) -> Result<(), Failure> {
        let message = proto::SetManagementKeyRequest {
            server_id: server.to_string(),
            credential_id: credential.to_string(),
            username: username.to_owned(),
        };
        self.directory().set_management_key(self.own(Some(work), message)?).await?;
        Ok(())
    }

    /// The server has no management key any more, and the key is destroyed. Idempotent.
    pub async fn forget_management_key(
        &self,
        work: &str,
        server: &ServerId,
        credential: &CredentialId,
    ) -> Result<(), Failure> {
        let message = proto::ForgetManagementKeyRequest {
            server_id: server.to_string(),
            credential_id: credential.to_string(),
        };
        self.directory().forget_management_key(self.own(Some(work), message)?).await?;
        Ok(())
    }

    /// The tenant is suspended, or deleted with all that is there of it; how it stands now. Idempotent.
    pub async fn close_tenant(
        &self,
        work: &str,
        id: &TenantId,
        delete: bool,
    ) -> Result<TenantState, Failure> {
        let message = proto::CloseTenantRequest { tenant_id: id.to_string(), delete };
        let answer = self.directory().close_tenant(self.own(Some(work), message)?).await?.into_inner();
        let closed = answer.tenant.ok_or_else(|| unreadable("tenant"))?;
        Ok(match closed.state() {
            proto::TenantState::Deleted => TenantState::Deleted,
            proto::TenantState::Suspended => TenantState::Suspended,
            _ => TenantState::Active,
        })
    }

    /// Nobody can delete the server from under `owner`. Idempotent.
    pub async fn hold_server(&self, work: &str, server: &ServerId, owner: &str) -> Result<(), Failure> {
        self.hold(work, server.to_string(), String::new(), owner).await
    }

    /// Nobody can delete the credential from under `owner`. Idempotent.
    pub async fn hold_credential(
        &self,
        work: &str,
        credential: &CredentialId,
        owner: &str,
    ) -> Result<(), Failure> {
        self.hold(work, String::new(), credential.to_string(), owner).await
    }

    async fn hold(
        &self,
        work: &str,
        server_id: String,
        credential_id: String,
        owner: &str,
    ) -> Result<(), Failure> {
        let (owner, purpose) = (owner.to_owned(), PURPOSE.to_owned());
        let message = proto::AddReferenceRequest { server_id, credential_id, owner, purpose };
        self.directory().add_reference(self.own(Some(work), message)?).await?;
        Ok(())
    }

    pub async fn let_go_of_server(&self, work: &str, server: &ServerId, owner: &str) -> Result<(), Failure> {
        self.let_go(work, server.to_string(), String::new(), owner).await
    }

    pub async fn let_go_of_credential(
        &self,
        work: &str,
        credential: &CredentialId,
        owner: &str,
    ) -> Result<(), Failure> {
        self.let_go(work, String::new(), credential.to_string(), owner).await
    }

    async fn let_go(
        &self,
        work: &str,
        server_id: String,
        credential_id: String,
        owner: &str,
    ) -> Result<(), Failure> {
        let (owner, purpose) = (owner.to_owned(), PURPOSE.to_owned());
        let message = proto::RemoveReferenceRequest { server_id, credential_id, owner, purpose };
        self.directory().remove_reference(self.own(Some(work), message)?).await?;
        Ok(())
    }

    /// The private key file, for the person who asked.
    pub async fn release(&self, caller: &Caller, wanted: Release<'_>) -> Result<Secret, Failure> {
        let message = proto::ReleaseVersionRequest {
            credential_id: wanted.credential.to_string(),
            version_id: wanted.version.to_string(),
            format: wanted.format.to_owned(),
            passphrase: wanted.passphrase.expose_text().unwrap_or_default().to_owned(),
        };
        let request = self.outbound.request(STORE, caller, message).await?;
        let answer = ReleaseServiceClient::new(self.outbound.peer(STORE)).release_version(request).await?;
        Ok(Secret::new(answer.into_inner().file))
    }

    pub(super) fn own<T>(&self, work: Option<&str>, message: T) -> Result<tonic::Request<T>, Failure> {
        self.outbound.own_request(STORE, work, message)
    }

    fn custody(&self) -> CustodyServiceClient<Peer> {
        CustodyServiceClient::new(self.outbound.peer(STORE))
    }

    pub(super) fn directory(&self) -> DirectoryServiceClient<Peer> {
        DirectoryServiceClient::new(self.outbound.peer(STORE))
    }
}

/// What the lifecycle's references are for.
const PURPOSE: &str = "ssh-access";

/// A version's new state.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    pub version: &'a VersionId,
    pub state: VersionState,
    pub destroy: bool,
    pub compromised: bool,
}

/// What a download asks for.
#[derive(Debug, Clone, Copy)]
pub struct Release<'a> {
    pub credential: &'a CredentialId,
    pub version: &'a VersionId,
    pub format: &'a str,
    pub passphrase: &'a Secret,
}

const fn state(state: VersionState) -> proto::VersionState {
    match state {
        VersionState::Staged => proto::VersionState::Staged,
        VersionState::Active => proto::VersionState::Active,
        VersionState::Grace => proto::VersionState::Grace,
        VersionState::Retired => proto::VersionState::Retired,
        VersionState::Revoked => proto::VersionState::Revoked,
        VersionState::Failed => proto::VersionState::Failed,
    }
}

pub(super) fn server(found: proto::Server) -> Option<Server> {
    let active = found.lifecycle_status() == proto::ServerLifecycle::Active;
    let keys = |authorities: bool| {
        let wanted = found.host_keys.iter().filter(move |key| key.certificate_authority == authorities);
        wanted.map(|key| PublicKey::parse_openssh(&key.public_key)).collect::<Result<Vec<_>, _>>()
    };
    let known = KnownHost { keys: keys(false).ok()?, authorities: keys(true).ok()? };
    let jump_host = match found.jump_host_id.as_str() {
        "" => None,
        id => Some(ServerId::parse(id).ok()?),
    };
    Some(Server {
        id: ServerId::parse(&found.id).ok()?,
        tenant: TenantId::parse(&found.tenant_id).ok()?,
        management: CredentialId::parse(&found.management_key_id)
            .ok()
            .map(|id| (id, found.management_username)),
        binding: found
            .credential
            .and_then(|bound| Some((CredentialId::parse(&bound.credential_id).ok()?, bound.username))),
        name: found.name,
        host: found.host,
        port: u16::try_from(found.port).ok()?,
        active,
        group: found.group,
        known,
        mismatched: found.host_key_mismatch.is_some(),
        jump_host,
    })
}

fn on_the_way(found: proto::JumpHost) -> Result<OnTheWay, Failure> {
    let bad = || unreadable("jump host");
    let bound = found.credential.ok_or_else(bad)?;
    let server = found.server.and_then(server).ok_or_else(bad)?;
    let (credential, username) = server.binding.clone().ok_or_else(bad)?;
    let public_key = PublicKey::parse_openssh(&bound.public_key).map_err(|_| bad())?;
    Ok(OnTheWay { credential, username, public_key, certificate: certificate(&bound)?, server })
}

fn certificate(of: &proto::SshCredential) -> Result<Option<Certificate>, Failure> {
    let found = of.certificate.as_ref().map(|found| Certificate::parse_openssh(&found.certificate));
    found.transpose().map_err(|_| unreadable("certificate"))
}

pub(super) fn unreadable(what: &str) -> Failure {
    Failure::new(Reason::Internal, format!("credential-store answered with a {what} that cannot be read."))
}
