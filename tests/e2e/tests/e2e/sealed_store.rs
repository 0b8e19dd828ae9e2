//! OpenBao sealed, then gone: what needs it is refused at once, a view is not, a revocation never.

use keywright_e2e::{LIMIT, Sshd, World};
use keywright_kit::{KeywrightOptions, bao_sealed};
use serde_json::json;

#[tokio::test]
async fn what_needs_the_store_is_refused_and_retriable() {
    let mut bao = bao_sealed().await.unwrap();
    let world = World::with(KeywrightOptions::default().vault(&bao.mount), None, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let attempt = async |reason: &str| {
        for answer in [access.try_download().await, access.try_rotate(json!({"gracePeriod": "3600s"})).await]
        {
            assert_eq!((answer.status, answer.reason()), (503, reason), "{}", answer.json);
            assert!(answer.headers.contains_key("retry-after"), "{:?}", answer.headers);
        }
        let show = access.show().await;
        assert_eq!((&show["status"], &show["activity"]), (&json!("active"), &json!("none")), "{show}");
    };

    bao.seal().await.unwrap();
    attempt("SECRET_STORE_SEALED").await;
    bao.stop();
    attempt("SECRET_STORE_UNAVAILABLE").await;
    bao.start().await.unwrap();
    bao.unseal().await.unwrap();

    let first = access.download().await;
    access.rotate("3600s").await;
    assert!(access.opens(&first).await && access.opens(&access.download().await).await);
}

#[tokio::test]
async fn a_revocation_is_accepted_while_sealed_and_proven_after() {
    let bao = bao_sealed().await.unwrap();
    let world = World::with(KeywrightOptions::default().vault(&bao.mount), None, Sshd::OpenSsh).await;
    let access = world.provision().await;
    let key = access.download().await;
    bao.seal().await.unwrap();

    let body = json!({"confirmation": {"accessId": access.id}});
    let started = world.owner().post(&access.path("/revoke"), body).await.success();
    assert_eq!(access.show().await["status"], "revoked");
    assert_eq!(access.try_download().await.reason(), "ACCESS_REVOKED");
    let path = format!("/api/revocations/{}", started["id"].as_str().unwrap());
    let tried = world.keywright.wait_for(&path, LIMIT, |it| it["hosts"][0]["attempts"] != 0).await;
    assert_eq!(tried["state"], "running", "proven without a way into the host: {tried}");

    bao.unseal().await.unwrap();
    world.keywright.wait_for(&path, LIMIT, |it| it["state"] == "succeeded").await;
    assert!(!access.opens(&key).await);
}
