//! The one thing that custody signs: an SSH user-authentication request (RFC 4252 section 7).
//!
//! Invariant: bytes come only from fields, and a blob is accepted only if the fields that it holds make exactly the
//! same bytes again. So no other payload (a certificate, a session of another protocol, a file) can be signed.

use super::algorithm::SignatureAlgorithm;
use super::certificate::Certificate;
use super::error::KeyError;
use super::public::PublicKey;
use super::wire::{Reader, put_string};

const MSG_USERAUTH_REQUEST: u8 = 50;
const SERVICE: &[u8] = b"ssh-connection";
const PUBLICKEY: &[u8] = b"publickey";
/// OpenSSH's form since 8.9, which names the host key too.
const HOSTBOUND: &[u8] = b"publickey-hostbound-v00@openssh.com";
/// SHA-512 is the longest exchange hash.
const MAX_SESSION_ID: usize = 64;
const MIN_SESSION_ID: usize = 16;
const MAX_USER: usize = 255;
/// Ends the name of an algorithm that signs for a certified key.
const CERTIFIED: &str = "-cert-v01@openssh.com";

/// The fields of the request; service and method are fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserauthRequest {
    session_id: Vec<u8>,
    user: String,
    algorithm: SignatureAlgorithm,
    public_key: PublicKey,
    /// Presented in place of the key.
    certificate: Option<Certificate>,
    host_key: Option<PublicKey>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is not an SSH user-authentication request for a public key; nothing else is signed")]
pub struct BadUserauthRequest;

impl UserauthRequest {
    pub fn new(
        session_id: Vec<u8>,
        user: String,
        algorithm: SignatureAlgorithm,
        public_key: PublicKey,
    ) -> Result<Self, BadUserauthRequest> {
        if !(MIN_SESSION_ID..=MAX_SESSION_ID).contains(&session_id.len())
            || user.is_empty()
            || user.len() > MAX_USER
            || user.chars().any(char::is_control)
            || algorithm.key_algorithm() != public_key.algorithm()
        {
            return Err(BadUserauthRequest);
        }
        Ok(Self { session_id, user, algorithm, public_key, certificate: None, host_key: None })
    }

    /// The same request in OpenSSH's host-bound form.
    #[must_use]
    pub fn bound_to(self, host_key: PublicKey) -> Self {
        Self { host_key: Some(host_key), ..self }
    }

    /// The same request with a certificate of its key in place of the key.
    pub fn certified(self, certificate: Certificate) -> Result<Self, BadUserauthRequest> {
        if *certificate.public_key() != self.public_key {
            return Err(BadUserauthRequest);
        }
        Ok(Self { certificate: Some(certificate), ..self })
    }

    /// From the bytes that an SSH client asks an agent to sign.
    pub fn parse(blob: &[u8]) -> Result<Self, BadUserauthRequest> {
        let request = Self::read(blob)?;
        if request.signed_bytes() == blob { Ok(request) } else { Err(BadUserauthRequest) }
    }

    fn read(blob: &[u8]) -> Result<Self, BadUserauthRequest> {
        let bad = |_| BadUserauthRequest;
        let mut reader = Reader::new(blob);
        let session_id = reader.string().map_err(bad)?.to_vec();
        if reader.byte().map_err(bad)? != MSG_USERAUTH_REQUEST {
            return Err(BadUserauthRequest);
        }
        let user = reader.text().map_err(bad)?.to_owned();
        if reader.string().map_err(bad)? != SERVICE {
            return Err(BadUserauthRequest);
        }
        let hostbound = match reader.string().map_err(bad)? {
            PUBLICKEY => false,
            HOSTBOUND => true,
            _ => return Err(BadUserauthRequest),
        };
        if reader.byte().map_err(bad)? != 1 {
            return Err(BadUserauthRequest);
        }
        let (name, blob) = (reader.text().map_err(bad)?, reader.string().map_err(bad)?);
        let request = match name.strip_suffix(CERTIFIED) {
            None => {
                let public_key = PublicKey::from_blob(blob).map_err(bad)?;
                Self::new(session_id, user, SignatureAlgorithm::parse(name).map_err(bad)?, public_key)?
            }
            Some(name) => {
                let certificate = Certificate::from_blob(blob).map_err(bad)?;
                let algorithm = SignatureAlgorithm::parse(name).map_err(bad)?;
                let public_key = certificate.public_key().clone();
                Self::new(session_id, user, algorithm, public_key)?.certified(certificate)?
            }
        };
        if !hostbound {
            return Ok(request);
        }
        let host_key = PublicKey::from_blob(reader.string().map_err(bad)?).map_err(bad)?;
        Ok(request.bound_to(host_key))
    }

    /// Exactly what is signed.
    pub fn signed_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        put_string(&mut out, &self.session_id);
        out.push(MSG_USERAUTH_REQUEST);
        put_string(&mut out, self.user.as_bytes());
        put_string(&mut out, SERVICE);
        put_string(&mut out, if self.host_key.is_some() { HOSTBOUND } else { PUBLICKEY });
        out.push(1);
        let name = self.algorithm.as_str();
        match &self.certificate {
            None => {
                put_string(&mut out, name.as_bytes());
                put_string(&mut out, self.public_key.blob());
            }
            Some(certificate) => {
                put_string(&mut out, format!("{name}{CERTIFIED}").as_bytes());
                put_string(&mut out, certificate.blob());
            }
        }
        if let Some(host_key) = &self.host_key {
            put_string(&mut out, host_key.blob());
        }
        out
    }

    /// Whether this is a signature of the request, by its key and under its algorithm's name.
    pub fn verify(&self, signature: &[u8]) -> Result<(), KeyError> {
        let named = Reader::new(signature).text().map_err(|_| KeyError::SignatureInvalid)?;
        if named != self.algorithm.as_str() {
            return Err(KeyError::SignatureAlgorithm);
        }
        self.public_key.verify(&self.signed_bytes(), signature)
    }

    pub fn session_id(&self) -> &[u8] {
        &self.session_id
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub const fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }

    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// What is presented in place of the key.
    pub const fn certificate(&self) -> Option<&Certificate> {
        self.certificate.as_ref()
    }

    /// The server's host key, in the host-bound form.
    pub const fn host_key(&self) -> Option<&PublicKey> {
        self.host_key.as_ref()
    }
}
