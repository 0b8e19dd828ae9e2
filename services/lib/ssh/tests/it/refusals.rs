//! Logins and sessions that are refused, each by its own name.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use keywright_domain::key::{PublicKey, SignatureAlgorithm, UserauthRequest};
use keywright_domain::reason::Reason;
use keywright_ssh::{
    ExecLimits, FailureCode, HostProof, Identity, LoginError, OneTimeKey, PortFailure, SigningPort, Stage,
};
use tokio::sync::Mutex;

use crate::hosts::{Host, dialer, impatient, key, openssh, root};

async fn login_failure(host: &Host, identity: &Identity) -> (FailureCode, Stage) {
    let error = dialer().connect(&host.target(), &host.host_keys, identity).await.err().expect("a failure");
    let failure = error.failure().expect("the server's failure");
    (failure.code, failure.stage)
}

#[tokio::test]
async fn a_wrong_key_and_a_wrong_user_are_rejected() {
    let login = key("ed25519");
    let host = openssh(&[("", login.public())], "");
    let rejected = (FailureCode::AuthenticationRejected, Stage::Authentication);
    assert_eq!(login_failure(&host, &root(key("ed25519"))).await, rejected);
    assert_eq!(login_failure(&host, &Identity::one_time("no-such-user", login)).await, rejected);
}

#[tokio::test]
async fn a_second_factor_is_named() {
    let login = key("ed25519");
    let host = openssh(
        &[("", login.public())],
        "PermitRootLogin yes\nPasswordAuthentication yes\nAuthenticationMethods publickey,password",
    );
    let expected = (FailureCode::MoreFactorsRequired, Stage::Authentication);
    assert_eq!(login_failure(&host, &root(login)).await, expected);
}

#[tokio::test]
async fn a_server_without_sessions_is_named() {
    let login = key("ed25519");
    let host = openssh(&[("", login.public())], "MaxSessions 0");
    let session = dialer().connect(&host.target(), &host.host_keys, &root(login)).await.unwrap().session;
    let failure = session.check().await.unwrap_err();
    assert_eq!((failure.code, failure.stage), (FailureCode::SessionRefused, Stage::Session));
}

/// Keeps what it is asked to sign, and signs with a key, or does not.
struct Watching {
    key: Option<OneTimeKey>,
    asked: Mutex<Vec<UserauthRequest>>,
}

#[async_trait]
impl SigningPort for Watching {
    async fn sign(&self, request: UserauthRequest, host: &HostProof) -> Result<Vec<u8>, PortFailure> {
        let shown = PublicKey::from_blob(&host.host_key).unwrap();
        shown.verify(request.session_id(), &host.signature).unwrap();
        self.asked.lock().await.push(request.clone());
        match &self.key {
            Some(key) => key.sign(request, host).await,
            None => Err(PortFailure::new(Reason::SecretStoreSealed, "The secret store is sealed.")),
        }
    }
}

#[tokio::test]
async fn a_port_sees_the_request_and_its_refusal_is_passed_on() {
    let login = key("rsa");
    let public_key = login.public().clone();
    let host = openssh(&[("", &public_key)], "");
    let sealed = Arc::new(Watching { key: None, asked: Mutex::default() });
    let identity = Identity {
        user: "root".into(),
        public_key: public_key.clone(),
        certificate: None,
        port: sealed.clone(),
    };
    let error = dialer().connect(&host.target(), &host.host_keys, &identity).await.err().unwrap();
    assert!(matches!(error, LoginError::Signing(PortFailure { reason: Reason::SecretStoreSealed, .. })));

    let open = Arc::new(Watching { key: Some(OneTimeKey::new(login)), asked: Mutex::default() });
    let identity = Identity { port: open.clone(), ..identity };
    dialer().connect(&host.target(), &host.host_keys, &identity).await.unwrap();
    for port in [sealed, open] {
        let asked = port.asked.lock().await;
        assert_eq!(asked.len(), 1);
        assert_eq!((asked[0].user(), asked[0].algorithm()), ("root", SignatureAlgorithm::RsaSha512));
        assert_eq!(*asked[0].public_key(), public_key);
        assert!(!asked[0].session_id().is_empty());
    }
}

struct Never;

#[async_trait]
impl SigningPort for Never {
    async fn sign(&self, _: UserauthRequest, _: &HostProof) -> Result<Vec<u8>, PortFailure> {
        std::future::pending().await
    }
}

#[tokio::test]
async fn a_signature_that_never_comes_ends_with_the_stage() {
    let public_key = key("ed25519").public().clone();
    let host = openssh(&[("", &public_key)], "");
    let identity = Identity { user: "root".into(), public_key, certificate: None, port: Arc::new(Never) };
    let stage = Duration::from_millis(1500);
    let started = Instant::now();
    let error = impatient(stage).connect(&host.target(), &host.host_keys, &identity).await.err().unwrap();
    let LoginError::Signing(failure) = error else { panic!("the server is blamed: {error}") };
    assert_eq!(failure.reason, Reason::SecretStoreUnavailable);
    assert!(started.elapsed() < stage * 5);
    host.log_with("Connection closed by authenticating user root").await;
}

#[tokio::test]
async fn a_connection_that_dies_under_a_command_is_reported_as_such() {
    let login = key("ed25519");
    let host = openssh(&[("", login.public())], "");
    let session = dialer().connect(&host.target(), &host.host_keys, &root(login)).await.unwrap().session;
    // The process that serves this connection is the shell's parent.
    let failure = session.exec("kill -9 $PPID; sleep 60", b"", ExecLimits::default()).await.unwrap_err();
    assert_eq!(failure.code, FailureCode::ConnectionClosed);
}
