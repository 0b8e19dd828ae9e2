//! Tests of many servers by one replica.

use crate::rig::{LIMIT, World, with_alice};
use keywright_kit::{HostOptions, KeyType, TestHost, eventually, keygen, postgres_database};
use keywright_proto::audit::AuditOutcome;
use keywright_proto::credential::{Server, ServerCredential};
use keywright_proto::probe as proto;
use keywright_proto::probe::fleet_test_service_client::FleetTestServiceClient;

impl World {
    /// As the tenant's owner.
    async fn start(&self) -> proto::FleetTest {
        let mut client = FleetTestServiceClient::new(self.probe(self.owner()));
        let request = proto::CreateFleetTestRequest::default();
        client.create_fleet_test(request).await.unwrap().into_inner().test.unwrap()
    }

    async fn shown(&self, id: &str) -> proto::FleetTest {
        let mut client = FleetTestServiceClient::new(self.probe(self.owner()));
        let request = proto::GetFleetTestRequest { fleet_test_id: id.to_owned() };
        client.get_fleet_test(request).await.unwrap().into_inner().test.unwrap()
    }

    async fn ends(&self, id: &str) -> proto::FleetTest {
        let ended =
            eventually(LIMIT, async || self.shown(id).await.state() == proto::FleetTestState::Finished);
        assert!(ended.await, "{:?}", self.shown(id).await);
        self.shown(id).await
    }

    pub fn bind(&self, server: &Server, credential: &str) {
        let credential =
            ServerCredential { credential_id: credential.to_owned(), ..ServerCredential::default() };
        self.store.put_server(Server { credential: Some(credential), ..server.clone() });
    }
}

async fn three_servers(world: &World) -> (TestHost, Vec<Server>) {
    let key = keygen(KeyType::Ed25519, "").await.unwrap();
    let host = with_alice(TestHost::openssh(HostOptions::default()).await.unwrap(), &key.public_line());
    let credential = world.save(&key, "alice");
    let servers: Vec<Server> = (0..3).map(|_| world.register(&host, &host.host_keys())).collect();
    for server in &servers {
        world.bind(server, &credential.id);
    }
    (host, servers)
}

#[tokio::test]
async fn every_server_is_tested_under_the_fleet_tests_own_name_on_both_databases() {
    for world in [World::new().await, World::on_postgres(&postgres_database().await.unwrap()).await] {
        let (_host, servers) = three_servers(&world).await;

        let begun = world.start().await;

        assert_eq!((begun.target_count, begun.state()), (3, proto::FleetTestState::Running));
        let ended = world.ends(&begun.id).await;
        assert_eq!((ended.healthy, ended.pending, ended.running), (3, 0, 0), "{ended:?}");
        for server in &servers {
            assert_eq!(world.list(server, 0, "").await.items.len(), 1);
        }
        let who = format!("work:{}", begun.id);
        let asked = world.store.asked();
        assert!(eventually(LIMIT, async || world.store.recorded().len() == 3).await);
        let asked: Vec<&str> = asked.iter().filter(|asked| asked.who == who).map(|asked| asked.rpc).collect();
        let number = |rpc: &str| asked.iter().filter(|asked| **asked == rpc).count();
        assert_eq!(
            (number("SignUserauth"), number("ResolveTargets")),
            (3, 2),
            "one a login, one a wave: {asked:?}"
        );
        assert_eq!((number("ResolveServer"), number("ResolveCredential")), (0, 0), "{asked:?}");
        assert_eq!(number("RecordTestResult"), 0, "{asked:?}");
        let actions: Vec<String> = world.log.intents().into_iter().map(|intent| intent.action).collect();
        assert_eq!(actions, ["fleet_test.create", "fleet_test.wave", "fleet_test.wave", "fleet_test.finish"]);
        assert_eq!(world.last_outcome().await.outcome(), AuditOutcome::Succeeded);
    }
}

#[tokio::test]
async fn a_result_that_the_database_does_not_take_holds_up_no_other() {
    let world = World::new().await;
    let (_host, servers) = three_servers(&world).await;
    let refused = &servers[1].id;
    let trigger = format!(
        "CREATE TRIGGER refused BEFORE UPDATE OF state ON fleet_target
           WHEN NEW.server_id = '{refused}' AND NEW.state = 'TESTED' BEGIN SELECT RAISE(ABORT, 'as wanted'); END"
    );
    world.run_sql(&trigger).await;
    let begun = world.start().await;
    let others = async || {
        let now = world.shown(&begun.id).await;
        now.healthy == 2 && now.state() == proto::FleetTestState::Running
    };
    assert!(eventually(LIMIT, others).await, "{:?}", world.shown(&begun.id).await);

    world.run_sql("DROP TRIGGER refused").await;

    assert_eq!(world.ends(&begun.id).await.healthy, 3, "it is tested again");
}

#[tokio::test]
async fn with_a_sealed_store_it_waits_and_costs_no_server_its_turn() {
    let world = World::new().await;
    let (_host, _servers) = three_servers(&world).await;
    world.store.seal();
    let begun = world.start().await;
    let tried = || world.store.asked().iter().filter(|asked| asked.rpc == "SignUserauth").count();
    assert!(eventually(LIMIT, async || tried() >= 2).await);
    assert_eq!(world.shown(&begun.id).await.state(), proto::FleetTestState::Running);

    world.store.unseal();

    let ended = world.ends(&begun.id).await;
    assert_eq!((ended.healthy, ended.skipped), (3, 0), "{ended:?}");
}

#[tokio::test]
async fn of_another_tenant_there_is_none() {
    let world = World::new().await;
    let (_host, _servers) = three_servers(&world).await;
    let begun = world.start().await;
    let other = keywright_domain::ids::TenantId::random().unwrap();
    let stranger = crate::rig::person("other", keywright_domain::caller::Role::TenantOwner, Some(other));
    let mut client = FleetTestServiceClient::new(world.probe(stranger));
    let request = proto::CancelFleetTestRequest { fleet_test_id: begun.id.clone() };
    let refused = client.cancel_fleet_test(request).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    assert_eq!(world.ends(&begun.id).await.healthy, 3);
}
