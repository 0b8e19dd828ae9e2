//! The service over its own database, with peers of our own and simulated hosts: what the rows say and what the hosts
//! hold, after every failure and repetition.

mod campaign;
mod client_made;
mod deprovision;
mod download;
mod drift;
mod fakes;
mod gates;
mod hosts;
mod krl;
mod line_options;
mod manage;
mod management_keys;
mod notify;
mod offboarding;
mod policies;
mod races;
mod range;
mod real;
mod receipts;
mod recovery;
mod refusals;
mod release;
mod revoke;
mod revoke_queue;
mod revoke_sessions;
mod rotate;
mod rows;
mod schedule;
mod vault;
mod world;
