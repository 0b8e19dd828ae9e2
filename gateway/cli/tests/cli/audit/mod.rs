//! The audit log: followed, searched, exported, proven, and verified with nothing but files.

mod alerts;
mod export;
mod log;
mod proof;
mod search;
mod tail;
mod verify;
