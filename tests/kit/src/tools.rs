//! The folder that `tests/tools/install` fills with programs and libraries.

use std::path::PathBuf;
use tokio::process::Command;

use crate::error::KitError;

/// Where `tests/run` keeps it, if it is not the usual place.
const TOOLS: &str = "KEYWRIGHT_TEST_TOOLS";

/// The folder, as `tests/run` finds it.
pub fn tools() -> PathBuf {
    let named = std::env::var_os(TOOLS).map(PathBuf::from);
    named.unwrap_or_else(|| {
        let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_else(|| "/var".into())).join(".cache");
        cache.unwrap_or_else(home).join("keywright/tools")
    })
}

/// Python with one of the libraries of the folder, for example `python-schemathesis`.
pub fn python(library: &str) -> Result<Command, KitError> {
    let folder = tools().join(library);
    if !folder.join(".complete").is_file() {
        return Err(KitError::Missing { program: library.into(), remedy: "run tests/tools/install FOLDER" });
    }
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", folder).env("PYTHONDONTWRITEBYTECODE", "1").env("PYTHONNOUSERSITE", "1");
    Ok(command)
}
