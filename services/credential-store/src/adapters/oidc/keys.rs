//! The keys by which a provider signs: kept for a while, asked for anew when one is unknown.
//!
//! Invariants: a provider is asked at most once in `key_refetch`, whatever strangers send; a key that the provider
//! published no more is not used longer than `key_cache`; with the provider away the last keys go on for [`STALE`].

use super::config::Settings;
use super::http::{Fetch, Source};
use jsonwebtoken::jwk::{AlgorithmParameters, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use keywright_domain::clock::Instant;
use serde::Deserialize;
use std::str::FromStr;
use std::time::Duration;
use tokio::sync::Mutex;

/// What a token may be signed by: nothing that its receiver could make himself.
pub const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// How long keys are used beyond their time while the provider does not answer; no token lives much longer.
const STALE: Duration = Duration::from_secs(3600);
const MAX_KEYS: usize = 100;

#[derive(Clone)]
pub struct Key {
    id: Option<String>,
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

impl Key {
    /// A published key, if it can verify a signature.
    pub fn parse(value: &serde_json::Value) -> Option<Self> {
        let jwk = Jwk::deserialize(value).ok()?;
        let asymmetric = matches!(
            jwk.algorithm,
            AlgorithmParameters::RSA(_)
                | AlgorithmParameters::EllipticCurve(_)
                | AlgorithmParameters::OctetKeyPair(_)
        );
        let signs = jwk.common.public_key_use.as_ref().is_none_or(|usage| *usage == PublicKeyUse::Signature);
        let algorithm = match jwk.common.key_algorithm {
            None => None,
            Some(named) => {
                Some(Algorithm::from_str(&named.to_string()).ok().filter(|a| ALGORITHMS.contains(a))?)
            }
        };
        let key = DecodingKey::from_jwk(&jwk).ok().filter(|_| asymmetric && signs)?;
        Some(Self { id: jwk.common.key_id, algorithm, key })
    }

    fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        id.is_none_or(|id| self.id.as_deref() == Some(id))
            && self.algorithm.is_none_or(|own| own == algorithm)
            && self.key.family().algorithms().contains(&algorithm)
    }
}

/// Why there is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoKey {
    /// The provider publishes none that fits.
    Unknown,
    /// The provider does not answer.
    Unavailable,
}

#[derive(Default)]
struct Cache {
    keys: Vec<Key>,
    fetched: Option<Instant>,
    asked: Option<Instant>,
    failed: bool,
}

impl Cache {
    /// By its id, or, for a token that names none, the only one that fits.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(id, algorithm));
        let found = fitting.next()?;
        if id.is_none() && fitting.next().is_some() { None } else { Some(found) }
    }

    fn must_ask(&self, id: Option<&str>, algorithm: Algorithm, now: Instant, settings: &Settings) -> bool {
        let lately = self.asked.is_some_and(|at| now < at.plus(settings.key_refetch));
        let old = self.fetched.is_none_or(|at| now >= at.plus(settings.key_cache));
        !lately && (old || self.find(id, algorithm).is_none())
    }

    fn answered(&mut self, answer: Option<Vec<Key>>, now: Instant) {
        self.failed = answer.is_none();
        if let Some(keys) = answer {
            self.keys = keys;
            self.fetched = Some(now);
        }
    }

    fn answer(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Instant,
        settings: &Settings,
    ) -> Result<DecodingKey, NoKey> {
        // Beyond `key_cache` it was asked again above, or lately and in vain.
        let usable = self.fetched.is_some_and(|at| now < at.plus(settings.key_cache).plus(STALE));
        match self.find(id, algorithm).filter(|_| usable) {
            Some(key) => Ok(key.key.clone()),
            None if self.failed || !usable => Err(NoKey::Unavailable),
            None => Err(NoKey::Unknown),
        }
    }
}

pub struct Keys {
    source: Source,
    cache: Mutex<Cache>,
}

impl Keys {
    pub fn new(source: Source) -> Self {
        Self { source, cache: Mutex::default() }
    }

    /// The key for a token; asks the provider where that is due. Whoever comes meanwhile waits for the same answer.
    pub async fn get(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Instant,
        settings: &Settings,
    ) -> Result<DecodingKey, NoKey> {
        let mut cache = self.cache.lock().await;
        if cache.must_ask(id, algorithm, now, settings) {
            // Noted first: whoever asks and goes away has asked.
            cache.asked = Some(now);
            let answer = match self.source.keys(&settings.issuer).await {
                Ok(keys) => Some(keys.iter().take(MAX_KEYS).filter_map(Key::parse).collect()),
                Err(Fetch(why)) => {
                    tracing::warn!(provider = settings.name, why, "an identity provider gave no keys");
                    None
                }
            };
            cache.answered(answer, now);
        }
        cache.answer(id, algorithm, now, settings)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{ed25519, settings};
    use super::*;
    use serde_json::json;

    const AT: fn(i64) -> Instant = Instant::from_secs;

    fn key(id: &str) -> Key {
        Key::parse(&ed25519(id).1).unwrap()
    }

    fn answered(cache: &mut Cache, answer: Option<Vec<Key>>, now: Instant) {
        cache.asked = Some(now);
        cache.answered(answer, now);
    }

    fn get(cache: &Cache, id: &str, at: i64) -> Result<(), NoKey> {
        cache.answer(Some(id), Algorithm::EdDSA, AT(at), &settings()).map(drop)
    }

    fn must_ask(cache: &Cache, id: &str, at: i64) -> bool {
        cache.must_ask(Some(id), Algorithm::EdDSA, AT(at), &settings())
    }

    #[test]
    fn a_flood_of_unknown_keys_buys_one_question_in_ten_seconds() {
        let mut cache = Cache::default();
        assert!(must_ask(&cache, "a", 1000));
        answered(&mut cache, Some(vec![key("a")]), AT(1000));
        assert!((0..600).all(|passed| !must_ask(&cache, "a", 1000 + passed)), "a known key is not asked for");
        assert!((0..10).all(|passed| !must_ask(&cache, "unknown", 1000 + passed)));
        assert!(must_ask(&cache, "unknown", 1010));
        assert_eq!(get(&cache, "unknown", 1005), Err(NoKey::Unknown));
    }

    #[test]
    fn a_key_that_is_gone_stops_when_its_time_is_over() {
        let mut cache = Cache::default();
        answered(&mut cache, Some(vec![key("old")]), AT(1000));
        assert!(!must_ask(&cache, "old", 1599) && must_ask(&cache, "old", 1600));
        answered(&mut cache, Some(vec![key("new")]), AT(1600));
        assert_eq!((get(&cache, "old", 1600), get(&cache, "new", 1600)), (Err(NoKey::Unknown), Ok(())));
    }

    #[test]
    fn the_last_keys_go_on_without_the_provider_for_an_hour() {
        let mut cache = Cache::default();
        answered(&mut cache, None, AT(900));
        assert_eq!(get(&cache, "a", 900), Err(NoKey::Unavailable));
        answered(&mut cache, Some(vec![key("a")]), AT(1000));
        answered(&mut cache, None, AT(1600));
        assert_eq!(get(&cache, "a", 1600), Ok(()));
        assert_eq!(get(&cache, "b", 1600), Err(NoKey::Unavailable), "it may be a new one");
        assert_eq!(get(&cache, "a", 1600 + 3599), Ok(()));
        assert_eq!(get(&cache, "a", 1600 + 3600), Err(NoKey::Unavailable));
    }

    #[test]
    fn only_keys_that_verify_signatures_are_taken() {
        let (_, good) = ed25519("a");
        let with = |name: &str, value: &str| {
            let mut jwk = good.clone();
            jwk[name] = json!(value);
            jwk
        };
        assert!(Key::parse(&good).is_some() && Key::parse(&with("use", "sig")).is_some());
        for bad in [
            with("use", "enc"),
            with("alg", "HS256"),
            with("alg", "RSA-OAEP"),
            json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}),
            json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"}),
            json!({"kty": "unheard", "kid": "a"}),
            json!("a"),
        ] {
            assert!(Key::parse(&bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_token_that_names_no_key_needs_that_there_is_one() {
        let mut cache = Cache::default();
        let find = |cache: &Cache| cache.find(None, Algorithm::EdDSA).is_some();
        answered(&mut cache, Some(vec![key("a")]), AT(1));
        assert!(find(&cache) && cache.find(None, Algorithm::RS256).is_none());
        answered(&mut cache, Some(vec![key("a"), key("b")]), AT(2));
        assert!(!find(&cache));
    }

    #[tokio::test]
    async fn whoever_asks_and_goes_away_has_asked() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let source = Source::new(&reqwest::Url::parse(&issuer).unwrap(), None).unwrap();
        let (keys, settings) = (Keys::new(source), Settings { issuer, ..settings() });
        let ask = |at| {
            let answer = keys.get(Some("a"), Algorithm::EdDSA, AT(at), &settings);
            async { answer.await.map(drop) }
        };
        tokio::select! {
            answer = ask(1000) => panic!("the provider said nothing, but: {answer:?}"),
            connection = listener.accept() => drop(connection),
        }
        assert_eq!(ask(1001).await, Err(NoKey::Unavailable));
        assert!(listener.into_std().unwrap().accept().is_err(), "the provider was asked again");
    }
}
