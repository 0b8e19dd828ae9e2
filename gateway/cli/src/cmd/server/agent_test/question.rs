//! What Keywright asks to have signed, and whether it is what the user wants.
//!
//! Invariant: what the agent signs is built here, from the user's own key and name; of Keywright's words only those go in
//! that a host which the user expects has signed itself.

use data_encoding::BASE64;
use keywright_domain::key::{Certificate, PublicKey, SignatureAlgorithm, UserauthRequest};
use serde_json::Value;

use crate::cmd::agent::wire::Bind;
use crate::error::{CliError, Result};
use crate::fields;

/// What the user wants to log in with, and where.
pub struct Login {
    pub key: PublicKey,
    pub username: String,
    /// Fingerprints of host keys.
    pub host_keys: Vec<String>,
}

/// A login that may be signed.
#[derive(Debug)]
pub struct Question {
    pub login: UserauthRequest,
    /// In wire form, as the host signed it.
    host_key: Vec<u8>,
    host_signature: Vec<u8>,
}

/// The id under which the answer is expected.
pub fn request_id(asked: &Value) -> &str {
    fields::text(asked, "/requestId")
}

impl Question {
    /// # Errors
    /// `Refused`, saying why, where it is another login than the wanted one.
    pub fn read(asked: &Value, wanted: &Login) -> Result<Self> {
        judge(asked, wanted).map_err(|why| {
            CliError::Refused(format!("{why}; nothing was signed. Tell whoever runs Keywright"))
        })
    }

    /// For the agent.
    pub fn bind(&self) -> Bind {
        Bind {
            host_key: self.host_key.clone(),
            session_id: self.login.session_id().to_vec(),
            signature: self.host_signature.clone(),
            forwarding: false,
        }
    }
}

fn judge(asked: &Value, wanted: &Login) -> std::result::Result<Question, String> {
    if fields::text(asked, "/publicKey") != wanted.key.openssh() {
        return Err("Keywright asked for a signature by another key".to_owned());
    }
    if fields::text(asked, "/username") != wanted.username {
        return Err("Keywright asked for a login as another user".to_owned());
    }
    let bytes = |pointer| BASE64.decode(fields::text(asked, pointer).as_bytes()).unwrap_or_default();
    let (session_id, host_key, host_signature) =
        (bytes("/sessionId"), bytes("/hostKey"), bytes("/hostSignature"));
    let host = host_of(&host_key).ok_or("the host's key is of a kind that cannot be judged")?;
    let shown = host.fingerprint();
    if !wanted.host_keys.iter().any(|expected| expected == shown.as_str()) {
        let what = "the server's host key is none of those that you expect";
        return Err(format!("{what} ({shown}; a certificate is not enough here)"));
    }
    host.verify(&session_id, &host_signature)
        .map_err(|_| "the host did not sign this session: it is not the one that Keywright says")?;
    let algorithm = SignatureAlgorithm::parse(fields::text(asked, "/algorithm"))
        .map_err(|_| "Keywright asked for a signature of an unknown algorithm")?;
    let login = UserauthRequest::new(session_id, wanted.username.clone(), algorithm, wanted.key.clone());
    let login = login.map_err(|_| "Keywright asked for a signature that is none of a login")?;
    Ok(Question { login, host_key, host_signature })
}

/// The key that a host shows, by itself or in a certificate.
fn host_of(blob: &[u8]) -> Option<PublicKey> {
    let certified = || Certificate::from_blob(blob).map(|certificate| certificate.public_key().clone());
    PublicKey::from_blob(blob).or_else(|_| certified()).ok()
}

#[cfg(test)]
mod tests {
    use keywright_domain::key::{GenerateSpec, PrivateKey};
    use serde_json::json;

    use super::*;

    const SESSION: [u8; 32] = [7; 32];

    fn key() -> PrivateKey {
        PrivateKey::generate(GenerateSpec::Ed25519).unwrap()
    }

    fn wanted(key: &PrivateKey, host: &PrivateKey) -> Login {
        let host_keys = vec![host.public().fingerprint().to_string()];
        Login { key: key.public().clone(), username: "me".into(), host_keys }
    }

    fn asked(key: &PrivateKey, host: &PrivateKey) -> Value {
        let signature = host.sign(host.algorithm().default_signature(), &SESSION).unwrap();
        json!({
            "requestId": "sigreq_1", "sessionId": BASE64.encode(&SESSION), "username": "me", "algorithm": "ssh-ed25519",
            "publicKey": key.public().openssh(), "hostKey": BASE64.encode(host.public().blob()),
            "hostSignature": BASE64.encode(&signature),
        })
    }

    #[test]
    fn the_wanted_login_is_built_from_the_users_own_words() {
        let (key, host) = (key(), key());
        let question = Question::read(&asked(&key, &host), &wanted(&key, &host)).unwrap();
        let login = UserauthRequest::new(
            SESSION.to_vec(),
            "me".into(),
            SignatureAlgorithm::Ed25519,
            key.public().clone(),
        );
        assert_eq!(question.login, login.unwrap());
        let bind = question.bind();
        assert_eq!((bind.host_key.as_slice(), bind.forwarding), (host.public().blob(), false));
        host.public().verify(&bind.session_id, &bind.signature).unwrap();
    }

    #[test]
    fn any_other_login_is_refused() {
        let (mine, host, other) = (key(), key(), key());
        let good = asked(&mine, &host);
        let with = |name: &str, value: Value| {
            let mut asked = good.clone();
            asked[name] = value;
            asked
        };
        let stranger = asked(&mine, &other);
        let cases = [
            (with("publicKey", json!(other.public().openssh())), "another key"),
            (with("username", json!("root")), "another user"),
            (stranger.clone(), "none of those that you expect"),
            (with("hostSignature", stranger["hostSignature"].clone()), "did not sign this session"),
            (with("sessionId", json!(BASE64.encode(&[8; 32]))), "did not sign this session"),
            (with("hostKey", json!("")), "cannot be judged"),
            (with("algorithm", json!("ssh-rsa")), "unknown algorithm"),
            (with("algorithm", json!("rsa-sha2-256")), "none of a login"),
            (json!({}), "another key"),
        ];
        for (asked, why) in cases {
            let refused = Question::read(&asked, &wanted(&mine, &host)).unwrap_err();
            assert!(matches!(&refused, CliError::Refused(said) if said.contains(why)), "{why}: {refused}");
        }
    }
}
