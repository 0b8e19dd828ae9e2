//! C2SP tlog-checkpoint: origin, size and root of the tree, signed.

use crate::hash::Hash;
use crate::note::{self, NoteError, Signer, VerifierKey};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, which is that of the key too.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    pub root: Hash,
}

impl Checkpoint {
    pub fn sign(&self, signers: &[Signer]) -> String {
        let Self { origin, size, root } = self;
        note::sign(&format!("{origin}\n{size}\n{}\n", root.base64()), signers)
    }

    /// Reads and verifies one: it must be signed, under its origin's name, by one of `keys`.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, NoteError> {
        let text = note::open(note, keys)?;
        let mut lines = text.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(NoteError::Malformed);
        };
        let number: u64 = size.parse().map_err(|_| NoteError::Malformed)?;
        let root = Hash::from_base64(root).ok_or(NoteError::Malformed)?;
        if origin.is_empty() || number.to_string() != size {
            return Err(NoteError::Malformed);
        }
        let own: Vec<VerifierKey> = keys.iter().filter(|key| key.name() == origin).cloned().collect();
        note::open(note, &own)?;
        Ok(Self { origin: origin.to_owned(), size: number, root })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::Ed25519KeyPair;

    fn signer(name: &str) -> Signer {
        Signer::new(name, Ed25519KeyPair::generate().unwrap().to_pkcs8v1().unwrap().as_ref()).unwrap()
    }

    #[test]
    fn what_is_signed_is_read_back() {
        let log = signer("example.com/log");
        let key = [log.verifier().clone()];
        let checkpoint =
            Checkpoint { origin: "example.com/log".to_owned(), size: 20_852_163, root: Hash::leaf(b"") };
        let note = checkpoint.sign(std::slice::from_ref(&log));
        assert_eq!(Checkpoint::open(&note, &key), Ok(checkpoint));
        let signers = [log];
        for text in [
            "example.com/log\n01\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n",
            "example.com/log\n-1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n",
            "example.com/log\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoA==\n",
            "example.com/log\n1\n",
            "\n1\nbjQLnP+zepicpUTmu3gKLHiQHT+zNzh2hRGjBhevoB0=\n",
        ] {
            assert_eq!(
                Checkpoint::open(&note::sign(text, &signers), &key),
                Err(NoteError::Malformed),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_of_another_log_does_not_speak_for_this_one() {
        let (mine, other) = (signer("a.example/log"), signer("b.example/log"));
        let keys = [mine.verifier().clone(), other.verifier().clone()];
        let checkpoint = Checkpoint { origin: "a.example/log".to_owned(), size: 1, root: Hash::leaf(b"") };
        assert_eq!(Checkpoint::open(&checkpoint.sign(&[other]), &keys), Err(NoteError::UnknownKeys));
    }
}
