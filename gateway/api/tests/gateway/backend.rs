//! Services behind the gateway: generated servers that say what they were asked.

use futures_util::{Stream, stream};
use keywright_domain::reason::Reason;
use keywright_proto::{
    credential::{
        self, CredentialUsage, Tenant, TenantState,
        ssh_credential_service_server::{SshCredentialService, SshCredentialServiceServer},
        tenant_service_server::{TenantService, TenantServiceServer},
    },
    google::api::HttpBody,
    identity::{
        self,
        console_service_server::{ConsoleService, ConsoleServiceServer},
        oidc_service_server::{OidcService, OidcServiceServer},
        session_service_server::{SessionService, SessionServiceServer},
    },
    lifecycle::{
        self, Rotation, RotationState,
        krl_service_server::KrlServiceServer,
        rotation_service_server::{RotationService, RotationServiceServer},
        ssh_access_service_server::{SshAccessService, SshAccessServiceServer},
    },
};
use keywright_runtime::{failure::Failure, peer::Peer};
use std::{convert::Infallible, pin::Pin};
use tonic::{Request, Response, Status, service::Routes};
use tower::ServiceExt;

/// What the edge gives for one service; the caller's own token must never arrive here.
pub const SHORT_TOKEN: &str = "Bearer short";

pub fn credential_store() -> Peer {
    let routes = Routes::new(TenantServiceServer::new(Store)).add_service(SessionServiceServer::new(Store));
    let routes = routes.add_service(SshCredentialServiceServer::new(Store));
    peer(routes.add_service(ConsoleServiceServer::new(Store)).add_service(OidcServiceServer::new(Store)))
}

pub fn key_lifecycle() -> Peer {
    peer(
        Routes::new(RotationServiceServer::new(Lifecycle))
            .add_service(SshAccessServiceServer::new(Lifecycle))
            .add_service(KrlServiceServer::new(crate::files::Lists)),
    )
}

fn peer(routes: Routes) -> Peer {
    let routes = routes.prepare();
    Peer::new(tower::service_fn(move |request: http::Request<tonic::body::Body>| {
        let routes = routes.clone();
        async move { Ok(routes.oneshot(request).await.unwrap_or_else(|never: Infallible| match never {})) }
    }))
}

pub type Answer<T> = Result<Response<T>, Status>;

/// The request's message, if it came through the edge.
pub fn admitted<T>(request: Request<T>) -> Result<T, Status> {
    let header = |name: &str| {
        request.metadata().get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned()
    };
    assert_eq!(header("authorization"), SHORT_TOKEN);
    assert!(header("keywright-request-id").starts_with("req_"));
    assert!(request.metadata().get("cookie").is_none());
    Ok(request.into_inner())
}

fn absent<T>() -> Answer<T> {
    Err(Status::unimplemented("not part of this test"))
}

struct Store;

fn tenant(id: &str, name: &str) -> Tenant {
    Tenant {
        id: id.to_owned(),
        name: name.to_owned(),
        state: TenantState::Active.into(),
        ..Tenant::default()
    }
}

#[tonic::async_trait]
impl TenantService for Store {
    async fn create_tenant(
        &self,
        request: Request<credential::CreateTenantRequest>,
    ) -> Answer<credential::CreateTenantResponse> {
        let request = admitted(request)?;
        if request.name == "taken" {
            return Err(Failure::new(Reason::AlreadyExists, "The external id is taken.").into());
        }
        Ok(Response::new(credential::CreateTenantResponse { tenant: Some(tenant("ten_new", &request.name)) }))
    }

    async fn list_tenants(
        &self,
        request: Request<credential::ListTenantsRequest>,
    ) -> Answer<credential::ListTenantsResponse> {
        let request = admitted(request)?;
        let items = (0..request.page_size).map(|i| tenant(&format!("ten_{i}"), &request.search)).collect();
        Ok(Response::new(credential::ListTenantsResponse { items, next_page_token: String::new() }))
    }

    async fn get_tenant(
        &self,
        request: Request<credential::GetTenantRequest>,
    ) -> Answer<credential::GetTenantResponse> {
        let id = admitted(request)?.tenant_id;
        match id.as_str() {
            "ten_slow" => std::future::pending().await,
            "ten_broken" => Err(Status::internal("relation \"tenants\" at 10.0.0.7 does not exist")),
            "ten_away" => {
                Err(Failure::new(Reason::StorageUnavailable, "The database does not answer.").into())
            }
            id if id.starts_with("ten_") => {
                Ok(Response::new(credential::GetTenantResponse { tenant: Some(tenant(id, "Acme")) }))
            }
            _ => Err(Failure::not_found(Reason::TenantNotFound, &id).into()),
        }
    }

    async fn update_tenant(
        &self,
        _: Request<credential::UpdateTenantRequest>,
    ) -> Answer<credential::UpdateTenantResponse> {
        absent()
    }

    async fn suspend_tenant(
        &self,
        _: Request<credential::SuspendTenantRequest>,
    ) -> Answer<credential::SuspendTenantResponse> {
        absent()
    }

    async fn resume_tenant(
        &self,
        _: Request<credential::ResumeTenantRequest>,
    ) -> Answer<credential::ResumeTenantResponse> {
        absent()
    }

    async fn delete_tenant(
        &self,
        _: Request<credential::DeleteTenantRequest>,
    ) -> Answer<credential::DeleteTenantResponse> {
        absent()
    }
}

#[tonic::async_trait]
impl SessionService for Store {
    async fn who_am_i(&self, _: Request<identity::WhoAmIRequest>) -> Answer<identity::WhoAmIResponse> {
        absent()
    }
    /// For strangers: nobody is behind the request, whatever token came with it.
    async fn redeem_invitation(
        &self,
        request: Request<identity::RedeemInvitationRequest>,
    ) -> Answer<identity::RedeemInvitationResponse> {
        assert!(request.metadata().get("authorization").is_none());
        Ok(Response::new(identity::RedeemInvitationResponse { id: "tok_1".to_owned(), ..Default::default() }))
    }
}

#[tonic::async_trait]
impl ConsoleService for Store {
    async fn create_console_code(
        &self,
        _: Request<identity::CreateConsoleCodeRequest>,
    ) -> Answer<identity::CreateConsoleCodeResponse> {
        absent()
    }
    async fn open_console_session(
        &self,
        _: Request<identity::OpenConsoleSessionRequest>,
    ) -> Answer<identity::OpenConsoleSessionResponse> {
        Ok(Response::new(identity::OpenConsoleSessionResponse::default()))
    }
    async fn close_console_session(
        &self,
        _: Request<identity::CloseConsoleSessionRequest>,
    ) -> Answer<identity::CloseConsoleSessionResponse> {
        absent()
    }
}

#[tonic::async_trait]
impl OidcService for Store {
    async fn list_login_methods(
        &self,
        _: Request<identity::ListLoginMethodsRequest>,
    ) -> Answer<identity::ListLoginMethodsResponse> {
        Ok(Response::new(identity::ListLoginMethodsResponse::default()))
    }
    async fn login_with_oidc(
        &self,
        _: Request<identity::LoginWithOidcRequest>,
    ) -> Answer<identity::LoginWithOidcResponse> {
        Ok(Response::new(identity::LoginWithOidcResponse::default()))
    }
}

#[tonic::async_trait]
impl SshCredentialService for Store {
    async fn create_ssh_credential(
        &self,
        _: Request<credential::CreateSshCredentialRequest>,
    ) -> Answer<credential::CreateSshCredentialResponse> {
        absent()
    }
    async fn list_ssh_credentials(
        &self,
        _: Request<credential::ListSshCredentialsRequest>,
    ) -> Answer<credential::ListSshCredentialsResponse> {
        absent()
    }
    async fn get_ssh_credential(
        &self,
        _: Request<credential::GetSshCredentialRequest>,
    ) -> Answer<credential::GetSshCredentialResponse> {
        absent()
    }
    async fn get_ssh_credential_usage(
        &self,
        request: Request<credential::GetSshCredentialUsageRequest>,
    ) -> Answer<credential::GetSshCredentialUsageResponse> {
        admitted(request)?;
        Ok(Response::new(credential::GetSshCredentialUsageResponse {
            usage: Some(CredentialUsage::default()),
        }))
    }
    async fn rotate_ssh_credential(
        &self,
        request: Request<credential::RotateSshCredentialRequest>,
    ) -> Answer<credential::RotateSshCredentialResponse> {
        let request = admitted(request)?;
        let facts = Failure::new(Reason::UsageAcknowledgementRequired, "Two servers use it.")
            .with("clearUsername", request.clear_username.to_string())
            .with("username", format!("{:?}", request.username));
        Err(facts.into())
    }
    async fn delete_ssh_credential(
        &self,
        request: Request<credential::DeleteSshCredentialRequest>,
    ) -> Answer<credential::DeleteSshCredentialResponse> {
        let request = admitted(request)?;
        let typed = request.confirmation.map(|confirmation| confirmation.credential_id).unwrap_or_default();
        if typed == request.credential_id {
            Ok(Response::new(credential::DeleteSshCredentialResponse {}))
        } else {
            Err(Failure::new(Reason::ConfirmationMismatch, "This is not the credential's id.").into())
        }
    }
    async fn validate_ssh_credential(
        &self,
        _: Request<credential::ValidateSshCredentialRequest>,
    ) -> Answer<credential::ValidateSshCredentialResponse> {
        absent()
    }

    async fn update_ssh_credential(
        &self,
        _: Request<credential::UpdateSshCredentialRequest>,
    ) -> Answer<credential::UpdateSshCredentialResponse> {
        absent()
    }

    async fn switch_ssh_credential(
        &self,
        _: Request<credential::SwitchSshCredentialRequest>,
    ) -> Answer<credential::SwitchSshCredentialResponse> {
        absent()
    }
}

struct Lifecycle;

type Watch<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn snapshot(id: &str, state: RotationState) -> Result<lifecycle::WatchRotationResponse, Status> {
    let rotation = Rotation { id: id.to_owned(), state: state.into(), ..Rotation::default() };
    Ok(lifecycle::WatchRotationResponse { rotation: Some(rotation) })
}

#[tonic::async_trait]
impl RotationService for Lifecycle {
    async fn get_rotation(
        &self,
        _: Request<lifecycle::GetRotationRequest>,
    ) -> Answer<lifecycle::GetRotationResponse> {
        absent()
    }

    type WatchRotationStream = Watch<lifecycle::WatchRotationResponse>;

    async fn watch_rotation(
        &self,
        request: Request<lifecycle::WatchRotationRequest>,
    ) -> Answer<Self::WatchRotationStream> {
        let id = admitted(request)?.rotation_id;
        let first = snapshot(&id, RotationState::Running);
        let stream: Self::WatchRotationStream = match id.as_str() {
            "rot_done" => Box::pin(stream::iter([first, snapshot(&id, RotationState::Succeeded)])),
            "rot_breaks" => {
                let failure = Failure::new(Reason::StorageUnavailable, "The database does not answer.");
                Box::pin(stream::iter([first, Err(failure.into())]))
            }
            "rot_quiet" => Box::pin(futures_util::StreamExt::chain(stream::iter([first]), stream::pending())),
            id => return Err(Failure::not_found(Reason::RotationNotFound, id).into()),
        };
        Ok(Response::new(stream))
    }

    async fn get_revocation(
        &self,
        _: Request<lifecycle::GetRevocationRequest>,
    ) -> Answer<lifecycle::GetRevocationResponse> {
        absent()
    }

    type WatchRevocationStream = Watch<lifecycle::WatchRevocationResponse>;

    async fn watch_revocation(
        &self,
        _: Request<lifecycle::WatchRevocationRequest>,
    ) -> Answer<Self::WatchRevocationStream> {
        absent()
    }
}

#[tonic::async_trait]
impl SshAccessService for Lifecycle {
    async fn provision_ssh_access(
        &self,
        _: Request<lifecycle::ProvisionSshAccessRequest>,
    ) -> Answer<lifecycle::ProvisionSshAccessResponse> {
        absent()
    }
    async fn list_ssh_access(
        &self,
        _: Request<lifecycle::ListSshAccessRequest>,
    ) -> Answer<lifecycle::ListSshAccessResponse> {
        absent()
    }
    async fn get_ssh_access(
        &self,
        _: Request<lifecycle::GetSshAccessRequest>,
    ) -> Answer<lifecycle::GetSshAccessResponse> {
        absent()
    }
    async fn download_ssh_key(
        &self,
        request: Request<lifecycle::DownloadSshKeyRequest>,
    ) -> Answer<lifecycle::DownloadSshKeyResponse> {
        let text = match admitted(request)?.format.as_str() {
            "ppk" => "PuTTY-User-Key-File-3: ssh-ed25519\n",
            _ => "-----BEGIN OPENSSH PRIVATE KEY-----\n",
        };
        let file = HttpBody {
            content_type: "application/x-pem-file".to_owned(),
            data: text.into(),
            extensions: vec![],
        };
        Ok(Response::new(lifecycle::DownloadSshKeyResponse {
            file: Some(file),
            claim_id: "clm_1".to_owned(),
        }))
    }
    async fn acknowledge_download(
        &self,
        _: Request<lifecycle::AcknowledgeDownloadRequest>,
    ) -> Answer<lifecycle::AcknowledgeDownloadResponse> {
        absent()
    }
    async fn rotate_ssh_key(
        &self,
        request: Request<lifecycle::RotateSshKeyRequest>,
    ) -> Answer<lifecycle::RotateSshKeyResponse> {
        let grace = admitted(request)?.grace_period.map(|d| d.seconds).unwrap_or_default();
        Err(Failure::new(Reason::GraceInProgress, "A grace runs.").with("asked", grace.to_string()).into())
    }
    async fn revoke_ssh_access(
        &self,
        _: Request<lifecycle::RevokeSshAccessRequest>,
    ) -> Answer<lifecycle::RevokeSshAccessResponse> {
        absent()
    }
    async fn regenerate_ssh_key(
        &self,
        _: Request<lifecycle::RegenerateSshKeyRequest>,
    ) -> Answer<lifecycle::RegenerateSshKeyResponse> {
        absent()
    }

    async fn create_key_challenge(
        &self,
        _: Request<lifecycle::CreateKeyChallengeRequest>,
    ) -> Answer<lifecycle::CreateKeyChallengeResponse> {
        absent()
    }

    async fn add_access_host(
        &self,
        _: Request<lifecycle::AddAccessHostRequest>,
    ) -> Answer<lifecycle::AddAccessHostResponse> {
        absent()
    }

    async fn remove_access_host(
        &self,
        _: Request<lifecycle::RemoveAccessHostRequest>,
    ) -> Answer<lifecycle::RemoveAccessHostResponse> {
        absent()
    }

    async fn deprovision_ssh_access(
        &self,
        _: Request<lifecycle::DeprovisionSshAccessRequest>,
    ) -> Answer<lifecycle::DeprovisionSshAccessResponse> {
        absent()
    }

    async fn read_key_use(
        &self,
        _: Request<lifecycle::ReadKeyUseRequest>,
    ) -> Answer<lifecycle::ReadKeyUseResponse> {
        absent()
    }
}
