//! How much is measured.

use std::iter::Peekable;

pub const HELP: &str = "usage: tests/bench/run [--smoke | [--rounds N] [--accesses N] [--parallel N] [--singles N]]
       tests/bench/run --probe [--smoke | [--rounds N] [--logins N] [--slow N] [--in-flight N] [--singles N] [--held N]]
       tests/bench/run --audit [--smoke | [--rounds N] [--entries N] [--callers N]]
rotations and revocations, with --probe what tests of connections are made of, with --audit the audit log
  --smoke       one short round, whose figures say nothing: whether all of it still runs
  --rounds N    interleaved rounds (5, and no fewer)
  --singles N   single operations a round, one after the other (20)
rotations and revocations
  --accesses N  accesses that are rotated at once in a round (16)
  --parallel N  scripted rotations at once (16)
with --probe
  --logins N    logins of each client in a round (256)
  --slow N      the same for those that are several times as slow (128)
  --in-flight N of them at once (64, and at most 100)
  --held N      logins in flight at once whose memory is measured (10000)
with --audit
  --entries N   entries of each contestant in a round (4096)
  --callers N   callers of the engine at once (64)";

/// Below these a median and a spread say nothing.
pub const FEWEST_ROUNDS: usize = 5;

/// Whether it is a short round, and it alone.
pub fn smoke(words: &mut Peekable<impl Iterator<Item = String>>) -> bool {
    words.next_if(|word| word == "--smoke").is_some() && words.peek().is_none()
}

/// Puts the numbers of the rest of the command line where their names say; ends the program on anything else.
pub fn read(mut words: impl Iterator<Item = String>, places: &mut [(&str, &mut usize)]) {
    while let Some(word) = words.next() {
        let Some((_, place)) = places.iter_mut().find(|(name, _)| *name == word) else {
            println!("{HELP}");
            std::process::exit(if matches!(word.as_str(), "-h" | "--help") { 0 } else { 2 });
        };
        **place = words.next().and_then(|n| n.parse().ok()).filter(|n| *n > 0).expect(HELP);
    }
}
