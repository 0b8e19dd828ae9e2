//! Connectivity tests.

use super::dialogue::{callers_key, encode_question, refusal};
use crate::app::list_tests::ListTests;
use crate::app::supply_signature::{Given, SupplySignature};
use crate::app::test_draft::{self, TestDraft, WantedKey};
use crate::app::test_server::{self, OneTime, TestServer};
use crate::dialogue::{Dialogues, Word};
use crate::one_time::GivenKey;
use crate::report::{Check, CheckStatus, ConnectivityTest, Status};
use keywright_domain::ids::{CredentialId, ServerId, TestId};
use keywright_domain::secret::Secret;
use keywright_proto::probe as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::caller;
use keywright_runtime::watch::{Snapshots, heard};
use tonic::{Request, Response};

pub struct ConnectivityTests {
    pub create: TestServer,
    pub list: ListTests,
    pub draft: TestDraft,
    pub dialogues: Dialogues,
    pub supply: SupplySignature,
}

#[tonic::async_trait]
impl proto::connectivity_test_service_server::ConnectivityTestService for ConnectivityTests {
    async fn create_connectivity_test(
        &self,
        request: Request<proto::CreateConnectivityTestRequest>,
    ) -> Result<Response<proto::CreateConnectivityTestResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = test_server::Wanted {
            server: request.server_id,
            credential: request.credential_id,
            username: request.username,
            one_time: request.one_time.map(one_time),
        };
        let test = self.create.run(&caller, wanted).await?;
        Ok(Response::new(proto::CreateConnectivityTestResponse { test: Some(encode(test)) }))
    }

    async fn list_connectivity_tests(
        &self,
        request: Request<proto::ListConnectivityTestsRequest>,
    ) -> Result<Response<proto::ListConnectivityTestsResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (tests, next_page_token) =
            self.list.run(&caller, &request.server_id, request.page_size, &request.page_token).await?;
        let items = tests.into_iter().map(encode).collect();
        Ok(Response::new(proto::ListConnectivityTestsResponse { items, next_page_token }))
    }

    async fn create_draft_connectivity_test(
        &self,
        request: Request<proto::CreateDraftConnectivityTestRequest>,
    ) -> Result<Response<proto::CreateDraftConnectivityTestResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let wanted = test_draft::Wanted {
            host: request.host,
            port: request.port,
            key: WantedKey::OneTime(request.one_time.map(one_time)),
            expected_host_keys: request.expected_host_keys,
            jump_host: request.jump_host_id,
        };
        let test = self.draft.run(&caller, wanted).await?;
        Ok(Response::new(proto::CreateDraftConnectivityTestResponse { test: Some(encode(test)) }))
    }

    type RunConnectivityTestStream = Snapshots<proto::RunConnectivityTestResponse>;

    async fn run_connectivity_test(
        &self,
        request: Request<proto::RunConnectivityTestRequest>,
    ) -> Result<Response<Self::RunConnectivityTestStream>, tonic::Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let opened = self.dialogues.open()?;
        let key = || callers_key(request.key, opened.asking.clone());
        let begun = self.create.begin_by_caller(&caller, &request.server_id, key).await?;
        let create = self.create.clone();
        let words = self.dialogues.run(opened, async move { create.finish(&caller, begun).await });
        Ok(Response::new(heard(words, |word| match word {
            Word::Wanted(question) => proto::RunConnectivityTestResponse {
                signature_wanted: Some(encode_question(*question)),
                test: None,
            },
            Word::Ended(test) => {
                proto::RunConnectivityTestResponse { signature_wanted: None, test: Some(encode(*test)) }
            }
        })))
    }

    type RunDraftConnectivityTestStream = Snapshots<proto::RunDraftConnectivityTestResponse>;

    async fn run_draft_connectivity_test(
        &self,
        request: Request<proto::RunDraftConnectivityTestRequest>,
    ) -> Result<Response<Self::RunDraftConnectivityTestStream>, tonic::Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let opened = self.dialogues.open()?;
        let wanted = test_draft::Wanted {
            host: request.host,
            port: request.port,
            key: WantedKey::Callers(callers_key(request.key, opened.asking.clone())),
            expected_host_keys: request.expected_host_keys,
            jump_host: request.jump_host_id,
        };
        let begun = self.draft.begin(&caller, wanted).await?;
        let draft = self.draft.clone();
        let words = self.dialogues.run(opened, async move { draft.finish(&caller, begun).await });
        Ok(Response::new(heard(words, |word| match word {
            Word::Wanted(question) => proto::RunDraftConnectivityTestResponse {
                signature_wanted: Some(encode_question(*question)),
                test: None,
            },
            Word::Ended(test) => {
                proto::RunDraftConnectivityTestResponse { signature_wanted: None, test: Some(encode(*test)) }
            }
        })))
    }

    async fn supply_signature(
        &self,
        request: Request<proto::SupplySignatureRequest>,
    ) -> Result<Response<proto::SupplySignatureResponse>, tonic::Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let refusal = refusal(request.refusal());
        let given = Given { request: request.request_id, signature: request.signature, refusal };
        self.supply.run(&caller, given).await?;
        Ok(Response::new(proto::SupplySignatureResponse {}))
    }
}

fn one_time(given: proto::OneTimeCredential) -> OneTime {
    let key = GivenKey {
        private_key: Secret::from_text(given.private_key),
        passphrase: Secret::from_text(given.passphrase),
    };
    OneTime { key, username: given.username }
}

fn encode(test: ConnectivityTest) -> proto::ConnectivityTest {
    let status = encode_status(test.report.status());
    proto::ConnectivityTest {
        id: test.id.as_ref().map(TestId::to_string).unwrap_or_default(),
        server_id: test.server.as_ref().map(ServerId::to_string).unwrap_or_default(),
        credential_id: test.credential.as_ref().map(CredentialId::to_string).unwrap_or_default(),
        host: test.host.to_string(),
        port: i32::from(test.port.get()),
        username: test.username.to_string(),
        checked_at: Some(timestamp(test.checked_at)),
        status: status.into(),
        checks: test.report.checks().iter().map(encode_check).collect(),
    }
}

pub(super) fn encode_status(status: Status) -> proto::ConnectivityStatus {
    match status {
        Status::Healthy => proto::ConnectivityStatus::Healthy,
        Status::Degraded => proto::ConnectivityStatus::Degraded,
        Status::Unreachable => proto::ConnectivityStatus::Unreachable,
    }
}

pub(super) fn wanted_status(status: proto::ConnectivityStatus) -> Option<Status> {
    match status {
        proto::ConnectivityStatus::Unspecified => None,
        proto::ConnectivityStatus::Healthy => Some(Status::Healthy),
        proto::ConnectivityStatus::Degraded => Some(Status::Degraded),
        proto::ConnectivityStatus::Unreachable => Some(Status::Unreachable),
    }
}

fn encode_check(check: &Check) -> proto::ConnectivityCheck {
    let status = match check.status {
        CheckStatus::Passed => proto::CheckStatus::Passed,
        CheckStatus::Failed => proto::CheckStatus::Failed,
        CheckStatus::Skipped => proto::CheckStatus::Skipped,
    };
    proto::ConnectivityCheck {
        name: check.name.as_str().to_owned(),
        status: status.into(),
        code: check.code.clone(),
        message: check.message.clone(),
        remedy: check.remedy.clone(),
        duration_ms: check.duration_ms,
        metadata: check.metadata.clone(),
    }
}
