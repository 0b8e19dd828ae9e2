//! The agent's socket: in a folder of the user's own, for processes of the user alone.

use std::fs::{DirBuilder, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::net::{UnixListener, UnixStream};

use crate::error::{CliError, Result};

/// Removed with the value.
pub struct Socket {
    pub path: PathBuf,
    pub listener: UnixListener,
    /// A folder of our own around it.
    _folder: Option<TempDir>,
}

impl Socket {
    /// At `path`, or in a new folder.
    ///
    /// # Errors
    /// `Usage` where the folder is not the user's own, or something else is at the path.
    pub fn open(path: Option<PathBuf>) -> Result<Self> {
        let (path, folder) = match path {
            Some(path) => {
                let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
                own_folder(parent.unwrap_or(Path::new(".")))?;
                vacate(&path)?;
                (path, None)
            }
            None => {
                let folder = new_folder()?;
                (folder.path().join("agent.sock"), Some(folder))
            }
        };
        let failed = |source| CliError::File {
            doing: format!("the socket {} cannot be made", path.display()),
            source,
        };
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let socket = Self { path: path.clone(), listener, _folder: folder };
        std::fs::set_permissions(&socket.path, Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(socket)
    }

    /// The next client that is a process of this user.
    pub async fn accept(&self) -> std::io::Result<Option<UnixStream>> {
        let (stream, _) = self.listener.accept().await?;
        let mine = stream.peer_cred()?.uid() == rustix::process::geteuid().as_raw();
        Ok(mine.then_some(stream))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // One that is gone already is what was wanted.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Mode 0700, removed with the value.
fn new_folder() -> Result<TempDir> {
    let base = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|base| base.is_dir());
    let base = base.unwrap_or_else(std::env::temp_dir);
    let private = Permissions::from_mode(0o700);
    let made = tempfile::Builder::new().prefix("keywright-agent-").permissions(private).tempdir_in(&base);
    made.map_err(|source| CliError::File {
        doing: format!("a folder for the agent's socket cannot be made in {}", base.display()),
        source,
    })
}

/// Makes the folder with mode 0700, or makes sure that nobody else can put something there.
fn own_folder(folder: &Path) -> Result<()> {
    match DirBuilder::new().mode(0o700).create(folder) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(source) => {
            let doing = format!("the folder {} cannot be made", folder.display());
            return Err(CliError::File { doing, source });
        }
    }
    let unusable = |why: &str| CliError::Usage(format!("the folder {} {why}", folder.display()));
    let there = std::fs::metadata(folder).map_err(|error| unusable(&error.to_string()))?;
    if !there.is_dir() {
        return Err(unusable("is not a folder"));
    }
    if there.uid() != rustix::process::geteuid().as_raw() || there.mode() & 0o022 != 0 {
        return Err(unusable("must belong to you, and nobody else may write there: chmod 700"));
    }
    Ok(())
}

/// Removes a socket that nobody listens on any more; anything else stays and is an error.
fn vacate(path: &Path) -> Result<()> {
    let taken = |why: &str| CliError::Usage(format!("{} {why}", path.display()));
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(taken(&error.to_string())),
        Ok(there) if !there.file_type().is_socket() => {
            Err(taken("exists and is no socket; name another path"))
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                std::fs::remove_file(path).map_err(|error| taken(&error.to_string()))
            }
            _ => Err(taken("is in use by another agent; name another path")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(path: &Path) -> String {
        Socket::open(Some(path.to_owned())).err().unwrap().to_string()
    }

    #[tokio::test]
    async fn the_socket_is_the_users_alone_and_goes_away() {
        let socket = Socket::open(None).unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        let path = socket.path.clone();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let client = UnixStream::connect(&path);
        let (accepted, _client) = tokio::join!(socket.accept(), client);
        assert!(accepted.unwrap().is_some());
        drop(socket);
        assert!(!path.parent().unwrap().exists());
    }

    #[tokio::test]
    async fn a_path_is_taken_only_where_nobody_else_is_or_could_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/agent.sock");
        let socket = Socket::open(Some(path.clone())).unwrap();
        assert!(refused(&path).contains("in use"));
        // Left behind by one that was killed.
        let left = folder.path().join("left.sock");
        drop(std::os::unix::net::UnixListener::bind(&left).unwrap());
        drop(Socket::open(Some(left)).unwrap());
        let file = folder.path().join("file");
        std::fs::write(&file, "mine").unwrap();
        assert!(refused(&file).contains("no socket"));
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(refused(&folder.path().join("x.sock")).contains("chmod 700"));
        drop(socket);
    }
}
