//! Measures rotation and revocation against plain logins, and against the same steps done by scripted `ssh`.
//!
//! Invariants: everything that is compared is measured in this run, in interleaved rounds; results are ratios, CPU
//! time per operation and spreads, never a bare rate; no figure is asserted.
//!
//! | file | |
//! |---|---|
//! | `ansible` | a configuration tool's edits alone |
//! | `cpu` | CPU time of process trees, dead children included |
//! | `figures` | medians, percentiles, spread |
//! | `fixture` | a Keywright, a host, accesses |
//! | `logins` | the unit: one login, by Keywright's own client and by `ssh` |
//! | `rotations`, `revocations` | what is measured |
//! | `scripted` | the same steps by a shell script |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss
)]

mod ansible;
mod cpu;
mod figures;
mod fixture;
mod logins;
mod revocations;
mod rotations;
mod scripted;

use figures::{Series, row};
use fixture::Fixture;

const HELP: &str =
    "usage: tests/bench/run [--smoke | [--rounds N] [--accesses N] [--parallel N] [--singles N]]
  --smoke       one short round, whose figures say nothing: whether all of it still runs
  --rounds N    interleaved rounds (5, and no fewer)
  --accesses N  accesses that are rotated at once in a round (16)
  --parallel N  scripted rotations at once (16)
  --singles N   single operations a round, one after the other (20)";

/// Below these a median and a spread say nothing.
const FEWEST_ROUNDS: usize = 5;

/// How much is measured.
#[derive(Clone, Copy)]
pub struct Size {
    rounds: usize,
    accesses: usize,
    parallel: usize,
    singles: usize,
}

fn size() -> Size {
    let mut size = Size { rounds: FEWEST_ROUNDS, accesses: 16, parallel: 16, singles: 20 };
    let mut words = std::env::args().skip(1).peekable();
    if words.next_if(|word| word == "--smoke").is_some() && words.peek().is_none() {
        return Size { rounds: 1, accesses: 2, parallel: 2, singles: 1 };
    }
    while let Some(word) = words.next() {
        let place = match word.as_str() {
            "--rounds" => &mut size.rounds,
            "--accesses" => &mut size.accesses,
            "--parallel" => &mut size.parallel,
            "--singles" => &mut size.singles,
            _ => {
                println!("{HELP}");
                std::process::exit(if matches!(word.as_str(), "-h" | "--help") { 0 } else { 2 });
            }
        };
        *place = words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0).expect(HELP);
    }
    assert!(size.rounds >= FEWEST_ROUNDS, "{HELP}");
    size
}

/// Of the machine, over the last minute.
fn load() -> String {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or("unknown").to_owned()
}

#[tokio::main]
async fn main() {
    let size = size();
    let cores = std::thread::available_parallelism().unwrap().get();
    println!("cores {cores}, load before {} (of a quiet machine: below 0.5)", load());
    let fixture = Fixture::new(size.accesses).await;
    println!(
        "host {}, key exchange of both sides {}, {} accesses",
        fixture.ssh_version(),
        fixture.key_exchange,
        size.accesses
    );

    let (mut own, mut ssh) = (Series::default(), Series::default());
    let (mut promoted, mut refused) = (Series::default(), Series::default());
    let (mut together, mut script, mut playbook) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=size.rounds {
        eprintln!("round {round} of {}, load {}", size.rounds, load());
        logins::own(&fixture, size.singles, &mut own).await;
        logins::ssh(&fixture, size.singles, &mut ssh).await;
        rotations::one_by_one(&fixture, size.singles, &mut promoted).await;
        revocations::one_by_one(&fixture, size.singles, &mut refused).await;
        together.push(rotations::together(&fixture).await);
        script.push(scripted::rotations(&fixture, size.accesses, size.parallel).await);
        playbook.extend(ansible::rotations(&fixture, size.accesses, size.parallel).await);
    }

    println!("\nlatency, ms                                   p50      p90      p99      max");
    row("login and `true`, Keywright's client", &own);
    row("login and `true`, ssh, same key exchange", &ssh);
    row("rotation, confirm to promoted", &promoted);
    row("revocation, request to proven refused", &refused);
    println!("\nratios (medians of {} rounds, lowest to highest)", size.rounds);
    let logins = |series: &Series, at: f64| series.percentile(at) / own.percentile(50.0);
    println!(
        "rotation to promoted, p50 in own logins         {:6.2}   (target at most 6)",
        logins(&promoted, 50.0)
    );
    println!("rotation to promoted, p99 in own logins         {:6.2}", logins(&promoted, 99.0));
    println!(
        "revocation to refused, p50 in own logins        {:6.2}   (target at most 3)",
        logins(&refused, 50.0)
    );
    println!(
        "revocation to refused, p99 in own logins        {:6.2}   (target at most 6)",
        logins(&refused, 99.0)
    );
    rotations::print(&together, &script, cores);
    if playbook.is_empty() {
        println!("ansible-playbook is not on the PATH (`python3 -m pip install ansible`): not compared");
    } else {
        let ratio = rotations::against(&together, &playbook);
        println!("rate over ansible's two edits alone           {ratio}   (target at least 20)");
    }
}
