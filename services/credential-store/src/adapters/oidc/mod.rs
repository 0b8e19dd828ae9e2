//! OpenID Connect providers that the operator configured: is this ID token theirs, and what does it say?
//!
//! `config` the operator's file, `http` the questions to a provider, `keys` what it signs by, `token` the claims.
//! Invariant: a token counts only by a signature under a key that its own issuer published.

pub mod config;
mod http;
mod keys;
mod token;

#[cfg(test)]
mod testing;

use crate::domain::login::Claims;
use aws_lc_rs::digest::{SHA256, digest};
use config::{ConfigError, Settings};
use data_encoding::HEXLOWER;
use jsonwebtoken::Validation;
use keys::{Keys, NoKey};
use keywright_domain::clock::Instant;
use std::path::Path;
use std::sync::Arc;

/// The configured providers; none without a configuration.
#[derive(Clone, Default)]
pub struct Providers(Arc<Vec<Provider>>);

struct Provider {
    settings: Settings,
    keys: Keys,
}

/// A verified ID token.
pub struct Proven<'a> {
    pub provider: &'a Settings,
    pub subject: String,
    pub claims: Claims,
    /// When it is worth nothing any more, the clock skew included.
    pub ends: Instant,
    /// SHA-256 of what was signed: the same for every spelling of its signature.
    pub digest: String,
}

/// Why a token counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    Invalid(&'static str),
    /// The provider of this name does not answer, so that nobody can tell.
    Unavailable(String),
}

impl Providers {
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::new(config::load(path)?).map_err(|detail| ConfigError::Wrong { path: path.to_owned(), detail })
    }

    fn new(all: Vec<Settings>) -> Result<Self, String> {
        let provider = |settings: Settings| {
            let wrong = |why: &dyn std::fmt::Display| format!("provider {:?}: {why}", settings.name);
            let issuer = config::endpoint(&settings.issuer).map_err(|why| wrong(&why))?;
            let source =
                http::Source::new(&issuer, settings.ca_file.as_deref()).map_err(|why| wrong(&why))?;
            Ok(Provider { keys: Keys::new(source), settings })
        };
        Ok(Self(Arc::new(all.into_iter().map(provider).collect::<Result<_, String>>()?)))
    }

    pub fn settings(&self) -> impl Iterator<Item = &Settings> {
        self.0.iter().map(|provider| &provider.settings)
    }

    /// What a token proves. `nonce` is empty where none was sent.
    pub async fn verify(&self, id_token: &str, nonce: &str, now: Instant) -> Result<Proven<'_>, Refusal> {
        let unreadable = || Refusal::Invalid("it is no signed JWT");
        if id_token.len() > token::MAX_TOKEN {
            return Err(Refusal::Invalid("it is larger than 16 KiB"));
        }
        let header = jsonwebtoken::decode_header(id_token).map_err(|_| unreadable())?;
        let (algorithm, key_id) = token::header(&header).map_err(Refusal::Invalid)?;
        // Only to find out whom to ask: nothing else of it is believed before its signature.
        let claimed: Claims =
            jsonwebtoken::dangerous::insecure_decode(id_token).map_err(|_| unreadable())?.claims;
        let issuer = claimed.get("iss").and_then(serde_json::Value::as_str).unwrap_or_default();
        let Provider { settings, keys } = self
            .0
            .iter()
            .find(|provider| provider.settings.issuer == issuer)
            .ok_or(Refusal::Invalid("its issuer is not configured here"))?;
        let key = keys.get(key_id, algorithm, now, settings).await.map_err(|why| match why {
            NoKey::Unknown => Refusal::Invalid("it is not signed by a key that its issuer publishes"),
            NoKey::Unavailable => Refusal::Unavailable(settings.name.clone()),
        })?;
        let mut validation = Validation::new(algorithm);
        // Claims are checked below, with our own clock.
        validation.required_spec_claims.clear();
        validation.validate_exp = false;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(id_token, &key, &validation)
            .map_err(|_| Refusal::Invalid("its signature is wrong"))?
            .claims;
        let (subject, expires) = token::check(&claims, settings, nonce, now).map_err(Refusal::Invalid)?;
        let signed = id_token.rsplit_once('.').map_or(id_token, |(signed, _)| signed);
        let digest = HEXLOWER.encode(digest(&SHA256, signed.as_bytes()).as_ref());
        Ok(Proven { provider: settings, subject, claims, ends: expires.plus(settings.skew), digest })
    }
}
