//! Which bytes a file held when it was read, in the two digests that hosts can make.
//!
//! SHA-256 where the host has it; the CRC of POSIX `cksum`, which every host has, otherwise. It guards against
//! mishaps, not against the account: what an account could gain by a collision is a change to its own file.

use sha2::{Digest as _, Sha256};

/// The version of a file that an edit starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileVersion {
    Absent,
    Bytes { sha256: String, cksum: String },
}

impl FileVersion {
    pub fn of(bytes: &[u8]) -> Self {
        let sha256 = data_encoding::HEXLOWER.encode(Sha256::digest(bytes).as_slice());
        Self::Bytes { sha256, cksum: format!("{} {}", posix_cksum(bytes), bytes.len()) }
    }

    pub(super) fn sha256(&self) -> &str {
        match self {
            Self::Absent => "absent",
            Self::Bytes { sha256, .. } => sha256,
        }
    }

    pub(super) fn cksum(&self) -> &str {
        match self {
            Self::Absent => "absent",
            Self::Bytes { cksum, .. } => cksum,
        }
    }
}

/// POSIX `cksum`: CRC-32 with polynomial 0x04C11DB7 over the bytes and their count.
fn posix_cksum(bytes: &[u8]) -> u32 {
    let count = bytes.len().to_le_bytes();
    let significant = count.iter().rposition(|byte| *byte != 0).map_or(0, |last| last.saturating_add(1));
    let crc = bytes.iter().chain(count.iter().take(significant)).fold(0u32, |crc, byte| {
        (0..8).fold(crc ^ (u32::from(*byte) << 24), |crc, _| {
            if crc & 0x8000_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x04C1_1DB7 }
        })
    });
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cksum_is_that_of_posix() {
        // printf '' | cksum; printf 123456789 | cksum
        assert_eq!(posix_cksum(b""), 4_294_967_295);
        assert_eq!(posix_cksum(b"123456789"), 930_766_865);
    }

    #[test]
    fn sha256_is_that_of_sha256sum() {
        let version = FileVersion::of(b"");
        assert_eq!(version.sha256(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
