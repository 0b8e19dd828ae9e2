//! The audit log, connectivity-probe, key-lifecycle and the exchange, as far as credential-store calls them.

use keywright_proto::{audit, identity, lifecycle, probe};
use keywright_runtime::failure::Failure;
use keywright_runtime::watch::Snapshots;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tonic::{Request, Response, Status};

type Answer<T> = Result<Response<T>, Status>;

/// Keeps every intent; refuses them all while `down`.
#[derive(Clone, Default)]
pub struct Log {
    pub intents: Arc<Mutex<Vec<audit::RecordIntentRequest>>>,
    pub outcomes: Arc<Mutex<Vec<audit::Outcome>>>,
    pub down: Arc<AtomicBool>,
}

impl Log {
    pub fn actions(&self) -> Vec<String> {
        self.intents.lock().unwrap().iter().map(|intent| intent.action.clone()).collect()
    }
}

#[tonic::async_trait]
impl audit::audit_intake_service_server::AuditIntakeService for Log {
    async fn record_intent(
        &self,
        request: Request<audit::RecordIntentRequest>,
    ) -> Answer<audit::RecordIntentResponse> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("down"));
        }
        self.intents.lock().unwrap().push(request.into_inner());
        Ok(Response::new(audit::RecordIntentResponse::default()))
    }

    async fn record_outcomes(
        &self,
        request: Request<audit::RecordOutcomesRequest>,
    ) -> Answer<audit::RecordOutcomesResponse> {
        self.outcomes.lock().unwrap().extend(request.into_inner().outcomes);
        Ok(Response::new(audit::RecordOutcomesResponse::default()))
    }
}

/// Shows the host keys it is given, and remembers which servers it was asked to test.
#[derive(Clone, Default)]
pub struct Prober {
    pub shown: Arc<Mutex<Vec<String>>>,
    pub tested: Arc<Mutex<Vec<String>>>,
    /// Servers that let nobody in.
    pub refusing: Arc<Mutex<BTreeSet<String>>>,
    /// Servers that answer nothing.
    pub silent: Arc<Mutex<BTreeSet<String>>>,
    pub down: Arc<AtomicBool>,
}

pub const TEST_ID: &str = "ctest_aaaaaaaaaaaaaaaaaaaaaaaaaa";

#[tonic::async_trait]
impl probe::proof_service_server::ProofService for Prober {
    async fn prove_login(&self, _: Request<probe::ProveLoginRequest>) -> Answer<probe::ProveLoginResponse> {
        Err(Status::unimplemented("not called by credential-store"))
    }

    async fn prove_offer(&self, _: Request<probe::ProveOfferRequest>) -> Answer<probe::ProveOfferResponse> {
        Err(Status::unimplemented("not called by credential-store"))
    }

    async fn scan_target(&self, _: Request<probe::ScanTargetRequest>) -> Answer<probe::ScanTargetResponse> {
        let shown = self.shown.lock().unwrap().clone();
        let items =
            shown.into_iter().map(|public_key| probe::ScannedHostKey { public_key, ..Default::default() });
        Ok(Response::new(probe::ScanTargetResponse { items: items.collect(), ..Default::default() }))
    }
}

#[tonic::async_trait]
impl probe::connectivity_test_service_server::ConnectivityTestService for Prober {
    async fn create_connectivity_test(
        &self,
        request: Request<probe::CreateConnectivityTestRequest>,
    ) -> Answer<probe::CreateConnectivityTestResponse> {
        if self.down.load(Ordering::SeqCst) {
            return Err(Status::unavailable("down"));
        }
        let server_id = request.into_inner().server_id;
        self.tested.lock().unwrap().push(server_id.clone());
        if self.silent.lock().unwrap().contains(&server_id) {
            std::future::pending::<()>().await;
        }
        let mut test = probe::ConnectivityTest {
            id: TEST_ID.to_owned(),
            status: probe::ConnectivityStatus::Healthy.into(),
            ..Default::default()
        };
        if self.refusing.lock().unwrap().contains(&server_id) {
            test.status = probe::ConnectivityStatus::Unreachable.into();
            test.checks.push(probe::ConnectivityCheck {
                name: "authentication".to_owned(),
                status: probe::CheckStatus::Failed.into(),
                code: "AUTHENTICATION_REJECTED".to_owned(),
                ..Default::default()
            });
        }
        Ok(Response::new(probe::CreateConnectivityTestResponse { test: Some(test) }))
    }

    async fn list_connectivity_tests(
        &self,
        _: Request<probe::ListConnectivityTestsRequest>,
    ) -> Answer<probe::ListConnectivityTestsResponse> {
        Err(Status::unimplemented("not called by credential-store"))
    }

    async fn create_draft_connectivity_test(
        &self,
        _: Request<probe::CreateDraftConnectivityTestRequest>,
    ) -> Answer<probe::CreateDraftConnectivityTestResponse> {
        Err(Status::unimplemented("not called by credential-store"))
    }

    type RunConnectivityTestStream = Snapshots<probe::RunConnectivityTestResponse>;

    async fn run_connectivity_test(
        &self,
        _: Request<probe::RunConnectivityTestRequest>,
    ) -> Answer<Self::RunConnectivityTestStream> {
        Err(Status::unimplemented("not called by credential-store"))
    }

    type RunDraftConnectivityTestStream = Snapshots<probe::RunDraftConnectivityTestResponse>;

    async fn run_draft_connectivity_test(
        &self,
        _: Request<probe::RunDraftConnectivityTestRequest>,
    ) -> Answer<Self::RunDraftConnectivityTestStream> {
        Err(Status::unimplemented("not called by credential-store"))
    }

    async fn supply_signature(
        &self,
        _: Request<probe::SupplySignatureRequest>,
    ) -> Answer<probe::SupplySignatureResponse> {
        Err(Status::unimplemented("not called by credential-store"))
    }
}

/// Knows which (work, credential, server) are open, and keeps every notice.
#[derive(Clone, Default)]
pub struct Lifecycle {
    pub open: Arc<Mutex<BTreeSet<(String, String, String)>>>,
    pub told: Arc<Mutex<Vec<lifecycle::NotifyRequest>>>,
    /// What becomes of notices.
    pub hears: Arc<Mutex<Hears>>,
}

#[derive(Debug, Clone, Copy, Default)]
pub enum Hears {
    #[default]
    Well,
    /// It takes the notice, and its answer is lost.
    ButDoesNotAnswer,
    /// Of another version, it does not know the event.
    ButDoesNotUnderstand,
}

#[tonic::async_trait]
impl lifecycle::notification_intake_service_server::NotificationIntakeService for Lifecycle {
    async fn notify(&self, request: Request<lifecycle::NotifyRequest>) -> Answer<lifecycle::NotifyResponse> {
        let hears = *self.hears.lock().unwrap();
        if matches!(hears, Hears::ButDoesNotUnderstand) {
            return Err(Failure::violation("event", "is none of the contract's events").into());
        }
        self.told.lock().unwrap().push(request.into_inner());
        match hears {
            Hears::ButDoesNotAnswer => Err(Status::unavailable("down")),
            _ => Ok(Response::new(lifecycle::NotifyResponse {})),
        }
    }
}

#[tonic::async_trait]
impl lifecycle::work_service_server::WorkService for Lifecycle {
    async fn check_work(
        &self,
        request: Request<lifecycle::CheckWorkRequest>,
    ) -> Answer<lifecycle::CheckWorkResponse> {
        let asked = request.into_inner();
        let open = self.open.lock().unwrap().contains(&(asked.work, asked.credential_id, asked.server_id));
        Ok(Response::new(lifecycle::CheckWorkResponse { open }))
    }
}

/// Gives every caller a token that the fakes do not look at.
#[derive(Clone, Default)]
pub struct Exchange;

#[tonic::async_trait]
impl identity::exchange_service_server::ExchangeService for Exchange {
    async fn exchange(&self, _: Request<identity::ExchangeRequest>) -> Answer<identity::ExchangeResponse> {
        Ok(Response::new(identity::ExchangeResponse { token: "exchanged".to_owned() }))
    }
}
