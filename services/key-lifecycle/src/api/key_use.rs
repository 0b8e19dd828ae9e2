//! The last use of keys.

use super::{number, optional};
use crate::app::view::fingerprint;
use crate::model::{Evidence, KeyUse, Version};
use keywright_proto::lifecycle as proto;
use keywright_runtime::audit::timestamp;

/// Newest version first; what is of no known version is left out.
pub fn key_uses(uses: &[KeyUse], versions: &[Version]) -> Vec<proto::KeyUse> {
    let of = |version: &Version| {
        uses.iter()
            .filter(|one| one.version == version.id)
            .map(|one| key_use(one, version))
            .collect::<Vec<_>>()
    };
    versions.iter().rev().flat_map(of).collect()
}

fn key_use(found: &KeyUse, version: &Version) -> proto::KeyUse {
    let evidence = match found.evidence {
        Evidence::Used => proto::KeyUseEvidence::Used,
        Evidence::NotSeen => proto::KeyUseEvidence::NotSeen,
        Evidence::Unreadable => proto::KeyUseEvidence::Unreadable,
    };
    proto::KeyUse {
        version: number(version.number),
        fingerprint: fingerprint(version),
        server_id: found.server.to_string(),
        evidence: evidence.into(),
        last_used_at: optional(found.last_used_at),
        source_address: found.source_address.clone(),
        read_at: Some(timestamp(found.read_at)),
        log_since: optional(found.log_since),
    }
}
