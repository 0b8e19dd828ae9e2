//! A client for internal platform services: logins signed by Keywright, keys handed out where a tenant allowed it, and
//! references that keep what a service needs from being deleted.
//!
//! It speaks gRPC to the internal port of `keywright-server` (`--internal-listen`, or the port of the role
//! `credential-store`) with a service token. Each call has a deadline and is sent once; [`Error::advice`] says whether
//! to send it again.
//!
//! Invariant: a token goes over TLS or stays on the machine; a key is wiped when dropped and cannot be printed.
//!
//! ```no_run
//! # async fn example(token: String) -> Result<(), Box<dyn std::error::Error>> {
//! use keywright_client::{Client, Subject};
//!
//! let client = Client::new("http://127.0.0.1:8490", token)?;
//! let server = "srv_aaaaaaaaaaaaaaaaaaaaaaaaaa";
//! client.add_reference(Subject::Server(server), "deployer/web", "nightly deployment").await?;
//! let key = client.resolve("sshcred_aaaaaaaaaaaaaaaaaaaaaaaaaa", "nightly deployment", Some(server)).await?;
//! println!("log in as {} with version {}", key.username, key.version);
//! # Ok(())
//! # }
//! ```

mod connect;
mod error;
mod key;
mod login;
mod reference;

pub use connect::{Builder, Client, ConnectError};
pub use error::{Advice, Error};
pub use key::ResolvedKey;
pub use keywright_proto::common::ErrorReason;
pub use keywright_proto::credential::{SigningKey, SigningServer};
pub use login::{Login, Session, Signer};
pub use reference::Subject;
