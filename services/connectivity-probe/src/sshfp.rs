//! What the DNS zone of a host's name says of its keys: SSHFP records (RFC 4255, 6594, 7479 and 8709).
//!
//! Invariant: a hint for whoever compares keys. Nothing here approves a key, and no login depends on it.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, SHA256, digest};
use keywright_domain::key::{KeyAlgorithm, PublicKey};

/// Fingerprint types (RFC 4255, 6594).
const TYPE_SHA1: u8 = 1;
const TYPE_SHA256: u8 = 2;

const FORGED: &str = "The answer about the SSHFP records failed DNSSEC validation, so nothing is taken from it: the name server is misled, or a signed zone is served without its signatures. Approve no key before that is explained.";
const WEAK: &str = "The zone has no more than a SHA-1 fingerprint of a key, which does not count; publish SHA-256 as well (ssh-keygen -r).";

/// One SSHFP record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// RSA 1, DSA 2, ECDSA 3, Ed25519 4, Ed448 6.
    pub algorithm: u8,
    /// SHA-1 1, SHA-256 2.
    pub kind: u8,
    pub fingerprint: Vec<u8>,
}

/// What the records say of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// One of them holds its SHA-256 fingerprint.
    Matches,
    /// There are some for keys of its algorithm, and none is of this key.
    Differs,
    /// None counts for keys of its algorithm.
    Absent,
    /// There is no answer to go by.
    Unknown,
}

/// Whether DNSSEC vouches for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dnssec {
    Verified,
    Unverified,
    /// It is to be signed, and its signatures are missing or wrong.
    Bogus,
}

/// One answer about one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// None: there is no answer to go by, and `why` says so.
    records: Option<Vec<Record>>,
    dnssec: Dnssec,
    why: &'static str,
}

impl Verdict {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Matches => "MATCHES",
            Self::Differs => "DIFFERS",
            Self::Absent => "ABSENT",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl Dnssec {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verified => "VERIFIED",
            Self::Unverified => "UNVERIFIED",
            Self::Bogus => "BOGUS",
        }
    }
}

impl Hint {
    /// The records of the name; none is an answer too.
    pub const fn answered(records: Vec<Record>, dnssec: Dnssec) -> Self {
        Self { records: Some(records), dnssec, why: "" }
    }

    pub const fn unknown(why: &'static str) -> Self {
        Self { records: None, dnssec: Dnssec::Unverified, why }
    }

    pub const fn forged() -> Self {
        Self { records: None, dnssec: Dnssec::Bogus, why: FORGED }
    }

    pub const fn dnssec(&self) -> Dnssec {
        self.dnssec
    }

    /// A SHA-1 fingerprint can speak against a key and never for it.
    pub fn verdict(&self, key: &PublicKey) -> Verdict {
        let Some(records) = &self.records else { return Verdict::Unknown };
        let said: Vec<Said> = about(records, key).collect();
        if said.contains(&Said::This) {
            Verdict::Matches
        } else if said.contains(&Said::Another) {
            Verdict::Differs
        } else {
            Verdict::Absent
        }
    }

    /// Why nothing is known, or what to mind; empty where there is nothing to say.
    pub fn note(&self, keys: &[PublicKey]) -> &'static str {
        let is_weak = |key: &PublicKey| {
            let said = self.records.iter().flat_map(|records| about(records, key)).collect::<Vec<_>>();
            said.contains(&Said::ThisWeakly) && !said.contains(&Said::This)
        };
        if keys.iter().any(is_weak) { WEAK } else { self.why }
    }

    /// For facts and the audit log: the verdict, of several keys each with its fingerprint.
    pub fn said_of(&self, keys: &[PublicKey]) -> String {
        match keys {
            [key] => self.verdict(key).as_str().to_owned(),
            keys => {
                let said = |key: &PublicKey| format!("{} {}", key.fingerprint(), self.verdict(key).as_str());
                keys.iter().map(said).collect::<Vec<_>>().join(", ")
            }
        }
    }

    /// What somebody should do who may be about to approve one of these keys. It adds care and takes none away.
    pub fn advice(&self, keys: &[PublicKey]) -> &'static str {
        let is = |verdict| keys.iter().any(|key| self.verdict(key) == verdict);
        if self.dnssec == Dnssec::Bogus {
            FORGED
        } else if is(Verdict::Differs) {
            "The DNS zone of the host's name has SSHFP records of other keys: find out why before you approve a key."
        } else if is(Verdict::Matches) && self.dnssec == Dnssec::Verified {
            "The DNS zone of the host's name has an SSHFP record of this key, and DNSSEC vouches for it; compare the fingerprint all the same."
        } else if is(Verdict::Matches) {
            "The DNS zone of the host's name has an SSHFP record of this key, but nothing vouches for that answer; compare the fingerprint."
        } else {
            ""
        }
    }
}

/// What one record says of a key of its algorithm.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    This,
    ThisWeakly,
    Another,
}

fn about(records: &[Record], key: &PublicKey) -> impl Iterator<Item = Said> {
    let of_algorithm = records.iter().filter(|record| record.algorithm == number(key.algorithm()));
    of_algorithm.filter_map(|record| {
        let (hash, same) = match record.kind {
            TYPE_SHA1 => (&SHA1_FOR_LEGACY_USE_ONLY, Said::ThisWeakly),
            TYPE_SHA256 => (&SHA256, Said::This),
            // Of a type that does not exist yet nothing can be said.
            _ => return None,
        };
        let is_same = digest(hash, key.blob()).as_ref() == record.fingerprint;
        Some(if is_same { same } else { Said::Another })
    })
}

/// By the registry of SSHFP. DSA (2) and Ed448 (6) are no keys that Keywright accepts.
const fn number(algorithm: KeyAlgorithm) -> u8 {
    match algorithm {
        KeyAlgorithm::Rsa => 1,
        KeyAlgorithm::EcdsaP256 | KeyAlgorithm::EcdsaP384 | KeyAlgorithm::EcdsaP521 => 3,
        KeyAlgorithm::Ed25519 => 4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6594, section 5, and RFC 7479, section 2: a key, the number of its algorithm, its fingerprints.
    const PUBLISHED: [(&str, u8, Option<&str>, &str); 3] = [
        (
            "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQDCUR4JOhxTinzq7QO3bQXW4jmPCCulFsnh8Yi7MKwpMnd96+T7uV7nEwy+6+GWYu98IxFJByIjFXX/a6BXDp3878wezH1DZ2tND/tu/eudz6ErpTFYmnVLyEDARYSzVBNQuIK1UDqvvB6KffJcyt78FpwW27euGkqEkam7GaurPRAgwXehDB/gMwRtXVRZ+13zYWkAmAY+5OAWVmdXuQVm5kjlvcNzto2H3m3nqJtD4J9L1lKPuSVVqwJr4/6hibXJkQEvWpUvdOAUw3frKpNwa932fXFk3ke4rsDjQ/W8GyleMtK3Tx8tE4z1wuowXtYe6Ba8q3LAPs/m2S4pUscx",
            1,
            Some("dd465c09cfa51fb45020cc83316fff21b9ec74ac"),
            "b049f950d1397b8fee6a61e4d14a9acdc4721e084eff5460bbed80cfaa2ce2cb",
        ),
        (
            "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBAD+9COUiX7WYgcvIOdI8+djdoFDVUTxNrcog8sSYdbIzeG+bYdsssvcyy/nRfVhXC5QBCk8IThqs7D4/lFxX5g=",
            3,
            Some("c64607a28c5300fec1180b6e417b922943cffcdd"),
            "821eb6c1c98d9cc827ab7f456304c0f14785b7008d9e8646a8519de80849afc7",
        ),
        (
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGPKSUTyz1HwHReFVvD5obVsALAgJRNarH4TRpNePnAS",
            4,
            None,
            "a87f1b687ac0e57d2a081a2f282672334d90ed316d2b818ca9580ea384d92401",
        ),
    ];

    fn record(algorithm: u8, kind: u8, hex: &str) -> Record {
        let digit = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
        Record { algorithm, kind, fingerprint: (0..hex.len()).step_by(2).map(digit).collect() }
    }

    fn of(records: &[Record], key: &PublicKey) -> Verdict {
        Hint::answered(records.to_vec(), Dnssec::Verified).verdict(key)
    }

    #[test]
    fn the_published_examples_are_told_from_each_other() {
        let records: Vec<Record> =
            PUBLISHED.iter().map(|(_, number, _, sha256)| record(*number, 2, sha256)).collect();
        for (at, (line, number, sha1, sha256)) in PUBLISHED.into_iter().enumerate() {
            let key = PublicKey::parse_openssh(line).unwrap();
            assert_eq!(of(&records, &key), Verdict::Matches, "{line}");
            let mut others = records.clone();
            others.remove(at);
            assert_eq!(of(&others, &key), Verdict::Absent, "{line}");
            // The same fingerprint as another algorithm's says nothing of this key, a wrong one of its own does.
            assert_eq!(of(&[record(6, 2, sha256)], &key), Verdict::Absent, "{line}");
            let other = sha256.replace(['a', 'b', 'c'], "0");
            assert_eq!(of(&[record(number, 2, &other)], &key), Verdict::Differs, "{line}");
            assert_eq!(of(&[record(number, 2, &other), record(number, 2, sha256)], &key), Verdict::Matches);

            let Some(sha1) = sha1 else { continue };
            let weakly = Hint::answered(vec![record(number, 1, sha1)], Dnssec::Verified);
            assert_eq!(
                (weakly.verdict(&key), weakly.note(std::slice::from_ref(&key))),
                (Verdict::Absent, WEAK)
            );
            let old = record(number, 1, &sha1.replace(['a', 'b', 'c'], "0"));
            assert_eq!(of(std::slice::from_ref(&old), &key), Verdict::Differs, "{line}");
            assert_eq!(of(&[old, record(number, 2, sha256)], &key), Verdict::Matches, "{line}");
            assert_eq!(of(&[record(number, 1, sha1), record(number, 2, &other)], &key), Verdict::Differs);
        }
    }

    #[test]
    fn what_is_odd_is_never_a_match() {
        let key = PublicKey::parse_openssh(PUBLISHED[2].0).unwrap();
        let full = PUBLISHED[2].3;
        for (odd, verdict) in [
            (record(4, 2, ""), Verdict::Differs),
            (record(4, 2, &full[..40]), Verdict::Differs),
            (record(4, 2, &format!("{full}00")), Verdict::Differs),
            (record(4, 1, full), Verdict::Differs),
            (record(4, 0, full), Verdict::Absent),
            (record(4, 3, full), Verdict::Absent),
            (record(0, 2, full), Verdict::Absent),
        ] {
            assert_eq!(of(std::slice::from_ref(&odd), &key), verdict, "{odd:?}");
        }
        assert_eq!(of(&[], &key), Verdict::Absent);
    }

    #[test]
    fn advice_adds_care_only() {
        let keys = [0, 2].map(|at| PublicKey::parse_openssh(PUBLISHED[at].0).unwrap());
        let matching = vec![record(4, 2, PUBLISHED[2].3)];
        let verified = Hint::answered(matching.clone(), Dnssec::Verified);
        assert!(verified.advice(&keys).ends_with("compare the fingerprint all the same."));
        assert!(Hint::answered(matching, Dnssec::Unverified).advice(&keys).contains("nothing vouches"));
        let differing = Hint::answered(vec![record(4, 2, PUBLISHED[0].3)], Dnssec::Verified);
        assert!(differing.advice(&keys).contains("before you approve"));
        assert_eq!(Hint::unknown("why").advice(&keys), "");
        assert_eq!(
            (Hint::forged().advice(&keys), Hint::forged().verdict(&keys[0])),
            (FORGED, Verdict::Unknown)
        );
        let said = verified.said_of(&keys);
        assert_eq!(said, format!("{} ABSENT, {} MATCHES", keys[0].fingerprint(), keys[1].fingerprint()));
        assert_eq!(verified.said_of(&keys[1..]), "MATCHES");
    }
}
