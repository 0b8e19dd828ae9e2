//! Secrets that are rotated: by which of them a receiver can verify what it gets.

use super::super::world::{World, answer};
use super::{Got, Manner, Receiver, header};
use data_encoding::BASE64;
use keywright_domain::clock::Instant;
use keywright_domain::reason::Reason;
use keywright_domain::secret::Secret;
use keywright_egress::signature::sign;
use keywright_proto::lifecycle as proto;
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 3600);

async fn world() -> (World, Receiver, String, String) {
    let (world, receiver) = (World::new().await, Receiver::start(Manner::Answers("200 OK")).await);
    let (id, secret) = world.target(&world.owner, world.tenant.as_str(), &receiver.url, &[]).await;
    (world, receiver, id, secret)
}

/// What the receiver gets when something happens.
async fn told(world: &World, receiver: &Receiver, subject: &str) -> Got {
    let before = receiver.got().len();
    world.happens("rotation.failed", subject).await;
    world.notifier.settle().await;
    receiver.got().remove(before)
}

/// The signature that verifies by the secret. A body is written in one way only.
fn signature((head, body): &Got, secret: &str) -> String {
    let secret = BASE64.decode(secret.strip_prefix("whsec_").unwrap().as_bytes()).unwrap();
    let at = Instant::from_secs(header(head, "webhook-timestamp").parse().unwrap());
    sign(&Secret::new(secret), header(head, "webhook-id"), at, body.to_string().as_bytes())
}

/// Signed with these, in this order, and nothing else.
fn is_signed_with(got: &Got, secrets: &[&str]) {
    let expected: Vec<String> = secrets.iter().map(|secret| signature(got, secret)).collect();
    assert_eq!(header(&got.0, "webhook-signature"), expected.join(" "));
}

async fn execute(world: &World, text: &'static str) {
    let mut tx = world.db.begin_internal("a test").await.unwrap();
    sqlx::query(text).execute(tx.conn()).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn for_a_day_the_secret_before_signs_too() {
    let (world, receiver, id, first) = world().await;
    is_signed_with(&told(&world, &receiver, "rot_1").await, &[&first]);
    let (second, until) = world.rotate_secret(&world.owner, &id).await.unwrap();
    assert_eq!(until, Some(1_700_086_400));
    assert!(second.starts_with("whsec_") && second != first, "{second}");
    is_signed_with(&told(&world, &receiver, "rot_2").await, &[&second, &first]);
    world.test_target(&world.owner, &id).await.unwrap();
    is_signed_with(receiver.got().last().unwrap(), &[&second, &first]);

    world.pass(DAY - Duration::from_secs(1));
    is_signed_with(&told(&world, &receiver, "rot_3").await, &[&second, &first]);
    world.pass(Duration::from_secs(1));
    is_signed_with(&told(&world, &receiver, "rot_4").await, &[&second]);
    world.go_back(DAY);
    is_signed_with(&told(&world, &receiver, "rot_5").await, &[&second, &first]);
    assert!(world.log.actions().contains(&"notification.rotate".to_owned()));
}

#[tokio::test]
async fn of_two_who_rotate_at_once_each_has_a_secret_that_signs() {
    let (world, receiver, id, _) = world().await;
    let (one, other) =
        tokio::join!(world.rotate_secret(&world.owner, &id), world.rotate_secret(&world.owner, &id));
    let got = told(&world, &receiver, "rot_1").await;
    let mut signatures: Vec<&str> = header(&got.0, "webhook-signature").split(' ').collect();
    let mut expected = [one, other].map(|rotated| signature(&got, &rotated.unwrap().0));
    signatures.sort_unstable();
    expected.sort_unstable();
    assert_eq!(signatures, expected, "and the one before both is dropped");
}

#[tokio::test]
async fn a_rotation_brings_back_a_target_whose_secret_is_lost() {
    let (world, receiver, id, first) = world().await;
    // As it is with another key of the installation.
    execute(&world, "UPDATE notification_target SET secret_check = 'another'").await;
    let sent = world.test_target(&world.owner, &id).await.unwrap();
    assert!(sent.error.contains("rotate the target's secret"), "{}", sent.error);
    let (second, until) = world.rotate_secret(&world.owner, &id).await.unwrap();
    assert!(until.is_none() && second != first);
    is_signed_with(&told(&world, &receiver, "rot_1").await, &[&second]);
}

#[tokio::test]
async fn what_is_told_by_mail_has_no_secret_to_rotate() {
    let (world, _, id, _) = world().await;
    execute(&world, "UPDATE notification_target SET kind = 'EMAIL'").await;
    let asked = proto::RotateNotificationSecretRequest { target_id: id };
    let refused = answer(world.notifications(&world.owner).rotate_notification_secret(asked).await);
    let refused = refused.unwrap_err();
    assert_eq!(
        (refused.reason, refused.violations[0].field.as_str()),
        (Reason::ValidationFailed, "targetId")
    );
    assert!(!world.log.actions().contains(&"notification.rotate".to_owned()));
}
