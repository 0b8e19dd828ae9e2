//! The mode that measures what a test of connections is made of: logins at once and one by one, handshakes alone, and
//! the memory of logins in flight.
//!
//! | file | |
//! |---|---|
//! | `peers` | who logs in, and how each is started |
//! | `contest` | rounds of logins by one program, and what becomes of them |
//! | `product` | a test of the whole fleet by the REST interface |
//! | `table` | all of these, printed |
//! | `memory` | what each login in flight takes; last, since nobody waits for the end of what is held |

mod contest;
mod memory;
mod peers;
mod product;
mod table;

use std::iter::Peekable;

use crate::errand::Errand;
use crate::figures::{Series, cores, load};
use crate::fixture::Fixture;
use crate::logins;
use crate::options::{self, FEWEST_ROUNDS, HELP};
use crate::round::Round;
use contest::Contestant;

/// How much is measured.
struct Size {
    rounds: usize,
    logins: usize,
    slow: usize,
    in_flight: usize,
    singles: usize,
    held: usize,
    /// Not of what only `tests/bench/run` installs, in a short round.
    peers: bool,
}

/// As many tests of one host as the interface allows at once.
const MOST_IN_FLIGHT: usize = 100;

fn size(mut words: Peekable<impl Iterator<Item = String>>) -> Size {
    if options::smoke(&mut words) {
        return Size { rounds: 1, logins: 4, slow: 2, in_flight: 2, singles: 1, held: 4, peers: false };
    }
    let mut size = Size {
        rounds: FEWEST_ROUNDS,
        logins: 256,
        slow: 128,
        in_flight: 64,
        singles: 20,
        held: 10_000,
        peers: true,
    };
    let places = &mut [
        ("--rounds", &mut size.rounds),
        ("--logins", &mut size.logins),
        ("--slow", &mut size.slow),
        ("--in-flight", &mut size.in_flight),
        ("--singles", &mut size.singles),
        ("--held", &mut size.held),
    ];
    options::read(words, places);
    assert!(size.rounds >= FEWEST_ROUNDS && size.in_flight <= MOST_IN_FLIGHT, "{HELP}");
    size
}

/// What was measured in rounds.
struct Measured {
    own: Vec<Round>,
    product: Vec<Round>,
    peers: Vec<Contestant>,
    sweep: Vec<Round>,
    keyscan: Contestant,
    own_single: Series,
    ssh_single: Series,
}

pub async fn run(words: Peekable<impl Iterator<Item = String>>) {
    let size = size(words);
    println!("cores {}, load before {} (of a quiet machine: below 0.5)", cores(), load());
    let fixture = Fixture::new(0).await;
    println!("host {}, key exchange of both sides {}", fixture.ssh_version(), fixture.key_exchange);
    let fleet = product::Fleet::new(&fixture, size.logins, size.in_flight).await;
    let errand = Errand::to(&fixture, size.logins, size.in_flight);
    let (mut own, mut product, mut sweep) = (Vec::new(), Vec::new(), Vec::new());
    let (mut own_single, mut ssh_single) = (Series::default(), Series::default());
    let mut peers = peers::all(&fixture, &size);
    let mut keyscan = peers::keyscan(&fixture, &size);
    for round in 1..=size.rounds {
        eprintln!("round {round} of {}, load {}", size.rounds, load());
        logins::own(&fixture, size.singles, &mut own_single).await;
        logins::ssh(&fixture, size.singles, &mut ssh_single).await;
        own.push(contest::own(&fixture, "login", &errand).await);
        product.push(fleet.test(&fixture).await);
        for peer in &mut peers {
            peer.take_part(&fixture).await;
        }
        sweep.push(contest::own(&fixture, "handshake", &errand).await);
        keyscan.take_part(&fixture).await;
    }
    let measured = Measured { own, product, peers, sweep, keyscan, own_single, ssh_single };
    table::print(&measured, &size);
    memory::measure(&fixture, size.held, size.in_flight, size.peers).await.print();
    println!("load after {}", load());
}
