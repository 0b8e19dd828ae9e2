//! The contract: messages, clients and servers generated from the `.proto` files beside this crate, and the
//! descriptor set that the gateway, the runtime and the tests read. No logic of the product stands here.

mod descriptors;
mod opaque;

pub use descriptors::{AuditClass, DESCRIPTOR_SET, Exposure, Rule, RuleError, pool, rule_of};

macro_rules! packages {
    ($($area:ident: $package:literal,)*) => {
        /// One module per area, as the packages are named.
        #[allow(clippy::all, clippy::unwrap_used, clippy::indexing_slicing, rustdoc::all)]
        pub mod keywright {
            $(pub mod $area {
                pub mod v1 {
                    tonic::include_proto!($package);
                }
            })*
        }
        $(pub use keywright::$area::v1 as $area;)*
    };
}

packages! {
    common: "keywright.common.v1",
    credential: "keywright.credential.v1",
    lifecycle: "keywright.lifecycle.v1",
    probe: "keywright.probe.v1",
    audit: "keywright.audit.v1",
    identity: "keywright.identity.v1",
}

/// What of Google's common protos the contract uses.
pub mod google {
    #[allow(clippy::all, rustdoc::all)]
    pub mod api {
        tonic::include_proto!("google.api");
    }
}
