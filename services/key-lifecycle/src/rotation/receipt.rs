//! What an edit of a host leaves in the audit log: which host, by its key, and which keys have a line there now.

use crate::adapters::host::DesiredKeys;
use crate::adapters::hosts::Edited;
use keywright_domain::key::PublicKey;
use keywright_storage::Outcome;

/// Of an access with a long history, the youngest: an event has a limit.
const MOST: usize = 100;

/// Every key of the access stands there or does not.
pub(super) fn name_lines(edited: &mut Edited, wanted: &DesiredKeys) {
    let print = |key: &PublicKey| key.fingerprint().to_string();
    edited.there = wanted.keys.iter().map(|key| print(&key.public_key)).collect();
    let all = wanted.all_blobs.iter().rev().filter_map(|blob| PublicKey::from_blob(blob).ok());
    edited.gone =
        all.map(|key| print(&key)).filter(|print| !edited.there.contains(print)).take(MOST).collect();
}

/// None where nothing was edited.
pub fn told(outcome: Outcome, edited: Option<&Edited>) -> Outcome {
    match edited {
        Some(edited) => outcome
            .with("hostKey", edited.host_key.as_str())
            .with("linesThere", edited.there.join(" "))
            .with("linesGone", edited.gone.join(" ")),
        None => outcome,
    }
}
