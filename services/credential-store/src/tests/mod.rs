//! The whole service over SQLite, called through its gRPC routes; its peers are fakes behind our own ports.

mod credentials;
mod custody;
pub mod fakes;
mod gate;
mod idempotent;
mod material;
mod races;
mod reach;
mod references;
mod resolve;
mod servers;
mod shredding;
mod signing;
mod switch;
mod tenants;
pub mod world;
