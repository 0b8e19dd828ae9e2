//! The scripts on real hosts: dash, BusyBox and bash, as root in a namespace.

mod accounts;
mod again;
mod attack;
mod context;
mod edits;
mod held_up;
mod judged;
mod kinds_of_files;
mod narrow_rule;
mod over_ssh;
mod places;
mod revoked_keys;
mod scan;
mod sessions;
mod setup;
mod ways_in;
