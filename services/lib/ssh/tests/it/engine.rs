//! What no server on this machine can show: the post-quantum exchange, a refusal that names no further method. By the
//! same engine on the server's side.

use std::sync::Arc;
use std::time::Duration;

use keywright_domain::key::PublicKey;
use keywright_ssh::{FailureCode, Stage, Target};
use russh::server::{self, Auth, Config, Handler, PublicKeyOffer, VerifiedPublicKey};
use tokio::net::TcpListener;

use crate::hosts::{dialer, key, root};

#[derive(Clone, Copy)]
struct Server {
    accepts: bool,
}

impl Handler for Server {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.accepts { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, _: &str, _: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        Ok(if self.accepts { Auth::Accept } else { Auth::reject() })
    }
}

async fn serve(server: Server) -> (Target, Vec<PublicKey>) {
    let host_key = key("ed25519");
    let pin = host_key.public().clone();
    let config = Config {
        keys: vec![russh::keys::PrivateKey::from_openssh(host_key.to_openssh().unwrap().expose()).unwrap()],
        methods: (&[russh::MethodKind::PublicKey][..]).into(),
        auth_rejection_time: Duration::ZERO,
        ..Config::default()
    };
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Target::new("127.0.0.1", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let session = server::run_stream(Arc::clone(&config), socket, server).await;
            tokio::spawn(async move {
                if let Ok(session) = session {
                    let _ = session.await;
                }
            });
        }
    });
    (target, vec![pin])
}

#[tokio::test]
async fn the_post_quantum_exchange_is_preferred() {
    let (target, pins) = serve(Server { accepts: true }).await;
    let dialer = dialer();
    let resolved = dialer.resolve(&target).await.unwrap().value;
    let dialed = dialer.dial(&resolved).await.unwrap().value;
    let greeted = dialer.handshake(dialed, &pins).await.unwrap().value;
    let agreed = greeted.key_exchange().unwrap();
    assert_eq!(agreed.kex, "mlkem768x25519-sha256");
    assert!(agreed.post_quantum && agreed.strict_kex);
    let session = greeted.verify().unwrap().value.authenticate(&root(key("ed25519"))).await.unwrap().value;
    session.close().await;
}

#[tokio::test]
async fn a_refusal_that_names_no_further_method_is_a_refusal() {
    let (target, pins) = serve(Server { accepts: false }).await;
    for kind in ["ed25519", "rsa"] {
        let stranger = key(kind);
        let receipt = dialer().prove_offer(&target, &pins, "root", stranger.public()).await.unwrap();
        assert!(!receipt.accepted);
        let error = dialer().prove_login(&target, &pins, &root(stranger)).await.unwrap_err();
        let failure = error.failure().unwrap();
        assert_eq!(
            (failure.code, failure.stage),
            (FailureCode::AuthenticationRejected, Stage::Authentication)
        );
    }
}
