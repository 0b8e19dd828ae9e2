//! The scenarios of the product, driven from outside against the shipped binaries and real SSH servers.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr
)]

/// Runs scenarios on both pairs of stores and on both SSH servers.
macro_rules! on_every_pair {
    ($($scenario:ident),* $(,)?) => {
        on_every_pair!(@ embedded_openssh, Embedded, OpenSsh, $($scenario),*);
        on_every_pair!(@ embedded_dropbear, Embedded, Dropbear, $($scenario),*);
        on_every_pair!(@ external_openssh, External, OpenSsh, $($scenario),*);
        on_every_pair!(@ external_dropbear, External, Dropbear, $($scenario),*);
    };
    (@ $pair:ident, $stores:ident, $sshd:ident, $($scenario:ident),*) => {
        mod $pair {
            use keywright_e2e::{Sshd, Stores, World};
            $(
                #[tokio::test]
                async fn $scenario() {
                    super::$scenario(World::new(Stores::$stores, Sshd::$sshd).await).await;
                }
            )*
        }
    };
}

mod agent;
mod attack;
mod audit_coverage;
mod audit_tree;
mod authorization;
mod automatic_rotation;
mod backup;
mod callers_agent;
mod campaigns;
mod client_certificates;
mod client_made;
mod connectivity;
mod console_sessions;
mod contract_fuzz;
mod custody;
mod downloads;
mod drift;
mod drift_faults;
mod faults;
mod faults_clock;
mod faults_disk;
mod faults_matrix;
mod faults_network;
mod faults_server;
mod fleet;
mod gate_races;
mod grace;
mod heartbeats;
mod host_editor;
mod hostile_input;
mod idempotency;
mod identity;
mod internal_services;
mod journey;
mod key_forms;
mod key_policies;
mod key_use;
mod management_keys;
mod many_hosts;
mod members;
mod notifications;
mod notifications_receivers;
mod offboarding;
mod old_replica;
mod openapi;
mod overviews;
mod policies;
mod reach;
mod release;
mod replicas;
mod revocation;
mod revocation_feed;
mod revocation_lists;
mod roles_apart;
mod saved_credentials;
mod scale;
mod sealed_store;
mod secrets;
mod sessions;
mod single_sign_on;
mod sshfp;
mod switch;
mod targets;
mod tenant_lifecycle;
mod tenants;
mod tour;
