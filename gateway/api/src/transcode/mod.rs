//! JSON and query ↔ protobuf messages.
//!
//! The protobuf JSON mapping with the three differences of this API: enum values are lower-case names without the
//! type's prefix, zero values are always written, and a JSON `null` sets the `clear_…` field beside a field.
//!
//! Invariant: a request is walked against the descriptor, so a field that is unknown or of the wrong type is a
//! violation with its path, and what cannot be read is never guessed. Violations never repeat a value.

mod enums;
mod json;
mod query;
mod read;
mod request;
mod response;
mod scalar;
mod wipe;
mod write;

#[cfg(test)]
mod tests;

pub use enums::rest_name;
pub use request::{if_none_match, message};
pub use response::{Attachment, Content, content, header_name, is_bytes};
pub use wipe::wipe;

use prost_reflect::MessageDescriptor;

/// Whether a message has a JSON form of its own (a timestamp is a string, not an object).
pub fn is_well_known(message: &MessageDescriptor) -> bool {
    message.full_name().starts_with("google.protobuf.")
}
