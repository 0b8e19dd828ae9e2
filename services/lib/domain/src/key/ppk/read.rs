//! Reading PuTTY's files.

use super::{Argon2, ENCRYPTED, HEADER, Keys, mac_input, version_2_keys};
use crate::key::algorithm::KeyAlgorithm;
use crate::key::armor::{decode_base64, lines, split_at_mark};
use crate::key::components::{Components, StatedPublic};
use crate::key::error::KeyError;
use crate::key::intake::{Intake, KdfCaps, KeyFormat};
use crate::key::private::PrivateKey;
use crate::key::public::PublicKey;
use crate::key::text::{put_squeezed, unquoted};
use crate::key::wire::Reader;
use crate::secret::Secret;
use aws_lc_rs::hmac;
use ssh_key::Cipher;
use zeroize::Zeroizing;

/// The text from the header on, where there is one.
pub(in crate::key) fn find(text: &[u8]) -> Result<Option<&[u8]>, KeyError> {
    match split_at_mark(text, HEADER) {
        None => Ok(None),
        Some((_, rest)) if split_at_mark(rest, HEADER).is_some() => Err(KeyError::MultipleKeys),
        Some((_, rest)) => Ok(Some(rest)),
    }
}

/// `text` is what `find` found.
pub(in crate::key) fn read(
    text: &[u8],
    passphrase: Option<&Secret>,
    caps: &KdfCaps,
) -> Result<Intake, KeyError> {
    let file = File::parse(text)?;
    let algorithm = KeyAlgorithm::parse(file.algorithm)?;
    let public = PublicKey::from_blob(&file.public).map_err(|error| match error {
        KeyError::PublicUnparsable => KeyError::Unparsable,
        other => other,
    })?;
    if public.algorithm() != algorithm {
        return Err(KeyError::Inconsistent);
    }
    let keys = file.keys(passphrase, caps)?;
    let mut private = Zeroizing::new(file.private.to_vec());
    let wrong = match &keys {
        Some(keys) => {
            if private.len().checked_rem(16) != Some(0) {
                return Err(KeyError::Truncated);
            }
            Cipher::Aes256Cbc
                .decrypt(&keys.cipher_key, &keys.iv, &mut private, None)
                .map_err(|_| KeyError::Internal)?;
            KeyError::PassphraseIncorrect
        }
        None => KeyError::Inconsistent,
    };
    let mac = match (&keys, file.version) {
        (Some(keys), _) => keys.mac.clone(),
        (None, KeyFormat::Ppk2) => version_2_keys(b"").mac,
        (None, _) => hmac::Key::new(hmac::HMAC_SHA256, b""),
    };
    // The comment is covered by the MAC; blanks that pasting left behind it are not part of it.
    let genuine = [file.comment, file.comment.trim_ascii_end()].into_iter().any(|comment| {
        let input = mac_input(file.algorithm, file.encryption, comment, &file.public, &private);
        hmac::verify(&mac, &input, &file.mac).is_ok()
    });
    if !genuine {
        return Err(wrong);
    }
    let key = build(algorithm, &public, &private)?;
    Ok(Intake { key, encrypted_at_intake: keys.is_some(), format: file.version })
}

fn build(algorithm: KeyAlgorithm, public: &PublicKey, private: &[u8]) -> Result<PrivateKey, KeyError> {
    let mut reader = Reader::new(private);
    let secret = |bytes: &[u8]| Zeroizing::new(bytes.to_vec());
    let components = match algorithm {
        KeyAlgorithm::Ed25519 => Components::Ed25519 { seed: secret(reader.string()?) },
        KeyAlgorithm::Rsa => {
            let mut numbers = Reader::new(public.blob());
            let _name = numbers.string()?;
            let e = numbers.unsigned()?.to_vec();
            let n = numbers.unsigned()?.to_vec();
            let d = secret(reader.unsigned()?);
            Components::Rsa { n, e, d, p: secret(reader.unsigned()?), q: secret(reader.unsigned()?) }
        }
        _ => Components::Ecdsa { algorithm, scalar: secret(reader.unsigned()?) },
    };
    components.build(Some(&StatedPublic::Blob(public.blob().to_vec())))
}

struct File<'a> {
    version: KeyFormat,
    algorithm: &'a str,
    encryption: &'a str,
    comment: &'a [u8],
    public: Zeroizing<Vec<u8>>,
    private: Zeroizing<Vec<u8>>,
    mac: Vec<u8>,
    derivation: Vec<(&'a str, &'a str)>,
}

impl<'a> File<'a> {
    fn parse(text: &'a [u8]) -> Result<Self, KeyError> {
        let mut lines = lines(text);
        let (version, algorithm) = field(lines.next().ok_or(KeyError::Truncated)?)?;
        let version = match version {
            "2" => KeyFormat::Ppk2,
            "3" => KeyFormat::Ppk3,
            _ => return Err(KeyError::Unsupported),
        };
        // The last line; without it whatever else is wrong comes from the cut.
        if split_at_mark(text, b"Private-MAC:").is_none() {
            return Err(KeyError::Truncated);
        }
        let (mut encryption, mut public, mut private, mut mac) = (None, None, None, None);
        let mut comment: &[u8] = b"";
        let mut derivation = Vec::new();
        for _ in 0..16 {
            let Some(line) = lines.next() else { break };
            if let Some(text) = unquoted(line).strip_prefix(b"Comment:") {
                comment = text.strip_prefix(b" ").unwrap_or(text);
                continue;
            }
            let (name, value) = field(line)?;
            match name {
                "Encryption" => encryption = Some(value),
                "Public-Lines" => public = Some(body(&mut lines, value, text.len())?),
                "Private-Lines" => private = Some(body(&mut lines, value, text.len())?),
                "Private-MAC" => {
                    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(value.as_bytes());
                    mac = Some(bytes.map_err(|_| KeyError::Truncated)?);
                    break;
                }
                _ => derivation.push((name, value)),
            }
        }
        Ok(Self {
            version,
            algorithm,
            encryption: encryption.ok_or(KeyError::Truncated)?,
            comment,
            public: public.ok_or(KeyError::Truncated)?,
            private: private.ok_or(KeyError::Truncated)?,
            mac: mac.ok_or(KeyError::Truncated)?,
            derivation,
        })
    }

    /// None for a file that is not encrypted. The caps are checked first.
    fn keys(&self, passphrase: Option<&Secret>, caps: &KdfCaps) -> Result<Option<Keys>, KeyError> {
        match self.encryption {
            "none" => return Ok(None),
            ENCRYPTED => {}
            _ => return Err(KeyError::Unsupported),
        }
        if self.version == KeyFormat::Ppk2 {
            let passphrase = passphrase.ok_or(KeyError::PassphraseRequired)?;
            return Ok(Some(version_2_keys(passphrase.expose())));
        }
        let argon2 = self.argon2()?;
        let work = u64::from(argon2.memory_kib).saturating_mul(u64::from(argon2.passes));
        if argon2.memory_kib > caps.argon2_memory_kib
            || work > caps.argon2_work_kib
            || argon2.parallelism > 64
        {
            return Err(KeyError::KdfTooExpensive);
        }
        argon2.derive(passphrase.ok_or(KeyError::PassphraseRequired)?).map(Some)
    }

    fn argon2(&self) -> Result<Argon2, KeyError> {
        let value = |name: &str| {
            let found = self.derivation.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| *value).ok_or(KeyError::Truncated)
        };
        // Too many digits for the type are far above any cap.
        let number = |name: &str| match value(name)? {
            digits if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(digits.parse::<u32>().unwrap_or(u32::MAX))
            }
            _ => Err(KeyError::Unparsable),
        };
        let flavour = match value("Key-Derivation")? {
            "Argon2id" => argon2::Algorithm::Argon2id,
            "Argon2i" => argon2::Algorithm::Argon2i,
            "Argon2d" => argon2::Algorithm::Argon2d,
            _ => return Err(KeyError::Unsupported),
        };
        let salt = data_encoding::HEXLOWER_PERMISSIVE
            .decode(value("Argon2-Salt")?.as_bytes())
            .map_err(|_| KeyError::Unparsable)?;
        Ok(Argon2 {
            flavour,
            memory_kib: number("Argon2-Memory")?,
            passes: number("Argon2-Passes")?,
            parallelism: number("Argon2-Parallelism")?,
            salt,
        })
    }
}

fn field(line: &[u8]) -> Result<(&str, &str), KeyError> {
    let text = std::str::from_utf8(unquoted(line)).map_err(|_| KeyError::Unparsable)?;
    let (name, value) = text.split_once(':').ok_or(KeyError::Unparsable)?;
    Ok((name.trim(), value.trim()))
}

/// `room` is what the whole file takes, so that the buffer never grows and leaves a copy behind.
fn body<'a>(
    lines: &mut impl Iterator<Item = &'a [u8]>,
    count: &str,
    room: usize,
) -> Result<Zeroizing<Vec<u8>>, KeyError> {
    let count: u16 = count.parse().map_err(|_| KeyError::Unparsable)?;
    let mut encoded = Zeroizing::new(Vec::with_capacity(room));
    for _ in 0..count {
        put_squeezed(&mut encoded, lines.next().ok_or(KeyError::Truncated)?);
    }
    decode_base64(&encoded)
}
