//! What is too large is refused unread, and what costs too much before it is paid.

use crate::corpus::{samples, target};
use keywright_domain::key::{KdfCaps, KeyError, intake};
use keywright_domain::secret::Secret;
use keywright_fuzz::{PASSPHRASE, TARGETS};

#[test]
fn an_input_above_the_limit_is_refused() {
    // A name has no limit of its own for many lines: each line has.
    for target in TARGETS.iter().filter(|target| target.name != "names") {
        let sample = samples(target.name).into_iter().find(|sample| sample.accepted).unwrap();
        for filler in [b'\n', b' ', b'A', 0, 0xff] {
            let mut bytes = sample.bytes.clone();
            bytes.resize(target.limit + 1, filler);
            assert!(!(target.run)(&bytes), "{} with {filler}", target.name);
        }
    }
    assert!(!(target("names").run)("a".repeat(254).as_bytes()));
}

/// The caps are nothing here: a derivation that ran all the same would be an accepted key.
#[test]
fn no_derivation_runs_above_the_caps() {
    let none = KdfCaps {
        bcrypt_rounds: 0,
        argon2_memory_kib: 0,
        argon2_work_kib: 0,
        pbkdf2_iterations: 0,
        scrypt_memory_bytes: 0,
        scrypt_work_bytes: 0,
    };
    let mut refused = 0;
    for sample in samples("key_intake").into_iter().filter(|sample| sample.accepted) {
        let read = |caps: &KdfCaps| {
            let passphrase = Secret::from_text(PASSPHRASE.to_owned());
            intake(&Secret::new(sample.bytes.clone()), Some(&passphrase), caps)
        };
        // PKCS#1, SEC 1 and PPK 2 are encrypted without a cost to speak of.
        let free = ["pkcs1", "sec1", "ppk2", "putty_pkcs1"].iter().any(|form| sample.name.starts_with(form));
        if read(&KdfCaps::default()).unwrap().encrypted_at_intake && !free {
            assert_eq!(read(&none).unwrap_err(), KeyError::KdfTooExpensive, "{}", sample.name);
            refused += 1;
        }
    }
    assert!(refused > 20, "{refused} encrypted files");
}
