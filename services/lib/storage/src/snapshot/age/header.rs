//! Who may open a file: its key, wrapped for each recipient, under a code of authentication.

use super::{AgeError, bech32, derive, random};
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::hmac;
use data_encoding::BASE64_NOPAD;
use std::io::BufRead;
use zeroize::Zeroizing;

const VERSION: &str = "age-encryption.org/v1";
const WRAP_INFO: &[u8] = b"age-encryption.org/v1/X25519";
/// Of a wrapped file key: 16 bytes and its tag.
const WRAPPED: usize = 32;
/// A body's line; a shorter one ends it.
const LINE: usize = 64;
/// No header that a person makes is longer.
const LONGEST_HEADER: usize = 1 << 20;

pub type FileKey = Zeroizing<[u8; 16]>;

/// Whom a file is sealed to: `age1…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient {
    text: String,
    key: [u8; 32],
}

impl Recipient {
    pub fn parse(text: &str) -> Result<Self, AgeError> {
        let key = bech32::decode(text, "age").ok_or_else(|| AgeError::Recipient(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), key })
    }

    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Who opens it: `AGE-SECRET-KEY-1…`.
pub struct Identity {
    private: PrivateKey,
    public: [u8; 32],
}

impl Identity {
    /// Every identity of a file as `age-keygen` writes it: one a line, comments begin with `#`.
    pub fn parse_file(text: &[u8]) -> Result<Vec<Self>, AgeError> {
        let text = std::str::from_utf8(text).map_err(|_| AgeError::Identity)?;
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let found = lines.map(Self::parse).collect::<Result<Vec<_>, _>>()?;
        if found.is_empty() { Err(AgeError::Identity) } else { Ok(found) }
    }

    fn parse(text: &str) -> Result<Self, AgeError> {
        let scalar = Zeroizing::new(bech32::decode(text, "AGE-SECRET-KEY-").ok_or(AgeError::Identity)?);
        let private =
            PrivateKey::from_private_key(&X25519, scalar.as_ref()).map_err(|_| AgeError::Identity)?;
        let public = public_of(&private)?;
        Ok(Self { private, public })
    }

    fn unwrap(&self, share: &[u8; 32], body: &[u8]) -> Option<FileKey> {
        let key = wrapping_key(&self.private, share, share, &self.public).ok()?;
        let mut bytes = Zeroizing::new(body.to_vec());
        let plain =
            cipher(&key).ok()?.open_in_place(zero_nonce(), Aad::empty(), bytes.as_mut_slice()).ok()?;
        Some(Zeroizing::new(<[u8; 16]>::try_from(&*plain).ok()?))
    }
}

fn public_of(private: &PrivateKey) -> Result<[u8; 32], AgeError> {
    let public = private.compute_public_key().map_err(|_| AgeError::Random)?;
    public.as_ref().try_into().map_err(|_| AgeError::Random)
}

fn wrapping_key(
    own: &PrivateKey,
    peer: &[u8; 32],
    share: &[u8; 32],
    recipient: &[u8; 32],
) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let salt = [share.as_slice(), recipient.as_slice()].concat();
    agree(own, UnparsedPublicKey::new(&X25519, peer), AgeError::NotForUs, |secret| {
        derive(&salt, secret, WRAP_INFO)
    })
}

pub(super) fn cipher(key: &[u8; 32]) -> Result<LessSafeKey, AgeError> {
    Ok(LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| AgeError::Random)?))
}

/// Each wrapping key is used once.
fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// A new file key and the header that wraps it.
pub fn seal(recipients: &[Recipient]) -> Result<(FileKey, Vec<u8>), AgeError> {
    let file_key = random::<16>()?;
    let mut header = format!("{VERSION}\n");
    for recipient in recipients {
        let own = PrivateKey::generate(&X25519).map_err(|_| AgeError::Random)?;
        let share = public_of(&own)?;
        let key = wrapping_key(&own, &recipient.key, &share, &recipient.key)
            .map_err(|_| AgeError::Recipient(recipient.text.clone()))?;
        let mut body = file_key.to_vec();
        cipher(&key)?
            .seal_in_place_append_tag(zero_nonce(), Aad::empty(), &mut body)
            .map_err(|_| AgeError::Random)?;
        let (share, body) = (BASE64_NOPAD.encode(&share), BASE64_NOPAD.encode(&body));
        header.push_str(&format!("-> X25519 {share}\n{body}\n"));
    }
    header.push_str("---");
    let code = hmac::sign(&code_key(&file_key)?, header.as_bytes());
    header.push_str(&format!(" {}\n", BASE64_NOPAD.encode(code.as_ref())));
    Ok((file_key, header.into_bytes()))
}

fn code_key(file_key: &FileKey) -> Result<hmac::Key, AgeError> {
    Ok(hmac::Key::new(hmac::HMAC_SHA256, derive(&[], file_key.as_ref(), b"header")?.as_ref()))
}

/// Reads a header and unwraps its file key.
pub fn open(input: &mut impl BufRead, identities: &[Identity]) -> Result<FileKey, AgeError> {
    let mut header = Vec::new();
    if line(input, &mut header)? != VERSION {
        return Err(AgeError::NotAge);
    }
    let mut found = None;
    loop {
        let before = header.len();
        let text = line(input, &mut header)?;
        if let Some(code) = text.strip_prefix("--- ") {
            let covered = header.get(..before.saturating_add(3)).ok_or(AgeError::NotAge)?;
            let code = BASE64_NOPAD.decode(code.as_bytes()).map_err(|_| AgeError::Tampered)?;
            let file_key: FileKey = found.ok_or(AgeError::NotForUs)?;
            hmac::verify(&code_key(&file_key)?, covered, &code).map_err(|_| AgeError::Tampered)?;
            return Ok(file_key);
        }
        let arguments = text.strip_prefix("-> ").ok_or(AgeError::NotAge)?;
        let body = body(input, &mut header)?;
        let Some(share) = arguments.strip_prefix("X25519 ") else { continue };
        let share = BASE64_NOPAD.decode(share.as_bytes()).map_err(|_| AgeError::Tampered)?;
        let share = <[u8; 32]>::try_from(share).map_err(|_| AgeError::Tampered)?;
        if body.len() != WRAPPED {
            return Err(AgeError::Tampered);
        }
        found = found.or_else(|| identities.iter().find_map(|identity| identity.unwrap(&share, &body)));
    }
}

fn body(input: &mut impl BufRead, header: &mut Vec<u8>) -> Result<Vec<u8>, AgeError> {
    let mut text = String::new();
    loop {
        let part = line(input, header)?;
        text.push_str(&part);
        if part.len() < LINE {
            return BASE64_NOPAD.decode(text.as_bytes()).map_err(|_| AgeError::NotAge);
        }
    }
}

/// The next line without its end, which is appended to `header` with it.
fn line(input: &mut impl BufRead, header: &mut Vec<u8>) -> Result<String, AgeError> {
    let start = header.len();
    loop {
        let held = input.fill_buf()?;
        if held.is_empty() {
            return Err(if start == 0 { AgeError::NotAge } else { AgeError::Truncated });
        }
        let end = held.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(held.len(), |at| at.saturating_add(1));
        header.extend(held.iter().take(taken));
        input.consume(taken);
        if header.len() > LONGEST_HEADER {
            return Err(AgeError::NotAge);
        }
        if end.is_some() {
            let text = header.get(start..header.len().saturating_sub(1)).unwrap_or_default();
            return String::from_utf8(text.to_vec()).map_err(|_| AgeError::NotAge);
        }
    }
}
