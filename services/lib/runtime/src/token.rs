//! The three kinds of Ed25519 JWT: a user's token, the 60-second token for one audience that it is exchanged for, and
//! the proof by which a service of Keywright shows who it is.

use crate::keys::{ISSUER, PublicKeys, SigningKey};
use jsonwebtoken::{Algorithm, Header, Validation};
use keywright_domain::caller::{Caller, Principal, PrincipalKind, Role, ServiceName};
use keywright_domain::clock::{Clock, Instant};
use keywright_domain::ids::{TenantId, TokenId};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// The audience of a user's token: the installation as a whole.
pub const USER_AUDIENCE: &str = "keywright";

/// How long an exchanged token or a service's proof is good.
pub const SHORT_LIVED: Duration = Duration::from_secs(60);

/// Clocks of processes may differ by this much.
const LEEWAY: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Claims {
    /// Who signed: `issuer`, or a service's name.
    pub iss: String,
    /// The principal.
    pub sub: String,
    pub aud: String,
    /// Seconds since the epoch.
    pub exp: i64,
    pub iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The service that acts for the principal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_ip: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// The client certificate of the connection that the request came over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// When the identity service saw that the token behind it holds: microseconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched_at: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid here")]
pub struct BadToken;

/// Signs under one name.
#[derive(Clone)]
pub struct Signer {
    key: SigningKey,
    clock: Clock,
    /// The last proof for each audience, with when it was made: good for several calls.
    proofs: Arc<Mutex<HashMap<&'static str, (Instant, String)>>>,
}

impl Signer {
    pub fn new(key: SigningKey, clock: Clock) -> Self {
        Self { key, clock, proofs: Arc::default() }
    }

    pub fn name(&self) -> &str {
        &self.key.name
    }

    /// A user's token. Its role and tenant stand in the store, not in it: a revocation or a change holds at once.
    pub fn user_token(&self, id: &TokenId, principal: &str, expires: Instant) -> Result<String, BadToken> {
        let mut claims = self.claims(principal, USER_AUDIENCE, expires);
        claims.jti = Some(id.to_string());
        self.sign(&claims)
    }

    /// The exchanged token: `caller`, as the issuer knows it, for one audience.
    pub fn exchanged(
        &self,
        caller: &Caller,
        acting: ServiceName,
        audience: ServiceName,
    ) -> Result<String, BadToken> {
        let expires = self.clock.now().plus(SHORT_LIVED);
        let mut claims = self.claims(&caller.principal.id, audience.as_str(), expires);
        claims.jti = caller.principal.token.as_ref().map(ToString::to_string);
        claims.act = Some(acting.as_str().to_owned());
        claims.kind = Some(caller.principal.kind.as_str().to_owned());
        claims.role = Some(caller.principal.role.as_str().to_owned());
        claims.tenant = caller.principal.tenant.as_ref().map(ToString::to_string);
        claims.permissions = caller.principal.permissions.clone();
        claims.work = caller.principal.work.clone();
        claims.request_id = Some(caller.request_id.clone());
        claims.source_ip = Some(caller.source_ip.clone());
        claims.user_agent = Some(caller.user_agent.clone());
        claims.vouched_at = Some(caller.vouched_at.micros());
        claims.certificate = Some(caller.client_certificate.clone()).filter(|it| !it.is_empty());
        self.sign(&claims)
    }

    /// This service's own proof for `audience`, with the work that it does in the background, if any. One without is
    /// used again for half of its life.
    pub fn proof(&self, audience: ServiceName, work: Option<&str>) -> Result<String, BadToken> {
        let now = self.clock.now();
        let mut claims = self.claims(self.name(), audience.as_str(), now.plus(SHORT_LIVED));
        claims.work = work.map(ToOwned::to_owned);
        if claims.work.is_some() {
            return self.sign(&claims);
        }
        let is_good = |made: Instant| made <= now && now < made.plus(SHORT_LIVED / 2);
        let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, proof)) = proofs.get(audience.as_str()).filter(|(made, _)| is_good(*made)) {
            return Ok(proof.clone());
        }
        let proof = self.sign(&claims)?;
        proofs.insert(audience.as_str(), (now, proof.clone()));
        Ok(proof)
    }

    fn claims(&self, subject: &str, audience: &str, expires: Instant) -> Claims {
        Claims {
            iss: self.key.name.clone(),
            sub: subject.to_owned(),
            aud: audience.to_owned(),
            exp: expires.secs(),
            iat: self.clock.now().secs(),
            jti: None,
            act: None,
            kind: None,
            role: None,
            tenant: None,
            permissions: Vec::new(),
            work: None,
            request_id: None,
            source_ip: None,
            user_agent: None,
            certificate: None,
            vouched_at: None,
        }
    }

    fn sign(&self, claims: &Claims) -> Result<String, BadToken> {
        jsonwebtoken::encode(&Header::new(Algorithm::EdDSA), claims, &self.key.key).map_err(|_| BadToken)
    }
}

/// What a token turned out to be.
#[derive(Debug, Clone)]
pub enum Verified {
    /// A user's token: to be exchanged before anything else.
    User { token: TokenId, principal: String },
    /// An exchanged token for this audience: the caller.
    Exchanged(Box<Caller>),
    /// Another service of Keywright, for itself.
    Service(Box<Caller>),
}

/// Verifies tokens that reach one service.
#[derive(Clone)]
pub struct Verifier {
    keys: PublicKeys,
    own: ServiceName,
    clock: Clock,
    /// What services' proofs say whose signatures were found good: one comes with many calls.
    proofs: Arc<Mutex<HashMap<String, Claims>>>,
}

/// Proofs that are remembered at once: each service has a new one every half minute.
const REMEMBERED: usize = 64;

impl Verifier {
    pub(crate) fn clock(&self) -> &Clock {
        &self.clock
    }

    pub fn new(keys: PublicKeys, own: ServiceName, clock: Clock) -> Self {
        Self { keys, own, clock, proofs: Arc::default() }
    }

    /// Verifies a token that names this service, or the installation, as its audience.
    pub fn verify(&self, token: &str) -> Result<Verified, BadToken> {
        self.verify_for(token, self.own)
    }

    /// The same for a token that was made for `audience`: how the exchange looks at the token that another service
    /// received.
    pub fn verify_for(&self, token: &str, audience: ServiceName) -> Result<Verified, BadToken> {
        let claims = self.signed(token, audience)?;
        let now = self.clock.now();
        // A user's token outlives what a clock that is set back undoes, and is looked up in the store before anything
        // else: when it was signed says nothing of whether it holds.
        let from_the_future =
            claims.aud != USER_AUDIENCE && Instant::from_secs(claims.iat) > now.plus(LEEWAY);
        if Instant::from_secs(claims.exp) <= now.minus(LEEWAY) || from_the_future {
            return Err(BadToken);
        }
        if claims.iss != ISSUER {
            return service(claims).ok_or(BadToken);
        }
        if claims.aud == USER_AUDIENCE {
            let token = claims.jti.as_deref().and_then(|jti| TokenId::parse(jti).ok()).ok_or(BadToken)?;
            return Ok(Verified::User { token, principal: claims.sub });
        }
        exchanged(claims).ok_or(BadToken)
    }

    /// What is said by a token that is signed, and for this audience; whether it still holds is another question.
    fn signed(&self, token: &str, audience: ServiceName) -> Result<Claims, BadToken> {
        if let Some(claims) = self.proofs.lock().unwrap_or_else(PoisonError::into_inner).get(token) {
            return if claims.aud == audience.as_str() { Ok(claims.clone()) } else { Err(BadToken) };
        }
        let unverified =
            jsonwebtoken::dangerous::insecure_decode::<Claims>(token).map_err(|_| BadToken)?.claims;
        let key = self.keys.keys.get(&unverified.iss).ok_or(BadToken)?;
        let mut validation = Validation::new(Algorithm::EdDSA);
        // Time is compared with our own clock by whoever asks.
        validation.validate_exp = false;
        validation.set_audience(&[audience.as_str(), USER_AUDIENCE]);
        let claims = jsonwebtoken::decode::<Claims>(token, key, &validation).map_err(|_| BadToken)?.claims;
        if claims.iss != ISSUER && claims.work.is_none() && claims.aud == audience.as_str() {
            let mut proofs = self.proofs.lock().unwrap_or_else(PoisonError::into_inner);
            if proofs.len() >= REMEMBERED {
                proofs.clear();
            }
            proofs.insert(token.to_owned(), claims.clone());
        }
        Ok(claims)
    }
}

fn service(claims: Claims) -> Option<Verified> {
    let name = ServiceName::parse(&claims.iss)?;
    if claims.aud == USER_AUDIENCE || claims.sub != claims.iss {
        return None;
    }
    let work = claims.work.unwrap_or_default();
    let mut caller = Caller::background(name, &work);
    if work.is_empty() {
        caller.principal.work = None;
    }
    Some(Verified::Service(Box::new(caller)))
}

fn exchanged(claims: Claims) -> Option<Verified> {
    let tenant = claims.tenant.as_deref().map(TenantId::parse).transpose().ok()?;
    let principal = Principal {
        id: claims.sub,
        kind: PrincipalKind::parse(claims.kind.as_deref()?)?,
        role: Role::parse(claims.role.as_deref()?)?,
        tenant,
        permissions: claims.permissions,
        token: claims.jti.as_deref().and_then(|jti| TokenId::parse(jti).ok()),
        work: claims.work,
    };
    Some(Verified::Exchanged(Box::new(Caller {
        principal,
        acting: Some(ServiceName::parse(claims.act.as_deref()?)?),
        request_id: claims.request_id.unwrap_or_default(),
        trace_id: String::new(),
        source_ip: claims.source_ip.unwrap_or_default(),
        user_agent: claims.user_agent.unwrap_or_default(),
        client_certificate: claims.certificate.unwrap_or_default(),
        vouched_at: Instant::from_micros(claims.vouched_at.unwrap_or_default()),
        bearer: None,
    })))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use std::sync::atomic::{AtomicI64, Ordering};

    const STORE: ServiceName = ServiceName::CredentialStore;

    #[test]
    fn a_proof_is_used_again_while_half_of_its_life_is_left_and_never_after_its_end() {
        let folder = tempfile::tempdir().unwrap();
        keys::create_all(folder.path()).unwrap();
        let time = Arc::new(AtomicI64::new(1_700_000_000_000_000));
        let clock = Clock::Manual(time.clone());
        let pass = |seconds: i64| time.fetch_add(seconds * 1_000_000, Ordering::SeqCst);
        let key = keys::signing_key(folder.path(), ServiceName::Gateway.as_str()).unwrap();
        let signer = Signer::new(key, clock.clone());
        let verifier = |own| Verifier::new(keys::public_keys(folder.path()).unwrap(), own, clock.clone());
        let (store, log) = (verifier(STORE), verifier(ServiceName::Audit));
        let first = signer.proof(STORE, None).unwrap();
        pass(29);
        assert_eq!(signer.proof(STORE, None).unwrap(), first);
        assert_ne!(signer.proof(ServiceName::Audit, None).unwrap(), first);
        let Verified::Service(caller) = store.verify(&first).unwrap() else { panic!("a service's proof") };
        assert_eq!(caller.principal.work, None);
        pass(1);
        let second = signer.proof(STORE, None).unwrap();
        assert_ne!(second, first);
        // Remembered or not: another audience and another text are refused, and so is one that is over.
        for _ in 0..2 {
            assert!(store.verify(&second).is_ok() && log.verify(&second).is_err());
            assert!(store.verify_for(&second, ServiceName::Audit).is_err());
            assert!(store.verify(&second.replace('.', "..")).is_err());
            assert!(store.verify(&second[..second.len() - 2]).is_err());
        }
        pass(36);
        assert!(store.verify(&first).is_err() && store.verify(&second).is_ok());
        // A clock that is set back finds one from the future: it makes another.
        pass(-120);
        assert!(store.verify(&second).is_err());
        assert!(store.verify(&signer.proof(STORE, None).unwrap()).is_ok());
        // Work in the background is named in a proof of its own.
        let of_work = signer.proof(STORE, Some("rot_1")).unwrap();
        let Verified::Service(caller) = store.verify(&of_work).unwrap() else { panic!("a service's proof") };
        assert_eq!(caller.principal.work.as_deref(), Some("rot_1"));
    }
}
