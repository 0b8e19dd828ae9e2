//! Why something could not be started, with what to do about it.

use std::fmt;

/// A start that failed. `Debug` is `Display`, so that an `unwrap` in a test shows the remedy.
#[derive(thiserror::Error)]
pub enum KitError {
    #[error("a test host needs root (mount and PID namespaces): run the tests as root")]
    RootNeeded,
    #[error("`{program}` is not installed: {remedy}")]
    Missing { program: String, remedy: &'static str },
    #[error("{what} did not start: {detail}")]
    Start { what: &'static str, detail: String },
    #[error("{what} was not ready in time: {detail}")]
    Timeout { what: &'static str, detail: String },
    #[error("{what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
    #[error("HTTP to {what}: {source}")]
    Http { what: &'static str, source: reqwest::Error },
}

impl fmt::Debug for KitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Says what was being done when the system refused.
pub(crate) trait During<T> {
    fn during(self, what: &'static str) -> Result<T, KitError>;
}

impl<T> During<T> for std::io::Result<T> {
    fn during(self, what: &'static str) -> Result<T, KitError> {
        self.map_err(|source| KitError::Io { what, source })
    }
}
