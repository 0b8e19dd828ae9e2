//! What one connection is for: a session with a host that proved itself, or nothing.
//!
//! Invariant: a connection that was ever bound wrongly, to two sessions, or for forwarding signs nothing any more.

use keywright_domain::key::{PublicKey, SignatureAlgorithm, UserauthRequest};

use super::wire::{Bind, RSA_SHA2_256, RSA_SHA2_512, Sign};

/// A session with a host, as the host itself signed it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bound {
    pub host_key: PublicKey,
    pub session_id: Vec<u8>,
    pub signature: Vec<u8>,
}

#[derive(Debug, Default)]
pub enum Session {
    /// Nothing was said yet.
    #[default]
    Unbound,
    Bound(Box<Bound>),
    /// It signs nothing any more; why.
    Refused(&'static str),
}

const FORWARDED: &str =
    "the request comes from another host, over a forwarded agent connection; run the agent there";

impl Session {
    /// Takes a session-bind; an error is what it is refused for, and from then on the connection is.
    pub fn bind(&mut self, bind: &Bind) -> Result<(), &'static str> {
        let bound = check(bind);
        *self = match (std::mem::take(self), bound) {
            (Self::Refused(why), _) | (_, Err(why)) => Self::Refused(why),
            (Self::Unbound, Ok(bound)) => Self::Bound(Box::new(bound)),
            (Self::Bound(before), Ok(bound)) if *before == bound => Self::Bound(before),
            (Self::Bound(_), Ok(_)) => Self::Refused("the connection was bound to two sessions"),
        };
        match self {
            Self::Refused(why) => Err(why),
            _ => Ok(()),
        }
    }

    /// The session that a signature may be for.
    pub fn bound(&self) -> Result<&Bound, &'static str> {
        match self {
            Self::Bound(bound) => Ok(bound),
            Self::Refused(why) => Err(why),
            Self::Unbound => {
                Err("the client did not say which host it talks to (session-bind; OpenSSH has it since 8.9)")
            }
        }
    }
}

fn check(bind: &Bind) -> Result<Bound, &'static str> {
    if bind.forwarding {
        return Err(FORWARDED);
    }
    let host_key = PublicKey::from_blob(&bind.host_key)
        .map_err(|_| "the host's key is of a kind that cannot be pinned, or a certificate")?;
    host_key
        .verify(&bind.session_id, &bind.signature)
        .map_err(|_| "the host's signature over the session does not verify")?;
    Ok(Bound { host_key, session_id: bind.session_id.clone(), signature: bind.signature.clone() })
}

/// The login that a client asks to have signed, in the session that its connection is bound to.
pub fn login<'a>(sign: &Sign, session: &'a Session) -> Result<(UserauthRequest, &'a Bound), &'static str> {
    if sign.data.starts_with(b"SSHSIG") {
        return Err("a file or a message was to be signed (SSHSIG); only logins are");
    }
    let request = UserauthRequest::parse(&sign.data)
        .map_err(|_| "the request is not an SSH login by public key; nothing else is signed")?;
    let bound = session.bound()?;
    if request.session_id() != bound.session_id {
        return Err("the login is for another session than the one that the connection is bound to");
    }
    if request.public_key().blob() != sign.key {
        return Err("the login names another key than the one that was asked to sign");
    }
    if request.host_key().is_some_and(|named| *named != bound.host_key) {
        return Err("the login names another host key than the session's");
    }
    let hash = sign.flags & (RSA_SHA2_256 | RSA_SHA2_512);
    match request.algorithm() {
        SignatureAlgorithm::RsaSha512 if hash & RSA_SHA2_512 == 0 => Err(FLAGS),
        SignatureAlgorithm::RsaSha256 if hash != RSA_SHA2_256 => Err(FLAGS),
        _ => Ok((request, bound)),
    }
}

const FLAGS: &str = "the login names another signature algorithm than the one that was asked for";

#[cfg(test)]
mod tests {
    use keywright_domain::key::{GenerateSpec, PrivateKey};

    use super::*;

    const SESSION: [u8; 32] = [7; 32];

    fn key() -> PrivateKey {
        PrivateKey::generate(GenerateSpec::Ed25519).unwrap()
    }

    fn bind(host: &PrivateKey, session: &[u8]) -> Bind {
        Bind {
            host_key: host.public().blob().to_vec(),
            session_id: session.to_vec(),
            signature: host.sign(host.algorithm().default_signature(), session).unwrap(),
            forwarding: false,
        }
    }

    fn bound(host: &PrivateKey) -> Session {
        let mut session = Session::default();
        session.bind(&bind(host, &SESSION)).unwrap();
        session
    }

    fn request(key: &PrivateKey, algorithm: SignatureAlgorithm, session: &[u8]) -> UserauthRequest {
        UserauthRequest::new(session.to_vec(), "me".into(), algorithm, key.public().clone()).unwrap()
    }

    fn sign(key: &PrivateKey, request: &UserauthRequest, flags: u32) -> Sign {
        Sign { key: key.public().blob().to_vec(), data: request.signed_bytes(), flags }
    }

    #[test]
    fn an_unbound_connection_signs_nothing() {
        let user = key();
        let sign = sign(&user, &request(&user, SignatureAlgorithm::Ed25519, &SESSION), 0);
        assert!(login(&sign, &Session::default()).unwrap_err().contains("session-bind"));
    }

    #[test]
    fn a_wrong_bind_spoils_the_connection_for_good() {
        let (host, other) = (key(), key());
        let forged = Bind { signature: bind(&other, &SESSION).signature, ..bind(&host, &SESSION) };
        let moved = Bind { session_id: vec![8; 32], ..bind(&host, &SESSION) };
        let forwarded = Bind { forwarding: true, ..bind(&host, &SESSION) };
        let rubbish = Bind { host_key: b"ssh-dss".to_vec(), ..bind(&host, &SESSION) };
        for wrong in [forged, moved, forwarded, rubbish, bind(&other, &[9; 32])] {
            let mut session = Session::default();
            session.bind(&bind(&host, &SESSION)).unwrap();
            session.bind(&bind(&host, &SESSION)).unwrap();
            assert!(session.bind(&wrong).is_err());
            assert!(session.bind(&bind(&host, &SESSION)).is_err());
            assert!(session.bound().is_err());
        }
    }

    #[test]
    fn a_login_of_the_bound_session_is_taken_in_both_forms() {
        let (host, user) = (key(), key());
        let plain = request(&user, SignatureAlgorithm::Ed25519, &SESSION);
        let named = plain.clone().bound_to(host.public().clone());
        for request in [plain, named] {
            assert_eq!(login(&sign(&user, &request, 0), &bound(&host)).unwrap().0, request);
        }
    }

    #[test]
    fn everything_else_is_refused() {
        let (host, user, other) = (key(), key(), key());
        let plain = request(&user, SignatureAlgorithm::Ed25519, &SESSION);
        let elsewhere = plain.clone().bound_to(other.public().clone());
        let later = request(&user, SignatureAlgorithm::Ed25519, &[8; 32]);
        let mut cut = plain.signed_bytes();
        cut.pop();
        let data = |data: Vec<u8>| Sign { key: user.public().blob().to_vec(), data, flags: 0 };
        for (wrong, said) in [
            (data(b"SSHSIG\0\0\0\x04file".to_vec()), "SSHSIG"),
            (data(Vec::new()), "not an SSH login"),
            (data(cut), "not an SSH login"),
            (data([plain.signed_bytes(), vec![0]].concat()), "not an SSH login"),
            (sign(&user, &later, 0), "another session"),
            (sign(&other, &plain, 0), "another key"),
            (sign(&user, &elsewhere, 0), "another host key"),
        ] {
            let why = login(&wrong, &bound(&host)).unwrap_err();
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn rsa_signs_with_the_hash_that_was_asked_for() {
        let (host, user) = (key(), PrivateKey::generate(GenerateSpec::Rsa { bits: 2048 }).unwrap());
        for (algorithm, flags, taken) in [
            (SignatureAlgorithm::RsaSha256, 2, true),
            (SignatureAlgorithm::RsaSha512, 4, true),
            (SignatureAlgorithm::RsaSha512, 6, true),
            (SignatureAlgorithm::RsaSha256, 4, false),
            (SignatureAlgorithm::RsaSha512, 2, false),
            (SignatureAlgorithm::RsaSha256, 0, false),
            (SignatureAlgorithm::RsaSha512, 0, false),
        ] {
            let sign = sign(&user, &request(&user, algorithm, &SESSION), flags);
            assert_eq!(login(&sign, &bound(&host)).is_ok(), taken, "{algorithm} {flags}");
        }
    }
}
