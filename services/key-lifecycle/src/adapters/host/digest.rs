//! Which bytes a file held when it was read, in the two digests that hosts can make.
//!
//! SHA-256 where the host has it; MD5, which the smallest userlands have, otherwise. It guards against mishaps, not
//! against the account: what an account could gain by a collision is a change to its own file.

use data_encoding::HEXLOWER;
use md5::Md5;
use sha2::{Digest as _, Sha256};

/// The version of a file that an edit starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileVersion {
    Absent,
    Bytes { sha256: String, md5: String },
}

impl FileVersion {
    pub fn of(bytes: &[u8]) -> Self {
        Self::Bytes {
            sha256: HEXLOWER.encode(Sha256::digest(bytes).as_slice()),
            md5: HEXLOWER.encode(Md5::digest(bytes).as_slice()),
        }
    }

    pub(super) fn sha256(&self) -> &str {
        match self {
            Self::Absent => "absent",
            Self::Bytes { sha256, .. } => sha256,
        }
    }

    pub(super) fn md5(&self) -> &str {
        match self {
            Self::Absent => "absent",
            Self::Bytes { md5, .. } => md5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn md5_is_that_of_md5sum() {
        assert_eq!(FileVersion::of(b"").md5(), "d41d8cd98f00b204e9800998ecf8427e");
    }

    #[test]
    fn sha256_is_that_of_sha256sum() {
        let version = FileVersion::of(b"");
        assert_eq!(version.sha256(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    }
}
