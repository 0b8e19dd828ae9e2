//! The audit log, the exchange, and connectivity-probe over the simulated hosts.

use super::range::Range;
use super::vault::Vault;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use keywright_domain::clock::Clock;
use keywright_domain::key::{PrivateKey, PublicKey};
use keywright_domain::reason::Reason;
use keywright_proto::{audit, identity, probe};
use keywright_runtime::audit::timestamp;
use keywright_runtime::failure::Failure;
use keywright_runtime::watch::Snapshots;
use keywright_ssh::{Dialer, Identity, Target};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tonic::{Request, Response, Status};

pub type Answer<T> = Result<Response<T>, Status>;

/// What others do, once, while the service waits for an answer.
#[derive(Clone, Default)]
pub struct Meanwhile(Arc<Mutex<Option<BoxFuture<'static, ()>>>>);

impl Meanwhile {
    pub fn set(&self, doing: impl Future<Output = ()> + Send + 'static) {
        *self.0.lock().unwrap() = Some(doing.boxed());
    }

    pub async fn pass(&self) {
        let doing = self.0.lock().unwrap().take();
        if let Some(doing) = doing {
            doing.await;
        }
    }
}

/// Keeps every intent; refuses them all while `down`.
#[derive(Clone, Default)]
pub struct Log {
    pub intents: Arc<Mutex<Vec<audit::RecordIntentRequest>>>,
    pub down: Arc<AtomicBool>,
    pub meanwhile: Meanwhile,
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
        self.meanwhile.pass().await;
        Ok(Response::new(audit::RecordIntentResponse::default()))
    }

    async fn record_outcomes(
        &self,
        _: Request<audit::RecordOutcomesRequest>,
    ) -> Answer<audit::RecordOutcomesResponse> {
        Ok(Response::new(audit::RecordOutcomesResponse::default()))
    }
}

/// What the log is asked for when a tenant leaves: its intents.
#[tonic::async_trait]
impl audit::audit_service_server::AuditService for Log {
    async fn list_audit_events(
        &self,
        request: Request<audit::ListAuditEventsRequest>,
    ) -> Answer<audit::ListAuditEventsResponse> {
        let tenant = request.into_inner().tenant_id;
        let intents = self.intents.lock().unwrap();
        let own = intents.iter().filter(|intent| intent.tenant_id == tenant);
        let event = |intent: &audit::RecordIntentRequest| audit::AuditEvent {
            id: intent.event_id.clone(),
            action: intent.action.clone(),
            ..Default::default()
        };
        let items = own.map(event).collect();
        Ok(Response::new(audit::ListAuditEventsResponse { items, ..Default::default() }))
    }

    async fn get_audit_event(
        &self,
        _: Request<audit::GetAuditEventRequest>,
    ) -> Answer<audit::GetAuditEventResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    type WatchAuditEventsStream = Snapshots<audit::WatchAuditEventsResponse>;

    async fn watch_audit_events(
        &self,
        _: Request<audit::WatchAuditEventsRequest>,
    ) -> Answer<Self::WatchAuditEventsStream> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    type ExportAuditLogStream = Snapshots<audit::ExportAuditLogResponse>;

    async fn export_audit_log(
        &self,
        _: Request<audit::ExportAuditLogRequest>,
    ) -> Answer<Self::ExportAuditLogStream> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }

    async fn erase_audit_subject(
        &self,
        _: Request<audit::EraseAuditSubjectRequest>,
    ) -> Answer<audit::EraseAuditSubjectResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
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

/// Tells what hosts say to a key: the simulated ones, or, with a dialer, real ones.
#[derive(Clone)]
pub struct Prober {
    pub range: Range,
    pub clock: Clock,
    pub vault: Vault,
    pub dialer: Option<Dialer>,
}

impl Prober {
    fn receipt(&self, method: probe::ProofMethod, accepted: bool) -> Option<probe::Receipt> {
        Some(probe::Receipt {
            method: method.into(),
            accepted,
            proven_at: Some(timestamp(self.clock.now())),
            host_key: "SHA256:host".to_owned(),
            source_port: 40_000,
            ..probe::Receipt::default()
        })
    }

    fn ask(&self, action: &str, server: &str, account: &str, key: &str) -> Result<bool, Status> {
        let key = PublicKey::parse_openssh(key).map_err(|_| Status::invalid_argument("no key"))?;
        let answer = self.range.accepts(action, server, account, key.blob());
        answer.map_err(|reason: Reason| Failure::new(reason, "It failed.").to_status())
    }

    fn target(&self, server: &str) -> (Target, Vec<PublicKey>) {
        let server = self.vault.state.lock().unwrap().servers[server].clone();
        let pins = server.host_keys.iter().map(|key| PublicKey::parse_openssh(&key.public_key).unwrap());
        (Target::new(server.host, u16::try_from(server.port).unwrap()), pins.collect())
    }

    async fn login_for_real(&self, dialer: &Dialer, asked: &probe::ProveLoginRequest) -> bool {
        let (target, pins) = self.target(&asked.server_id);
        let stored = self.vault.state.lock().unwrap().keys[&asked.version_id].to_openssh().unwrap();
        let identity = Identity::one_time(asked.username.clone(), PrivateKey::from_stored(&stored).unwrap());
        dialer.prove_login(&target, &pins, &identity).await.is_ok()
    }
}

#[tonic::async_trait]
impl probe::proof_service_server::ProofService for Prober {
    async fn prove_login(
        &self,
        request: Request<probe::ProveLoginRequest>,
    ) -> Answer<probe::ProveLoginResponse> {
        let asked = request.into_inner();
        let accepted = match &self.dialer {
            None => self.ask("login", &asked.server_id, &asked.username, &asked.public_key)?,
            Some(dialer) => self.login_for_real(dialer, &asked).await,
        };
        let receipt = self.receipt(probe::ProofMethod::Login, accepted);
        Ok(Response::new(probe::ProveLoginResponse { receipt }))
    }

    async fn prove_offer(
        &self,
        request: Request<probe::ProveOfferRequest>,
    ) -> Answer<probe::ProveOfferResponse> {
        let asked = request.into_inner();
        self.range.meanwhile_offered.pass().await;
        let accepted = match &self.dialer {
            None => self.ask("offer", &asked.server_id, &asked.username, &asked.public_key)?,
            Some(dialer) => {
                let (target, pins) = self.target(&asked.server_id);
                let key = PublicKey::parse_openssh(&asked.public_key).unwrap();
                dialer.prove_offer(&target, &pins, &asked.username, &key).await.unwrap().accepted
            }
        };
        let receipt = self.receipt(probe::ProofMethod::Offer, accepted);
        Ok(Response::new(probe::ProveOfferResponse { receipt }))
    }

    async fn scan_target(&self, _: Request<probe::ScanTargetRequest>) -> Answer<probe::ScanTargetResponse> {
        Err(Status::unimplemented("not called by key-lifecycle"))
    }
}
