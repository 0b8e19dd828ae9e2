//! SSH from the client's side: which targets may be dialled, which host keys are believed, how a login is made
//! without holding the key, and what a server said about a key.
//!
//! Invariants:
//! - the only crate that names `russh`, and nothing of it stands in the public API;
//! - no authentication is attempted before the host key was found among the pinned ones (by type: only
//!   [`Greeted::verify`] gives a [`Handshaken`], only a [`Handshaken`] can authenticate);
//! - every stage has its own deadline, whatever the server does, and a dropped value ends its connection;
//! - a refusal is only reported when the server said so: a lost connection is never a refusal;
//! - no text that a server sent reaches a message; what it calls its algorithms is checked and stands in a field apart.
//!
//! | file | |
//! |---|---|
//! | `failure` | stages, failure codes, their words and remedies |
//! | `target`, `resolve` | which addresses may be dialled |
//! | `dial`, `jump`, `stream` | the connection: direct, or through other servers |
//! | `wire`, `banner` | its kill switch, the identification line |
//! | `algorithms`, `host_key`, `observer`, `handshake` | key exchange and the verdict on the host key |
//! | `signing`, `authenticate` | logging in through a signing port; offering a key |
//! | `session` | commands |
//! | `connect`, `proof`, `scan` | whole journeys made of the stages |
//! | `kexinit`, `offer` | which algorithms a server lists, read without a key exchange |
//! | `hygiene` | how good those are: a grade, findings and their remedies |

mod algorithms;
mod authenticate;
mod banner;
mod connect;
mod dial;
mod failure;
mod handshake;
mod host_key;
mod hygiene;
mod jump;
mod kexinit;
mod observer;
mod offer;
mod proof;
mod resolve;
mod scan;
mod session;
mod signing;
mod stream;
mod target;
mod wire;

pub use authenticate::LoginError;
pub use connect::{Connected, StageTimes};
pub use dial::{Dialed, Dialer, Resolved, Staged, Timeouts};
pub use failure::{Failure, FailureCode, Stage};
pub use handshake::{Greeted, Handshaken, KeyExchange};
pub use host_key::HostKeyVerdict;
pub use hygiene::{Assessment, Finding, Grade, Kind, Severity, assess};
pub use jump::JumpHost;
pub use kexinit::AlgorithmOffer;
pub use offer::ServerOffer;
pub use proof::{ProofMethod, Receipt};
pub use resolve::resolve;
pub use scan::Scanned;
pub use session::{ExecLimits, ExecOutput, Session};
pub use signing::{HostProof, Identity, OneTimeKey, PortFailure, SigningPort};
pub use stream::Stream;
pub use target::{Denied, Target, TargetRules};
