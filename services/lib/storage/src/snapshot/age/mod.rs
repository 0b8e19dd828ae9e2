//! The age file format, version 1 (age-encryption.org/v1), for X25519 recipients: what we seal the `age` and `rage`
//! tools open, and the other way round.
//!
//! Written here over the one provider of cryptography that the project has: the format is small and frozen, and the
//! crate of that name brings a second provider, an internationalization stack and a hundred crates with it.
//! Invariant: nothing is handed out of a sealed stream before its piece was authenticated, and a stream whose end is
//! missing is an error.

mod bech32;
mod header;
mod payload;

pub use header::{Identity, Recipient};
pub(super) use payload::age_error;
pub use payload::{Opener, Sealer};

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

#[derive(Debug, thiserror::Error)]
pub enum AgeError {
    #[error("{0} is not an age recipient (age1…); keys of other kinds are not supported")]
    Recipient(String),
    #[error("the identity file holds no age identity (AGE-SECRET-KEY-1…)")]
    Identity,
    #[error("this is not a file in the age format, version 1")]
    NotAge,
    #[error("the file is sealed to somebody else: none of the identities opens it")]
    NotForUs,
    #[error("the file was changed, damaged or cut off after it was written")]
    Tampered,
    #[error("the file ends before its content begins: it was cut off")]
    Truncated,
    #[error("the operating system gave no random bytes")]
    Random,
    #[error("the file cannot be read or written: {0}")]
    Io(#[from] std::io::Error),
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA-256 to 32 bytes.
fn derive(salt: &[u8], secret: &[u8], info: &[u8]) -> Result<Zeroizing<[u8; 32]>, AgeError> {
    let mut key = Zeroizing::new([0u8; 32]);
    let prk = Salt::new(HKDF_SHA256, salt).extract(secret);
    prk.expand(&[info], Length(32)).and_then(|okm| okm.fill(key.as_mut())).map_err(|_| AgeError::Random)?;
    Ok(key)
}

fn random<const N: usize>() -> Result<Zeroizing<[u8; N]>, AgeError> {
    let mut bytes = Zeroizing::new([0u8; N]);
    keywright_domain::clock::fill_random(bytes.as_mut()).map_err(|_| AgeError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    fn sealed(plain: &[u8], recipients: &[Recipient]) -> Vec<u8> {
        let mut sealer = Sealer::new(Vec::new(), recipients).unwrap();
        sealer.write_all(plain).unwrap();
        sealer.finish().unwrap()
    }

    fn opened(sealed: &[u8], identity: &Identity) -> Result<Vec<u8>, AgeError> {
        let mut opener = Opener::new(sealed, std::slice::from_ref(identity))?;
        let mut plain = Vec::new();
        match opener.read_to_end(&mut plain) {
            Ok(_) => Ok(plain),
            Err(error) => Err(payload::age_error(error)),
        }
    }

    fn tool(program: &str, arguments: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|_| panic!("{program} is missing: apt-get install age"));
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writing = std::thread::spawn(move || drop(stdin.write_all(&input)));
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        assert!(output.status.success(), "{program} {arguments:?}");
        output.stdout
    }

    /// A folder with an identity that `age-keygen` made, and its recipient.
    fn keygen() -> (tempfile::TempDir, String, Identity, Recipient) {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("identity").display().to_string();
        tool("age-keygen", &["-o", &file], b"");
        let text = std::fs::read_to_string(&file).unwrap();
        let identity = Identity::parse_file(text.as_bytes()).unwrap().remove(0);
        let recipient = String::from_utf8(tool("age-keygen", &["-y", &file], b"")).unwrap();
        (dir, file, identity, Recipient::parse(recipient.trim()).unwrap())
    }

    /// Nothing, a byte, either side of a piece's border, several pieces.
    const LENGTHS: [usize; 7] = [0, 1, 65_535, 65_536, 65_537, 131_072, 200_001];

    #[test]
    fn the_tool_opens_what_we_seal_and_we_open_what_it_seals() {
        let (_dir, file, identity, recipient) = keygen();
        for length in LENGTHS {
            let plain: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            let ours = sealed(&plain, std::slice::from_ref(&recipient));
            assert!(tool("age", &["-d", "-i", &file], &ours) == plain, "{length}");
            let theirs = tool("age", &["-r", recipient.as_str()], &plain);
            assert!(opened(&theirs, &identity).unwrap() == plain, "{length}");
            assert!(opened(&ours, &identity).unwrap() == plain, "{length}");
        }
    }

    #[test]
    fn each_of_several_recipients_opens_it_and_nobody_else() {
        let (one, other, stranger) = (keygen(), keygen(), keygen());
        let ours = sealed(b"hello", &[one.3.clone(), other.3.clone()]);
        for (_, file, identity, _) in [&one, &other] {
            assert_eq!(opened(&ours, identity).unwrap(), b"hello");
            assert_eq!(tool("age", &["-d", "-i", file], &ours), b"hello");
        }
        assert!(matches!(opened(&ours, &stranger.2), Err(AgeError::NotForUs)));
        let theirs = tool("age", &["-r", one.3.as_str(), "-r", other.3.as_str()], b"hello");
        assert_eq!(opened(&theirs, &other.2).unwrap(), b"hello");
    }

    #[test]
    fn every_changed_byte_and_every_cut_is_seen() {
        let (_dir, _file, identity, recipient) = keygen();
        let ours = sealed(&[7; 300], &[recipient]);
        for at in 0..ours.len() {
            let mut changed = ours.clone();
            changed[at] ^= 1;
            assert!(opened(&changed, &identity).is_err(), "byte {at}");
            assert!(opened(&ours[..at], &identity).is_err(), "cut at {at}");
        }
        let mut longer = ours.clone();
        longer.push(0);
        assert!(opened(&longer, &identity).is_err());
    }

    #[test]
    fn a_stream_that_ends_between_two_pieces_is_cut_off() {
        let (_dir, _file, identity, recipient) = keygen();
        let whole = sealed(&[1; 65_536 * 2], std::slice::from_ref(&recipient));
        let cut = &whole[..whole.len() - 65_536 - 16];
        assert!(opened(cut, &identity).is_err());
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let (.., recipient) = keygen();
        let text = recipient.as_str();
        for bad in
            [&text[..text.len() - 1], &text.replacen("age1", "agf1", 1), "", "age1", "ssh-ed25519 AAAA"]
        {
            assert!(Recipient::parse(bad).is_err(), "{bad}");
        }
        let (rest, last) = text.split_at(text.len() - 1);
        let other = if last == "q" { "p" } else { "q" };
        assert!(Recipient::parse(&format!("{rest}{other}")).is_err());
        assert!(Recipient::parse(&text.to_uppercase()).is_err(), "a recipient is written in lower case");
        assert!(matches!(Identity::parse_file(b"# nothing\n"), Err(AgeError::Identity)));
        assert!(matches!(Identity::parse_file(b"AGE-SECRET-KEY-1QQQ\n"), Err(AgeError::Identity)));
    }
}
