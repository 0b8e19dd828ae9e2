//! Servers that are tested again and again, and what is told of their changes.

use crate::rig::{LIMIT, World, with_alice};
use keywright_domain::reason::Reason;
use keywright_kit::{HostOptions, KeyType, TestHost, eventually, keygen, postgres_database};
use keywright_proto::credential::{Server, ServerLifecycle};
use keywright_proto::probe as proto;
use keywright_proto::probe::ConnectivityStatus;
use keywright_proto::probe::fleet_test_service_client::FleetTestServiceClient;
use keywright_proto::probe::heartbeat_service_client::HeartbeatServiceClient;
use keywright_runtime::failure::Failure;
use keywright_runtime::peer::Peer;
use prost_types::Duration;

const MINUTE: Duration = Duration { seconds: 60, nanos: 0 };

impl World {
    fn heartbeats(&self) -> HeartbeatServiceClient<Peer> {
        HeartbeatServiceClient::new(self.probe(self.owner()))
    }

    async fn set(&self, server: &Server, interval: Option<Duration>) -> Result<proto::Heartbeat, Failure> {
        let request = proto::SetHeartbeatRequest { server_id: server.id.clone(), interval };
        let answer = self.heartbeats().set_heartbeat(request).await.map_err(Failure::from)?;
        Ok(answer.into_inner().heartbeat.unwrap())
    }

    async fn heartbeat(&self, server: &Server) -> proto::Heartbeat {
        let request = proto::GetHeartbeatRequest { server_id: server.id.clone() };
        self.heartbeats().get_heartbeat(request).await.unwrap().into_inner().heartbeat.unwrap()
    }

    async fn becomes(&self, server: &Server, holds: impl Fn(&proto::Heartbeat) -> bool) -> proto::Heartbeat {
        let became = eventually(LIMIT, async || holds(&self.heartbeat(server).await)).await;
        assert!(became, "{:?}", self.heartbeat(server).await);
        self.heartbeat(server).await
    }

    /// The server's time has come.
    async fn beat(&self, server: &Server) {
        self.sql("UPDATE server_state SET next_at = 1 WHERE server_id = $1", &server.id).await;
    }

    async fn sql(&self, statement: &'static str, server: &str) {
        let mut tx = self.db.begin_internal("a test").await.unwrap();
        sqlx::query(statement).bind(server).execute(tx.conn()).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn changes(&self, server: &Server) -> Vec<proto::StateChange> {
        let request = proto::ListStateChangesRequest { server_id: server.id.clone(), ..Default::default() };
        self.heartbeats().list_state_changes(request).await.unwrap().into_inner().items
    }

    async fn listed(&self, status: ConnectivityStatus) -> usize {
        let request = proto::ListHeartbeatsRequest { status: status.into(), ..Default::default() };
        self.heartbeats().list_heartbeats(request).await.unwrap().into_inner().items.len()
    }
}

async fn bound_server(world: &World) -> (TestHost, Server) {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let host = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line());
    let server = world.register(&host, &host.host_keys());
    world.bind(&server, &world.save(&key, "alice").id);
    (host, server)
}

fn is(status: ConnectivityStatus) -> impl Fn(&proto::Heartbeat) -> bool {
    move |now| now.status() == status
}

#[tokio::test]
async fn a_server_is_tested_again_and_again_and_its_change_is_told_once_on_both_databases() {
    for world in [World::new().await, World::on_postgres(&postgres_database().await.unwrap()).await] {
        let (host, server) = bound_server(&world).await;
        let before = world.heartbeat(&server).await;
        assert!(before.interval.is_none() && before.checked_at.is_none(), "{before:?}");

        let set = world.set(&server, Some(MINUTE)).await.unwrap();

        assert_eq!((set.interval, set.status()), (Some(MINUTE), ConnectivityStatus::Unspecified));
        let healthy = world.becomes(&server, is(ConnectivityStatus::Healthy)).await;
        assert!(healthy.next_at.unwrap().seconds - healthy.checked_at.unwrap().seconds > 30);
        world.beat(&server).await;
        let again = world.becomes(&server, |now| now.checked_at != healthy.checked_at).await;
        assert_eq!(again.since, healthy.since);
        let kept = world.list(&server, 0, "").await.items;
        assert_eq!(
            (kept.len(), world.store.recorded().len()),
            (1, 1),
            "the same again is not kept each time"
        );
        assert!(world.changes(&server).await.is_empty() && world.notices.told().is_empty());

        drop(host);
        world.beat(&server).await;

        let down = world.becomes(&server, is(ConnectivityStatus::Unreachable)).await;
        assert_eq!((down.failed_check.as_str(), down.reason.as_str()), ("tcp", "CONNECTION_REFUSED"));
        let changes = world.changes(&server).await;
        let [change] = changes.as_slice() else { panic!("{changes:?}") };
        assert_eq!(
            (change.from(), change.to()),
            (ConnectivityStatus::Healthy, ConnectivityStatus::Unreachable)
        );
        let kept = world.list(&server, 0, "").await.items;
        assert_eq!((kept.len(), &kept[0].id), (2, &change.test_id));
        assert!(eventually(LIMIT, async || !world.notices.told().is_empty()).await);
        let told = world.notices.told();
        assert_eq!(
            (told[0].event.as_str(), &told[0].subject, &told[0].dedup_id),
            ("server.state_changed", &server.id, &change.test_id)
        );
        assert_eq!(told[0].details["toReason"], "CONNECTION_REFUSED");
        let logged = || world.log.intents().iter().filter(|of| of.action == "server.state_change").count();
        assert!(eventually(LIMIT, async || logged() == 1).await);
        world.beat(&server).await;
        world.becomes(&server, |now| now.checked_at != down.checked_at).await;
        assert_eq!((world.changes(&server).await.len(), world.notices.told().len(), logged()), (1, 1, 1));
        assert_eq!(
            (
                world.listed(ConnectivityStatus::Unreachable).await,
                world.listed(ConnectivityStatus::Healthy).await
            ),
            (1, 0)
        );
        // Rounds are nobody's fleet tests.
        let mut fleet = FleetTestServiceClient::new(world.probe(world.owner()));
        let shown = fleet.list_fleet_tests(proto::ListFleetTestsRequest::default()).await.unwrap();
        assert!(shown.into_inner().items.is_empty());
    }
}

#[tokio::test]
async fn what_is_set_again_keeps_its_time_and_what_is_removed_is_tested_no_more() {
    let world = World::new().await;
    let (_host, server) = bound_server(&world).await;
    world.set(&server, Some(MINUTE)).await.unwrap();
    let first = world.becomes(&server, is(ConnectivityStatus::Healthy)).await;

    let again = world.set(&server, Some(MINUTE)).await.unwrap();

    assert_eq!((again.next_at, again.status()), (first.next_at, first.status()));
    for _ in 0..2 {
        let request = proto::DeleteHeartbeatRequest { server_id: server.id.clone() };
        world.heartbeats().delete_heartbeat(request).await.unwrap();
    }
    let now = world.heartbeat(&server).await;
    assert!(now.interval.is_none() && now.next_at.is_none(), "{now:?}");
    assert_eq!(now.status(), ConnectivityStatus::Healthy, "what is known of it stays");
    for wrong in [None, Some(Duration { seconds: 59, nanos: 0 }), Some(Duration { seconds: -60, nanos: 0 })] {
        let refused = world.set(&server, wrong).await.unwrap_err();
        assert_eq!(refused.reason, Reason::ValidationFailed, "{wrong:?}");
        assert_eq!(refused.violations[0].field, "interval");
    }
}

#[tokio::test]
async fn a_test_that_somebody_asks_for_changes_the_state_too_unless_it_is_with_another_key() {
    let world = World::new().await;
    let (host, server) = bound_server(&world).await;
    let request = proto::CreateConnectivityTestRequest { server_id: server.id.clone(), ..Default::default() };
    world.test(request.clone()).await.unwrap();
    let healthy = world.heartbeat(&server).await;
    assert_eq!(healthy.status(), ConnectivityStatus::Healthy);
    let stranger = keygen(KeyType::Ed25519, "").await.unwrap();
    let refused = world.test_once(&server, &stranger, "alice").await;
    assert_eq!(refused.status(), ConnectivityStatus::Unreachable);
    assert_eq!(world.heartbeat(&server).await, healthy);

    host.write_authorized_keys("alice", String::new());
    world.test(request).await.unwrap();

    let now = world.heartbeat(&server).await;
    assert_eq!(
        (now.status(), now.failed_check.as_str()),
        (ConnectivityStatus::Unreachable, "authentication")
    );
    assert_eq!(world.changes(&server).await.len(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_be_tested_says_why_and_one_that_is_out_of_use_has_none() {
    let world = World::new().await;
    let (_host, server) = bound_server(&world).await;
    let unbound = Server { credential: None, ..server.clone() };
    world.store.put_server(unbound);
    world.set(&server, Some(MINUTE)).await.unwrap();
    let skipped = world.becomes(&server, |now| !now.skipped_reason.is_empty()).await;
    assert_eq!(
        (skipped.skipped_reason.as_str(), skipped.status()),
        ("BINDING_NOT_FOUND", ConnectivityStatus::Unspecified)
    );

    world.store.put_server(Server { lifecycle_status: ServerLifecycle::Inactive.into(), ..server.clone() });
    world.beat(&server).await;

    world.becomes(&server, |now| now.interval.is_none()).await;
    assert_eq!(world.set(&server, Some(MINUTE)).await.unwrap_err().reason, Reason::ServerInactive);
}
