//! Saved credentials over gRPC. Nothing here returns a private key.

use crate::app::credentials::create::{CreateCredential, NewCredential};
use crate::app::credentials::delete::DeleteCredential;
use crate::app::credentials::intake::{Check, CheckName, CheckResult, Supplied};
use crate::app::credentials::read::ReadCredentials;
use crate::app::credentials::rotate::{RotateCredential, Rotation};
use crate::app::credentials::switch::{Switch, SwitchCredential};
use crate::app::credentials::update::{Change, UpdateCredential};
use crate::app::credentials::validate::ValidateCredential;
use crate::app::listing::Listing;
use crate::domain::credential::{Credential, Kind};
use crate::domain::switch::{Step, StepOutcome};
use crate::domain::usage::Usage;
use crate::domain::version::Origin;
use keywright_domain::key::{Certificate, PublicKey};
use keywright_domain::secret::Secret;
use keywright_proto::credential as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::deadline::Deadline;
use keywright_runtime::idempotency::{Idempotency, once};
use tonic::{Request, Response, Status};

pub struct Credentials {
    pub create: CreateCredential,
    pub read: ReadCredentials,
    pub rotate: RotateCredential,
    pub update: UpdateCredential,
    pub switch: SwitchCredential,
    pub delete: DeleteCredential,
    pub validate: ValidateCredential,
    pub idempotency: Idempotency,
}

#[tonic::async_trait]
impl proto::ssh_credential_service_server::SshCredentialService for Credentials {
    async fn create_ssh_credential(
        &self,
        request: Request<proto::CreateSshCredentialRequest>,
    ) -> Result<Response<proto::CreateSshCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let scope =
            self.idempotency.scope(&caller, "CreateSshCredential", &request.idempotency_key, &request)?;
        let new = NewCredential {
            tenant_id: request.tenant_id,
            name: request.name,
            username: request.username,
            supplied: supplied(request.private_key, request.passphrase, request.public_key),
            allow_resolve: request.allow_resolve,
            certificate: request.certificate,
        };
        let answer = |credential: &Credential, checks: &[Check]| proto::CreateSshCredentialResponse {
            credential: Some(with_checks(credential, checks)),
        };
        let work = self.create.run(&caller, new, scope.clone(), answer);
        Ok(Response::new(once(&self.create.db, scope.as_ref(), work).await?))
    }

    async fn list_ssh_credentials(
        &self,
        request: Request<proto::ListSshCredentialsRequest>,
    ) -> Result<Response<proto::ListSshCredentialsResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let listing = Listing {
            tenant_id: request.tenant_id,
            search: request.search,
            page_size: request.page_size,
            page_token: request.page_token,
        };
        let (credentials, next_page_token) = self.read.list(&caller, listing).await?;
        let items = credentials.iter().map(encode).collect();
        Ok(Response::new(proto::ListSshCredentialsResponse { items, next_page_token }))
    }

    async fn get_ssh_credential(
        &self,
        request: Request<proto::GetSshCredentialRequest>,
    ) -> Result<Response<proto::GetSshCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (credential, usage) =
            self.read.get(&caller, &request.credential_id, request.include_usage).await?;
        let credential = proto::SshCredential { usage: usage.map(encode_usage), ..encode(&credential) };
        Ok(Response::new(proto::GetSshCredentialResponse { credential: Some(credential) }))
    }

    async fn get_ssh_credential_usage(
        &self,
        request: Request<proto::GetSshCredentialUsageRequest>,
    ) -> Result<Response<proto::GetSshCredentialUsageResponse>, Status> {
        let caller = caller(&request)?;
        let usage = self.read.usage(&caller, &request.into_inner().credential_id).await?;
        Ok(Response::new(proto::GetSshCredentialUsageResponse { usage: Some(encode_usage(usage)) }))
    }

    async fn rotate_ssh_credential(
        &self,
        request: Request<proto::RotateSshCredentialRequest>,
    ) -> Result<Response<proto::RotateSshCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let scope =
            self.idempotency.scope(&caller, "RotateSshCredential", &request.idempotency_key, &request)?;
        let confirmation = request.confirmation.unwrap_or_default();
        let rotation = Rotation {
            credential_id: request.credential_id,
            supplied: supplied(request.private_key, request.passphrase, request.public_key),
            username: request.username,
            clear_username: request.clear_username,
            confirmation: confirmation.credential_id,
            acknowledged: confirmation.acknowledge_server_usage,
            expected_usage_revision: request.expected_usage_revision,
            certificate: request.certificate,
        };
        let answer = |credential: &Credential, checks: &[Check]| proto::RotateSshCredentialResponse {
            credential: Some(with_checks(credential, checks)),
        };
        let work = self.rotate.run(&caller, rotation, scope.clone(), answer);
        Ok(Response::new(once(&self.rotate.db, scope.as_ref(), work).await?))
    }

    async fn delete_ssh_credential(
        &self,
        request: Request<proto::DeleteSshCredentialRequest>,
    ) -> Result<Response<proto::DeleteSshCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let scope =
            self.idempotency.scope(&caller, "DeleteSshCredential", &request.idempotency_key, &request)?;
        let confirmation = request.confirmation.unwrap_or_default().credential_id;
        let work = self.delete.run(&caller, &request.credential_id, &confirmation, scope.clone());
        Ok(Response::new(once(&self.delete.db, scope.as_ref(), work).await?))
    }

    async fn validate_ssh_credential(
        &self,
        request: Request<proto::ValidateSshCredentialRequest>,
    ) -> Result<Response<proto::ValidateSshCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let supplied = supplied(request.private_key, request.passphrase, request.public_key);
        let found = self.validate.run(&caller, supplied).await?;
        let key = found.public.as_ref();
        Ok(Response::new(proto::ValidateSshCredentialResponse {
            valid: key.is_some(),
            checks: found.checks.iter().map(encode_check).collect(),
            public_key: key.map(PublicKey::openssh).unwrap_or_default(),
            fingerprint: key.map(|key| key.fingerprint().to_string()).unwrap_or_default(),
            algorithm: key.map(|key| key.algorithm().to_string()).unwrap_or_default(),
            bits: key.map(bits).unwrap_or_default(),
        }))
    }

    async fn update_ssh_credential(
        &self,
        request: Request<proto::UpdateSshCredentialRequest>,
    ) -> Result<Response<proto::UpdateSshCredentialResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let change = Change {
            credential_id: request.credential_id,
            name: request.name,
            allow_resolve: request.allow_resolve,
            certificate: request.certificate,
            expected_revision: request.expected_revision,
        };
        let credential = self.update.run(&caller, change).await?;
        Ok(Response::new(proto::UpdateSshCredentialResponse { credential: Some(encode(&credential)) }))
    }

    async fn switch_ssh_credential(
        &self,
        request: Request<proto::SwitchSshCredentialRequest>,
    ) -> Result<Response<proto::SwitchSshCredentialResponse>, Status> {
        let (caller, deadline) = (caller(&request)?, Deadline::of(&request));
        let request = request.into_inner();
        let scope =
            self.idempotency.scope(&caller, "SwitchSshCredential", &request.idempotency_key, &request)?;
        let switch = Switch {
            credential_id: request.credential_id,
            to_credential_id: request.to_credential_id,
            test: request.test,
            server_ids: request.server_ids,
            username: request.username,
            expected_usage_revision: request.expected_usage_revision,
        };
        let work = self.switch.run(&caller, switch, scope.clone(), deadline, encode_switch);
        Ok(Response::new(once(&self.switch.db, scope.as_ref(), work).await?))
    }
}

fn supplied(private_key: String, passphrase: String, public_key: String) -> Supplied {
    Supplied {
        private_key: Secret::from_text(private_key),
        passphrase: Secret::from_text(passphrase),
        public_key,
    }
}

pub(super) fn bits(key: &PublicKey) -> i32 {
    i32::try_from(key.bits()).unwrap_or(i32::MAX)
}

pub(super) fn encode(credential: &Credential) -> proto::SshCredential {
    let current = credential.current.as_ref();
    let key = current.map(|version| &version.public);
    proto::SshCredential {
        id: credential.id.to_string(),
        tenant_id: credential.tenant.as_ref().map(ToString::to_string).unwrap_or_default(),
        name: credential.name.clone(),
        kind: match credential.kind {
            Kind::Saved => proto::CredentialKind::Saved.into(),
            Kind::Managed => proto::CredentialKind::Managed.into(),
        },
        username: credential.username.clone().unwrap_or_default(),
        public_key: key.map(PublicKey::openssh).unwrap_or_default(),
        fingerprint: key.map(|key| key.fingerprint().to_string()).unwrap_or_default(),
        algorithm: key.map(|key| key.algorithm().to_string()).unwrap_or_default(),
        bits: key.map(bits).unwrap_or_default(),
        version: current.map(|version| version.number).unwrap_or_default(),
        encrypted_at_intake: current.is_some_and(|version| version.origin == Origin::Encrypted),
        created_at: Some(timestamp(credential.created_at)),
        rotated_at: credential.rotated_at.map(timestamp),
        last_used_at: credential.last_used_at.map(timestamp),
        checks: Vec::new(),
        usage: None,
        allow_resolve: credential.allow_resolve,
        revision: credential.revision.to_string(),
        certificate: credential.certificate.as_ref().map(encode_certificate),
    }
}

fn encode_certificate(certificate: &Certificate) -> proto::SshCertificate {
    proto::SshCertificate {
        certificate: certificate.openssh(),
        key_id: certificate.key_id().to_owned(),
        serial: certificate.serial().to_string(),
        principals: certificate.principals().to_vec(),
        valid_after: certificate.valid_after().map(timestamp),
        valid_before: certificate.valid_before().map(timestamp),
        authority: certificate.authority().to_string(),
    }
}

fn with_checks(credential: &Credential, checks: &[Check]) -> proto::SshCredential {
    proto::SshCredential { checks: checks.iter().map(encode_check).collect(), ..encode(credential) }
}

fn encode_check(check: &Check) -> proto::KeyCheck {
    let name = match check.name {
        CheckName::Key => "key",
        CheckName::Passphrase => "passphrase",
    };
    let (status, code, message, remedy) = match &check.result {
        CheckResult::Passed(message) => (proto::CheckStatus::Passed, "", (*message).to_owned(), ""),
        CheckResult::Skipped(message) => (proto::CheckStatus::Skipped, "", (*message).to_owned(), ""),
        CheckResult::Failed(failure) => (
            proto::CheckStatus::Failed,
            failure.reason.as_str(),
            failure.message.clone(),
            failure.reason.remedy(),
        ),
    };
    proto::KeyCheck {
        name: name.to_owned(),
        status: status.into(),
        code: code.to_owned(),
        message,
        remedy: remedy.to_owned(),
    }
}

fn encode_switch(steps: &[Step]) -> proto::SwitchSshCredentialResponse {
    let results = steps.iter().map(|step| proto::SwitchResult {
        server_id: step.server.to_string(),
        server_name: step.name.clone(),
        outcome: match step.ending.outcome {
            StepOutcome::Switched => proto::SwitchOutcome::Switched.into(),
            StepOutcome::TestFailed => proto::SwitchOutcome::TestFailed.into(),
            StepOutcome::ChangedMeanwhile => proto::SwitchOutcome::ChangedMeanwhile.into(),
            StepOutcome::Refused | StepOutcome::Pending => proto::SwitchOutcome::Refused.into(),
        },
        reason: step.ending.reason.clone(),
        message: step.ending.message.clone(),
        connectivity_test_id: step.ending.test.clone(),
    });
    let switched = steps.iter().filter(|step| step.ending.outcome == StepOutcome::Switched).count();
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    proto::SwitchSshCredentialResponse {
        results: results.collect(),
        switched: count(switched),
        kept: count(steps.len().saturating_sub(switched)),
    }
}

fn encode_usage(usage: Usage) -> proto::CredentialUsage {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    proto::CredentialUsage {
        total_servers: count(usage.servers.len()),
        active_servers: count(usage.active()),
        inactive_servers: count(usage.inactive()),
        total_references: count(usage.references.len()),
        revision: usage.revision(),
        servers: usage
            .servers
            .into_iter()
            .map(|server| proto::ServerUsage {
                server_id: server.server.to_string(),
                server_name: server.name,
                lifecycle_status: server.lifecycle.as_str().to_owned(),
                host: server.host,
                username: server.username,
            })
            .collect(),
        references: usage
            .references
            .into_iter()
            .map(|held| proto::ReferenceUsage { owner: held.owner, purpose: held.purpose })
            .collect(),
    }
}
