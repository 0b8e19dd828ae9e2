//! C2SP signed-note with Ed25519: a text, an empty line, and a line for each signature.

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use data_encoding::{BASE64, HEXLOWER};
use std::fmt;

/// The signature type of Ed25519.
const ALGORITHM: u8 = 1;

/// No checkpoint comes near this, in bytes.
const LARGEST: usize = 65_536;

/// Why a note is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("this is not a signed note")]
    Malformed,
    #[error("the signature of {0} does not verify")]
    Forged(String),
    #[error("no signature is by a key that was given")]
    UnknownKeys,
    #[error("a verifier key is written <name>+<key id>+<base64>; this is none, or its key id is not its own")]
    Key,
    #[error("the private key cannot be used")]
    PrivateKey,
}

/// A public key with the name it signs under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: [u8; 32],
}

impl VerifierKey {
    fn new(name: &str, key: [u8; 32]) -> Result<Self, NoteError> {
        if !is_name(name) {
            return Err(NoteError::Key);
        }
        Ok(Self { name: name.to_owned(), id: key_id(name, &key), key })
    }

    /// `<name>+<key id>+<base64 of the type and the key>`.
    pub fn parse(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key);
        };
        let bytes = BASE64.decode(key.as_bytes()).map_err(|_| NoteError::Key)?;
        let Some((&ALGORITHM, key)) = bytes.split_first() else { return Err(NoteError::Key) };
        let key = Self::new(name, key.try_into().map_err(|_| NoteError::Key)?)?;
        if HEXLOWER.encode(&key.id) == id { Ok(key) } else { Err(NoteError::Key) }
    }

    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typed = [&[ALGORITHM][..], &self.key].concat();
        write!(f, "{}+{}+{}", self.name, HEXLOWER.encode(&self.id), BASE64.encode(&typed))
    }
}

/// A private key with the name it signs under. Its `Debug` shows the public one.
pub struct Signer {
    pair: Ed25519KeyPair,
    verifier: VerifierKey,
}

impl Signer {
    /// `pkcs8` is the key's PKCS#8 in DER.
    pub fn new(name: &str, pkcs8: &[u8]) -> Result<Self, NoteError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| NoteError::PrivateKey)?;
        let key = pair.public_key().as_ref().try_into().map_err(|_| NoteError::PrivateKey)?;
        let verifier = VerifierKey::new(name, key)?;
        Ok(Self { pair, verifier })
    }

    pub fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.verifier, f)
    }
}

/// `text` ends with a line break.
pub fn sign(text: &str, signers: &[Signer]) -> String {
    let mut note = format!("{text}\n");
    for Signer { pair, verifier } in signers {
        let signature = [&verifier.id[..], pair.sign(text.as_bytes()).as_ref()].concat();
        note.push_str(&format!("— {} {}\n", verifier.name, BASE64.encode(&signature)));
    }
    note
}

/// The text of a note that one at least of `keys` has signed. A signature by an unknown key says nothing; a wrong one by a
/// known key is a forgery.
pub fn open<'n>(note: &'n str, keys: &[VerifierKey]) -> Result<&'n str, NoteError> {
    let stray = |c: char| c.is_control() && c != '\n';
    if note.len() > LARGEST || note.contains(stray) {
        return Err(NoteError::Malformed);
    }
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, signatures) = note.split_at(split.saturating_add(1));
    let lines = signatures.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
    let mut is_signed = false;
    for line in lines.ok_or(NoteError::Malformed)?.split('\n') {
        let (name, signature) =
            line.strip_prefix("— ").and_then(|line| line.split_once(' ')).ok_or(NoteError::Malformed)?;
        let bytes = BASE64.decode(signature.as_bytes()).map_err(|_| NoteError::Malformed)?;
        let (id, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
        if !is_name(name) || signature.is_empty() {
            return Err(NoteError::Malformed);
        }
        let Some(key) = keys.iter().find(|key| key.name == name && key.id == *id) else { continue };
        let verified = UnparsedPublicKey::new(&ED25519, key.key).verify(text.as_bytes(), signature);
        verified.map_err(|_| NoteError::Forged(name.to_owned()))?;
        is_signed = true;
    }
    if is_signed { Ok(text) } else { Err(NoteError::UnknownKeys) }
}

/// Neither empty nor with a space, and no plus.
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '+')
}

fn key_id(name: &str, key: &[u8; 32]) -> [u8; 4] {
    let mut context = Context::new(&SHA256);
    for part in [name.as_bytes(), b"\n", &[ALGORITHM], key] {
        context.update(part);
    }
    context.finish().as_ref().first_chunk::<4>().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A verifier key and a note of the C2SP text's reference implementation (golang.org/x/mod/sumdb/note).
    const GO_KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    fn signer(name: &str) -> Signer {
        let pair = Ed25519KeyPair::generate().unwrap();
        Signer::new(name, pair.to_pkcs8v1().unwrap().as_ref()).unwrap()
    }

    #[test]
    fn a_note_of_another_implementation_is_believed() {
        let key = VerifierKey::parse(GO_KEY).unwrap();
        assert_eq!(key.to_string(), GO_KEY);
        assert!(open(GO_NOTE, std::slice::from_ref(&key)).unwrap().starts_with("If you think"));
        let changed = GO_NOTE.replace("your problem is", "your problem was");
        assert_eq!(open(&changed, &[key]), Err(NoteError::Forged("PeterNeumann".to_owned())));
    }

    #[test]
    fn one_known_signature_is_enough_and_one_forged_is_too_many() {
        let (old, new, strange) = (signer("log"), signer("log"), signer("log"));
        let known = [old.verifier().clone(), new.verifier().clone()];
        let text = "log\n1\nx\n";
        let both = sign(text, &[new, old]);
        assert_eq!(open(&both, &known), Ok(text));
        assert_eq!(open(&both, &known[..1]), Ok(text));
        assert_eq!(open(&sign(text, &[strange]), &known), Err(NoteError::UnknownKeys));
        let other = both.replace("log\n1", "log\n2");
        assert_eq!(open(&other, &known), Err(NoteError::Forged("log".to_owned())));
    }

    #[test]
    fn what_is_no_note_or_key_is_refused() {
        let log = signer("log");
        let good = log.verifier().to_string();
        let note = sign("text\n", &[log]);
        let key = [VerifierKey::parse(&good).unwrap()];
        for bad in [
            "",
            "\n\n",
            "text\n",
            note.trim_end(),
            &note.replace("\n\n", "\n"),
            &note.replace("— ", "- "),
            &format!("{note}\n"),
            &note.replace("text", "te\u{0}xt"),
            &note.replace("log ", "log  "),
            "text\n\n— log AAAA\n",
        ] {
            assert_eq!(open(bad, &key), Err(NoteError::Malformed), "{bad:?}");
        }
        let (name, rest) = good.split_once('+').unwrap();
        for bad in ["", "log", name, &format!("gol+{rest}"), &good.replace("+A", "+B"), &format!("{good}A")] {
            assert_eq!(VerifierKey::parse(bad), Err(NoteError::Key), "{bad:?}");
        }
    }
}
