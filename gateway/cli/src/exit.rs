//! Exit codes, in one table: the help text and the code both come from it.

/// How the program ended, for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Ok,
    Failed,
    Usage,
    Unauthenticated,
    Denied,
    NotFound,
    Conflict,
    Invalid,
    Unavailable,
    Unproven,
    WorkFailed,
    Unchanged,
    Interrupted,
}

const TABLE: &[(Exit, i32, &str)] = &[
    (Exit::Ok, 0, "done"),
    (Exit::Failed, 1, "another failure, or you answered no"),
    (Exit::Usage, 2, "usage: an argument, a confirmation or a file is missing or wrong"),
    (Exit::Unauthenticated, 3, "not authenticated (HTTP 401)"),
    (Exit::Denied, 4, "not allowed (HTTP 403)"),
    (Exit::NotFound, 5, "not found (HTTP 404)"),
    (Exit::Conflict, 6, "conflict or precondition, nothing was changed (HTTP 409)"),
    (Exit::Invalid, 7, "the gateway refused the input (HTTP 400, 413)"),
    (Exit::Unavailable, 8, "not available or not reachable now; try again (HTTP 429, 502, 503, 504)"),
    (
        Exit::Unproven,
        9,
        "a test or proof ran and was not healthy, or is still outstanding; a server's keys drifted; a log does not verify",
    ),
    (Exit::WorkFailed, 10, "the work that was waited for failed (rotation FAILED, STUCK or SUPERSEDED)"),
    (Exit::Unchanged, 11, "nothing has changed (krl get --if-changed)"),
    (Exit::Interrupted, 130, "interrupted (Ctrl-C); work that Keywright has begun goes on there"),
];

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> i32 {
        TABLE.iter().find(|(exit, ..)| *exit == self).map_or(1, |(_, code, _)| *code)
    }

    /// The exit code for an HTTP status that is not a success.
    pub fn of_status(status: u16) -> Self {
        match status {
            401 => Self::Unauthenticated,
            403 => Self::Denied,
            404 => Self::NotFound,
            409 => Self::Conflict,
            400 | 411 | 413 | 415 | 422 => Self::Invalid,
            408 | 429 | 502 | 503 | 504 => Self::Unavailable,
            _ => Self::Failed,
        }
    }
}

/// The chapter of `keywright --help` about environment, files and exit codes.
pub fn help() -> String {
    let mut text = String::from(
        "Environment:
  KEYWRIGHT_URL       the gateway; default http://127.0.0.1:8480
  KEYWRIGHT_TOKEN     your token; never given as an argument
  KEYWRIGHT_PROFILE   the profile to use; --profile on the command line wins over all three
  KEYWRIGHT_TENANT    the tenant of `access` commands; default the one your token is bound to
  SSL_CERT_FILE       certificates to trust instead of the system's
  KEYWRIGHT_CLIENT_CERT, KEYWRIGHT_CLIENT_KEY
                      a client certificate and its key (PEM), for a token that is bound to one

Files:
  $XDG_CONFIG_HOME/keywright/config.toml (or ~/.config/…): the profiles, with their tokens; mode 0600

Output:
  Answers go to standard output, all else to standard error. With --output json the answer is the REST answer,
  unchanged, and an error is the google.rpc.Status, as the last line of standard error (a mistyped command line
  apart).

Exit codes:
",
    );
    for (_, code, meaning) in TABLE {
        text.push_str(&format!("  {code:>3}  {meaning}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_has_the_documented_code() {
        let expected = [
            (401, 3),
            (403, 4),
            (404, 5),
            (409, 6),
            (400, 7),
            (413, 7),
            (429, 8),
            (503, 8),
            (504, 8),
            (500, 1),
            (501, 1),
        ];
        for (status, code) in expected {
            assert_eq!(Exit::of_status(status).code(), code, "HTTP {status}");
        }
    }

    #[test]
    fn codes_are_unique_and_in_the_help() {
        let mut codes: Vec<i32> = TABLE.iter().map(|(_, code, _)| *code).collect();
        codes.dedup();
        assert_eq!(codes.len(), TABLE.len());
        assert!(help().contains("  9  a test or proof ran and was not healthy"));
    }
}
