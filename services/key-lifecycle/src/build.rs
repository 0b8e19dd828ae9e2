//! Wires the service.

use crate::adapters::audit::AuditLog;
use crate::adapters::bootstrap::Bootstrapper;
use crate::adapters::credential_store::CredentialStore;
use crate::adapters::hosts::{Hosts, SshHosts};
use crate::adapters::login::Login;
use crate::adapters::mail::Mailer;
use crate::adapters::probe::Probe;
use crate::api::access::Accesses;
use crate::api::campaign::Campaigns;
use crate::api::krl::Krls;
use crate::api::management::Management;
use crate::api::notification::{NotificationIntake, Notifications};
use crate::api::overview::Overviews;
use crate::api::policy::Policies;
use crate::api::recovery::Recoveries;
use crate::api::rotation::Rotations;
use crate::api::server_keys::ServerKeys;
use crate::api::work::Works;
use crate::app;
use crate::app::manage_server::ManageServer;
use crate::app::read_krl::ReadKrl;
use crate::app::read_work::ReadWork;
use crate::campaign::{Driver, Selection};
use crate::custody::Custody;
use crate::drift::{Refresher, Repairer, Scanner, Watch};
use crate::key_use::{Before, UseReader};
use crate::krl::{Files, Groups, Lists};
use crate::management::{Editor, Keys};
use crate::metrics::Sampler;
use crate::notify::Notifier;
use crate::notify::deliver::Deliverer;
use crate::notify::fan_out::FanOut;
use crate::notify::signature::Keyring;
use crate::offboarding::Offboarder;
use crate::recovery::{Rounds, Settler};
use crate::refusals::Refusals;
use crate::release::Releaser;
use crate::revocation::Revoker;
use crate::rotation::{Ahead, Converger, Drive};
use crate::schedule::Scheduler;
use crate::worker::Worker;
use keywright_domain::clock::{Clock, NoRandomness};
use keywright_domain::ids::RequestId;
use keywright_egress::{Lines, Webhooks};
use keywright_proto::lifecycle::campaign_service_server::CampaignServiceServer;
use keywright_proto::lifecycle::freeze_service_server::FreezeServiceServer;
use keywright_proto::lifecycle::krl_service_server::KrlServiceServer;
use keywright_proto::lifecycle::management_service_server::ManagementServiceServer;
use keywright_proto::lifecycle::notification_intake_service_server::NotificationIntakeServiceServer;
use keywright_proto::lifecycle::notification_service_server::NotificationServiceServer;
use keywright_proto::lifecycle::offboarding_service_server::OffboardingServiceServer;
use keywright_proto::lifecycle::overview_service_server::OverviewServiceServer;
use keywright_proto::lifecycle::policy_service_server::PolicyServiceServer;
use keywright_proto::lifecycle::recovery_service_server::RecoveryServiceServer;
use keywright_proto::lifecycle::rotation_service_server::RotationServiceServer;
use keywright_proto::lifecycle::server_keys_service_server::ServerKeysServiceServer;
use keywright_proto::lifecycle::ssh_access_service_server::SshAccessServiceServer;
use keywright_proto::lifecycle::work_service_server::WorkServiceServer;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::idempotency::{self, Idempotency};
use keywright_runtime::rate::Rate;
use keywright_runtime::serve::{Assembled, Readiness};
use keywright_ssh::Dialer;
use keywright_storage::Db;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

/// What the service is made of.
pub struct Parts {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub outbound: Outbound,
    pub clock: Clock,
    pub idempotency: Idempotency,
    /// With the target rules of the installation.
    pub dialer: Dialer,
    pub telling: Telling,
    /// From one look at the keys of a managed server to the next.
    pub key_scan_interval: Duration,
    /// Between refused offers to one host; zero without any.
    pub refusal_spacing: Duration,
    /// From which hosts see us come; none where nobody said them.
    pub egress: Vec<IpAddr>,
    /// Ends the background work.
    pub stop: CancellationToken,
}

/// How people are told of things.
#[derive(Clone)]
pub struct Telling {
    /// Makes the secrets of webhooks.
    pub keyring: Keyring,
    /// None without e-mail.
    pub mailer: Option<Mailer>,
}

/// Routes, and the background work: the worker and the delivery of what is owed to the audit log.
pub fn build(parts: Parts) -> Result<Assembled, NoRandomness> {
    let store = CredentialStore::new(parts.outbound.clone());
    let login =
        Login { outbound: parts.outbound.clone(), store: store.clone(), dialer: parts.dialer.clone() };
    let hosts = Arc::new(SshHosts { login: login.clone(), clock: parts.clock.clone() });
    let bootstrapper = Bootstrapper::new(login, store, parts.clock.clone());
    let built = assemble(&parts, hosts, bootstrapper)?;
    let (keys, owner, wake) =
        (built.worker.keys.clone(), built.worker.owner.clone(), built.worker.wake.clone());
    let tasks: Vec<keywright_runtime::serve::Task> = vec![
        Box::pin(built.worker.run(parts.stop.clone())),
        Box::pin(built.notifier.run(parts.stop.clone())),
        Box::pin(built.scheduler.run(parts.stop.clone())),
        Box::pin(keys.automatic(owner, wake, parts.stop.clone())),
        Box::pin(built.lists.run(parts.stop.clone())),
        Box::pin(built.watch.run(parts.stop.clone())),
        Box::pin(built.before.run(parts.stop.clone())),
        Box::pin(Sampler::new(parts.db.clone()).run(parts.stop.clone())),
        Box::pin(idempotency::sweep(parts.db.clone(), parts.stop.clone())),
        Box::pin(parts.audit.drain(parts.db, parts.stop)),
    ];
    Ok(Assembled { routes: built.routes, tasks })
}

/// Everything but the tasks, over hosts of any kind.
pub(crate) struct Built {
    pub(crate) routes: Routes,
    pub(crate) worker: Worker,
    pub(crate) notifier: Notifier,
    pub(crate) lists: Lists,
    pub(crate) scheduler: Scheduler,
    /// Looks at every managed server.
    pub(crate) watch: Watch,
    /// Reads the use of old keys before their grace ends.
    pub(crate) before: Before,
}

pub(crate) fn assemble(
    parts: &Parts,
    hosts: Arc<dyn Hosts>,
    bootstrapper: Bootstrapper,
) -> Result<Built, NoRandomness> {
    let (db, audit, guard) = (parts.db.clone(), parts.audit.clone(), parts.guard.clone());
    let store = CredentialStore::new(parts.outbound.clone());
    let probe = Probe::new(parts.outbound.clone());
    let refusals = Refusals {
        db: db.clone(),
        probe: probe.clone(),
        spacing: parts.refusal_spacing,
        #[cfg(test)]
        clock: parts.clock.clone(),
    };
    let custody = Custody { db: db.clone(), store: store.clone() };
    let editor = Editor { db: db.clone(), hosts: hosts.clone() };
    let groups = Groups { db: db.clone(), store: store.clone() };
    let files = Files { db: db.clone(), audit: audit.clone(), hosts: hosts.clone() };
    let converger = Converger { db: db.clone(), store: store.clone(), hosts, groups: groups.clone() };
    let wake = Arc::new(Notify::new());
    let owner = RequestId::random()?.to_string();
    let drive = Drive {
        db: db.clone(),
        audit: audit.clone(),
        store: store.clone(),
        probe: probe.clone(),
        refusals: refusals.clone(),
        custody: custody.clone(),
        converger: converger.clone(),
        ahead: Ahead::default(),
    };
    let revoker = Revoker {
        db: db.clone(),
        audit: audit.clone(),
        refusals: refusals.clone(),
        custody: custody.clone(),
        converger: converger.clone(),
        files: files.clone(),
    };
    let lists =
        Lists { db: db.clone(), store: store.clone(), groups: groups.clone(), files, owner: owner.clone() };
    let krls = Krls { read: ReadKrl { db: db.clone(), audit: audit.clone(), guard: guard.clone(), groups } };
    let rounds = Rounds { db: db.clone(), refusals: refusals.clone() };
    let recover = app::recover::Recover {
        db: db.clone(),
        audit: audit.clone(),
        guard: guard.clone(),
        rounds: rounds.clone(),
        wake: wake.clone(),
        owner: owner.clone(),
    };
    let scanner = Scanner {
        db: db.clone(),
        audit: audit.clone(),
        converger: converger.clone(),
        owner: owner.clone(),
        every: parts.key_scan_interval,
    };
    let uses = UseReader { db: db.clone(), scanner: scanner.clone() };
    let server_keys = app::server_keys::ServerKeys {
        db: db.clone(),
        audit: audit.clone(),
        guard: guard.clone(),
        store: store.clone(),
        scanner: scanner.clone(),
    };
    let refresher = Refresher { scanner: scanner.clone(), refusals: refusals.clone(), audit: audit.clone() };
    let watch = Watch { repairer: Repairer { scanner, audit: audit.clone() }, refresher };
    let before = Before { uses: uses.clone() };
    let settler = Settler { db: db.clone(), audit: audit.clone(), rounds, converger };
    let manage = ManageServer {
        db: db.clone(),
        audit: audit.clone(),
        guard: guard.clone(),
        store: store.clone(),
        probe: probe.clone(),
        bootstrapper: bootstrapper.clone(),
    };
    let releaser = Releaser {
        db: db.clone(),
        audit: audit.clone(),
        store: store.clone(),
        refusals: refusals.clone(),
        custody: custody.clone(),
        bootstrapper,
        owner: owner.clone(),
    };
    let keys = Keys {
        db: db.clone(),
        audit: audit.clone(),
        store: store.clone(),
        probe,
        refusals,
        editor,
        bootstrap: manage.clone(),
    };
    let starter =
        app::Starter { db: db.clone(), drive: drive.clone(), wake: wake.clone(), owner: owner.clone() };
    let rotate = app::start_rotation::StartRotation {
        db: db.clone(),
        audit: audit.clone(),
        guard: guard.clone(),
        store: store.clone(),
        starter,
    };
    let scheduler = Scheduler {
        db: db.clone(),
        audit: audit.clone(),
        store: store.clone(),
        rotate: rotate.clone(),
        owner: owner.clone(),
        told: Arc::default(),
    };
    let notifier = notifier(parts, &store, &owner);
    let routes = routes(parts, &rotate, &store, &uses, wake.clone());
    let routes = managing(parts, (&keys, &releaser), manage, (&wake, &owner), routes);
    let routes = operating(parts, &store, &wake, routes);
    let routes = notifications(parts, &store, &notifier, routes)
        .add_service(RecoveryServiceServer::new(Recoveries { recover }))
        .add_service(ServerKeysServiceServer::new(ServerKeys { keys: server_keys }))
        .add_service(KrlServiceServer::new(krls));
    let (routes, offboarder) = offboarding(parts, &releaser, &wake, routes);
    let campaigns = Driver { db: db.clone(), audit, start: rotate };
    let worker =
        Worker { db, owner, drive, revoker, custody, keys, releaser, offboarder, settler, campaigns, wake };
    Ok(Built { routes, worker, notifier, lists, scheduler, watch, before })
}

/// Tenants that leave.
fn offboarding(
    parts: &Parts,
    releaser: &Releaser,
    wake: &Arc<Notify>,
    routes: Routes,
) -> (Routes, Offboarder) {
    let (db, audit, guard) = (parts.db.clone(), parts.audit.clone(), parts.guard.clone());
    let store = releaser.store.clone();
    let revoke = app::revoke_access::RevokeAccess {
        db: db.clone(),
        audit: audit.clone(),
        guard: guard.clone(),
        custody: releaser.custody.clone(),
        wake: wake.clone(),
    };
    let offboarder = Offboarder {
        db: db.clone(),
        store: store.clone(),
        log: AuditLog { outbound: parts.outbound.clone() },
        revoke,
        releaser: releaser.clone(),
    };
    let offboard = app::offboard_tenant::OffboardTenant { db, audit, guard, store, wake: wake.clone() };
    (routes.add_service(OffboardingServiceServer::new(offboard)), offboarder)
}

/// Management keys.
fn managing(
    parts: &Parts,
    (keys, releaser): (&Keys, &Releaser),
    manage: ManageServer,
    (wake, owner): (&Arc<Notify>, &str),
    routes: Routes,
) -> Routes {
    let (db, guard, store) = (parts.db.clone(), parts.guard.clone(), keys.store.clone());
    let view =
        app::view_management::ViewManagement { db: db.clone(), guard: guard.clone(), store: store.clone() };
    let release = app::release_server::ReleaseServer {
        db: db.clone(),
        guard: guard.clone(),
        store: store.clone(),
        releaser: releaser.clone(),
        owner: owner.to_owned(),
    };
    let rotate = app::rotate_management::RotateManagement {
        db,
        guard,
        store,
        keys: keys.clone(),
        view: view.clone(),
        wake: wake.clone(),
        owner: owner.to_owned(),
    };
    routes.add_service(ManagementServiceServer::new(Management { manage, rotate, view, release }))
}

/// Campaigns, and what operators look at first.
fn operating(parts: &Parts, store: &CredentialStore, wake: &Arc<Notify>, routes: Routes) -> Routes {
    use app::campaign::{control, create, read};
    let (db, audit, guard) = (parts.db.clone(), parts.audit.clone(), parts.guard.clone());
    let campaigns = Campaigns {
        create: create::CreateCampaign {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            selection: Selection { db: db.clone(), store: store.clone() },
            wake: wake.clone(),
        },
        read: read::ReadCampaigns { db: db.clone(), guard: guard.clone() },
        control: control::ControlCampaign { db: db.clone(), audit, guard: guard.clone(), wake: wake.clone() },
        idempotency: parts.idempotency.clone(),
    };
    let overview = app::overview::Overview { db, guard, store: store.clone() };
    routes
        .add_service(CampaignServiceServer::new(campaigns))
        .add_service(OverviewServiceServer::new(Overviews { overview }))
}

fn notifier(parts: &Parts, store: &CredentialStore, owner: &str) -> Notifier {
    let Telling { keyring, mailer } = parts.telling.clone();
    let mails = mailer.is_some();
    let webhooks = Webhooks::new(Lines::new(parts.dialer.clone()));
    Notifier {
        db: parts.db.clone(),
        owner: owner.to_owned(),
        fan_out: FanOut { db: parts.db.clone(), store: store.clone(), mails },
        deliverer: Deliverer { db: parts.db.clone(), audit: parts.audit.clone(), webhooks, mailer, keyring },
    }
}

fn notifications(parts: &Parts, store: &CredentialStore, notifier: &Notifier, routes: Routes) -> Routes {
    use app::notify::{
        accept_notice, create_target, delete_target, read_targets, rotate_secret, test_target,
    };
    let (db, audit, guard) = (parts.db.clone(), parts.audit.clone(), parts.guard.clone());
    let deliverer = notifier.deliverer.clone();
    let notifications = Notifications {
        create: create_target::CreateTarget {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            store: store.clone(),
            webhooks: deliverer.webhooks.clone(),
            keyring: deliverer.keyring.clone(),
            mails: deliverer.mailer.is_some(),
        },
        read: read_targets::ReadTargets { db: db.clone(), guard: guard.clone() },
        delete: delete_target::DeleteTarget { db: db.clone(), audit: audit.clone(), guard: guard.clone() },
        rotate: rotate_secret::RotateSecret {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            keyring: deliverer.keyring.clone(),
        },
        test: test_target::TestTarget {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            deliverer,
            rate: Arc::new(Rate::new(test_target::TESTS, parts.clock.clone())),
        },
    };
    let accept = accept_notice::AcceptNotice { db, audit, guard };
    routes
        .add_service(NotificationServiceServer::new(notifications))
        .add_service(NotificationIntakeServiceServer::new(NotificationIntake { accept }))
}

fn routes(
    parts: &Parts,
    rotate: &app::start_rotation::StartRotation,
    store: &CredentialStore,
    uses: &UseReader,
    wake: Arc<Notify>,
) -> Routes {
    let (db, audit, guard) = (parts.db.clone(), parts.audit.clone(), parts.guard.clone());
    let read = ReadWork { db: db.clone(), guard: guard.clone() };
    let custody = Custody { db: db.clone(), store: store.clone() };
    let accesses = Accesses {
        provision: app::provision_access::ProvisionAccess {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            store: store.clone(),
            starter: rotate.starter.clone(),
        },
        list: app::list_access::ListAccess { db: db.clone(), guard: guard.clone(), store: store.clone() },
        view: app::view_access::ViewAccess { db: db.clone(), guard: guard.clone() },
        download: app::download_key::DownloadKey {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            store: store.clone(),
        },
        acknowledge: app::acknowledge_download::AcknowledgeDownload {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        rotate: rotate.clone(),
        add_host: app::add_host::AddHost {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            store: store.clone(),
            starter: rotate.starter.clone(),
        },
        deprovision: app::deprovision::DeprovisionAccess {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            custody: custody.clone(),
            wake: wake.clone(),
        },
        remove_host: app::remove_host::RemoveHost {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            starter: rotate.starter.clone(),
        },
        revoke: app::revoke_access::RevokeAccess {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            custody,
            wake,
        },
        regenerate: app::regenerate_key::RegenerateKey {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            store: store.clone(),
            starter: rotate.starter.clone(),
        },
        key_use: app::read_key_use::ReadKeyUse {
            db: db.clone(),
            audit: parts.audit.clone(),
            guard: parts.guard.clone(),
            uses: uses.clone(),
        },
        read: read.clone(),
        challenge: app::possession::CreateChallenge {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            store: store.clone(),
        },
        idempotency: parts.idempotency.clone(),
    };
    let policies = Policies {
        read: app::policy::ReadPolicy { db: db.clone(), guard: guard.clone(), store: store.clone() },
        update: app::policy::UpdatePolicy {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            store: store.clone(),
            egress: parts.egress.clone(),
        },
    };
    let freezes = app::freeze::Freezes { db: db.clone(), audit, guard, store: store.clone() };
    let works = Works { check: app::check_work::CheckWork { db: db.clone() } };
    let readiness = Readiness::new(move || {
        let db = db.clone();
        async move { db.ready().await.map_err(|_| "the database does not answer") }
    });
    Routes::new(SshAccessServiceServer::new(accesses))
        .add_service(RotationServiceServer::new(Rotations { read }))
        .add_service(PolicyServiceServer::new(policies))
        .add_service(FreezeServiceServer::new(freezes))
        .add_service(WorkServiceServer::new(works))
        .add_service(readiness)
}
