//! What a verification trusts: the public keys, and the checkpoints that they have signed.

use std::path::Path;

use keywright_log::Checkpoint;
use keywright_log::note::VerifierKey;

use crate::error::{CliError, Result};
use crate::files;

/// The keys of texts, or of the files that they are the paths of.
///
/// # Errors
/// `Usage` for what is neither.
pub fn keys(given: &[String]) -> Result<Vec<VerifierKey>> {
    let mut keys = Vec::new();
    for text in given {
        match VerifierKey::parse(text.trim()) {
            Ok(key) => keys.push(key),
            Err(_) if Path::new(text).is_file() => keys.extend(of_file(Path::new(text))?),
            Err(error) => {
                return Err(CliError::Usage(format!("--key {text}: {error}, nor is it the path of a file")));
            }
        }
    }
    Ok(keys)
}

fn of_file(path: &Path) -> Result<Vec<VerifierKey>> {
    let text = files::read_text(path, "key file")?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Vec<VerifierKey> = lines
        .map(|line| {
            VerifierKey::parse(line)
                .map_err(|error| CliError::Usage(format!("the key file {}: {error}", path.display())))
        })
        .collect::<Result<_>>()?;
    if keys.is_empty() {
        return Err(CliError::Usage(format!("the key file {} holds no key", path.display())));
    }
    Ok(keys)
}

/// The checkpoint in a file, signed by one of `keys`.
///
/// # Errors
/// `Usage` if it cannot be read, `Unproven` if it is not one that a key has signed.
pub fn checkpoint_file(path: &Path, keys: &[VerifierKey]) -> Result<Checkpoint> {
    let text = files::read_text(path, "checkpoint")?;
    open(&text, keys).map_err(|why| CliError::Unproven(format!("the checkpoint {}: {why}", path.display())))
}

/// A checkpoint, signed by one of `keys`; why not, where it is none.
pub fn open(note: &str, keys: &[VerifierKey]) -> std::result::Result<Checkpoint, String> {
    Checkpoint::open(note, keys).map_err(|error| error.to_string())
}
