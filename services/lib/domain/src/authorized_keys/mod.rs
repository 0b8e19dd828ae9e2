//! The editor of authorized_keys: bytes in, bytes out.
//!
//! The file is the user's. Invariant: every line that does not carry one of our key blobs stays byte for byte and in
//! its place (line ends, options, comments, junk); a line is ours by its blob alone, whatever its comment says.
//! Applying the same desired state twice changes nothing the second time.

mod edit;
mod from;
mod line;
mod marker;
mod options;
mod policy;

pub use edit::{Desired, DesiredLine, EditError, MAX_FILE, apply, apply_beside};
pub use from::BadPattern;
pub use line::{Content, Document, KeyLine, Line};
pub use marker::{BadOwner, Owner, revision};
pub use options::{BadOption, ExpiryTime, LineOption, Options};
pub use policy::{MAX_POLICY_OPTIONS, PolicyOptionError, from_contains, parse_policy_options};

use std::collections::HashSet;

/// How many key lines belong to somebody else: `residualAccess` of a receipt.
pub fn foreign_keys(file: &[u8], all_blobs: &[Vec<u8>]) -> usize {
    let ours: HashSet<&[u8]> = all_blobs.iter().map(Vec::as_slice).collect();
    Document::parse(file).keys().filter(|key| !ours.contains(key.blob())).count()
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
