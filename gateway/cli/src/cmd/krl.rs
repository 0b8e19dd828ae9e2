//! `keywright krl …`: revocation lists of server groups.
//!
//! Invariant: the file of a list is replaced whole or left as it is; sshd refuses every key while it is missing or cut.

use std::fs::{File, OpenOptions};
use std::io::{IsTerminal, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::app::App;
use crate::args::PageArgs;
use crate::client::Answer;
use crate::error::{CliError, Result};
use crate::output::facts;
use crate::output::view::krl as view;

/// How OpenSSH's lists begin, and how ours do in text form.
const BEGINNINGS: [&[u8]; 2] = [b"SSHKRL\n\0", b"# keywright:"];

#[derive(Subcommand)]
pub enum Command {
    /// List the server groups, and what their revocation lists hold
    List(PageArgs),
    /// Fetch the revocation list of a server group
    #[command(after_help = "Examples:
  keywright krl get web --out /etc/ssh/keywright/revoked_keys
  keywright krl get web --text

The file is what `RevokedKeys` in sshd_config names. It is replaced whole or not at all, and sshd reads it at every
login: nothing has to be reloaded. A host needs a token of its own group only:
  keywright token create --role internal-service --permission krl.read:web

With --if-changed the exit code is 11, and nothing is said, if the file holds this list already.")]
    Get(Get),
}

#[derive(Args)]
pub struct Get {
    /// The server group
    group: String,
    /// One public key a line, instead of OpenSSH's binary form
    #[arg(long)]
    text: bool,
    /// The file to replace; without it the list goes to standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Exit with 11 if the file holds this list already
    #[arg(long, requires = "out")]
    if_changed: bool,
}

pub async fn run(command: Command, app: &App<'_>) -> Result<()> {
    match command {
        Command::List(page) => {
            let page = app.client.list(&["api", "krl"], &[], &page).await?;
            app.out.page(&page, view::list(page.items()));
            Ok(())
        }
        Command::Get(get) => get.run(app).await,
    }
}

impl Get {
    async fn run(self, app: &App<'_>) -> Result<()> {
        if self.out.is_none() && !self.text && std::io::stdout().is_terminal() {
            return Err(CliError::Usage(
                "the binary form is not for a terminal: use --out FILE or --text".into(),
            ));
        }
        let path = ["api", "krl", &self.group, "text"];
        let (list, etag) = app.client.file(if self.text { &path } else { &path[..3] }).await?;
        if !BEGINNINGS.iter().any(|beginning| list.starts_with(beginning)) {
            return Err(CliError::Protocol("it is no revocation list".into()));
        }
        let Some(out) = &self.out else {
            app.out.bytes(&list);
            return Ok(());
        };
        let changed = std::fs::read(out).ok().is_none_or(|held| held != list);
        if changed {
            replace(out, &list).map_err(|source| CliError::File {
                doing: format!("{} cannot be written", out.display()),
                source,
            })?;
        } else if self.if_changed {
            return Err(CliError::Unchanged);
        }
        let file = out.display().to_string();
        let answer = json!({"group": self.group, "file": file, "changed": changed, "etag": etag});
        let state = if changed { "replaced" } else { "holds this list already" };
        app.out.answer(
            &Answer::of(answer),
            vec![facts([("Group", self.group), ("File", file), ("State", state.into())])],
        );
        Ok(())
    }
}

/// Complete, readable by everybody and on disk before the name leads to it.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = folder.join(format!(".{name}.keywright-new.{}", std::process::id()));
    let written = write(&temporary, bytes).and_then(|()| std::fs::rename(&temporary, path));
    if written.is_err() {
        // If it cannot be removed there is nobody to tell.
        let _ = std::fs::remove_file(&temporary);
    }
    written?;
    File::open(folder)?.sync_all()
}

fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(path)?;
    // Whatever the mask says: sshd reads it for everybody.
    file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_behind() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked_keys");
        for list in [b"SSHKRL\n\0one".as_slice(), b"SSHKRL\n\0two"] {
            replace(&path, list).unwrap();
            assert_eq!(std::fs::read(&path).unwrap(), list);
        }
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        let taken = folder.path().join("folder");
        std::fs::create_dir(&taken).unwrap();
        assert!(replace(&taken, b"x").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
