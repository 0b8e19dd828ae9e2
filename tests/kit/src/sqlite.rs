//! Statements on a SQLite file, by the library that comes with Python.

use std::path::Path;

use tokio::process::Command;

use crate::error::KitError;
use crate::process::run_ok;

const SCRIPT: &str =
    "import sqlite3, sys\nsqlite3.connect(sys.argv[1], timeout=30).executescript(sys.argv[2])";

/// In one transaction; a server may be at the same file.
pub async fn execute(file: &Path, statements: &str) -> Result<(), KitError> {
    let whole = format!("BEGIN IMMEDIATE;\n{statements}\nCOMMIT;");
    let mut python = Command::new("python3");
    run_ok("SQLite", python.args(["-c", SCRIPT]).arg(file).arg(whole)).await.map(drop)
}
