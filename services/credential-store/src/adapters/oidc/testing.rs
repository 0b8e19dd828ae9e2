//! What the tests of this room share.

use super::config::Settings;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::EncodingKey;
use serde_json::{Value, json};
use std::time::Duration;

pub fn settings() -> Settings {
    Settings {
        name: "acme".to_owned(),
        issuer: "https://login.example".to_owned(),
        client_id: "keywright".to_owned(),
        audiences: vec!["keywright-web".to_owned()],
        scopes: vec!["openid".to_owned()],
        ca_file: None,
        skew: Duration::from_secs(60),
        name_claim: "name".to_owned(),
        lifetime: Duration::from_secs(3600),
        key_cache: Duration::from_secs(600),
        key_refetch: Duration::from_secs(10),
        rules: Vec::new(),
    }
}

/// A key that signs, and how its issuer publishes it.
pub fn ed25519(id: &str) -> (EncodingKey, Value) {
    let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
    let x = BASE64URL_NOPAD.encode(pair.public_key().as_ref());
    let public = json!({"kty": "OKP", "crv": "Ed25519", "kid": id, "x": x});
    (EncodingKey::from_ed_der(document.as_ref()), public)
}
