//! Stage `authentication`: a login signed by a port, or a key merely offered.
//!
//! Invariant: "rejected" is said only when the server rejected. The engine reports a dead connection and a refusal
//! that names no further method in the same words, so [`Handshaken::conclude`] asks how the connection ended.

use keywright_domain::key::{KeyAlgorithm, PublicKey, SignatureAlgorithm, UserauthRequest};
use keywright_domain::reason::Reason;
use russh::client::AuthResult;
use russh::keys::HashAlg;
use russh::keys::agent::AgentIdentity;
use tokio::time::{Instant, timeout_at};
use tracing::instrument;

use crate::dial::Staged;
use crate::failure::{Failure, FailureCode, Stage};
use crate::handshake::Handshaken;
use crate::observer::{Ended, Notes};
use crate::session::Session;
use crate::signing::{HostProof, Identity, PortFailure};

/// Why there was no login: the server's doing, or that of whoever holds the key.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LoginError {
    #[error(transparent)]
    Server(#[from] Failure),
    #[error(transparent)]
    Signing(#[from] PortFailure),
}

impl LoginError {
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Server(failure) => Some(failure),
            Self::Signing(_) => None,
        }
    }
}

/// What a server said to one attempt.
enum Answer {
    Accepted,
    Rejected,
    MoreFactors,
    /// "Come in", without having seen a signature: that proves nothing about the key.
    Unasked,
    /// Nothing: the connection is gone.
    Gone,
}

/// What a signature is called. An RSA key has several names; SHA-1 is among them for offers only, since an offer
/// signs nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Naming {
    Only,
    Rsa(HashAlg),
    RsaSha1,
}

impl Naming {
    /// Every name under which a server may accept this key, beginning with the one that it likes best.
    fn all_of(key: &PublicKey, best: Option<Self>) -> &'static [Self] {
        const SHA256: Naming = Naming::Rsa(HashAlg::Sha256);
        const SHA512: Naming = Naming::Rsa(HashAlg::Sha512);
        match (key.algorithm(), best) {
            (KeyAlgorithm::Rsa, Some(SHA256)) => &[SHA256, SHA512, Self::RsaSha1],
            (KeyAlgorithm::Rsa, Some(Self::RsaSha1)) => &[Self::RsaSha1, SHA512, SHA256],
            (KeyAlgorithm::Rsa, _) => &[SHA512, SHA256, Self::RsaSha1],
            _ => &[Self::Only],
        }
    }

    const fn hash(self) -> Option<HashAlg> {
        match self {
            Self::Rsa(hash) => Some(hash),
            Self::Only | Self::RsaSha1 => None,
        }
    }
}

/// What came of an offer.
pub(crate) struct Offered {
    pub(crate) accepted: bool,
    /// Names for which the server left no time: a refusal is whole only when there are none.
    pub(crate) untried: &'static [Naming],
}

impl Handshaken {
    /// Logs in. Ends at the server's success message: no channel is opened.
    #[instrument(skip_all)]
    pub async fn authenticate(mut self, identity: &Identity) -> Result<Staged<Session>, LoginError> {
        let started = Instant::now();
        let deadline = started + self.link.timeouts.authentication + identity.port.patience();
        let outcome = timeout_at(deadline, self.log_in(identity)).await;
        let failed = |code| Failure::new(Stage::Authentication, code).after(started.elapsed());
        let late = |_| match self.link.notes.lock().signing {
            true => LoginError::Signing(not_signed_in_time()),
            false => timed_out(started).into(),
        };
        match outcome.map_err(late)?? {
            Answer::Accepted => Ok(Staged::since(started, Session::new(self.link))),
            Answer::Rejected => Err(failed(FailureCode::AuthenticationRejected).into()),
            Answer::MoreFactors => Err(failed(FailureCode::MoreFactorsRequired).into()),
            Answer::Unasked => Err(unasked(started).into()),
            Answer::Gone => Err(self.gone(started).into()),
        }
    }

    /// Offers a key without signing, under one name after the other until one is accepted: a server that does not
    /// take a name refuses it, which says nothing about the key, and what it lists as taken is not always true.
    /// `names` are those that an earlier connection left over.
    #[instrument(skip_all)]
    pub(crate) async fn offer(
        mut self,
        user: &str,
        key: &PublicKey,
        names: Option<&'static [Naming]>,
    ) -> Result<Offered, Failure> {
        let started = Instant::now();
        let deadline = started + self.link.timeouts.authentication;
        let offering = timeout_at(deadline, self.offer_each(user, key, names)).await;
        let offered = match offering.map_err(|_| timed_out(started))? {
            Ok(offered) => offered,
            Err(Answer::Unasked) => return Err(unasked(started)),
            Err(_) => return Err(self.gone(started)),
        };
        self.link.hang_up().await;
        Ok(offered)
    }

    async fn offer_each(
        &mut self,
        user: &str,
        key: &PublicKey,
        names: Option<&'static [Naming]>,
    ) -> Result<Offered, Answer> {
        let names = match names {
            Some(names) => names,
            None => Naming::all_of(key, self.signing_name(key).await),
        };
        let mut untried = names;
        while let Some((naming, rest)) = untried.split_first() {
            match self.offer_as(user, key, *naming).await {
                Answer::Accepted | Answer::MoreFactors => return Ok(Offered { accepted: true, untried }),
                Answer::Rejected => untried = rest,
                // It answered before and hung up since: what is left needs another connection.
                Answer::Gone if untried.len() < names.len() => break,
                answer => return Err(answer),
            }
        }
        Ok(Offered { accepted: false, untried })
    }

    async fn log_in(&mut self, identity: &Identity) -> Result<Answer, LoginError> {
        let naming = match self.signing_name(&identity.public_key).await {
            None => return Ok(Answer::Gone),
            Some(Naming::RsaSha1) => {
                return Err(Failure::new(Stage::Authentication, FailureCode::NoCommonAlgorithm)
                    .saying("The server accepts signatures of this key's kind only with SHA-1.")
                    .with("missing", "signature")
                    .into());
            }
            Some(naming) => naming,
        };
        let mut signer = Signer {
            identity: Some(identity),
            expected: self.expectation(identity, naming),
            host: self.host_proof(),
            notes: &self.link.notes,
        };
        let (handle, hash) = (&mut self.link.handle, naming.hash());
        let said = match &identity.certificate {
            None => {
                let key = identity.public_key.as_ssh_key().clone();
                handle.authenticate_publickey_with(&identity.user, key, hash, &mut signer).await
            }
            Some(certificate) => {
                let certificate = certificate.as_ssh_certificate().clone();
                handle.authenticate_certificate_with(&identity.user, certificate, hash, &mut signer).await
            }
        };
        match said {
            Ok(result) => Ok(self.conclude(result).await),
            Err(NotSigned::Port(failure)) => Err(failure.into()),
            Err(NotSigned::EngineGone) => Ok(Answer::Gone),
            Err(NotSigned::Offered) => Ok(Answer::Gone),
        }
    }

    async fn offer_as(&mut self, user: &str, key: &PublicKey, naming: Naming) -> Answer {
        let mut signer = Signer { identity: None, expected: None, host: None, notes: &self.link.notes };
        let key = key.as_ssh_key().clone();
        let said = self.link.handle.authenticate_publickey_with(user, key, naming.hash(), &mut signer).await;
        match said {
            Ok(result) => self.conclude(result).await,
            Err(NotSigned::Offered) => Answer::Accepted,
            Err(NotSigned::Port(_) | NotSigned::EngineGone) => Answer::Gone,
        }
    }

    /// The name to sign under: the best that the server lists. `None`: the connection is gone.
    async fn signing_name(&self, key: &PublicKey) -> Option<Naming> {
        if key.algorithm() != KeyAlgorithm::Rsa {
            return Some(Naming::Only);
        }
        match self.link.handle.best_supported_rsa_hash().await.ok()? {
            Some(Some(hash)) => Some(Naming::Rsa(hash)),
            Some(None) => Some(Naming::RsaSha1),
            // A server that lists nothing is old; of the two modern names the older is likelier.
            None => Some(Naming::Rsa(HashAlg::Sha256)),
        }
    }

    /// The one request that may be signed on this connection.
    fn expectation(&self, identity: &Identity, naming: Naming) -> Option<UserauthRequest> {
        let session_id = self.link.handle.agent_session_binding()?.session_id().to_vec();
        let algorithm = match naming {
            Naming::Only => identity.public_key.algorithm().default_signature(),
            Naming::Rsa(HashAlg::Sha256) => SignatureAlgorithm::RsaSha256,
            Naming::Rsa(HashAlg::Sha512) => SignatureAlgorithm::RsaSha512,
            Naming::Rsa(_) | Naming::RsaSha1 => return None,
        };
        let key = identity.public_key.clone();
        let request = UserauthRequest::new(session_id, identity.user.clone(), algorithm, key).ok()?;
        match &identity.certificate {
            None => Some(request),
            Some(certificate) => request.certified(certificate.clone()).ok(),
        }
    }

    fn host_proof(&self) -> Option<HostProof> {
        let binding = self.link.handle.agent_session_binding()?;
        Some(HostProof { host_key: binding.host_key().to_vec(), signature: binding.signature().to_vec() })
    }

    async fn conclude(&mut self, result: AuthResult) -> Answer {
        match result {
            AuthResult::Success if self.link.notes.lock().signed => Answer::Accepted,
            AuthResult::Success => Answer::Unasked,
            AuthResult::Failure { partial_success: true, .. } => Answer::MoreFactors,
            AuthResult::Failure { remaining_methods, .. } if !remaining_methods.is_empty() => {
                Answer::Rejected
            }
            AuthResult::Failure { .. } => {
                let _ = (&mut self.link.handle).await;
                match self.link.notes.lock().ended {
                    Some(Ended::NoMethodLeft | Ended::TooManyAttempts) => Answer::Rejected,
                    _ => Answer::Gone,
                }
            }
        }
    }

    fn gone(&self, started: Instant) -> Failure {
        let explained = self.link.notes.lock().explained_after_signing;
        let code = if explained { FailureCode::Nologin } else { FailureCode::ConnectionClosed };
        Failure::new(Stage::Authentication, code).after(started.elapsed())
    }
}

fn timed_out(started: Instant) -> Failure {
    Failure::new(Stage::Authentication, FailureCode::HandshakeTimeout)
        .saying("The server did not answer the login in time.")
        .after(started.elapsed())
}

/// The server waited for us: it is not to blame.
fn not_signed_in_time() -> PortFailure {
    PortFailure::new(
        Reason::SecretStoreUnavailable,
        "The login was not signed in time; the server is not to blame.",
    )
}

fn unasked(started: Instant) -> Failure {
    Failure::new(Stage::Authentication, FailureCode::NotAnSshServer)
        .saying("The server let us in without asking for a signature, against the protocol.")
        .after(started.elapsed())
}

/// Stands between the engine, which asks for a signature over bytes, and the port, which signs requests.
struct Signer<'a> {
    /// `None` for an offer: then nothing is signed.
    identity: Option<&'a Identity>,
    expected: Option<UserauthRequest>,
    host: Option<HostProof>,
    notes: &'a Notes,
}

enum NotSigned {
    /// The server asked for a signature, which is all that an offer wants to know.
    Offered,
    Port(PortFailure),
    EngineGone,
}

impl From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        Self::EngineGone
    }
}

impl russh::Signer for Signer<'_> {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        _key: &AgentIdentity,
        _hash: Option<HashAlg>,
        to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        let Some(identity) = self.identity else { return Err(NotSigned::Offered) };
        let request =
            UserauthRequest::parse(&to_sign).ok().filter(|request| Some(request) == self.expected.as_ref());
        let (Some(request), Some(host)) = (request, &self.host) else {
            return Err(NotSigned::Port(foreign_payload()));
        };
        {
            let mut notes = self.notes.lock();
            (notes.signed, notes.signing) = (true, true);
        }
        let signature = identity.port.sign(request, host).await.map_err(NotSigned::Port)?;
        self.notes.lock().signing = false;
        let length = u32::try_from(signature.len()).map_err(|_| NotSigned::Port(foreign_payload()))?;
        let mut signed = to_sign;
        signed.extend_from_slice(&length.to_be_bytes());
        signed.extend_from_slice(&signature);
        Ok(signed)
    }
}

fn foreign_payload() -> PortFailure {
    PortFailure::new(Reason::Internal, "Something other than this login was to be signed; it was refused.")
}
