//! credential-store as the lifecycle sees it: servers, versions with their states, references. It can be sealed.

use super::fakes::Answer;
use keywright_domain::key::{GenerateSpec, KeyAlgorithm, PrivateKey, SignatureAlgorithm, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_proto::credential as proto;
use keywright_runtime::failure::Failure;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use tonic::{Request, Response, Status};

#[derive(Default)]
pub struct State {
    /// In the order of their creation; `all_tenants` adds those that only have servers.
    pub tenants: Vec<proto::Tenant>,
    pub servers: BTreeMap<String, proto::Server>,
    pub credentials: BTreeSet<String>,
    pub versions: BTreeMap<String, (String, proto::CredentialVersion)>,
    /// `owner subject`.
    pub references: BTreeSet<String>,
    pub sealed: bool,
    pub released: usize,
    /// Under which names logins were signed.
    pub logins: Vec<String>,
    /// Calls of this name that fail yet.
    pub failing: BTreeMap<&'static str, usize>,
    pub keys: BTreeMap<String, Arc<PrivateKey>>,
    pub saved: BTreeMap<String, proto::SshCredential>,
}

#[derive(Clone, Default)]
pub struct Vault {
    pub state: Arc<Mutex<State>>,
}

impl State {
    /// With an active one for every server whose tenant nobody made.
    fn all_tenants(&self) -> Vec<proto::Tenant> {
        let mut all = self.tenants.clone();
        for server in self.servers.values() {
            if !all.iter().any(|tenant| tenant.id == server.tenant_id) {
                all.push(proto::Tenant {
                    id: server.tenant_id.clone(),
                    name: "tenant".to_owned(),
                    time_zone: "UTC".to_owned(),
                    state: proto::TenantState::Active.into(),
                    ..Default::default()
                });
            }
        }
        all
    }
}

/// A page; the token is the number of what came before.
fn cut<T>(all: Vec<T>, size: i32, token: &str) -> (Vec<T>, String) {
    let size = if size == 0 { 100 } else { usize::try_from(size).unwrap() };
    let from = token.parse().unwrap_or(0usize);
    let next = if all.len() > from + size { (from + size).to_string() } else { String::new() };
    (all.into_iter().skip(from).take(size).collect(), next)
}

fn refuse(reason: Reason) -> Status {
    Failure::new(reason, "Refused.").to_status()
}

impl Vault {
    pub fn version(&self, id: &str) -> proto::CredentialVersion {
        self.state.lock().unwrap().versions.get(id).unwrap().1.clone()
    }

    pub fn seal(&self, sealed: bool) {
        self.state.lock().unwrap().sealed = sealed;
    }

    fn enter(&self, call: &'static str) -> Result<std::sync::MutexGuard<'_, State>, Status> {
        let mut state = self.state.lock().unwrap();
        if let Some(left) = state.failing.get_mut(call)
            && *left > 0
        {
            *left -= 1;
            return Err(refuse(Reason::ServiceUnavailable));
        }
        Ok(state)
    }
}

#[tonic::async_trait]
impl proto::custody_service_server::CustodyService for Vault {
    async fn sign_userauth(
        &self,
        request: Request<proto::SignUserauthRequest>,
    ) -> Answer<proto::SignUserauthResponse> {
        let asked = request.into_inner();
        let mut state = self.enter("sign")?;
        state.logins.push(asked.username.clone());
        let active = state.versions.values().find(|(credential, version)| {
            *credential == asked.credential_id && version.state() == proto::VersionState::Active
        });
        let key = active.and_then(|(_, version)| state.keys.get(&version.id));
        let key = key.ok_or_else(|| refuse(Reason::VersionNotFound))?;
        let algorithm = SignatureAlgorithm::parse(&asked.algorithm).unwrap();
        let login =
            UserauthRequest::new(asked.session_id, asked.username, algorithm, key.public().clone()).unwrap();
        let signature = key.sign(algorithm, &login.signed_bytes()).unwrap();
        Ok(Response::new(proto::SignUserauthResponse { signature }))
    }

    async fn create_managed_credential(
        &self,
        request: Request<proto::CreateManagedCredentialRequest>,
    ) -> Answer<proto::CreateManagedCredentialResponse> {
        self.enter("create")?.credentials.insert(request.into_inner().credential_id);
        Ok(Response::new(proto::CreateManagedCredentialResponse {}))
    }

    async fn generate_version(
        &self,
        request: Request<proto::GenerateVersionRequest>,
    ) -> Answer<proto::GenerateVersionResponse> {
        let asked = request.into_inner();
        let mut state = self.enter("generate")?;
        if state.sealed {
            return Err(refuse(Reason::SecretStoreSealed));
        }
        if !state.credentials.contains(&asked.credential_id) {
            return Err(refuse(Reason::CredentialNotFound));
        }
        let number = i32::try_from(state.versions.len()).unwrap() + 1;
        let spec = GenerateSpec::of(KeyAlgorithm::parse(&asked.algorithm).unwrap(), 0).unwrap();
        let fresh = || Arc::new(PrivateKey::generate(spec).unwrap());
        let key = state.keys.entry(asked.version_id.clone()).or_insert_with(fresh).clone();
        let (_, version) = state.versions.entry(asked.version_id.clone()).or_insert_with(|| {
            let version = proto::CredentialVersion {
                id: asked.version_id,
                number,
                state: proto::VersionState::Staged.into(),
                public_key: key.public().openssh(),
                fingerprint: key.public().fingerprint().to_string(),
                algorithm: asked.algorithm,
                ..Default::default()
            };
            (asked.credential_id, version)
        });
        Ok(Response::new(proto::GenerateVersionResponse { version: Some(version.clone()) }))
    }

    async fn set_version_state(
        &self,
        request: Request<proto::SetVersionStateRequest>,
    ) -> Answer<proto::SetVersionStateResponse> {
        let asked = request.into_inner();
        let mut state = self.enter("set_state")?;
        if asked.destroy_material && state.sealed {
            return Err(refuse(Reason::SecretStoreSealed));
        }
        let found = state.versions.get_mut(&asked.version_id);
        let (_, version) = found.ok_or_else(|| refuse(Reason::VersionNotFound))?;
        if !may_become(version.state(), asked.state()) {
            let there = version.state().as_str_name().trim_start_matches("VERSION_STATE_").to_lowercase();
            let refusal = Failure::new(Reason::RevisionMismatch, "It does not go there.");
            return Err(refusal.with("state", there).to_status());
        }
        version.state = asked.state;
        version.material_destroyed |= asked.destroy_material;
        version.compromised |= asked.compromised;
        Ok(Response::new(proto::SetVersionStateResponse { version: Some(version.clone()) }))
    }

    async fn get_managed_credential(
        &self,
        request: Request<proto::GetManagedCredentialRequest>,
    ) -> Answer<proto::GetManagedCredentialResponse> {
        let asked = request.into_inner();
        let state = self.enter("read")?;
        let own = state.versions.values().filter(|(credential, _)| *credential == asked.credential_id);
        let versions = own.map(|(_, version)| version.clone()).collect();
        Ok(Response::new(proto::GetManagedCredentialResponse { versions, ..Default::default() }))
    }

    async fn register_version(
        &self,
        request: Request<proto::RegisterVersionRequest>,
    ) -> Answer<proto::RegisterVersionResponse> {
        let asked = request.into_inner();
        let mut state = self.enter("register")?;
        let version = proto::CredentialVersion {
            id: asked.version_id.clone(),
            public_key: asked.public_key,
            state: proto::VersionState::Staged.into(),
            material_destroyed: true,
            client_made: true,
            ..Default::default()
        };
        let known = state
            .versions
            .values()
            .any(|(_, other)| other.id != version.id && other.public_key == version.public_key);
        if known {
            return Err(refuse(Reason::AlreadyExists));
        }
        let entry = state.versions.entry(asked.version_id).or_insert((asked.credential_id, version));
        Ok(Response::new(proto::RegisterVersionResponse { version: Some(entry.1.clone()) }))
    }
}

/// As the real one: only forward, and from an end nowhere.
fn may_become(from: proto::VersionState, to: proto::VersionState) -> bool {
    use proto::VersionState as State;
    from == to
        || match from {
            State::Staged => matches!(to, State::Active | State::Failed | State::Revoked),
            State::Active => matches!(to, State::Grace | State::Retired | State::Revoked),
            State::Grace => matches!(to, State::Retired | State::Revoked),
            _ => false,
        }
}

#[tonic::async_trait]
impl proto::directory_service_server::DirectoryService for Vault {
    async fn resolve_server(
        &self,
        request: Request<proto::ResolveServerRequest>,
    ) -> Answer<proto::ResolveServerResponse> {
        let state = self.enter("server")?;
        let server = state.servers.get(&request.get_ref().server_id).cloned();
        if server.is_none() {
            return Err(refuse(Reason::ServerNotFound));
        }
        Ok(Response::new(proto::ResolveServerResponse { server }))
    }

    async fn resolve_credential(
        &self,
        request: Request<proto::ResolveCredentialRequest>,
    ) -> Answer<proto::ResolveCredentialResponse> {
        let credential = self.enter("credential")?.saved.get(&request.get_ref().credential_id).cloned();
        if credential.is_none() {
            return Err(refuse(Reason::CredentialNotFound));
        }
        Ok(Response::new(proto::ResolveCredentialResponse { credential }))
    }

    async fn set_management_key(
        &self,
        request: Request<proto::SetManagementKeyRequest>,
    ) -> Answer<proto::SetManagementKeyResponse> {
        let asked = request.into_inner();
        let mut state = self.enter("manage")?;
        let server = state.servers.get_mut(&asked.server_id).ok_or_else(|| refuse(Reason::ServerNotFound))?;
        server.management_key_id = asked.credential_id;
        server.management_username = asked.username;
        Ok(Response::new(proto::SetManagementKeyResponse {}))
    }

    async fn add_reference(
        &self,
        request: Request<proto::AddReferenceRequest>,
    ) -> Answer<proto::AddReferenceResponse> {
        let asked = request.into_inner();
        let reference = format!("{} {}{}", asked.owner, asked.server_id, asked.credential_id);
        self.enter("hold")?.references.insert(reference);
        Ok(Response::new(proto::AddReferenceResponse {}))
    }

    async fn remove_reference(
        &self,
        request: Request<proto::RemoveReferenceRequest>,
    ) -> Answer<proto::RemoveReferenceResponse> {
        let asked = request.into_inner();
        let reference = format!("{} {}{}", asked.owner, asked.server_id, asked.credential_id);
        self.enter("let_go")?.references.remove(&reference);
        Ok(Response::new(proto::RemoveReferenceResponse {}))
    }

    async fn resolve_route(
        &self,
        _: Request<proto::ResolveRouteRequest>,
    ) -> Answer<proto::ResolveRouteResponse> {
        Err(Status::unimplemented("no server of these tests has a jump host"))
    }

    async fn report_host_key_mismatch(
        &self,
        _: Request<proto::ReportHostKeyMismatchRequest>,
    ) -> Answer<proto::ReportHostKeyMismatchResponse> {
        Ok(Response::new(proto::ReportHostKeyMismatchResponse {}))
    }

    async fn resolve_targets(
        &self,
        _: Request<proto::ResolveTargetsRequest>,
    ) -> Answer<proto::ResolveTargetsResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    async fn record_test_results(
        &self,
        _: Request<proto::RecordTestResultsRequest>,
    ) -> Answer<proto::RecordTestResultsResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    async fn record_test_result(
        &self,
        _: Request<proto::RecordTestResultRequest>,
    ) -> Answer<proto::RecordTestResultResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    async fn forget_management_key(
        &self,
        request: Request<proto::ForgetManagementKeyRequest>,
    ) -> Answer<proto::ForgetManagementKeyResponse> {
        let asked = request.into_inner();
        let mut state = self.enter("forget")?;
        let server = state.servers.get_mut(&asked.server_id).ok_or_else(|| refuse(Reason::ServerNotFound))?;
        if server.management_key_id == asked.credential_id {
            server.management_key_id.clear();
            server.management_username.clear();
        }
        let own = state.versions.values_mut().filter(|(credential, _)| *credential == asked.credential_id);
        for (_, version) in own {
            version.state = proto::VersionState::Retired.into();
            version.material_destroyed = true;
        }
        Ok(Response::new(proto::ForgetManagementKeyResponse {}))
    }

    async fn list_directory_servers(
        &self,
        request: Request<proto::ListDirectoryServersRequest>,
    ) -> Answer<proto::ListDirectoryServersResponse> {
        let asked = request.into_inner();
        let state = self.enter("servers")?;
        let wanted = |server: &&proto::Server| {
            (asked.tenant_id.is_empty() || server.tenant_id == asked.tenant_id)
                && (asked.group.is_empty() || server.group == asked.group)
                && (!asked.managed_only || !server.management_key_id.is_empty())
        };
        let found = state.servers.values().filter(wanted).cloned().collect();
        let (items, next_page_token) = cut(found, asked.page_size, &asked.page_token);
        Ok(Response::new(proto::ListDirectoryServersResponse { items, next_page_token }))
    }

    async fn list_directory_tenants(
        &self,
        request: Request<proto::ListDirectoryTenantsRequest>,
    ) -> Answer<proto::ListDirectoryTenantsResponse> {
        let asked = request.into_inner();
        let state = self.enter("tenants")?;
        let deleted = |tenant: &proto::Tenant| tenant.state() == proto::TenantState::Deleted;
        let found = |tenant: &&proto::Tenant| match asked.tenant_ids.as_slice() {
            [] => {
                !deleted(tenant)
                    && [&tenant.id, &tenant.external_id, &tenant.name]
                        .iter()
                        .any(|text| text.to_lowercase().contains(&asked.search.to_lowercase()))
            }
            named => named.contains(&tenant.id),
        };
        let found = state.all_tenants().iter().rev().filter(found).cloned().collect();
        let (items, next_page_token) = cut(found, asked.page_size, &asked.page_token);
        Ok(Response::new(proto::ListDirectoryTenantsResponse { items, next_page_token }))
    }

    async fn close_tenant(
        &self,
        request: Request<proto::CloseTenantRequest>,
    ) -> Answer<proto::CloseTenantResponse> {
        let asked = request.into_inner();
        let mut state = self.enter(if asked.delete { "delete_tenant" } else { "suspend_tenant" })?;
        let mut tenant = state.all_tenants().into_iter().find(|tenant| tenant.id == asked.tenant_id);
        let Some(found) = &mut tenant else { return Err(refuse(Reason::TenantNotFound)) };
        let closed = if asked.delete { proto::TenantState::Deleted } else { proto::TenantState::Suspended };
        if found.state() != proto::TenantState::Deleted {
            found.state = closed.into();
        }
        state.tenants.retain(|known| known.id != asked.tenant_id);
        state.tenants.push(found.clone());
        if asked.delete {
            state.servers.retain(|_, server| server.tenant_id != asked.tenant_id);
        }
        Ok(Response::new(proto::CloseTenantResponse { tenant }))
    }
}

#[tonic::async_trait]
impl proto::release_service_server::ReleaseService for Vault {
    async fn release_version(
        &self,
        request: Request<proto::ReleaseVersionRequest>,
    ) -> Answer<proto::ReleaseVersionResponse> {
        let mut state = self.enter("release")?;
        if state.sealed {
            return Err(refuse(Reason::SecretStoreSealed));
        }
        state.released += 1;
        Ok(Response::new(proto::ReleaseVersionResponse {
            file: request.into_inner().version_id.into_bytes(),
        }))
    }
}

#[tonic::async_trait]
impl proto::tenant_service_server::TenantService for Vault {
    async fn create_tenant(
        &self,
        _: Request<proto::CreateTenantRequest>,
    ) -> Answer<proto::CreateTenantResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    async fn list_tenants(
        &self,
        _: Request<proto::ListTenantsRequest>,
    ) -> Answer<proto::ListTenantsResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    async fn get_tenant(
        &self,
        request: Request<proto::GetTenantRequest>,
    ) -> Answer<proto::GetTenantResponse> {
        let id = &request.get_ref().tenant_id;
        let tenant = self.enter("tenant")?.all_tenants().into_iter().find(|tenant| tenant.id == *id);
        if tenant.as_ref().is_none_or(|tenant| tenant.state() == proto::TenantState::Deleted) {
            return Err(refuse(Reason::TenantNotFound));
        }
        Ok(Response::new(proto::GetTenantResponse { tenant }))
    }

    async fn update_tenant(
        &self,
        _: Request<proto::UpdateTenantRequest>,
    ) -> Answer<proto::UpdateTenantResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    async fn suspend_tenant(
        &self,
        _: Request<proto::SuspendTenantRequest>,
    ) -> Answer<proto::SuspendTenantResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    async fn resume_tenant(
        &self,
        _: Request<proto::ResumeTenantRequest>,
    ) -> Answer<proto::ResumeTenantResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    async fn delete_tenant(
        &self,
        _: Request<proto::DeleteTenantRequest>,
    ) -> Answer<proto::DeleteTenantResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }
}
