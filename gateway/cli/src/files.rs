//! Files that the user names: private keys, passphrases, host keys. Read and written here, by the client; no API takes a path.

use std::fs::OpenOptions;
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
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

/// Writes a file that was not there, for its owner alone.
///
/// # Errors
/// `Usage` if it exists or cannot be written.
pub fn create_new(path: &Path, bytes: &[u8]) -> Result<()> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = made.and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()));
    written.map_err(|error| CliError::Usage(format!("{}: {error}", path.display())))
}

/// A path that was typed at a question, where no shell has opened the `~`.
pub fn typed(text: &str) -> PathBuf {
    match (text.strip_prefix("~/"), std::env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => PathBuf::from(text),
    }
}
