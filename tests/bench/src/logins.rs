//! The unit of everything: one login and `true`, by Keywright's own client and by OpenSSH's.

use std::sync::Arc;

use keywright_ssh::{Dialer, ExecLimits, Identity, Target, TargetRules, Timeouts};
use tokio::time::Instant;

use crate::figures::Series;
use crate::fixture::Fixture;
use crate::scripted;

/// What both sides agree on: the best that the host's sshd and Keywright's client have in common is preferred by
/// Keywright, so `ssh` is told to use it too.
pub const KEX: &str = "curve25519-sha256";

pub async fn own(fixture: &Fixture, count: usize, series: &mut Series) {
    let rules = Arc::new(TargetRules { allow_loopback: true, ..TargetRules::default() });
    let dialer = Dialer::new(rules, Timeouts::default());
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
