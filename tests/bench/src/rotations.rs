//! Rotations with everything: audit, stores, the proof that the new key works and the proof that the old one does not.

use std::time::{Duration, SystemTime};

use keywright_e2e::text;
use serde_json::Value;
use tokio::time::Instant;

use crate::figures::Series;
use crate::fixture::Fixture;
use crate::round::{Round, against, each};

pub async fn one_by_one(fixture: &Fixture, count: usize, series: &mut Series) {
    for number in 0..count {
        let access = &fixture.accesses[number % fixture.accesses.len()];
        let begun = SystemTime::now();
        let rotation = fixture.rotate(access).await;
        series.add(since(begun, &fixture.ended(&rotation).await, "/promotedAt"));
        fixture.refused(&rotation).await;
    }
}

/// All accesses at once, until every old key is proven refused.
pub async fn together(fixture: &Fixture) -> Round {
    let (host, own, begun) = (fixture.host_cpu.used(), fixture.own_cpu.used(), Instant::now());
    let mut started = Vec::new();
    for access in &fixture.accesses {
        started.push(fixture.rotate(access).await);
    }
    for rotation in &started {
        fixture.refused(rotation).await;
    }
    Round {
        count: started.len(),
        wall: begun.elapsed(),
        host: fixture.host_cpu.used() - host,
        client: fixture.own_cpu.used() - own,
    }
}

/// From the caller's clock to the instant in an answer; both are this machine's.
pub fn since(begun: SystemTime, answer: &Value, pointer: &str) -> Duration {
    let at: jiff::Timestamp = text(answer, pointer).parse().unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_micros(at.as_microsecond().unsigned_abs());
    at.duration_since(begun).unwrap_or_default()
}

pub fn print(own: &[Round], script: &[Round], cores: usize) {
    println!("host CPU per rotation, ms                     {}", each(own, Round::host_cpu));
    println!("own CPU per rotation, ms                      {}", each(own, Round::client_cpu));
    println!("host CPU per scripted rotation, ms            {}", each(script, Round::host_cpu));
    println!("client CPU per scripted rotation, ms          {}", each(script, Round::client_cpu));
    let ratio = each(own, Round::client_over_host);
    println!("own CPU over the host's                       {ratio}   (target at most 0.15)");
    let ratio = each(own, |round| round.over_bound(cores));
    println!("rate over cores / (host CPU + own CPU)        {ratio}   (target at least 0.85)");
    let ratio = against(own, script, |own, other| own.rate() / other.rate());
    println!("rate over scripted ssh, same steps            {ratio}   (target at least 1.4)");
}
