//! Who may grant what, and which token becomes which.

use super::create_token::{NewToken, check_shape, may_grant};
use super::exchange::{Asked, Exchange};
use super::first_operator::first_operator;
use crate::store::token;
use keywright_domain::caller::{Caller, Principal, Role, ServiceName};
use keywright_domain::clock::Clock;
use keywright_domain::ids::{PrincipalId, TenantId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_runtime::failure::Failure;
use keywright_runtime::keys::{self, ISSUER};
use keywright_runtime::token::{Signer, Verified, Verifier};
use keywright_storage::{Db, Source};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};

fn caller(role: Role) -> Caller {
    let tenant = matches!(role, Role::TenantOwner | Role::TenantAdmin | Role::TenantMember)
        .then(|| TenantId::random().unwrap());
    let principal = Principal::person(&PrincipalId::random().unwrap(), role, tenant);
    Caller { principal, ..Caller::background(ServiceName::Gateway, "") }
}

#[test]
fn a_role_is_granted_only_by_somebody_who_has_it() {
    use Role::{Auditor, InternalService, Keywright, Operator, TenantAdmin, TenantMember, TenantOwner};
    let table: [(Role, &[Role]); 7] = [
        (Operator, &[Operator, Auditor, InternalService]),
        (TenantOwner, &[TenantOwner, TenantAdmin, TenantMember]),
        (TenantAdmin, &[TenantAdmin, TenantMember]),
        (TenantMember, &[]),
        (Auditor, &[]),
        (InternalService, &[]),
        (Keywright, &[]),
    ];
    for (granter, allowed) in table {
        for role in Role::ALL {
            assert_eq!(
                may_grant(&caller(granter), *role),
                allowed.contains(role),
                "{granter:?} grants {role:?}"
            );
        }
    }
}

#[test]
fn a_token_that_makes_no_sense_is_refused() {
    let tenant = TenantId::random().unwrap();
    let asked = |permissions: &[&str]| NewToken {
        role: None,
        tenant: String::new(),
        permissions: permissions.iter().map(|p| (*p).to_owned()).collect(),
        expires_in: None,
        name: String::new(),
    };
    assert!(check_shape(Role::TenantOwner, None, &asked(&[])).is_err());
    assert!(check_shape(Role::Operator, Some(&tenant), &asked(&[])).is_err());
    assert!(check_shape(Role::InternalService, None, &asked(&[])).is_err());
    assert!(check_shape(Role::InternalService, None, &asked(&["credential.resolve"])).is_err());
    assert!(check_shape(Role::Operator, None, &asked(&["access.provision"])).is_err());
    assert!(check_shape(Role::InternalService, None, &asked(&["access.provision"])).is_ok());
    assert!(check_shape(Role::Auditor, Some(&tenant), &asked(&[])).is_ok());
    assert!(check_shape(Role::Keywright, None, &asked(&[])).is_err());
}

struct Home {
    exchange: Exchange,
    operator: String,
    signer: Signer,
    probe: Verifier,
    clock: Clock,
    time: Arc<AtomicI64>,
    _dir: tempfile::TempDir,
}

async fn home() -> Home {
    let dir = tempfile::tempdir().unwrap();
    keys::create_all(dir.path()).unwrap();
    let time = Arc::new(AtomicI64::new(1_700_000_000_000_000));
    let clock = Clock::Manual(time.clone());
    let source = Source::Directory(dir.path().to_owned());
    let db = Db::open(&source, "credential", &crate::MIGRATIONS, clock.clone()).await.unwrap();
    let signer = |name: &str| Signer::new(keys::signing_key(dir.path(), name).unwrap(), clock.clone());
    let kept = Mutex::new(None);
    let keep = |token: &Secret| {
        *kept.lock().unwrap() = token.expose_text().map(ToOwned::to_owned);
        true
    };
    assert!(first_operator(&db, &signer(ISSUER), keep).await.unwrap());
    assert!(!first_operator(&db, &signer(ISSUER), |_| true).await.unwrap(), "there is one first operator");
    let verifier = |name| Verifier::new(keys::public_keys(dir.path()).unwrap(), name, clock.clone());
    Home {
        exchange: Exchange { db, verifier: verifier(ServiceName::CredentialStore), issuer: signer(ISSUER) },
        operator: kept.into_inner().unwrap().unwrap(),
        signer: signer("connectivity-probe"),
        probe: verifier(ServiceName::ConnectivityProbe),
        clock,
        time,
        _dir: dir,
    }
}

impl Home {
    async fn exchange(&self, by: ServiceName, subject: &str, audience: &str) -> Result<String, Failure> {
        let asked = Asked {
            subject: Secret::from_text(subject.to_owned()),
            audience: audience.to_owned(),
            request_id: "req_1".to_owned(),
            source_ip: "192.0.2.1".to_owned(),
            user_agent: "test".to_owned(),
        };
        let token = self.exchange.run(&Caller::background(by, ""), asked).await?;
        Ok(token.expose_text().unwrap().to_owned())
    }
}

#[tokio::test]
async fn a_users_token_becomes_one_for_one_service_and_no_other() {
    let home = home().await;
    let short = home.exchange(ServiceName::Gateway, &home.operator, "connectivity-probe").await.unwrap();
    let Verified::Exchanged(seen) = home.probe.verify(&short).unwrap() else {
        panic!("not an exchanged token")
    };
    assert_eq!((seen.principal.role, seen.acting), (Role::Operator, Some(ServiceName::Gateway)));
    assert_eq!((seen.source_ip.as_str(), seen.request_id.as_str()), ("192.0.2.1", "req_1"));
    // The probe passes it on under its own name; the gateway cannot use what was made for the probe.
    let onward = home.exchange(ServiceName::ConnectivityProbe, &short, "credential-store").await.unwrap();
    assert!(home.probe.verify(&onward).is_err());
    let stolen = home.exchange(ServiceName::KeyLifecycle, &short, "credential-store").await.unwrap_err();
    assert_eq!(stolen.reason, Reason::Unauthenticated);
    // A service that was called directly may let the user in to itself, and nowhere else.
    assert!(
        home.exchange(ServiceName::ConnectivityProbe, &home.operator, "connectivity-probe").await.is_ok()
    );
    let elsewhere = home.exchange(ServiceName::ConnectivityProbe, &home.operator, "audit").await.unwrap_err();
    assert_eq!(elsewhere.reason, Reason::PermissionDenied);
}

#[tokio::test]
async fn what_is_expired_revoked_or_forged_is_not_exchanged() {
    let home = home().await;
    let proof = home.signer.proof(ServiceName::CredentialStore, None).unwrap();
    let forged = format!("{}x", home.operator);
    for bad in ["", "x.y.z", forged.as_str()] {
        let refused = home.exchange(ServiceName::Gateway, bad, "audit").await.unwrap_err();
        assert_eq!(refused.reason, Reason::Unauthenticated, "{bad}");
    }
    assert!(
        home.exchange(ServiceName::Gateway, &proof, "audit").await.is_err(),
        "a service's proof is no user's token"
    );
    let short = home.exchange(ServiceName::Gateway, &home.operator, "connectivity-probe").await.unwrap();
    let Ok(Verified::User { token: id, .. }) = home.exchange.verifier.verify(&home.operator) else {
        panic!("no user")
    };
    let mut tx = home.exchange.db.begin_internal("test").await.unwrap();
    token::revoke(&mut tx, &id).await.unwrap();
    tx.commit().await.unwrap();
    assert!(home.exchange(ServiceName::Gateway, &home.operator, "audit").await.is_err());
    let onward = home.exchange(ServiceName::ConnectivityProbe, &short, "audit").await.unwrap_err();
    assert_eq!(onward.reason, Reason::Unauthenticated, "what was exchanged before ends with it");
    let _ = home.time.fetch_add(70_000_000, Ordering::SeqCst);
    assert!(home.clock.now().secs() > 1_700_000_000);
    assert!(home.probe.verify(&short).is_err(), "60 seconds are over");
}
