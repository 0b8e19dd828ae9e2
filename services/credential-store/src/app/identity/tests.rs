//! Who may grant what, and which token becomes which.

use super::console::{Console, IDLE, TRIES};
use super::create_token::{NewToken, certificate, check_shape, may_grant, may_permit};
use super::exchange::{Asked, Exchange};
use super::invite::hash;
use super::operators::first_operator;
use super::redeem::Redeem;
use super::revocations::Follower;
use crate::store::session;
use crate::store::token::{self, Token};
use crate::tests::fakes::Log;
use crate::tests::world::peer;
use keywright_domain::caller::{Caller, Principal, Role, ServiceName};
use keywright_domain::clock::Clock;
use keywright_domain::ids::{PrincipalId, TenantId, TokenId};
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_proto::audit::audit_intake_service_server::AuditIntakeServiceServer;
use keywright_runtime::Policy;
use keywright_runtime::audit::{Audit, Guard};
use keywright_runtime::clients::Outbound;
use keywright_runtime::failure::Failure;
use keywright_runtime::keys::{self, ISSUER};
use keywright_runtime::peer::Peers;
use keywright_runtime::rate::Rate;
use keywright_runtime::token::{Signer, Verified, Verifier};
use keywright_storage::{Db, Source};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, Ordering};
use tonic::service::Routes;

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
        (TenantOwner, &[TenantOwner, TenantAdmin, TenantMember, InternalService]),
        (TenantAdmin, &[TenantAdmin, TenantMember, InternalService]),
        (TenantMember, &[]),
        (Auditor, &[]),
        (InternalService, &[]),
        (Keywright, &[]),
    ];
    for (granter, allowed) in table {
        let granter_is = caller(granter);
        for role in Role::ALL {
            assert_eq!(
                may_grant(&granter_is, *role, granter_is.principal.tenant.as_ref()),
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
        client_certificate: String::new(),
    };
    assert!(check_shape(Role::TenantOwner, None, &asked(&[])).is_err());
    assert!(check_shape(Role::Operator, Some(&tenant), &asked(&[])).is_err());
    assert!(check_shape(Role::InternalService, None, &asked(&[])).is_err());
    assert!(check_shape(Role::InternalService, None, &asked(&["credential.resolve"])).is_err());
    assert!(check_shape(Role::InternalService, None, &asked(&["access.provision", "made.up"])).is_err());
    assert!(check_shape(Role::InternalService, Some(&tenant), &asked(&["reference.write"])).is_err());
    assert!(check_shape(Role::InternalService, Some(&tenant), &asked(&["credential.sign"])).is_ok());
    assert!(check_shape(Role::InternalService, None, &asked(&["reference.write"])).is_ok());
    for tenant in [None, Some(&tenant)] {
        assert!(check_shape(Role::InternalService, tenant, &asked(&["krl.read:web servers"])).is_ok());
        for wrong in ["krl.read", "krl.read:", "krl.read: web", "krl.write:web"] {
            assert!(check_shape(Role::InternalService, tenant, &asked(&[wrong])).is_err(), "{wrong}");
        }
    }
    assert!(check_shape(Role::Operator, None, &asked(&["access.provision"])).is_err());
    assert!(check_shape(Role::InternalService, None, &asked(&["access.provision"])).is_ok());
    assert!(check_shape(Role::Auditor, Some(&tenant), &asked(&[])).is_ok());
    assert!(check_shape(Role::Keywright, None, &asked(&[])).is_err());
}

#[test]
fn a_tenants_keys_are_the_tenants_to_give() {
    let tenant = TenantId::random().unwrap();
    assert!(!may_grant(&caller(Role::Operator), Role::InternalService, Some(&tenant)));
    let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    for permission in ["credential.resolve", "credential.sign"] {
        assert!(!may_permit(&caller(Role::Operator), &names(&[permission])), "{permission}");
        assert!(may_permit(&caller(Role::TenantAdmin), &names(&[permission])), "{permission}");
    }
    for permission in ["access.provision", "reference.write"] {
        assert!(may_permit(&caller(Role::Operator), &names(&[permission])), "{permission}");
        assert!(!may_permit(&caller(Role::TenantOwner), &names(&["credential.sign", permission])));
    }
}

#[test]
fn a_programs_token_is_bound_to_the_certificate_that_it_was_made_over() {
    let hash = "ab".repeat(32);
    let over =
        |certificate: &str| Caller { client_certificate: certificate.to_owned(), ..caller(Role::Operator) };
    let bound = |by: &Caller, role, asked: &str| certificate(by, role, asked).map_err(|it| it.reason);
    assert_eq!(bound(&over(&hash), Role::InternalService, ""), Ok(Some(hash.clone())));
    assert_eq!(bound(&over(""), Role::InternalService, ""), Ok(None));
    assert_eq!(bound(&over(&hash), Role::Operator, ""), Ok(None), "people come without one");
    let printed = "AB:".repeat(32);
    assert_eq!(bound(&over(""), Role::Operator, printed.trim_end_matches(':')), Ok(Some(hash)));
    for wrong in ["ab", &"zz".repeat(32), &"ab".repeat(33)] {
        assert_eq!(bound(&over(""), Role::Auditor, wrong), Err(Reason::ValidationFailed), "{wrong}");
    }
}

struct Home {
    exchange: Exchange,
    operator: String,
    signer: Signer,
    probe: Verifier,
    /// What was logged.
    log: Log,
    clock: Clock,
    time: Arc<AtomicI64>,
    /// What the next request's connection shows.
    certificate: String,
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
    let (log, peers, own) = (Log::default(), Peers::new(), ServiceName::CredentialStore);
    peers.set(ServiceName::Audit, peer(Routes::new(AuditIntakeServiceServer::new(log.clone())), None));
    let audit = Audit::new(Outbound::new(own, peers, signer(own.as_str())));
    Home {
        exchange: Exchange { db, audit, verifier: verifier(own), issuer: signer(ISSUER) },
        log,
        operator: kept.into_inner().unwrap().unwrap(),
        signer: signer("connectivity-probe"),
        probe: verifier(ServiceName::ConnectivityProbe),
        clock,
        time,
        certificate: String::new(),
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
            client_certificate: self.certificate.clone(),
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

#[tokio::test]
async fn a_clock_that_is_set_back_locks_nobody_out() {
    let home = home().await;
    let short = home.exchange(ServiceName::Gateway, &home.operator, "connectivity-probe").await.unwrap();
    let _ = home.time.fetch_sub(3_600_000_000, Ordering::SeqCst);

    let again = home.exchange(ServiceName::Gateway, &home.operator, "connectivity-probe").await.unwrap();
    assert!(home.probe.verify(&again).is_ok());
    // Were it good for longer than its minute, it would outlive the news that its user's token was revoked.
    assert!(home.probe.verify(&short).is_err(), "it is from the future, and made anew in an instant");
}

impl Home {
    async fn operators_token(&self) -> Token {
        let Ok(Verified::User { token: id, .. }) = self.exchange.verifier.verify(&self.operator) else {
            panic!("no user")
        };
        token::get(&self.exchange.db, &id).await.unwrap().unwrap()
    }

    /// A further token of the operator, made with `parent`, and its secret.
    async fn child(&self, parent: &Token, certificate: Option<String>) -> (TokenId, String) {
        let id = TokenId::random().unwrap();
        let child = Token {
            id: id.clone(),
            parent: Some(parent.id.clone()),
            client_certificate: certificate,
            ..parent.clone()
        };
        let mut tx = self.exchange.db.begin_internal("test").await.unwrap();
        token::insert(&mut tx, &child).await.unwrap();
        tx.commit().await.unwrap();
        let secret =
            self.exchange.issuer.user_token(&id, child.principal.as_str(), child.expires_at).unwrap();
        (id, secret)
    }

    async fn revoke(&self, id: &TokenId) {
        let mut tx = self.exchange.db.begin_internal("test").await.unwrap();
        token::revoke(&mut tx, id).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn pass(&self, seconds: i64) {
        let _ = self.time.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_token_ends_with_the_one_that_it_was_made_with_and_the_feed_says_so_once() {
    let home = home().await;
    let root = home.operators_token().await;
    let (child, _) = home.child(&root, None).await;
    let child_row = token::get(&home.exchange.db, &child).await.unwrap().unwrap();
    let (grandchild, secret) = home.child(&child_row, None).await;
    let (sibling, other) = home.child(&root, None).await;
    let mut follower = Follower::new(home.exchange.db.clone());
    assert!(follower.next().await.unwrap().tokens.is_empty());

    home.revoke(&child).await;
    let mut told = follower.next().await.unwrap().tokens;
    told.sort();
    let mut expected = vec![child.clone(), grandchild.clone()];
    expected.sort();
    assert_eq!(told, expected);
    assert!(home.exchange(ServiceName::Gateway, &secret, "audit").await.is_err());
    let logged = home.log.intents.lock().unwrap()[0].clone();
    assert_eq!(
        (logged.action.as_str(), logged.actor.as_str()),
        ("token.revoked_use", root.principal.as_str())
    );
    assert_eq!((logged.target.as_str(), logged.source_ip.as_str()), (grandchild.as_str(), "192.0.2.1"));
    assert!(home.exchange(ServiceName::Gateway, &other, "audit").await.is_ok());
    assert!(follower.next().await.unwrap().tokens.is_empty(), "told once");

    let first = token::get(&home.exchange.db, &child).await.unwrap().unwrap().revoked_at;
    home.pass(60).await;
    home.revoke(&child).await;
    assert_eq!(token::get(&home.exchange.db, &child).await.unwrap().unwrap().revoked_at, first);
    let mut late = Follower::new(home.exchange.db.clone());
    assert_eq!(late.next().await.unwrap().tokens.len(), 2, "a new follower hears of the last 90 seconds");
    home.pass(40).await;
    assert!(Follower::new(home.exchange.db.clone()).next().await.unwrap().tokens.is_empty());
    home.revoke(&root.id).await;
    assert_eq!(late.next().await.unwrap().tokens.len(), 2, "the root and {sibling}");
}

#[tokio::test]
async fn a_bound_token_holds_over_its_certificate_alone() {
    let mut home = home().await;
    let root = home.operators_token().await;
    let (_, secret) = home.child(&root, Some("ab".repeat(32))).await;
    for other in [String::new(), "cd".repeat(32)] {
        home.certificate = other;
        let refused = home.exchange(ServiceName::Gateway, &secret, "connectivity-probe").await.unwrap_err();
        assert_eq!(refused.reason, Reason::Unauthenticated);
    }
    assert_eq!(home.log.actions(), ["token.certificate_mismatch"], "the second within a minute is counted");
    home.certificate = "ab".repeat(32);
    let short = home.exchange(ServiceName::Gateway, &secret, "connectivity-probe").await.unwrap();
    let Ok(Verified::Exchanged(caller)) = home.probe.verify(&short) else { panic!("not exchanged") };
    assert_eq!(caller.client_certificate, home.certificate);
    home.certificate = String::new();
    let onward = home.exchange(ServiceName::ConnectivityProbe, &short, "audit").await;
    assert!(onward.is_ok(), "inside, the certificate was seen already");
}

#[tokio::test]
async fn a_session_is_exchanged_until_it_is_idle_or_its_token_ends() {
    let home = home().await;
    let root = home.operators_token().await;
    let (id, _) = home.child(&root, None).await;
    let secret = format!("kwses-{}", "a".repeat(40));
    let mut tx = home.exchange.db.begin_internal("test").await.unwrap();
    session::insert(&mut tx, &id, &hash(secret.as_bytes())).await.unwrap();
    tx.commit().await.unwrap();
    let idle = i64::try_from(IDLE.as_secs()).unwrap();

    assert!(home.exchange(ServiceName::Gateway, &secret, "audit").await.is_ok());
    let by_service = home.exchange(ServiceName::KeyLifecycle, &secret, "key-lifecycle").await.unwrap_err();
    assert_eq!(by_service.reason, Reason::PermissionDenied, "a session is a browser's, at the gateway");
    let guessed = format!("kwses-{}", "b".repeat(40));
    assert!(home.exchange(ServiceName::Gateway, &guessed, "audit").await.is_err());
    home.pass(idle - 1).await;
    assert!(home.exchange(ServiceName::Gateway, &secret, "audit").await.is_ok());
    home.pass(idle - 1).await;
    assert!(home.exchange(ServiceName::Gateway, &secret, "audit").await.is_ok(), "it was in use");
    home.pass(idle).await;
    assert!(home.exchange(ServiceName::Gateway, &secret, "audit").await.is_err(), "nobody used it");

    let (id, _) = home.child(&root, None).await;
    let mut tx = home.exchange.db.begin_internal("test").await.unwrap();
    session::insert(&mut tx, &id, &hash(guessed.as_bytes())).await.unwrap();
    tx.commit().await.unwrap();
    assert!(home.exchange(ServiceName::Gateway, &guessed, "audit").await.is_ok());
    home.revoke(&root.id).await;
    assert!(home.exchange(ServiceName::Gateway, &guessed, "audit").await.is_err());
}

#[tokio::test]
async fn codes_that_do_not_exist_stand_in_the_log_by_where_they_came_from() {
    let home = home().await;
    let (db, audit) = (home.exchange.db.clone(), home.exchange.audit.clone());
    let wrong = || Rate::new(TRIES, home.clock.clone());
    let guard = Guard::new(Policy::shipped().unwrap(), audit.clone());
    let console = Console { db: db.clone(), audit: audit.clone(), guard, wrong: wrong() };
    let redeem = Redeem { db, audit, issuer: home.exchange.issuer.clone(), wrong: wrong() };
    let arrival =
        Caller { source_ip: "192.0.2.7".to_owned(), ..Caller::background(ServiceName::Gateway, "") };
    let code = Secret::from_text("nobody's".to_owned());
    for _ in 0..3 {
        let refused = console.open(&arrival, &code).await.err().unwrap();
        assert_eq!(refused.reason, Reason::Unauthenticated);
        let refused = redeem.run(&arrival, &code, "Bob").await.err().unwrap();
        assert_eq!(refused.reason, Reason::InvitationNotFound);
    }
    assert_eq!(home.log.actions(), ["session.open", "invitation.redeem"], "the same again is counted");
    let intents = home.log.intents.lock().unwrap().clone();
    assert!(intents.iter().all(|intent| intent.source_ip == "192.0.2.7"));
    assert!(!format!("{intents:?}").contains("nobody's"), "no code stands in the log");
    let reasons: Vec<String> =
        home.log.outcomes.lock().unwrap().iter().map(|outcome| outcome.reason.clone()).collect();
    assert_eq!(reasons, ["UNAUTHENTICATED", "INVITATION_NOT_FOUND"]);
}
