//! The tables of the probe.

pub mod connectivity_test;
