//! Fuzz targets: plain functions over bytes, one for each reader of what strangers write.
//!
//! A target panics when the reader panics, and when something that was read does not hold what the reader promises
//! (an accepted key that cannot be stored and read again, an edit that touches a foreign line, …). Targets depend on
//! services/lib/domain only, keep no state, and answer whether the bytes were accepted.
//!
//! `tests/run` replays `corpus/<target>/` and mutates it for some seconds with proptest, on the stable compiler. Where
//! cargo-fuzz and a nightly compiler exist, the same functions run under libFuzzer: `cargo fuzz init` in a directory
//! outside the workspace, one file for each target,
//!
//! ```text
//! libfuzzer_sys::fuzz_target!(|bytes: &[u8]| { keywright_fuzz::key_intake(bytes); });
//! ```
//!
//! and `cargo fuzz run key_intake tests/fuzz/corpus/key_intake -- -max_len=70000 -rss_limit_mb=512 -timeout=30`.
//! An input that is found that way belongs into the corpus, and with it into every later run of `tests/run`.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod targets;

pub use targets::files::{authorized_keys, known_hosts, names};
pub use targets::keys::{LABELS, PASSPHRASE, key_inside, key_intake, public_key};
pub use targets::signatures::{sshsig, userauth};

/// A reader under test.
#[derive(Clone, Copy)]
pub struct Target {
    /// The directory below `corpus/`, too.
    pub name: &'static str,
    /// True: the bytes were accepted.
    pub run: fn(&[u8]) -> bool,
    /// What is larger is refused unread; twice this is what a run feeds it.
    pub limit: usize,
}

pub const TARGETS: &[Target] = &[
    Target { name: "key_intake", run: key_intake, limit: keywright_domain::key::MAX_KEY_TEXT },
    Target { name: "key_inside", run: key_inside, limit: keywright_domain::key::MAX_KEY_TEXT },
    Target { name: "public_key", run: public_key, limit: 64 * 1024 },
    Target {
        name: "authorized_keys",
        run: authorized_keys,
        limit: keywright_domain::authorized_keys::MAX_FILE,
    },
    Target { name: "known_hosts", run: known_hosts, limit: 64 * 1024 },
    Target { name: "names", run: names, limit: 253 },
    Target { name: "userauth", run: userauth, limit: 64 * 1024 },
    Target { name: "sshsig", run: sshsig, limit: 64 * 1024 },
];
