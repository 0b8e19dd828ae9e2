//! Rotations with everything: audit, stores, the proof that the new key works and the proof that the old one does not.

use std::time::{Duration, SystemTime};

use keywright_e2e::text;
use serde_json::Value;
use tokio::time::Instant;

use crate::figures::{Series, spread};
use crate::fixture::Fixture;

/// One round of rotations at once.
pub struct Round {
    pub count: usize,
    pub wall: Duration,
    /// Of the host's sshd and what it runs.
    pub host: Duration,
    /// Of Keywright, or of the script and the programs that it starts.
    pub client: Duration,
}

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
    let each = |of: fn(&Round) -> Duration, rounds: &[Round]| {
        spread(rounds.iter().map(|round| of(round).as_secs_f64() * 1e3 / round.count as f64))
    };
    // What two sides that never wait for one another would do with all cores.
    let bound = |round: &Round| {
        let cpu = (round.host + round.client).as_secs_f64() / round.count as f64;
        (round.count as f64 / round.wall.as_secs_f64()) / (cores as f64 / cpu)
    };
    println!("host CPU per rotation, ms                     {}", each(|round| round.host, own));
    println!("own CPU per rotation, ms                      {}", each(|round| round.client, own));
    println!("host CPU per scripted rotation, ms            {}", each(|round| round.host, script));
    println!("client CPU per scripted rotation, ms          {}", each(|round| round.client, script));
    let ratio = spread(own.iter().map(|round| round.client.as_secs_f64() / round.host.as_secs_f64()));
    println!("own CPU over the host's                       {ratio}   (target at most 0.15)");
    println!(
        "rate over cores / (host CPU + own CPU)        {}   (target at least 0.85)",
        spread(own.iter().map(bound))
    );
    let ratio = against(own, script);
    println!("rate over scripted ssh, same steps            {ratio}   (target at least 1.4)");
}

/// How many times as fast as the others, round by round.
pub fn against(own: &[Round], others: &[Round]) -> String {
    spread(own.iter().zip(others).map(|(own, other)| {
        (other.wall.as_secs_f64() / other.count as f64) / (own.wall.as_secs_f64() / own.count as f64)
    }))
}
