//! What can go wrong, by what the user would do about it.

use std::io;

use serde_json::{Value, json};

use crate::client::ApiError;
use crate::exit::Exit;

pub type Result<T, E = CliError> = std::result::Result<T, E>;

#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The gateway answered with an error.
    #[error("{0}")]
    Api(Box<ApiError>),
    /// No answer, or a cut one.
    #[error(
        "no answer from {url}: {cause}. Check KEYWRIGHT_URL and that the gateway runs; `keywright doctor` looks at it step by step"
    )]
    Unreachable { url: String, cause: String },
    /// An argument, a confirmation or a local file is missing or wrong.
    #[error("{0}")]
    Usage(String),
    /// What was read forbids the operation; nothing was sent.
    #[error("{0}")]
    Refused(String),
    /// A test, proof or removal is not healthy or is outstanding.
    #[error("{0}")]
    Unproven(String),
    /// The work that was waited for failed.
    #[error("{0}")]
    WorkFailed(String),
    /// What was asked for is there already; said by the exit code alone.
    #[error("nothing has changed")]
    Unchanged,
    /// The user said no.
    #[error("not confirmed: nothing was changed")]
    Declined,
    /// A local file or the terminal.
    #[error("{doing}")]
    File {
        doing: String,
        #[source]
        source: io::Error,
    },
    /// The profiles file is not what this program wrote.
    #[error("{0}")]
    Profile(String),
    /// The answer is not what the contract says.
    #[error(
        "the answer of the gateway was not understood: {0}. Client and gateway may be of different versions"
    )]
    Protocol(String),
    /// Ctrl-C; the hint says what goes on without us.
    #[error("interrupted{}{}", if .hint.is_empty() { "" } else { ". " }, .hint)]
    Interrupted { hint: String },
}

impl CliError {
    pub fn exit(&self) -> Exit {
        match self {
            Self::Api(error) => Exit::of_status(error.http),
            Self::Unreachable { .. } => Exit::Unavailable,
            Self::Usage(_) => Exit::Usage,
            Self::Refused(_) => Exit::Conflict,
            Self::Unproven(_) => Exit::Unproven,
            Self::WorkFailed(_) => Exit::WorkFailed,
            Self::Interrupted { .. } => Exit::Interrupted,
            Self::Unchanged => Exit::Unchanged,
            Self::Declined | Self::File { .. } | Self::Profile(_) | Self::Protocol(_) => Exit::Failed,
        }
    }

    /// The reason, for programs; the gateway's own where it answered.
    pub fn reason(&self) -> &str {
        match self {
            Self::Api(error) => &error.reason,
            Self::Unreachable { .. } => "GATEWAY_UNREACHABLE",
            Self::Usage(_) => "USAGE",
            Self::Refused(_) => "REFUSED_BY_CLIENT",
            Self::Unproven(_) => "UNPROVEN",
            Self::WorkFailed(_) => "WORK_FAILED",
            Self::Unchanged => "UNCHANGED",
            Self::Declined => "NOT_CONFIRMED",
            Self::File { .. } => "LOCAL_FILE",
            Self::Profile(_) => "PROFILE",
            Self::Protocol(_) => "ANSWER_NOT_UNDERSTOOD",
            Self::Interrupted { .. } => "INTERRUPTED",
        }
    }

    /// The error as a `google.rpc.Status`: the gateway's, or one in the same form in the domain `keywright-cli`.
    pub fn status(&self) -> Value {
        if let Self::Api(error) = self {
            return error.status();
        }
        json!({
            "code": rpc_code(self.exit()),
            "message": self.full_message(),
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": self.reason(),
                "domain": "keywright-cli",
                "metadata": {},
            }],
        })
    }

    /// The message with its cause.
    pub fn full_message(&self) -> String {
        match std::error::Error::source(self) {
            Some(source) => format!("{self}: {source}"),
            None => self.to_string(),
        }
    }

    /// Whether the same request may be sent again soon with hope.
    pub fn is_transient(&self) -> bool {
        self.exit() == Exit::Unavailable
    }
}

/// The `google.rpc.Code` nearest to an exit.
fn rpc_code(exit: Exit) -> i32 {
    match exit {
        Exit::Ok => 0,
        Exit::Interrupted => 1,
        Exit::Usage | Exit::Invalid => 3,
        Exit::NotFound => 5,
        Exit::Denied => 7,
        Exit::Conflict | Exit::Unproven | Exit::WorkFailed => 9,
        Exit::Unavailable => 14,
        Exit::Unauthenticated => 16,
        Exit::Failed | Exit::Unchanged => 2,
    }
}
