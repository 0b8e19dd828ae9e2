//! The whole path of the product: a test of a fleet, asked for by the REST interface, with everything that it records.

use std::time::{Duration, SystemTime};

use keywright_e2e::text;
use serde_json::{Value, json};

use crate::fixture::Fixture;
use crate::rotations::since;
use crate::round::Round;

const ROUTE: &str = "/api/fleet/connectivity-tests";
const PATIENCE: Duration = Duration::from_secs(600);
/// What one test of a server logs in as often as.
const ACCEPTED: &str = "Accepted publickey for plain ";

/// Many servers that are one host.
pub struct Fleet {
    body: Value,
    count: usize,
}

impl Fleet {
    pub async fn new(fixture: &Fixture, count: usize, in_flight: usize) -> Self {
        let body = json!({"tenantId": fixture.tenant, "name": "plain", "username": "plain",
            "privateKey": fixture.key.private_text()});
        let credential = fixture.keywright.post("/api/credentials/ssh", body).await.success();
        let bound = json!({"credentialId": text(&credential, "/id"), "skipTest": true});
        for number in 0..count {
            let body = json!({"tenantId": fixture.tenant, "name": format!("node-{number}"),
                "host": fixture.host.address(), "port": fixture.host.port(), "hostKeys": fixture.host.host_keys(),
                "labels": {"fleet": "yes"}});
            let server = text(&fixture.keywright.post("/api/servers", body).await.success(), "/id");
            let path = format!("/api/servers/{server}/credentials");
            fixture.keywright.post(&path, bound.clone()).await.success();
        }
        let plan = json!({"maxParallel": in_flight, "maxPerHost": in_flight, "maxPerNetwork": in_flight});
        let body = json!({"selector": {"labels": {"fleet": "yes"}}, "plan": plan});
        Self { body, count }
    }

    /// One test of them all. The CPU time is that of the server until it rests; nobody asks often how far it is.
    pub async fn test(&self, fixture: &Fixture) -> Round {
        fixture.own_cpu.rests().await;
        let logins = || fixture.host.log().matches(ACCEPTED).count();
        let (before, processes) = (logins(), fixture.host_cpu.processes());
        let (host, own, begun) = (fixture.host_cpu.used(), fixture.own_cpu.used(), SystemTime::now());
        let started = fixture.owner().post(ROUTE, self.body.clone()).await.success();
        let path = format!("{ROUTE}/{}", text(&started, "/id"));
        let ended = loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let test = fixture.keywright.get(&path).await.success();
            if test["state"] == "finished" {
                break test;
            }
            assert!(begun.elapsed().unwrap_or_default() < PATIENCE, "{test}");
        };
        assert_eq!(ended["healthy"], self.count, "{ended}");
        fixture.host_cpu.settled(processes).await;
        fixture.own_cpu.rests().await;
        assert_eq!(logins() - before, self.count, "a test of a server is one login");
        Round {
            count: self.count,
            wall: since(begun, &ended, "/finishedAt"),
            host: fixture.host_cpu.used() - host,
            client: fixture.own_cpu.used() - own,
        }
    }
}
