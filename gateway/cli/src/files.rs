//! Files that the user names: private keys, passphrases, host keys. Read here, by the client; no API takes a path.

use std::io::Read;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::error::{CliError, Result};

/// More than any key file; a device must not be read for ever.
const LIMIT: u64 = 1 << 20;

/// A file's text; `-` is the standard input.
///
/// # Errors
/// `Usage` if it cannot be read, is larger than 1 MiB or is not text.
pub fn read_text(path: &Path, what: &str) -> Result<Zeroizing<String>> {
    let wrong = |why: String| CliError::Usage(format!("the {what} {}: {why}", path.display()));
    let mut text = Zeroizing::new(String::new());
    let read = if path == Path::new("-") {
        std::io::stdin().take(LIMIT + 1).read_to_string(&mut text)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(LIMIT + 1).read_to_string(&mut text))
    };
    read.map_err(|error| wrong(error.to_string()))?;
    if text.len() as u64 > LIMIT {
        return Err(wrong("is larger than 1 MiB".into()));
    }
    Ok(text)
}

/// A passphrase: the file's first line.
pub fn read_passphrase(path: &Path) -> Result<Zeroizing<String>> {
    let text = read_text(path, "passphrase file")?;
    Ok(Zeroizing::new(text.lines().next().unwrap_or_default().to_owned()))
}

/// A path that was typed at a question, where no shell has opened the `~`.
pub fn typed(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(text),
    }
}
