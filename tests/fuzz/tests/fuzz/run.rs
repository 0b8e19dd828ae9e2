//! A short run for each target, on the stable compiler: mutated samples until the time is up.

use crate::corpus::{samples, target};
use crate::mutation::{apply, change};
use crate::watch::watch;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use std::cell::Cell;
use std::time::{Duration, Instant};

/// Of one target; `tests/run --full` takes a minute.
fn budget() -> Duration {
    Duration::from_secs(if std::env::var_os("KEYWRIGHT_TEST_FULL").is_some() { 60 } else { 5 })
}

fn run(name: &str) {
    let (target, samples) = (target(name), samples(name));
    let all: Vec<&[u8]> = samples.iter().map(|sample| sample.bytes.as_slice()).collect();
    let strategy = (any::<Index>(), proptest::collection::vec(change(), 1..5));
    let (start, accepted, tried) = (Instant::now(), Cell::new(0u64), Cell::new(0u64));
    let (before, budget) = (address_space(), budget());
    watch(|report| {
        while start.elapsed() < budget {
            let config = Config { cases: 64, failure_persistence: None, ..Config::default() };
            let result = TestRunner::new(config).run(&strategy, |(sample, changes)| {
                let mut bytes = all[sample.index(all.len())].to_vec();
                changes.iter().for_each(|change| apply(&mut bytes, change, &all));
                bytes.truncate(target.limit * 2);
                report(&bytes);
                let answer = std::panic::catch_unwind(|| (target.run)(&bytes)).map_err(|_| {
                    TestCaseError::fail(format!("input: {}", data_encoding::BASE64.encode(&bytes)))
                })?;
                tried.set(tried.get() + 1);
                accepted.set(accepted.get() + u64::from(answer));
                Ok(())
            });
            if let Err(error) = result {
                panic!("{name}: {error}");
            }
        }
    });
    println!("{name}: {} inputs, {} of them accepted", tried.get(), accepted.get());
    let grown = address_space().saturating_sub(before);
    assert!(grown < LIMIT_KIB, "{name}: the address space grew by {grown} KiB");
}

/// The caps of the targets allow a few MiB at a time; what comes on top is the allocator's.
const LIMIT_KIB: u64 = 512 * 1024;

/// The most that this process ever mapped: a reservation counts whether or not it was used.
fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmPeak:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn mutated_key_intake() {
    run("key_intake");
}

#[test]
fn mutated_key_inside() {
    run("key_inside");
}

#[test]
fn mutated_public_key() {
    run("public_key");
}

#[test]
fn mutated_authorized_keys() {
    run("authorized_keys");
}

#[test]
fn mutated_known_hosts() {
    run("known_hosts");
}

#[test]
fn mutated_names() {
    run("names");
}

#[test]
fn mutated_userauth() {
    run("userauth");
}

#[test]
fn mutated_sshsig() {
    run("sshsig");
}
