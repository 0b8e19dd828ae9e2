//! Reads key files, each under the uid that may.

use std::collections::HashMap;

use keywright_domain::account::AccountName;
use keywright_domain::authorized_keys::MAX_FILE;
use keywright_domain::reason::Reason;
use tracing::instrument;

use super::Host;
use super::answer::Answer;
use super::digest::FileVersion;
use super::facts::KeysFile;
use super::failure::HostFailure;
use super::script::{Operation, Script};

pub(super) static READ: Operation = Operation {
    inner: &[("read_file", include_str!("scripts/read.sh"))],
    parameters: &["path"],
    own: true,
    ..Operation::new("read", include_str!("scripts/read_outer.sh"))
};

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileState {
    Absent,
    Regular(Vec<u8>),
    NotRegular,
    TooLarge,
    /// The server, which reads with the account's uid, cannot read it either.
    Unreadable,
}

/// One key file as it was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeysFileContent {
    pub state: FileState,
    /// The file or its directory is a link: the server reads what it leads to, an edit refuses it.
    pub link: bool,
    /// Root alone can change the directory: the file is edited as root.
    pub central: bool,
    pub loose: Option<Loose>,
}

/// Who but root and the account may change the file, or a directory from it up to the home.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loose {
    /// The account's own group, which has no other member: some systems' sshd take it for the account.
    OwnGroup,
    Others,
}

impl KeysFileContent {
    /// The keys that the server finds here.
    pub fn bytes(&self) -> &[u8] {
        match &self.state {
            FileState::Regular(bytes) => bytes,
            _ => &[],
        }
    }

    pub fn version(&self) -> FileVersion {
        match &self.state {
            FileState::Regular(bytes) => FileVersion::of(bytes),
            _ => FileVersion::Absent,
        }
    }
}

impl Host<'_> {
    #[instrument(skip_all)]
    pub(super) async fn read_file(
        &self,
        account: &AccountName,
        file: &KeysFile,
    ) -> Result<KeysFileContent, HostFailure> {
        let script = Script::new(account, &READ).with("path", &file.path);
        content(&self.shell.run(&script, b"").await?.done()?)
    }
}

/// What was read of the files in each directory. An account's own process may have said it: it is believed about files
/// of that directory alone.
pub(super) fn contents(sections: Vec<(String, Answer)>) -> HashMap<String, KeysFileContent> {
    let within =
        |directory: &str, path: &str| path.rsplit_once('/').is_some_and(|(above, _)| above == directory);
    sections
        .into_iter()
        .flat_map(|(directory, section)| {
            section.parts("file").into_iter().filter(move |(path, _)| within(&directory, path))
        })
        .filter_map(|(path, part)| Some((path, content(&part).ok()?)))
        .collect()
}

fn content(answer: &Answer) -> Result<KeysFileContent, HostFailure> {
    let loose = match answer.get("loose") {
        Some("own_group") => Some(Loose::OwnGroup),
        Some("others") => Some(Loose::Others),
        _ => None,
    };
    let state = state(answer)?;
    Ok(KeysFileContent { state, link: answer.is("link", "yes"), central: answer.is("as", "root"), loose })
}

fn state(answer: &Answer) -> Result<FileState, HostFailure> {
    Ok(match answer.get("state") {
        Some("absent") => FileState::Absent,
        Some("not_regular") => FileState::NotRegular,
        Some("too_large") => FileState::TooLarge,
        Some("unreadable") => FileState::Unreadable,
        Some("regular") => match bytes(answer) {
            Some(bytes) if bytes.len() > MAX_FILE => FileState::TooLarge,
            Some(bytes) => FileState::Regular(bytes),
            None => return Err(HostFailure::refused(Reason::HostEditFailed)),
        },
        _ => return Err(HostFailure::refused(Reason::HostEditFailed)),
    })
}

fn bytes(answer: &Answer) -> Option<Vec<u8>> {
    match (answer.get("base64"), answer.get("hex")) {
        (Some(text), _) => data_encoding::BASE64.decode(text.as_bytes()).ok(),
        (None, Some(text)) => data_encoding::HEXLOWER.decode(text.as_bytes()).ok(),
        (None, None) => None,
    }
}
