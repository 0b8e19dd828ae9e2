//! The mode that measures rotation and revocation against plain logins, and against the same steps by scripts.

use std::iter::Peekable;

use crate::figures::{Series, cores, load, row};
use crate::fixture::Fixture;
use crate::options::{self, FEWEST_ROUNDS, HELP};
use crate::round::against;
use crate::{ansible, logins, revocations, rotations, scripted};

/// How much is measured.
struct Size {
    rounds: usize,
    accesses: usize,
    parallel: usize,
    singles: usize,
}

fn size(mut words: Peekable<impl Iterator<Item = String>>) -> Size {
    if options::smoke(&mut words) {
        return Size { rounds: 1, accesses: 2, parallel: 2, singles: 1 };
    }
    let mut size = Size { rounds: FEWEST_ROUNDS, accesses: 16, parallel: 16, singles: 20 };
    let places = &mut [
        ("--rounds", &mut size.rounds),
        ("--accesses", &mut size.accesses),
        ("--parallel", &mut size.parallel),
        ("--singles", &mut size.singles),
    ];
    options::read(words, places);
    assert!(size.rounds >= FEWEST_ROUNDS, "{HELP}");
    size
}

pub async fn run(words: Peekable<impl Iterator<Item = String>>) {
    let size = size(words);
    let cores = cores();
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
        let ratio = against(&together, &playbook, |own, other| own.rate() / other.rate());
        println!("rate over ansible's two edits alone           {ratio}   (target at least 20)");
    }
}
