//! Tests with a key that stays with the caller: what he sends of it, and what he is asked.

use crate::dialogue::{Asking, CallersKey, Question, Refusal};
use crate::tester::login_name;
use keywright_domain::key::PublicKey;
use keywright_proto::probe as proto;
use keywright_runtime::audit::timestamp;
use keywright_runtime::failure::Failure;

pub fn callers_key(key: Option<proto::CallersKey>, asking: Asking) -> Result<CallersKey, Failure> {
    let key = key.ok_or_else(|| Failure::violation("key", "is missing"))?;
    if key.public_key.is_empty() {
        return Err(Failure::violation("key.publicKey", "is missing"));
    }
    let public_key = PublicKey::parse_openssh(&key.public_key)
        .map_err(|error| Failure::new(error.reason(), format!("The public key cannot be used: {error}.")))?;
    let username = login_name("key.username", &key.username)?;
    Ok(CallersKey { public_key, username, asking })
}

pub fn refusal(refusal: proto::SignatureRefusal) -> Option<Refusal> {
    match refusal {
        proto::SignatureRefusal::Unspecified => None,
        proto::SignatureRefusal::Declined => Some(Refusal::Declined),
        proto::SignatureRefusal::Unexpected => Some(Refusal::Unexpected),
    }
}

pub fn encode_question(question: Question) -> proto::SignatureWanted {
    let Question { id, login, host, port, proof, expires_at } = question;
    proto::SignatureWanted {
        request_id: id.to_string(),
        session_id: login.session_id().to_vec(),
        username: login.user().to_owned(),
        algorithm: login.algorithm().as_str().to_owned(),
        public_key: login.public_key().openssh(),
        host: host.to_string(),
        port: i32::from(port.get()),
        host_key: proof.host_key,
        host_signature: proof.signature,
        expires_at: Some(timestamp(expires_at)),
    }
}
