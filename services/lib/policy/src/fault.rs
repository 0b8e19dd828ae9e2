//! What is wrong with a policy, and where.

use std::fmt;

/// One fault of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file's name in its folder, or the folder.
    pub file: String,
    /// From 1; 0 where it is the file as a whole.
    pub line: usize,
    pub what: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            write!(f, "{}: {}", self.file, self.what)
        } else {
            write!(f, "{}:{}: {}", self.file, self.line, self.what)
        }
    }
}

/// Every fault that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy set cannot be used:\n  {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
pub struct PolicyError(pub Vec<Fault>);

impl PolicyError {
    /// A fault that no line is to blame for.
    pub(crate) fn of(file: &str, what: impl fmt::Display) -> Self {
        Self(vec![Fault { file: file.to_owned(), line: 0, what: what.to_string() }])
    }
}

/// The number of the line in which a byte stands.
pub(crate) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count().saturating_add(1)
}
