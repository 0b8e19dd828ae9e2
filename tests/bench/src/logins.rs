//! The unit of everything: one login and `true`, by Keywright's own client and by OpenSSH's.

use std::sync::Arc;

use keywright_domain::key::PublicKey;
use keywright_kit::TestHost;
use keywright_ssh::{Dialer, ExecLimits, Identity, Target, TargetRules, Timeouts};
use tokio::time::Instant;

use crate::figures::Series;
use crate::fixture::Fixture;
use crate::scripted;

/// The key exchange that Keywright's client and the host agree on: whoever is compared is told to use it too.
pub async fn key_exchange(host: &TestHost, pins: &[PublicKey]) -> String {
    let dialer = dialer(Timeouts::default());
    let resolved = dialer.resolve(&Target::new(host.address(), host.port())).await.unwrap().value;
    let dialed = dialer.dial(&resolved).await.unwrap().value;
    let greeted = dialer.handshake(dialed, pins).await.unwrap().value;
    greeted.verify().unwrap().value.key_exchange().kex.clone()
}

/// For the hosts of this bench, which are on loopback.
pub fn dialer(timeouts: Timeouts) -> Dialer {
    let rules = Arc::new(TargetRules { allow_loopback: true, ..TargetRules::default() });
    Dialer::new(rules, timeouts)
}

pub async fn own(fixture: &Fixture, count: usize, series: &mut Series) {
    let dialer = dialer(Timeouts::default());
    let target = Target::new(fixture.host.address(), fixture.host.port());
    let pins = fixture.pins();
    for _ in 0..count {
        let identity = Identity::one_time("plain", fixture.own_key());
        let begun = Instant::now();
        let connected = dialer
            .connect(&target, &pins, &identity)
            .await
            .map_err(|error| error.to_string())
            .expect("a login");
        let output = connected.session.exec("true", b"", ExecLimits::default()).await.unwrap();
        assert!(output.succeeded());
        connected.session.close().await;
        series.add(begun.elapsed());
    }
}

pub async fn ssh(fixture: &Fixture, count: usize, series: &mut Series) {
    let client = scripted::Client::new(fixture);
    for _ in 0..count {
        let begun = Instant::now();
        client.run(fixture, "plain", "true").await;
        series.add(begun.elapsed());
    }
}
