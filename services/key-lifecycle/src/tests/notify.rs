//! Who is told of what, by a real HTTP receiver that takes it, refuses it, leads away, talks too much or says nothing.

use super::world::{World, answer, operator, person, reason};
use crate::model::Notice;
use crate::store;
use keywright_domain::caller::{Caller, Role, ServiceName};
use keywright_domain::ids::TenantId;
use keywright_domain::reason::Reason;
use keywright_proto::lifecycle as proto;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

mod secrets;

/// What a receiver does with everything it gets.
#[derive(Debug, Clone, Copy)]
enum Manner {
    Answers(&'static str),
    TalksWithoutEnd,
    SaysNothing,
}

/// What it got: the head with its names in lower case, and the body.
type Got = (String, serde_json::Value);

#[derive(Clone)]
struct Receiver {
    url: String,
    manner: Arc<Mutex<Manner>>,
    got: Arc<Mutex<Vec<Got>>>,
}

impl Receiver {
    async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let receiver = Self { url, manner: Arc::new(Mutex::new(manner)), got: Arc::default() };
        let serving = receiver.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serving.clone().serve(stream));
            }
        });
        receiver
    }

    async fn serve(self, mut stream: TcpStream) {
        let mut bytes = Vec::new();
        let got = loop {
            if stream.read_buf(&mut bytes).await.unwrap() == 0 {
                return;
            }
            if let Some(got) = whole(&bytes) {
                break got;
            }
        };
        self.got.lock().unwrap().push(got);
        let manner = *self.manner.lock().unwrap();
        match manner {
            // Whoever asked may have heard enough.
            Manner::Answers(status) => {
                let _ = stream
                    .write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                    .await;
            }
            Manner::TalksWithoutEnd => {
                let mut open = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
                while open.is_ok() {
                    open = stream.write_all(&[b'x'; 65_536]).await;
                }
            }
            Manner::SaysNothing => std::future::pending().await,
        }
    }

    fn behaves(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }
}

fn whole(bytes: &[u8]) -> Option<Got> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Some((head, serde_json::from_slice(&bytes[end..]).ok()?))
}

fn header<'a>(head: &'a str, name: &str) -> &'a str {
    let line = head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
    line.unwrap_or_else(|| panic!("no {name} in {head}"))
}

fn webhook(tenant: &str, url: &str, events: &[&str]) -> proto::CreateNotificationTargetRequest {
    proto::CreateNotificationTargetRequest {
        tenant_id: tenant.to_owned(),
        kind: proto::NotificationKind::Webhook.into(),
        address: url.to_owned(),
        events: events.iter().map(ToString::to_string).collect(),
    }
}

impl World {
    /// The id and the secret.
    async fn target(&self, caller: &Caller, tenant: &str, url: &str, events: &[&str]) -> (String, String) {
        // There is such a tenant.
        self.server();
        let asked = webhook(tenant, url, events);
        let made = answer(self.notifications(caller).create_notification_target(asked).await).unwrap();
        (made.target.unwrap().id, made.secret)
    }

    async fn happens(&self, event: &'static str, subject: &str) {
        let mut tx = self.db.begin_internal("a test's notice").await.unwrap();
        let notice = Notice::new(event, Some(&self.tenant), subject).detail("server", "web-1");
        store::notice::write(&mut tx, &notice).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn sent(&self, target: &str) -> Vec<proto::NotificationDelivery> {
        let asked =
            proto::ListNotificationDeliveriesRequest { target_id: target.to_owned(), ..Default::default() };
        answer(self.notifications(&operator()).list_notification_deliveries(asked).await).unwrap().items
    }

    async fn targets(&self, caller: &Caller) -> Vec<proto::NotificationTarget> {
        let asked = proto::ListNotificationTargetsRequest::default();
        answer(self.notifications(caller).list_notification_targets(asked).await).unwrap().items
    }

    async fn test_target(
        &self,
        caller: &Caller,
        target: &str,
    ) -> Result<proto::NotificationDelivery, Reason> {
        let asked = proto::TestNotificationTargetRequest { target_id: target.to_owned() };
        let answered = answer(self.notifications(caller).test_notification_target(asked).await);
        answered.map(|answer| answer.delivery.unwrap()).map_err(|failure| failure.reason)
    }

    /// The secret, and the second until which the one before it signs too.
    async fn rotate_secret(&self, caller: &Caller, target: &str) -> Result<(String, Option<i64>), Reason> {
        let asked = proto::RotateNotificationSecretRequest { target_id: target.to_owned() };
        let answered = answer(self.notifications(caller).rotate_notification_secret(asked).await);
        let rotated = answered.map_err(|failure| failure.reason)?;
        Ok((rotated.secret, rotated.previous_until.map(|until| until.seconds)))
    }

    async fn remove(&self, caller: &Caller, target: &str) -> Result<(), Reason> {
        let asked = proto::DeleteNotificationTargetRequest { target_id: target.to_owned() };
        let answered = answer(self.notifications(caller).delete_notification_target(asked).await);
        answered.map(drop).map_err(|failure| failure.reason)
    }

    /// As credential-store says it.
    async fn host_key(&self, event: &str, occasion: &str) {
        let asked = proto::NotifyRequest {
            event: event.to_owned(),
            tenant_id: self.tenant.to_string(),
            subject: "srv_web".to_owned(),
            dedup_id: occasion.to_owned(),
            details: [("presented".to_owned(), "SHA256:wrong".to_owned())].into(),
        };
        let store = Caller::background(ServiceName::CredentialStore, "");
        answer(self.intake(&store).notify(asked).await).unwrap();
    }

    async fn invited(&self, invitation: &str) -> Result<(), Reason> {
        let asked = proto::NotifyRequest {
            event: "invitation.created".to_owned(),
            tenant_id: self.tenant.to_string(),
            subject: invitation.to_owned(),
            dedup_id: invitation.to_owned(),
            details: [("email".to_owned(), "new@example.com".to_owned())].into(),
        };
        let store = Caller::background(ServiceName::CredentialStore, "");
        answer(self.intake(&store).notify(asked).await).map(drop).map_err(|failure| failure.reason)
    }
}

#[tokio::test]
async fn whoever_wants_it_gets_one_signed_message() {
    let (world, receiver, other) = (
        World::new().await,
        Receiver::start(Manner::Answers("204 No Content")).await,
        Receiver::start(Manner::Answers("200 OK")).await,
    );
    let tenant = world.tenant.to_string();
    let (id, secret) = world.target(&world.owner, &tenant, &receiver.url, &[]).await;
    world.target(&operator(), "", &other.url, &["rotation.failed", "rotation.failed"]).await;
    world.happens("rotation.succeeded", "rot_1").await;
    world.happens("rotation.succeeded", "rot_1").await;
    world.notifier.settle().await;
    world.notifier.settle().await;

    let got = receiver.got();
    assert_eq!((got.len(), other.got().len()), (1, 0), "{got:?}");
    let (head, body) = &got[0];
    assert_eq!((&body["type"], &body["data"]["subject"]), (&"rotation.succeeded".into(), &"rot_1".into()));
    assert_eq!(
        (&body["data"]["tenantId"], &body["data"]["details"]["server"]),
        (&tenant.into(), &"web-1".into())
    );
    let sent = world.sent(&id).await;
    assert_eq!(header(head, "webhook-id"), sent[0].id);
    assert_eq!((sent.len(), sent[0].state(), sent[0].attempts), (1, proto::DeliveryState::Delivered, 1));
    assert!(header(head, "webhook-signature").starts_with("v1,"));
    assert_eq!(header(head, "webhook-timestamp"), "1700000000");
    assert!(secret.starts_with("whsec_"), "{secret}");

    world.happens("rotation.failed", "rot_2").await;
    world.notifier.settle().await;
    assert_eq!((receiver.got().len(), other.got().len()), (2, 1));
}

#[tokio::test]
async fn what_is_refused_is_sent_again_under_the_same_id() {
    let (world, receiver) = (World::new().await, Receiver::start(Manner::Answers("500 Oops")).await);
    let (id, _) = world.target(&world.owner, world.tenant.as_str(), &receiver.url, &[]).await;
    world.happens("rotation.failed", "rot_1").await;
    world.notifier.settle().await;
    let failing = world.targets(&world.owner).await.remove(0);
    assert_eq!(failing.last_error, "the receiver answered 500");
    assert!(failing.failing_since.is_some() && failing.last_delivered_at.is_none());
    let sent = world.sent(&id).await.remove(0);
    assert_eq!((sent.state(), sent.attempts), (proto::DeliveryState::Pending, 1));
    assert!(sent.next_attempt_at.is_some());
    world.notifier.settle().await;
    assert_eq!(receiver.got().len(), 1, "its time has not come");

    receiver.behaves(Manner::Answers("200 OK"));
    world.pass(Duration::from_secs(7));
    world.notifier.settle().await;
    let ids: Vec<String> =
        receiver.got().iter().map(|(head, _)| header(head, "webhook-id").to_owned()).collect();
    assert_eq!(ids, [sent.id.clone(), sent.id.clone()]);
    let works = world.targets(&world.owner).await.remove(0);
    assert!(
        works.failing_since.is_none() && works.last_error.is_empty() && works.last_delivered_at.is_some()
    );
    assert_eq!(world.sent(&id).await[0].state(), proto::DeliveryState::Delivered);
}

#[tokio::test]
async fn a_message_is_given_up_after_three_days() {
    let (world, receiver) = (World::new().await, Receiver::start(Manner::Answers("503 Later")).await);
    let (id, _) = world.target(&world.owner, world.tenant.as_str(), &receiver.url, &[]).await;
    world.happens("rotation.failed", "rot_1").await;
    let rounds = async |count: usize| {
        for _ in 0..count {
            world.notifier.settle().await;
            world.pass(Duration::from_secs(8 * 3600));
        }
    };
    let given_up = || world.log.actions().iter().filter(|it| *it == "notification.give_up").count();
    rounds(19).await;
    assert_eq!(given_up(), 0);
    world.log.down.store(true, std::sync::atomic::Ordering::SeqCst);
    rounds(1).await;
    assert_eq!(world.sent(&id).await[0].state(), proto::DeliveryState::Pending, "nothing unless it is told");
    world.log.down.store(false, std::sync::atomic::Ordering::SeqCst);
    rounds(5).await;
    let sent = world.sent(&id).await.remove(0);
    assert_eq!((sent.state(), sent.attempts), (proto::DeliveryState::Failed, 21));
    assert!(sent.next_attempt_at.is_none());
    assert_eq!((receiver.got().len(), given_up()), (21, 1));
    let told = world.log.intents.lock().unwrap().last().cloned().unwrap();
    assert_eq!((told.action.as_str(), told.target.as_str()), ("notification.give_up", id.as_str()));
    assert_eq!(told.details["error"], "the receiver answered 503");
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_an_endless_answer_is_not_read() {
    let world = World::new().await;
    let away = "302 Found\r\nlocation: http://169.254.169.254/latest/meta-data/";
    for (manner, error) in [
        (Manner::Answers(away), "a redirect, which is not followed"),
        (Manner::Answers("rubbish"), "no answer in HTTP"),
        (Manner::TalksWithoutEnd, ""),
    ] {
        let receiver = Receiver::start(manner).await;
        let (id, _) = world.target(&world.owner, world.tenant.as_str(), &receiver.url, &[]).await;
        let sent = world.test_target(&world.owner, &id).await.unwrap();
        assert_eq!(sent.error, error);
        assert_eq!(receiver.got()[0].1["type"], "notification.test");
    }
}

#[tokio::test]
async fn a_receiver_that_says_nothing_holds_up_nobody_else() {
    let (world, silent, quick) = (
        World::new().await,
        Receiver::start(Manner::SaysNothing).await,
        Receiver::start(Manner::Answers("200 OK")).await,
    );
    world.target(&world.owner, world.tenant.as_str(), &silent.url, &[]).await;
    let (id, _) = world.target(&world.owner, world.tenant.as_str(), &quick.url, &[]).await;
    for number in 0..5 {
        world.happens("rotation.started", &format!("rot_{number}")).await;
    }
    let notifier = world.notifier.clone();
    let working = tokio::spawn(async move { notifier.settle().await });
    let all = async {
        while world.sent(&id).await.iter().filter(|it| it.delivered_at.is_some()).count() < 5 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all).await.unwrap();
    assert_eq!(silent.got().len(), 1);
    working.abort();
}

#[tokio::test]
async fn whoever_is_gone_is_left_alone_until_he_is_tested() {
    let (world, receiver) = (World::new().await, Receiver::start(Manner::Answers("410 Gone")).await);
    let (id, _) = world.target(&world.owner, world.tenant.as_str(), &receiver.url, &[]).await;
    world.happens("rotation.failed", "rot_1").await;
    world.happens("rotation.failed", "rot_2").await;
    world.notifier.settle().await;
    world.happens("rotation.failed", "rot_3").await;
    world.pass(Duration::from_secs(3600));
    world.notifier.settle().await;
    assert_eq!(receiver.got().len(), 1);
    let states: Vec<_> = world.sent(&id).await.iter().map(|sent| sent.state()).collect();
    assert_eq!(states, [proto::DeliveryState::Failed, proto::DeliveryState::Failed]);

    receiver.behaves(Manner::Answers("200 OK"));
    world.test_target(&world.owner, &id).await.unwrap();
    world.happens("rotation.failed", "rot_4").await;
    world.notifier.settle().await;
    assert_eq!(receiver.got().len(), 3);
}

#[tokio::test]
async fn another_tenants_targets_do_not_exist() {
    let (world, receiver) = (World::new().await, Receiver::start(Manner::Answers("200 OK")).await);
    let (own, _) = world.target(&world.owner, world.tenant.as_str(), &receiver.url, &[]).await;
    let (platform, _) = world.target(&operator(), "", &receiver.url, &[]).await;
    let stranger = person(Role::TenantOwner, Some(&TenantId::random().unwrap()));
    for (caller, target) in [(&stranger, &own), (&stranger, &platform), (&world.owner, &platform)] {
        assert_eq!(world.remove(caller, target).await, Err(Reason::TargetNotFound));
        assert_eq!(world.test_target(caller, target).await.unwrap_err(), Reason::TargetNotFound);
        assert_eq!(world.rotate_secret(caller, target).await, Err(Reason::TargetNotFound));
        let asked =
            proto::ListNotificationDeliveriesRequest { target_id: target.clone(), ..Default::default() };
        let refused = world.notifications(caller).list_notification_deliveries(asked).await;
        assert_eq!(reason(refused), Reason::TargetNotFound);
    }
    assert_eq!(world.targets(&stranger).await.len(), 0);
    assert_eq!(world.targets(&world.owner).await.len(), 1);
    assert_eq!(world.targets(&operator()).await.len(), 2);
    let foreign = webhook(world.tenant.as_str(), &receiver.url, &[]);
    assert_eq!(
        reason(world.notifications(&stranger).create_notification_target(foreign.clone()).await),
        Reason::TenantNotFound
    );
    for role in [Role::TenantMember, Role::Auditor] {
        let caller = person(role, Some(&world.tenant));
        let refused = world.notifications(&caller).create_notification_target(foreign.clone()).await;
        assert_eq!(reason(refused), Reason::PermissionDenied);
        assert_eq!(world.remove(&caller, &own).await, Err(Reason::PermissionDenied));
        assert_eq!(world.rotate_secret(&caller, &own).await, Err(Reason::PermissionDenied));
    }
    let mine = webhook("", &receiver.url, &[]);
    assert_eq!(
        reason(world.notifications(&world.owner).create_notification_target(mine).await),
        Reason::ValidationFailed
    );
    assert_eq!(receiver.got().len(), 0);
}

#[tokio::test]
async fn an_address_that_may_not_be_dialled_is_refused_and_there_are_twenty_at_most() {
    let world = World::new().await;
    world.server();
    let tenant = world.tenant.as_str();
    let add = async |asked| answer(world.notifications(&world.owner).create_notification_target(asked).await);
    for (url, refused) in [
        ("https://169.254.169.254/", Reason::TargetNotAllowed),
        ("https://[::ffff:169.254.169.254]/", Reason::TargetNotAllowed),
        ("http://192.0.2.1/", Reason::ValidationFailed),
        ("ftp://192.0.2.1/", Reason::ValidationFailed),
        ("ops@example.com", Reason::ValidationFailed),
    ] {
        assert_eq!(add(webhook(tenant, url, &[])).await.unwrap_err().reason, refused, "{url}");
    }
    let odd = webhook(tenant, "https://192.0.2.1/", &["rotation.sideways"]);
    assert_eq!(add(odd).await.unwrap_err().reason, Reason::ValidationFailed);
    let mail = proto::CreateNotificationTargetRequest {
        kind: proto::NotificationKind::Email.into(),
        ..webhook(tenant, "ops@example.com", &[])
    };
    assert_eq!(add(mail).await.unwrap_err().violations[0].field, "kind", "there is no mail server");
    for _ in 0..20 {
        add(webhook(tenant, "https://192.0.2.1/", &[])).await.unwrap();
    }
    assert_eq!(
        add(webhook(tenant, "https://192.0.2.1/", &[])).await.unwrap_err().violations[0].field,
        "address"
    );
}

#[tokio::test]
async fn a_removed_target_gets_nothing_more() {
    let (world, receiver) = (World::new().await, Receiver::start(Manner::Answers("500 Oops")).await);
    let (id, _) = world.target(&world.owner, world.tenant.as_str(), &receiver.url, &[]).await;
    world.happens("rotation.failed", "rot_1").await;
    world.notifier.settle().await;
    world.remove(&world.owner, &id).await.unwrap();
    assert_eq!(world.remove(&world.owner, &id).await, Err(Reason::TargetNotFound));
    assert_eq!(world.rotate_secret(&world.owner, &id).await, Err(Reason::TargetNotFound));
    world.pass(Duration::from_secs(3600));
    world.notifier.settle().await;
    assert_eq!(receiver.got().len(), 1);
    assert!(world.log.actions().contains(&"notification.delete".to_owned()));
}

#[tokio::test]
async fn an_invitation_is_told_to_the_tenants_own_people_or_not_made() {
    let (world, receiver) = (World::new().await, Receiver::start(Manner::Answers("200 OK")).await);
    let tenant = world.tenant.to_string();
    assert_eq!(world.invited("inv_1").await, Err(Reason::PolicyForbids));
    let (operators, _) = world.target(&operator(), &tenant, &receiver.url, &[]).await;
    world.test_target(&operator(), &operators).await.unwrap();
    assert_eq!(world.invited("inv_1").await, Err(Reason::PolicyForbids), "an operator added it");
    let (owners, _) = world.target(&world.owner, &tenant, &receiver.url, &["rotation.failed"]).await;
    world.test_target(&world.owner, &owners).await.unwrap();
    assert_eq!(world.invited("inv_1").await, Err(Reason::PolicyForbids), "it does not want it");
    let (owners, _) = world.target(&world.owner, &tenant, &receiver.url, &["invitation.created"]).await;
    assert_eq!(world.invited("inv_1").await, Err(Reason::PolicyForbids), "nothing was ever seen to arrive");
    world.test_target(&world.owner, &owners).await.unwrap();
    let before = receiver.got().len();

    world.invited("inv_1").await.unwrap();
    world.invited("inv_1").await.unwrap();
    world.remove(&operator(), &owners).await.unwrap();
    world.notifier.settle().await;
    let told: Vec<_> = receiver.got().split_off(before);
    assert_eq!(told.len(), 2, "both that want it, though one was removed before the message left");
    assert!(told.iter().all(|(_, body)| body["data"]["details"]["email"] == "new@example.com"));
    assert_eq!(world.invited("inv_2").await, Err(Reason::PolicyForbids));
}

#[tokio::test]
async fn of_each_host_key_mismatch_the_tenant_and_the_platform_hear_once() {
    let (world, own, platform) = (
        World::new().await,
        Receiver::start(Manner::Answers("200 OK")).await,
        Receiver::start(Manner::Answers("200 OK")).await,
    );
    world.target(&world.owner, world.tenant.as_str(), &own.url, &["server.host_key_mismatch"]).await;
    world.target(&operator(), "", &platform.url, &[]).await;
    for (event, occasion) in [
        ("server.host_key_mismatch", "evt_1"),
        ("server.host_key_mismatch", "evt_1"),
        ("server.host_key_resolved", "evt_2"),
        ("server.host_key_mismatch", "evt_3"),
        ("server.host_key_mismatch", "evt_1"),
    ] {
        world.host_key(event, occasion).await;
        world.notifier.settle().await;
    }
    let types = |receiver: &Receiver| -> Vec<String> {
        receiver.got().iter().map(|(_, body)| body["type"].as_str().unwrap().to_owned()).collect()
    };
    let (mismatch, resolved) = ("server.host_key_mismatch", "server.host_key_resolved");
    assert_eq!(types(&own), [mismatch, mismatch]);
    assert_eq!(types(&platform), [mismatch, resolved, mismatch]);
    let (_, body) = own.got().remove(0);
    assert_eq!(body["data"]["subject"], "srv_web");
    assert_eq!(body["data"]["details"]["presented"], "SHA256:wrong");
}

#[tokio::test]
async fn the_targets_of_a_deleted_tenant_go_with_it() {
    let (world, receiver) = (World::new().await, Receiver::start(Manner::Answers("200 OK")).await);
    world.target(&world.owner, world.tenant.as_str(), &receiver.url, &[]).await;
    let (platform, _) = world.target(&operator(), "", &receiver.url, &[]).await;
    world.notifier.clear_old().await;
    assert_eq!(world.targets(&operator()).await.len(), 2);
    let deleted = keywright_proto::credential::Tenant {
        id: world.tenant.to_string(),
        state: keywright_proto::credential::TenantState::Deleted.into(),
        ..Default::default()
    };
    world.vault.state.lock().unwrap().tenants.push(deleted);
    world.notifier.clear_old().await;
    let left = world.targets(&operator()).await;
    assert_eq!(left.iter().map(|target| &target.id).collect::<Vec<_>>(), [&platform]);
    world.happens("rotation.failed", "rot_1").await;
    world.notifier.settle().await;
    assert_eq!(receiver.got().len(), 1, "the platform's");
}

#[tokio::test]
async fn only_services_of_keywright_bring_notices() {
    let world = World::new().await;
    for caller in [world.owner.clone(), operator()] {
        let mut caller = caller;
        caller.acting = None;
        let refused = world.intake(&caller).notify(proto::NotifyRequest::default()).await;
        assert_eq!(reason(refused), Reason::PermissionDenied);
    }
    let store = Caller::background(ServiceName::CredentialStore, "");
    let odd = proto::NotifyRequest { event: "something".to_owned(), ..Default::default() };
    assert_eq!(reason(world.intake(&store).notify(odd).await), Reason::ValidationFailed);
}

#[tokio::test]
async fn old_messages_go_and_what_was_told_stays_told() {
    let (world, receiver) = (World::new().await, Receiver::start(Manner::Answers("200 OK")).await);
    let (id, _) = world.target(&world.owner, world.tenant.as_str(), &receiver.url, &[]).await;
    world.happens("rotation.failed", "rot_1").await;
    world.notifier.settle().await;
    world.pass(Duration::from_secs(31 * 24 * 3600));
    world.notifier.clear_old().await;
    assert_eq!(world.sent(&id).await.len(), 0);
    world.happens("rotation.failed", "rot_1").await;
    world.notifier.settle().await;
    assert_eq!(receiver.got().len(), 1);
}

#[tokio::test]
async fn the_log_knows_where_a_webhook_is_and_not_the_path_that_is_its_secret() {
    let world = World::new().await;
    world.server();
    let asked = webhook(world.tenant.as_str(), "https://192.0.2.1:8443/services/T0/B0/s3cret?token=x", &[]);
    answer(world.notifications(&world.owner).create_notification_target(asked).await).unwrap();
    let intents = world.log.intents.lock().unwrap().clone();
    let created = intents.iter().find(|intent| intent.action == "notification.create").unwrap();
    assert_eq!(created.details["address"], "https://192.0.2.1:8443");
}
