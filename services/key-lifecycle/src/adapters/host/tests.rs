//! The scripts on real hosts: dash, BusyBox and bash, as root in a namespace.

mod accounts;
mod attack;
mod edits;
mod over_ssh;
mod sessions;
mod setup;
mod ways_in;
