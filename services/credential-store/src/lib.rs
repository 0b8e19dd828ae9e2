//! Identity, tenants, servers with their pinned host keys, credentials, and the custody of material.
//!
//! `app` the use cases, `domain` what they speak of, `store` the tables, `api` gRPC, `adapters` the custody backends
//! and the peers.
//! Invariant: stored private keys never leave this process but by `ReleaseService` (the body of a download) and, where
//! the tenant allowed it for a credential, by `ResolveService`.

mod adapters;
mod api;
mod app;
mod domain;
mod store;
#[cfg(test)]
mod tests;

use app::credentials::intake::KeyIntake;
use app::custody::shelf::Shelf;
use keywright_domain::clock::Clock;
use keywright_proto::credential::custody_admin_service_server::CustodyAdminServiceServer;
use keywright_proto::credential::custody_service_server::CustodyServiceServer;
use keywright_proto::credential::directory_service_server::DirectoryServiceServer;
use keywright_proto::credential::release_service_server::ReleaseServiceServer;
use keywright_proto::credential::resolve_service_server::ResolveServiceServer;
use keywright_proto::credential::server_service_server::ServerServiceServer;
use keywright_proto::credential::signing_service_server::SigningServiceServer;
use keywright_proto::credential::ssh_credential_service_server::SshCredentialServiceServer;
use keywright_proto::credential::tenant_service_server::TenantServiceServer;
use keywright_proto::identity::console_service_server::ConsoleServiceServer;
use keywright_proto::identity::exchange_service_server::ExchangeServiceServer;
use keywright_proto::identity::invitation_service_server::InvitationServiceServer;
use keywright_proto::identity::member_service_server::MemberServiceServer;
use keywright_proto::identity::oidc_service_server::OidcServiceServer;
use keywright_proto::identity::revocation_feed_service_server::RevocationFeedServiceServer;
use keywright_proto::identity::session_service_server::SessionServiceServer;
use keywright_proto::identity::token_service_server::TokenServiceServer;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::idempotency::{self, Idempotency};
use keywright_runtime::notices::Notices;
use keywright_runtime::rate::Rate;
use keywright_runtime::serve::{Assembled, Readiness, Task};
use keywright_runtime::token::{Signer, Verifier};
use keywright_storage::Db;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

pub use adapters::custody::{
    Custody, CustodyError, Kek, KekError, KeySource, OpenError, SealedStore, VaultError, VaultSettings,
    VaultStore, read_passphrase,
};
pub use adapters::oidc::{Providers as OidcProviders, config::ConfigError as OidcConfigError};
pub use app::identity::operators::{first_operator, restored_operator};

pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!();

/// What the service needs.
#[derive(Clone)]
pub struct Parts {
    pub db: Db,
    pub audit: Audit,
    pub guard: Guard,
    pub outbound: Outbound,
    pub clock: Clock,
    pub idempotency: Idempotency,
    /// Signs users' and exchanged tokens.
    pub issuer: Signer,
    pub verifier: Verifier,
    pub custody: Custody,
    /// The identity providers through which people log in; none by default.
    pub oidc: OidcProviders,
    pub stop: CancellationToken,
}

pub fn build(parts: Parts) -> Assembled {
    let db = parts.db.clone();
    let custody = parts.custody.clone();
    let readiness = Readiness::noting(move || {
        let (db, custody) = (db.clone(), custody.clone());
        async move {
            db.ready().await.map_err(|_| "the credential database does not answer")?;
            // Sealed, it still serves views, and must be reached to be unsealed.
            Ok(if custody.is_locked() { "the secret store is sealed" } else { "" })
        }
    });
    let shelf = Shelf::new(parts.db.clone(), parts.custody.clone());
    let routes = identity(&parts, Routes::new(readiness));
    let routes = single_sign_on(&parts, routes);
    let routes = sessions(&parts, routes);
    let routes = servers(&parts, &shelf, routes);
    let routes = credentials(&parts, &shelf, routes);
    let routes = keys(&parts, &shelf, routes);
    let routes = programs(&parts, &shelf, routes);
    let routes = custody_admin(&parts, routes);
    let drain: Task = Box::pin(parts.audit.clone().drain(parts.db.clone(), parts.stop.clone()));
    let answers: Task = Box::pin(idempotency::sweep(parts.db.clone(), parts.stop.clone()));
    let upkeep: Task = Box::pin(parts.custody.clone().upkeep(parts.stop.clone()));
    let tell = app::servers::tell_host_keys::TellHostKeys {
        db: parts.db.clone(),
        notices: Notices::new(parts.outbound.clone()),
    };
    let tell: Task = Box::pin(tell.run(parts.stop.clone()));
    let sweep: Task = Box::pin(shelf.sweep(parts.stop));
    Assembled { routes, tasks: vec![drain, answers, sweep, upkeep, tell] }
}

/// The secret store, as operators work on it.
fn custody_admin(parts: &Parts, routes: Routes) -> Routes {
    use app::custody_admin;
    let Parts { db, audit, guard, custody, clock, .. } = parts.clone();
    let service = api::custody_admin::CustodyAdmin {
        health: custody_admin::health::ReadHealth { guard: guard.clone(), custody: custody.clone(), clock },
        status: custody_admin::status::ReadCustody { guard: guard.clone(), custody: custody.clone() },
        unseal: custody_admin::unseal::UnsealCustody {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            custody: custody.clone(),
        },
        seal: custody_admin::seal::SealCustody {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            custody: custody.clone(),
        },
        rotate: custody_admin::rotate_key::RotateKey { db, audit, guard, custody },
    };
    routes.add_service(CustodyAdminServiceServer::new(service))
}

/// Servers and the directory of them.
fn servers(parts: &Parts, shelf: &Shelf, routes: Routes) -> Routes {
    use app::{directory, servers};
    let Parts { db, audit, guard, outbound, idempotency, .. } = parts.clone();
    let probe = adapters::probe::Probe::new(outbound);
    let (db, audit, guard) = (|| db.clone(), || audit.clone(), || guard.clone());
    let service = api::server::Servers {
        register: servers::register::RegisterServer {
            db: db(),
            audit: audit(),
            guard: guard(),
            probe: probe.clone(),
        },
        read: servers::read::ReadServers { db: db(), guard: guard() },
        rename: servers::rename::RenameServer { db: db(), audit: audit(), guard: guard() },
        deactivate: servers::deactivate::DeactivateServer { db: db(), audit: audit(), guard: guard() },
        delete: servers::delete::DeleteServer { db: db(), audit: audit(), guard: guard() },
        bind: servers::bind::BindCredential {
            db: db(),
            audit: audit(),
            guard: guard(),
            probe: probe.clone(),
        },
        unbind: servers::unbind::UnbindCredential { db: db(), audit: audit(), guard: guard() },
        jump_host: servers::jump_host::SetJumpHost { db: db(), audit: audit(), guard: guard() },
        host_keys: servers::host_keys::UpdateHostKeys { db: db(), audit: audit(), guard: guard(), probe },
        idempotency,
    };
    let directory = api::directory::Directory {
        read: directory::read::ReadDirectory { db: db(), guard: guard() },
        list: directory::list::ListDirectory { db: db(), guard: guard() },
        management: directory::management::SetManagementKey { db: db(), audit: audit(), guard: guard() },
        forget: directory::management::ForgetManagementKey {
            db: db(),
            audit: audit(),
            guard: guard(),
            shelf: shelf.clone(),
        },
        close: directory::close_tenant::CloseTenant {
            db: db(),
            audit: audit(),
            guard: guard(),
            shelf: shelf.clone(),
        },
        references: directory::reference::HoldReferences { db: db(), audit: audit(), guard: guard() },
        route: directory::route::ResolveRoute { db: db(), guard: guard() },
        targets: directory::targets::ResolveTargets { db: db(), guard: guard() },
        mismatch: directory::mismatch::ReportMismatch { db: db(), audit: audit(), guard: guard() },
        record: directory::record_test::RecordTestResult { db: db(), audit: audit(), guard: guard() },
    };
    routes.add_service(ServerServiceServer::new(service)).add_service(DirectoryServiceServer::new(directory))
}

/// Saved credentials.
fn credentials(parts: &Parts, shelf: &Shelf, routes: Routes) -> Routes {
    use app::credentials;
    let Parts { db, audit, guard, outbound, idempotency, .. } = parts.clone();
    let intake = KeyIntake::default();
    let service = api::credential::Credentials {
        create: credentials::create::CreateCredential {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            intake: intake.clone(),
            shelf: shelf.clone(),
        },
        read: credentials::read::ReadCredentials { db: db.clone(), guard: guard.clone() },
        rotate: credentials::rotate::RotateCredential {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            intake: intake.clone(),
            shelf: shelf.clone(),
        },
        update: credentials::update::UpdateCredential {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        switch: credentials::switch::SwitchCredential {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            mover: credentials::switch_one::Mover {
                db: db.clone(),
                audit: audit.clone(),
                probe: adapters::probe::Probe::new(outbound),
                writing: Arc::default(),
            },
        },
        delete: credentials::delete::DeleteCredential {
            db,
            audit,
            guard: guard.clone(),
            shelf: shelf.clone(),
        },
        validate: credentials::validate::ValidateCredential { guard, intake },
        idempotency,
    };
    routes.add_service(SshCredentialServiceServer::new(service))
}

/// Signatures, managed versions, and the release of a download.
fn keys(parts: &Parts, shelf: &Shelf, routes: Routes) -> Routes {
    use app::custody;
    let Parts { db, audit, guard, outbound, clock, .. } = parts.clone();
    let service = api::custody::Keys {
        sign: custody::sign::SignUserauth {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            works: adapters::work::Works::new(outbound),
            pen: custody::pen::Pen { db: db.clone(), shelf: shelf.clone() },
        },
        create: custody::create_managed::CreateManaged {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        generate: custody::generate::GenerateVersion {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            shelf: shelf.clone(),
        },
        register: custody::register::RegisterVersion {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        set_state: custody::set_state::SetVersionState {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            shelf: shelf.clone(),
            clock,
        },
        read: custody::read::ReadManaged { db: db.clone(), guard: guard.clone() },
    };
    let release = custody::release::ReleaseVersion { db, audit, guard, shelf: shelf.clone() };
    routes
        .add_service(CustodyServiceServer::new(service))
        .add_service(ReleaseServiceServer::new(api::custody::Releases { release }))
}

/// Keys at work for agents and internal services: logins signed, and keys handed out where a tenant allowed it.
fn programs(parts: &Parts, shelf: &Shelf, routes: Routes) -> Routes {
    use app::custody::{pen::Pen, resolve, sign_login};
    let Parts { db, audit, guard, clock, .. } = parts.clone();
    let signing = api::signing::Signing {
        sign: sign_login::SignLogin {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            pen: Pen { db: db.clone(), shelf: shelf.clone() },
            rate: Rate::new(sign_login::SIGNATURES, clock.clone()),
        },
        list: sign_login::ListSigningKeys { db: db.clone(), guard: guard.clone() },
    };
    let rate = Rate::new(resolve::KEYS, clock);
    let resolve = resolve::ResolveKey { db, audit, guard, shelf: shelf.clone(), rate };
    routes
        .add_service(SigningServiceServer::new(signing))
        .add_service(ResolveServiceServer::new(api::resolve::Resolving { resolve }))
}

/// Members, console sessions, and who hears of revocations.
fn sessions(parts: &Parts, routes: Routes) -> Routes {
    use app::identity::{console, members};
    let Parts { db, audit, guard, clock, stop, .. } = parts.clone();
    let feed = api::revocation_feed::RevocationFeed { db: db.clone(), stop };
    let members = members::Members { db: db.clone(), audit: audit.clone(), guard: guard.clone() };
    let wrong = Rate::new(console::TRIES, clock);
    let console = console::Console { db, audit, guard, wrong };
    routes
        .add_service(MemberServiceServer::new(api::member::Members { members }))
        .add_service(ConsoleServiceServer::new(api::console::Consoles { console }))
        .add_service(RevocationFeedServiceServer::new(feed))
}

/// Login through identity providers.
fn single_sign_on(parts: &Parts, routes: Routes) -> Routes {
    use app::identity::oidc;
    let Parts { db, audit, issuer, clock, oidc: providers, .. } = parts.clone();
    let wrong = Rate::new(oidc::TRIES, clock);
    let login = oidc::LoginWithOidc { db, audit, issuer, providers, wrong };
    routes.add_service(OidcServiceServer::new(api::oidc::Logins { login }))
}

/// Tenants, tokens, invitations and the exchange.
fn identity(parts: &Parts, routes: Routes) -> Routes {
    let Parts { db, audit, guard, outbound, issuer, verifier, idempotency, clock, .. } = parts.clone();
    let tenants = api::tenant::Tenants {
        create: app::tenants::create::CreateTenant {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        read: app::tenants::read::ReadTenants { db: db.clone(), guard: guard.clone() },
        update: app::tenants::update::UpdateTenant {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        suspend: app::tenants::suspend::SuspendTenant {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        delete: app::tenants::delete::DeleteTenant {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
        },
        idempotency,
    };
    let tokens = api::token::Tokens {
        create: app::identity::create_token::CreateToken {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            issuer: issuer.clone(),
        },
        tokens: app::identity::tokens::Tokens { db: db.clone(), audit: audit.clone(), guard: guard.clone() },
    };
    let redeem = app::identity::redeem::Redeem {
        db: db.clone(),
        audit: audit.clone(),
        issuer: issuer.clone(),
        wrong: Rate::new(app::identity::redeem::TRIES, clock),
    };
    let sessions = api::session::Sessions { redeem, db: db.clone() };
    let invitations = api::invitation::Invitations {
        invite: app::identity::invite::Invite {
            db: db.clone(),
            audit: audit.clone(),
            guard: guard.clone(),
            notices: Notices::new(outbound),
        },
        invitations: app::identity::invitations::Invitations { db: db.clone(), audit: audit.clone(), guard },
    };
    let exchange = app::identity::exchange::Exchange { db, audit, verifier, issuer };
    let exchanges = api::exchange::Exchanges { exchange };
    routes
        .add_service(TenantServiceServer::new(tenants))
        .add_service(TokenServiceServer::new(tokens))
        .add_service(SessionServiceServer::new(sessions))
        .add_service(InvitationServiceServer::new(invitations))
        .add_service(ExchangeServiceServer::new(exchanges))
}
