//! How good the algorithms are that a server offers, and what to change.
//!
//! Invariants: a pure function of the offer; every verdict on an algorithm is a row of one table; reasons and remedies
//! are ours, a finding's `name` is the only thing that the server wrote, and that is a checked algorithm name.
//!
//! What an offer does not show is not judged: the size of an RSA host key, the groups behind a group exchange, and what
//! an old client and an old server would agree on.

mod table;

use std::cmp::Reverse;
use std::fmt;

use crate::kexinit::AlgorithmOffer;
use table::Verdict;

const STRICT_KEX: &str = "kex-strict-s-v00@openssh.com";

/// One letter for a server. The rule, from the worst:
///
/// | grade | |
/// |---|---|
/// | `F` | something [`Severity::Broken`] is offered |
/// | `C` | something [`Severity::Weak`] is offered, or packets can be cut off (no strict key exchange, see CVE-2023-48795) |
/// | `B` | neither, but no post-quantum key exchange |
/// | `A` | neither, and a post-quantum key exchange |
///
/// Notes do not count. An offer is what an attacker chooses from, so one bad algorithm beside ten good ones counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Grade {
    A,
    B,
    C,
    F,
}

impl Grade {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::C => "C",
            Self::F => "F",
        }
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How bad a finding is, the mildest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Worth knowing; nothing has to change.
    Note,
    /// No practical attack on SSH, or one with rare conditions, but less margin than is expected today.
    Weak,
    /// Within reach of an attacker with means, or no protection at all.
    Broken,
}

/// What a finding is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    KeyExchange,
    HostKey,
    Cipher,
    Mac,
    /// The offer as a whole. The name is then one of ours: `strict-kex`, `post-quantum-kex`, `zlib`.
    Server,
}

impl Kind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::KeyExchange => "key-exchange",
            Self::HostKey => "host-key",
            Self::Cipher => "cipher",
            Self::Mac => "mac",
            Self::Server => "server",
        }
    }
}

/// Something about an offer that is not as good as it could be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    /// An algorithm of the offer.
    pub name: String,
    pub severity: Severity,
    /// Why, in one sentence.
    pub reason: &'static str,
    /// What to do about it on the server.
    pub remedy: &'static str,
}

/// The verdict on an offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assessment {
    pub grade: Grade,
    /// Recordings of today stay closed to the quantum computers of tomorrow, with clients that can do it too.
    pub post_quantum: bool,
    /// Packets cannot be cut off before encryption begins, with clients that can do it too.
    pub strict_kex: bool,
    /// The worst first; among equals in the order of [`Kind`] and then of the offer.
    pub findings: Vec<Finding>,
}

/// Judges what a server offers; [`Grade`] has the rule.
pub fn assess(offer: &AlgorithmOffer) -> Assessment {
    let lists = [
        (Kind::KeyExchange, &offer.kex),
        (Kind::HostKey, &offer.host_keys),
        (Kind::Cipher, &offer.ciphers),
        (Kind::Mac, &offer.macs),
    ];
    let post_quantum = offer.kex.iter().any(|name| is_post_quantum(name));
    let strict_kex = offer.kex.iter().any(|name| name == STRICT_KEX);
    let named = lists.into_iter().flat_map(|(kind, names)| names.iter().filter_map(move |n| about(kind, n)));
    let mut findings: Vec<Finding> = named.collect();
    if !strict_kex && can_be_cut_off(offer) {
        findings.push(NO_STRICT_KEX.finding());
    }
    if !post_quantum {
        findings.push(NO_POST_QUANTUM.finding());
    }
    if offer.compression.iter().any(|name| name == "zlib") {
        findings.push(EARLY_COMPRESSION.finding());
    }
    findings.sort_by_key(|finding| (Reverse(finding.severity), finding.kind));
    let grade = match findings.first().map(|worst| worst.severity) {
        Some(Severity::Broken) => Grade::F,
        Some(Severity::Weak) => Grade::C,
        _ if !post_quantum => Grade::B,
        _ => Grade::A,
    };
    Assessment { grade, post_quantum, strict_kex, findings }
}

/// Of a key exchange.
pub(crate) fn is_post_quantum(name: &str) -> bool {
    table::verdict(Kind::KeyExchange, name) == Verdict::PostQuantum
}

fn about(kind: Kind, name: &str) -> Option<Finding> {
    match table::verdict(kind, name) {
        Verdict::Good | Verdict::PostQuantum => None,
        Verdict::Flawed { severity, reason, remedy } => {
            Some(Finding { kind, name: name.to_owned(), severity, reason, remedy })
        }
    }
}

/// CVE-2023-48795: whether a cipher and a MAC are offered that do not notice the missing packets.
fn can_be_cut_off(offer: &AlgorithmOffer) -> bool {
    let cipher = |part: &str| offer.ciphers.iter().any(|name| name.contains(part));
    cipher("chacha20-poly1305") || (cipher("-cbc") && offer.macs.iter().any(|name| name.contains("-etm")))
}

/// About the offer as a whole.
struct Whole {
    name: &'static str,
    severity: Severity,
    reason: &'static str,
    remedy: &'static str,
}

impl Whole {
    fn finding(&self) -> Finding {
        let Self { name, severity, reason, remedy } = *self;
        Finding { kind: Kind::Server, name: name.to_owned(), severity, reason, remedy }
    }
}

const NO_STRICT_KEX: Whole = Whole {
    name: "strict-kex",
    severity: Severity::Weak,
    reason: "Somebody on the path can drop the first encrypted packets unnoticed (Terrapin, CVE-2023-48795).",
    remedy: "Update the SSH server (OpenSSH 9.6, Dropbear 2024.84, or a patched package of the distribution); until \
             then take chacha20-poly1305@openssh.com and what ends in -cbc out of Ciphers in sshd_config.",
};

const NO_POST_QUANTUM: Whole = Whole {
    name: "post-quantum-kex",
    severity: Severity::Note,
    reason: "Traffic that is recorded today can be read once there are large quantum computers.",
    remedy: "Update the SSH server (OpenSSH 9.0 brings sntrup761x25519-sha512@openssh.com, OpenSSH 9.9 and Dropbear \
             2025.87 mlkem768x25519-sha256), and name one of them in KexAlgorithms if sshd_config has that line.",
};

const EARLY_COMPRESSION: Whole = Whole {
    name: "zlib",
    severity: Severity::Note,
    reason: "The server unpacks what clients send before they have logged in, which is more code open to strangers.",
    remedy: "Offer zlib@openssh.com, which starts after the login, or none (Compression in sshd_config).",
};

#[cfg(test)]
mod tests;
