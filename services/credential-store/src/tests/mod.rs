//! The whole service over SQLite, called through its gRPC routes; its peers are fakes behind our own ports.

mod credentials;
mod custody;
mod fakes;
mod gate;
mod material;
mod servers;
mod world;
